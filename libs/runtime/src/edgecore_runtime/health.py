"""Health of a process: live (worth keeping), ready (worth sending work to), and why not.

Checks are cheap functions that return None when well, or a sentence that says what is wrong.
"""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

Check = Callable[[], Awaitable[str | None]]


class Health:
    """Named checks. A failing `live` check asks for a restart; a failing `ready` one only for patience."""

    def __init__(self) -> None:
        self.live: dict[str, Check] = {}
        self.ready: dict[str, Check] = {}
        self.stopping = False

    async def failures(self, checks: dict[str, Check]) -> dict[str, str]:
        found = {name: await check() for name, check in checks.items()}
        return {name: problem for name, problem in found.items() if problem}

    def router(self) -> APIRouter:
        """The routes that every service has: /health, /health/live, /health/ready, /metrics."""
        router = APIRouter(include_in_schema=False)

        @router.get("/health/live")
        async def live() -> Response:
            return _answer(await self.failures(self.live))

        @router.get("/health/ready")
        @router.get("/health")
        async def ready() -> Response:
            if self.stopping:
                return _answer({"service": "stopping"})
            return _answer(await self.failures(self.live | self.ready))

        @router.get("/metrics")
        async def metrics() -> Response:
            return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

        return router


def _answer(failures: dict[str, str]) -> Response:
    status = "unavailable" if failures else "ok"
    return JSONResponse({"status": status, "failures": failures}, status_code=503 if failures else 200)
