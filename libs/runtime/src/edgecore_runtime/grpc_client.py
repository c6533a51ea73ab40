"""gRPC channels with the settings that every client here shares."""

import asyncio

import grpc
from opentelemetry.instrumentation.grpc import aio_client_interceptors

OPTIONS = [
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


def channel(address: str) -> grpc.aio.Channel:
    """A channel that reconnects by itself; close it when done."""
    return grpc.aio.insecure_channel(address, options=OPTIONS, interceptors=aio_client_interceptors())


class Peer:
    """The component that clients of another service are: one channel to it, None without an address."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._channel: grpc.aio.Channel | None = None

    async def start(self) -> None:
        if self._address:
            self._channel = channel(self._address)

    async def stop(self) -> None:
        if self._channel is not None:
            await self._channel.close()

    async def wait_failed(self) -> None:
        """The channel mends itself."""
        await asyncio.Event().wait()
