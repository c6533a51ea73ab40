"""What answers in place of the preview service, over a real connection."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from edgecore.preview.v1 import preview_pb2 as pb
from edgecore.preview.v1 import preview_pb2_grpc
from edgecore_runtime.grpc_server import GrpcServer


def made(job_id: str, count: int, size: int = 2000) -> pb.Frame:
    frame = pb.Frame(
        job_id=job_id,
        attempt=1,
        number=2**20 + count,
        step=count,
        steps=1000,
        frame=3,
        frames=17,
        width=64,
        height=48,
        media_type="image/jpeg",
        data=f"{count}".encode().ljust(size, b"."),
    )
    frame.made_at.FromJsonString("2026-11-21T08:00:00.250Z")
    return frame


class Previews(preview_pb2_grpc.PreviewServiceServicer):
    """Keeps every frame of every job, and gives them in order."""

    def __init__(self, port: int) -> None:
        self.frames: dict[str, list[pb.Frame]] = {}
        self.calls: list[tuple[str, int]] = []
        self._port = port
        self._changed = asyncio.Condition()
        self._server: GrpcServer | None = None

    async def put(self, *frames: pb.Frame) -> None:
        async with self._changed:
            for frame in frames:
                self.frames.setdefault(frame.job_id, []).append(frame)
            self._changed.notify_all()

    async def Subscribe(
        self, request: pb.SubscribeRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.SubscribeResponse]:
        self.calls.append((request.job_id, request.after))
        sent = 0
        while True:
            unsent = self.frames.get(request.job_id, [])[sent:]
            for frame in unsent:
                if frame.number > request.after:
                    yield pb.SubscribeResponse(frame=frame)  # meanwhile more may come: they are the next round's
            sent += len(unsent)
            async with self._changed:
                while len(self.frames.get(request.job_id, [])) == sent:
                    await self._changed.wait()

    async def Snapshot(
        self, request: pb.SnapshotRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.SnapshotResponse:
        known = self.frames.get(request.job_id, [])
        return pb.SnapshotResponse(frame=known[-1] if known else None)

    async def start(self) -> None:
        self._server = GrpcServer(
            "127.0.0.1",
            self._port,
            [],
            lambda server: preview_pb2_grpc.add_PreviewServiceServicer_to_server(self, server),
        )
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server._server.stop(0)  # type: ignore[union-attr]  # as SIGKILL would
            self._server = None
