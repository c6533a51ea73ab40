"""A preview service that takes frames, or does not: the other side of the node's preview stream."""

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

import av
import grpc
import numpy as np
from numpy.typing import NDArray

from edgecore.preview.v1.preview_pb2 import Frame, PublishRequest, PublishResponse
from edgecore.preview.v1.preview_pb2_grpc import PreviewServiceServicer, add_PreviewServiceServicer_to_server
from edgecore_runtime.embedded.ports import free_ports


class FakePreview(PreviewServiceServicer):
    """Remembers the frames in the order in which they came."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.streams = 0
        self.reads = True
        """False: streams are taken, and never read."""
        (self.port,) = free_ports(1)
        self._server: grpc.aio.Server | None = None

    async def start(self) -> None:
        """Listen, again and again on the same port."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        add_PreviewServiceServicer_to_server(self, self._server)
        self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)
            self._server = None

    async def Publish(self, requests: AsyncIterator[PublishRequest], context: Any) -> PublishResponse:
        self.streams += 1
        if not self.reads:
            await asyncio.Event().wait()  # until the call is cancelled
        async for request in requests:
            self.frames.append(request.frame)
        return PublishResponse(accepted=len(self.frames))

    def of(self, job_id: str) -> list[Frame]:
        return [frame for frame in self.frames if frame.job_id == job_id]


def picture_of(frame: Frame) -> NDArray[np.uint8]:
    """(height, width, 3), decoded."""
    with av.open(io.BytesIO(frame.data), format="jpeg_pipe") as container:
        [picture] = [one.to_ndarray(format="rgb24") for one in container.decode(video=0)]
    assert picture.shape == (frame.height, frame.width, 3)
    return np.asarray(picture, np.uint8)
