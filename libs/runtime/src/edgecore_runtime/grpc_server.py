"""gRPC serving as a component: health, reflection, traces, and typed errors as status codes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import aio as grpc_health
from grpc_reflection.v1alpha import reflection
from opentelemetry.instrumentation.grpc import aio_server_interceptor

from edgecore_contracts.errors import EdgecoreError
from edgecore_contracts.statuses import STATUS
from edgecore_runtime import logs
from edgecore_runtime.http import AddressInUse

GRACE_SECONDS = 3.0
KEEPALIVE = [
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.so_reuseport", 0),
]

log = logs.get(__name__)


class TypedErrors(grpc.aio.ServerInterceptor):
    """Turns EdgecoreError into its status code; anything else is INTERNAL and logged, without details outside."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None or not (handler.unary_unary or handler.stream_stream):
            return handler
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(
                _unary(handler.unary_unary), handler.request_deserializer, handler.response_serializer
            )
        return grpc.stream_stream_rpc_method_handler(
            _stream(handler.stream_stream), handler.request_deserializer, handler.response_serializer
        )


def _unary(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await method(request, context)
        except Exception as error:
            await _abort(context, error)

    return call


def _stream(method: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
    async def call(requests: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        try:
            async for response in method(requests, context):
                yield response
        except Exception as error:
            await _abort(context, error)

    return call


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: Exception) -> None:
    if isinstance(error, EdgecoreError):
        await context.abort(STATUS[type(error)], error.detail)
    if isinstance(error, grpc.aio.AbortError):
        raise error
    log.error("call failed", exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, "internal error; the server's log has it")


class GrpcServer:
    """Serves what `register` adds; `port` is known after start, also when 0 was asked for."""

    def __init__(
        self, host: str, port: int, services: list[str], register: Callable[[grpc.aio.Server], None]
    ) -> None:
        self.host = host
        self.port = port
        self._services = services
        self._register = register
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Bind and serve; raise AddressInUse when the port is taken."""
        self._server = grpc.aio.server(interceptors=[aio_server_interceptor(), TypedErrors()], options=KEEPALIVE)
        self._register(self._server)
        health_pb2_grpc.add_HealthServicer_to_server(grpc_health.HealthServicer(), self._server)
        reflection.enable_server_reflection([*self._services, reflection.SERVICE_NAME], self._server)
        try:
            self.port = self._server.add_insecure_port(f"{self.host}:{self.port}")
        except RuntimeError as error:
            raise AddressInUse(f"{self.host}:{self.port} is not free") from error
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(GRACE_SECONDS)

    async def wait_failed(self) -> None:
        assert self._server is not None
        await asyncio.shield(asyncio.ensure_future(self._server.wait_for_termination()))
