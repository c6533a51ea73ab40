"""What happens to every request, whatever route it takes: counted, timed, answered even when a route fails."""

import time

from opentelemetry import trace
from prometheus_client import Counter, Histogram
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edgecore_gateway.domain.window import Reading
from edgecore_gateway.entrypoints import problems

requests = Counter("edgecore_http_requests_total", "Requests answered", ["method", "route", "status"])
seconds = Histogram(
    "edgecore_http_request_seconds",
    "From the request to the end of its answer, waiting asked for included",
    ["method", "route"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
SECURITY_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
RATE = "rate"
"""Where the request's state holds the Reading of the limit that it was counted against."""
CLIENT_GONE = 499
"""What the metrics call an answer that nobody was there to take."""


class Edge:
    """ASGI middleware, inside the one that opens the trace."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [
                    *message["headers"],
                    *SECURITY_HEADERS,
                    *_rate_headers(scope),
                    *_trace_header(),
                ]
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        except ClientDisconnect:
            status = status or CLIENT_GONE
        except Exception as error:
            if status:
                raise  # the answer has begun: cutting the connection is the only way to say that it is not whole
            await problems.unexpected(error)(scope, receive, send_on)
        finally:
            method = scope["method"] if scope["method"] in METHODS else "OTHER"
            route = getattr(scope.get("route"), "path", "unknown")
            requests.labels(method, route, str(status)).inc()
            seconds.labels(method, route).observe(time.perf_counter() - started)


def _rate_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    """What the caller's limit says, once it was asked."""
    reading: Reading | None = scope.get("state", {}).get(RATE)
    if reading is None:
        return []
    return [(name.lower().encode(), value.encode()) for name, value in reading.headers().items()]


def _trace_header() -> list[tuple[bytes, bytes]]:
    context = trace.get_current_span().get_span_context()
    return [(b"x-trace-id", format(context.trace_id, "032x").encode())] if context.is_valid else []
