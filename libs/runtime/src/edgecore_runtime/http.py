"""HTTP serving: uvicorn as a component, and typed errors as RFC 9457 problem+json."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from edgecore_contracts.errors import EdgecoreError, InvalidInput

GRACE_SECONDS = 5
WS_MAX_BYTES = 64 * 1024


class AddressInUse(OSError):
    """Another process listens where this one should."""


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals belong to the service


class HttpServer:
    """Serves an app; `port` is known after start, also when 0 was asked for."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self._app = app
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Bind and serve; raise AddressInUse when the port is taken."""
        # With the protocol named, asyncio turns Nagle off; otherwise answers on a kept connection wait 40 ms.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, self.port))
        except OSError as error:
            listener.close()
            raise AddressInUse(f"{self.host}:{self.port} is not free: {error.strerror}") from error
        self.port = listener.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
            lifespan="off",
            # What goes over WebSockets is pictures, which are compressed already; what comes is a few words.
            ws_per_message_deflate=False,
            ws_max_size=WS_MAX_BYTES,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="http")

    async def stop(self) -> None:
        if self._task is not None:
            self._server.should_exit = True
            await self._task

    async def wait_failed(self) -> None:
        assert self._task is not None
        await asyncio.shield(self._task)


def problem(error: EdgecoreError, headers: dict[str, str] | None = None) -> Response:
    """The error as problem+json with its stable code."""
    body: dict[str, object] = {
        "type": f"urn:edgecore:problem:{error.code}",
        "title": error.title,
        "status": error.http_status,
        "detail": error.detail,
        "code": error.code,
    }
    if isinstance(error, InvalidInput):
        body["errors"] = [one.as_dict() for one in error.problems]
    return JSONResponse(body, error.http_status, headers, media_type="application/problem+json")


def answer_typed_errors(app: FastAPI) -> None:
    """Let every route raise EdgecoreError."""

    @app.exception_handler(EdgecoreError)
    async def handle(_request: Request, error: EdgecoreError) -> Response:
        return problem(error)
