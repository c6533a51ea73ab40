"""One viewer of one job: the frames that the preview service has, and the end that the gateway knows of."""

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from edgecore.preview.v1.preview_pb2 import Frame
from edgecore_contracts.states import JobState
from edgecore_gateway.adapters.preview_client import PreviewClient
from edgecore_gateway.domain.job import moment
from edgecore_gateway.entrypoints.following import RELOAD_SECONDS, find
from edgecore_gateway.entrypoints.parts import Parts
from edgecore_runtime.database import is_transient

LOOK_SECONDS = 1.0
"""How soon a viewer without frames notices that the service stops or his time is over."""


@dataclass(frozen=True)
class Shown:
    """A frame, and how many before it were left out because this viewer was slower."""

    frame: Frame
    skipped: int

    def message(self) -> dict[str, Any]:
        frame = self.frame
        return {
            "type": "frame",
            "number": frame.number,
            "attempt": frame.attempt,
            "step": frame.step,
            "steps": frame.steps,
            "frame": frame.frame,
            "frames": frame.frames,
            "width": frame.width,
            "height": frame.height,
            "media_type": frame.media_type,
            "made_at": moment(frame.made_at.ToDatetime(UTC)),
            "skipped": self.skipped,
            "data": base64.b64encode(frame.data).decode("ascii"),
        }


@dataclass(frozen=True)
class Ended:
    """The job is over; nothing follows."""

    state: JobState

    def message(self) -> dict[str, Any]:
        return {"type": "end", "state": self.state}


class _Latest:
    """The newest frame that was not shown yet: while a viewer is busy, the latest wins."""

    def __init__(self) -> None:
        self._shown: Shown | None = None
        self._changed = asyncio.Event()

    def put(self, frame: Frame, skipped: int) -> None:
        before = self._shown.skipped + 1 if self._shown else 0
        self._shown = Shown(frame, skipped + before)
        self._changed.set()

    def wake(self) -> None:
        self._changed.set()

    async def take(self, seconds: float) -> Shown | None:
        """None when it was woken or the time is over without a frame."""
        if self._shown is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(seconds, 0)):
                    await self._changed.wait()
        self._changed.clear()
        shown, self._shown = self._shown, None
        return shown


async def view(parts: Parts, job_id: str, user_id: str, after: int) -> AsyncGenerator[Shown | Ended, None]:
    """Frames above number `after` as they come, then Ended.

    Stops without Ended when the viewer's time is over or the service stops: the viewer comes back with the last
    number. Raises ResourceExhausted at once; NotFound when there is no such job of this user.
    """
    with parts.preview.seat(user_id):
        latest = _Latest()
        pump = asyncio.create_task(_pump(parts.preview, job_id, after, latest))
        end = asyncio.create_task(_terminal_state(parts, job_id, user_id))
        end.add_done_callback(lambda _: latest.wake())
        try:
            async for shown in _until_end(parts, latest, end):
                after = shown.frame.number
                yield shown
            if end.done():
                newest = await parts.preview.newest(job_id)
                if newest is not None and newest.number > after:
                    yield Shown(newest, 0)
                yield Ended(end.result())
        finally:
            pump.cancel()
            end.cancel()
            await asyncio.gather(pump, end, return_exceptions=True)


async def _until_end(parts: Parts, latest: _Latest, end: asyncio.Task[JobState]) -> AsyncGenerator[Shown, None]:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + parts.settings.preview_lifetime
    while (left := deadline - loop.time()) > 0 and not parts.health.stopping:
        shown = await latest.take(min(left, LOOK_SECONDS))
        if shown is not None:
            yield shown
        elif end.done():
            return


async def _pump(preview: PreviewClient, job_id: str, after: int, latest: _Latest) -> None:
    """Takes frames as fast as they come, so that none wait in the connection behind a slow viewer."""
    async with aclosing(preview.follow(job_id, after)) as frames:
        async for response in frames:
            latest.put(response.frame, response.skipped)


async def _terminal_state(parts: Parts, job_id: str, user_id: str) -> JobState:
    """Once the job is over. A database that is away for a while is waited for."""
    with parts.watch.subscription(job_id) as woken:
        changed = woken or asyncio.Event()  # too many wait: this one looks by itself
        while True:
            try:
                job = await find(parts, job_id, user_id)
                if job.state.terminal:
                    return job.state
            except Exception as error:
                if not is_transient(error):
                    raise
            with suppress(TimeoutError):
                async with asyncio.timeout(RELOAD_SECONDS):
                    await changed.wait()
            changed.clear()
