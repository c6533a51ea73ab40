"""A job's pictures while it is made: over WebSocket and as server-sent events. Both end with the job's end.

A WebSocket is always accepted and a refusal is its first message, because a browser shows a page neither status
nor body of a handshake that failed. The close code is then 4000 + the HTTP status.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any, cast

from fastapi import APIRouter, Query, Request, Response, WebSocket, WebSocketDisconnect
from sse_starlette import EventSourceResponse, JSONServerSentEvent
from sse_starlette.sse import SendTimeoutError
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from edgecore_contracts.errors import (
    EdgecoreError,
    FieldProblem,
    Forbidden,
    Internal,
    InvalidInput,
    Unauthenticated,
    Unavailable,
)
from edgecore_gateway.domain import principal
from edgecore_gateway.entrypoints.caller import Caller, authenticate, count
from edgecore_gateway.entrypoints.following import find
from edgecore_gateway.entrypoints.parts import Parts, parts_of
from edgecore_gateway.entrypoints.schemas import REFUSALS
from edgecore_gateway.entrypoints.viewing import Ended, Shown, view
from edgecore_runtime import logs
from edgecore_runtime.database import is_transient

SUBPROTOCOL, TOKEN_PREFIX = "edgecore.v1", "bearer."
"""A browser cannot set headers on a WebSocket: it offers both as subprotocols, and the first is chosen."""
PING_SECONDS = 15
"""Between comments on an idle event stream; on an idle WebSocket uvicorn pings every 20 s."""
NUMBER_MOST = 2**63 - 1
DONE, COME_BACK, BROKEN = 1000, 1012, 1011
REFUSED = 4000
"""Close codes: after `end`; without it, so try again with `after`; an error of ours; + HTTP status."""
REASON_BYTES = 123

STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Events `frame` (its id is the frame's number) and, last, `end`; their data is JSON",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    **REFUSALS,
}

router = APIRouter(prefix="/api/v1", tags=["jobs"])
log = logs.get(__name__)


@router.get(
    "/preview/{job_id}/stream",
    summary="A job's pictures while it is made",
    responses=STREAM,
    response_class=Response,
)
async def preview_stream(
    request: Request,
    caller: Caller,
    job_id: str,
    after: Annotated[int, Query(ge=0, le=NUMBER_MOST, description="the last frame number already seen")] = 0,
) -> Response:
    """Server-sent events; `Last-Event-ID` counts like `after`. Open a stream that stops without `end` again."""
    parts = parts_of(request)
    await find(parts, job_id, caller)
    parts.preview.check_room(caller)
    seen = request.headers.get("last-event-id", "")
    if seen.isascii() and seen.isdigit() and len(seen) < 20:
        after = max(after, int(seen))
    return _EventStream(
        _events(parts, job_id, caller, after),
        ping=PING_SECONDS,
        sep="\n",
        send_timeout=parts.settings.preview_send_timeout,
    )


async def _events(parts: Parts, job_id: str, caller: str, after: int) -> AsyncGenerator[JSONServerSentEvent, None]:
    async with aclosing(view(parts, job_id, caller, after)) as shown:
        async for one in shown:
            number = str(one.frame.number) if isinstance(one, Shown) else None
            message = one.message()
            yield JSONServerSentEvent(message, event=message["type"], id=number)


class _EventStream(EventSourceResponse):
    """A viewer that takes nothing for too long is cut off, without a traceback in the log."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError as error:
            raise ClientDisconnect from error


@router.websocket("/preview/{job_id}")
async def preview_socket(websocket: WebSocket, job_id: str) -> None:
    """Text messages of JSON: `frame`, then `end` and close code 1000; or `error`."""
    parts = cast(Parts, websocket.app.state.parts)
    await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in websocket.scope["subprotocols"] else None)
    serving = asyncio.create_task(_serve(parts, websocket, job_id))
    gone = asyncio.create_task(_gone(websocket))
    try:
        await asyncio.wait({serving, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (serving, gone):
            task.cancel()
        await asyncio.gather(serving, gone, return_exceptions=True)


async def _gone(websocket: WebSocket) -> None:
    """Once the client has left; whatever it says before is of no interest."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


async def _serve(parts: Parts, websocket: WebSocket, job_id: str) -> None:
    patience = parts.settings.preview_send_timeout
    try:
        caller = await _caller(parts, websocket)
        after = _after(websocket.query_params.get("after", "0"))
        await find(parts, job_id, caller)
        code = COME_BACK
        async with aclosing(view(parts, job_id, caller, after)) as shown:
            async for one in shown:
                await _send(websocket, one.message(), patience)
                code = DONE if isinstance(one, Ended) else COME_BACK
        await websocket.close(code)
    except (WebSocketDisconnect, TimeoutError):
        return  # it left, or takes nothing: the connection is closed with what it still holds
    except Exception as error:
        refusal = _refusal(error)
        await _send(websocket, {"type": "error", **_described(refusal)}, patience)
        code = BROKEN if isinstance(refusal, Internal) else REFUSED + refusal.http_status
        await websocket.close(code, refusal.detail.encode()[:REASON_BYTES].decode(errors="ignore"))


async def _send(websocket: WebSocket, message: dict[str, Any], seconds: float) -> None:
    """Raises TimeoutError when the client does not take it."""
    async with asyncio.timeout(seconds):
        await websocket.send_text(json.dumps(message))


async def _caller(parts: Parts, websocket: WebSocket) -> str:
    """The user's id by header or subprotocol. Raises Unauthenticated, Forbidden, TooMany."""
    scheme, _, credentials = websocket.headers.get("authorization", "").partition(" ")
    if not credentials:
        offered = websocket.scope["subprotocols"]
        tokens = [one.removeprefix(TOKEN_PREFIX) for one in offered if one.startswith(TOKEN_PREFIX)]
        scheme, credentials = "bearer", tokens[0] if tokens else ""
    if not credentials or scheme.lower() != "bearer":
        raise Unauthenticated(
            f"send Authorization: Bearer <your API key or access token>, or the subprotocols"
            f" {SUBPROTOCOL} and {TOKEN_PREFIX}<it>"
        )
    who = await authenticate(parts, credentials.strip())
    count(parts, websocket, who)
    if not who.scopes & {principal.Scope.READ, principal.Scope.ADMIN}:
        raise Forbidden(f"this API key lacks the scope {principal.Scope.READ}")
    return who.user_id


def _after(text: str) -> int:
    """Raises InvalidInput."""
    if not (text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= NUMBER_MOST):
        raise InvalidInput([FieldProblem("after", "must be a frame's number, or 0", 0)])
    return int(text)


def _refusal(error: Exception) -> EdgecoreError:
    if isinstance(error, EdgecoreError):
        return error
    if is_transient(error):
        return Unavailable("the database is away; try again")
    log.error("preview failed", exc_info=error)
    return Internal("an error of ours; the log has it")


def _described(error: EdgecoreError) -> dict[str, Any]:
    return {"status": error.http_status, "code": error.code, "detail": error.detail}
