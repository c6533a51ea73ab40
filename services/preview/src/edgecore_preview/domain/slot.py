"""The place of one frame between the writer's pace and a viewer's: the latest wins."""

import asyncio

from edgecore.preview.v1.preview_pb2 import Frame


class Closed(Exception):
    """No further frame will come."""


class Slot:
    """One viewer's. It holds a reference to one frame, however slow the viewer is."""

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self._skipped = 0
        self._closed = False
        self._changed = asyncio.Event()

    def put(self, frame: Frame) -> None:
        """Never waits: a frame that was not taken is left out."""
        if self._frame is not None:
            self._skipped += 1
        self._frame = frame
        self._changed.set()

    def clear(self) -> None:
        """What was put until now is delivered another way."""
        self._frame, self._skipped = None, 0

    def close(self) -> None:
        self._closed = True
        self._changed.set()

    async def take(self) -> tuple[Frame, int]:
        """The latest frame, once there is one, and how many before it were left out. Raises Closed."""
        while self._frame is None:
            if self._closed:
                raise Closed
            self._changed.clear()
            await self._changed.wait()
        taken = self._frame, self._skipped
        self._frame, self._skipped = None, 0
        return taken
