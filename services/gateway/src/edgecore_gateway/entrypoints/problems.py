"""Every refusal as RFC 9457 problem+json with a stable code, also those that no route made."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from opentelemetry import trace
from starlette.exceptions import HTTPException

from edgecore_contracts.errors import (
    BudgetExhausted,
    EdgecoreError,
    FieldProblem,
    Internal,
    InvalidInput,
    Unauthenticated,
    Unavailable,
)
from edgecore_gateway.domain.json_body import printable
from edgecore_gateway.domain.window import TooMany
from edgecore_runtime import logs
from edgecore_runtime.database import is_transient
from edgecore_runtime.http import problem

RETRY_SECONDS = "2"

log = logs.get(__name__)


def install(app: FastAPI) -> None:
    """Answer typed errors, the framework's own refusals and parameters that break their rules."""
    app.add_exception_handler(EdgecoreError, _typed)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _parameters)


def unexpected(error: Exception) -> Response:
    """For an error that no handler took: 503 when PostgreSQL is away, else 500; its details are logged alone."""
    if is_transient(error):
        log.warning("the database is away", error=repr(error))
        return answer(
            Unavailable("the database is away; nothing was changed unless you hear otherwise, try again")
        )
    trace.get_current_span().record_exception(error)
    log.error("request failed", exc_info=error)
    return answer(Internal("an error of ours; the log has it under this trace id"))


def answer(error: EdgecoreError) -> Response:
    if isinstance(error, Unauthenticated):
        return problem(error, {"WWW-Authenticate": 'Bearer realm="edgecore"'})
    if isinstance(error, BudgetExhausted):
        return problem(error, {"x-should-retry": "false"})
    if isinstance(error, Unavailable):
        return problem(error, {"Retry-After": RETRY_SECONDS})
    if isinstance(error, TooMany):
        return problem(error, {"Retry-After": str(error.retry_after_seconds)})
    return problem(error)


async def _typed(_request: Request, error: Exception) -> Response:
    assert isinstance(error, EdgecoreError)
    return answer(error)


async def _http(_request: Request, error: Exception) -> Response:
    """For example 404 and 405 of routes that do not exist."""
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    code = status.name.lower()
    body = {
        "type": f"urn:edgecore:problem:{code}",
        "title": status.phrase,
        "status": status.value,
        "detail": error.detail,
        "code": code,
    }
    return JSONResponse(body, status.value, error.headers, media_type="application/problem+json")


async def _parameters(_request: Request, error: Exception) -> Response:
    """Query parameters and headers that break their declared rules."""
    assert isinstance(error, RequestValidationError)
    return problem(InvalidInput([_field_problem(one) for one in error.errors()]))


def _field_problem(found: dict[str, Any]) -> FieldProblem:
    rules = found.get("ctx", {})
    nearest = next((rules[name] for name in ("ge", "le") if name in rules), None)
    return FieldProblem(printable(str(found["loc"][-1])), printable(str(found["msg"]), 300), nearest)
