"""Small JSON bodies: read within bounds, checked by a model, documented from the same model."""

from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError

from edgecore_contracts.errors import FieldProblem, InvalidInput
from edgecore_gateway.domain.json_body import printable
from edgecore_gateway.entrypoints.request_body import read_json

FORM_BYTES = 16 * 1024


class Form(BaseModel):
    """A body with these fields and no others."""

    model_config = ConfigDict(extra="forbid", strict=True)


FormType = TypeVar("FormType", bound=Form)


async def read_form(request: Request, kind: type[FormType]) -> FormType:
    """The body as `kind`. Raises InvalidInput, and what read_json raises."""
    body = await read_json(request, FORM_BYTES)
    try:
        return kind.model_validate(body)
    except ValidationError as error:
        raise InvalidInput([_problem(one) for one in error.errors(include_input=False)]) from error


def _problem(found: Any) -> FieldProblem:
    place = ".".join(str(part) for part in found["loc"])
    return FieldProblem(printable(place) or "body", printable(str(found["msg"]), 300))


def documented(kind: type[Form], **more: Any) -> dict[str, Any]:
    """For a route's `openapi_extra`."""
    schema = kind.model_json_schema()
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}, **more}
