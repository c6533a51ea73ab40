"""Frames in Redis: one stream a job, its entries numbered as the frames are.

Redis itself refuses an entry whose number is not above the last one: a node whose lease is over cannot push a
frame behind a newer attempt's, whichever replica it talks to. A stream is capped in length and expires, so what
a job leaves behind goes away by itself.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from google.protobuf.message import DecodeError
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from edgecore.preview.v1.preview_pb2 import Frame
from edgecore_contracts.errors import Unavailable

CALL_SECONDS = 1.0
READ_SECONDS = 2.0
"""The longest that Redis holds a read for a new frame."""
READ_FRAMES = 16
"""In one answer: at most 4 MiB."""
SPARE_CONNECTIONS = 64
"""For what is not a watched job's reader: writing, looking back, snapshots, health."""

_FIELD = b"frame"
_NOT_NEWER = "equal or smaller"


class FrameStore:
    """Raises Unavailable from every method while Redis is away; redis-py reconnects by itself."""

    def __init__(self, url: str, kept_frames: int, kept_seconds: int, readers: int) -> None:
        self._kept_frames = kept_frames
        self._kept_seconds = kept_seconds
        self._redis = Redis.from_url(
            url,
            protocol=2,
            socket_connect_timeout=CALL_SECONDS,
            socket_timeout=READ_SECONDS + CALL_SECONDS,
            retry=Retry(NoBackoff(), 0),  # who calls decides whether trying again is worth it
            max_connections=readers + SPARE_CONNECTIONS,
        )

    async def start(self) -> None:
        """Connects when it is first asked: Redis may be away."""

    async def stop(self) -> None:
        await self._redis.aclose()

    async def wait_failed(self) -> None:
        await asyncio.Event().wait()

    async def check(self) -> str | None:
        """What is wrong, for health; None when Redis answers."""
        try:
            async with _answered(CALL_SECONDS):
                await self._redis.ping()
        except Unavailable as error:
            return error.detail
        return None

    async def add(self, frames: Sequence[Frame], seconds: float) -> list[bool]:
        """Keep the frames; False for each that is not newer than its job's newest. `seconds` bounds it."""
        async with _answered(seconds), self._redis.pipeline(transaction=False) as pipeline:
            for frame in frames:
                key = _key(frame.job_id)
                fields: dict[Any, Any] = {_FIELD: frame.SerializeToString()}
                # Exactly, not roughly: with frames of this size every node of the stream holds one entry.
                pipeline.xadd(key, fields, id=f"{frame.number}-0", maxlen=self._kept_frames, approximate=False)
                pipeline.expire(key, self._kept_seconds)
            answers = await pipeline.execute(raise_on_error=False)
            return [_is_kept(answer) for answer in answers[::2]]

    async def after(self, job_id: str, number: int) -> list[Frame]:
        """The oldest kept frames above `number`, at most READ_FRAMES; none: there is nothing newer."""
        async with _answered(CALL_SECONDS):
            return _frames(await self._redis.xrange(_key(job_id), min=f"({number}-0", count=READ_FRAMES))

    async def newest(self, job_id: str) -> Frame | None:
        async with _answered(CALL_SECONDS):
            found = _frames(await self._redis.xrevrange(_key(job_id), count=1))
            return found[0] if found else None

    async def wait_after(self, job_id: str, number: int) -> list[Frame]:
        """As `after`, but waits up to READ_SECONDS for a frame."""
        async with _answered(READ_SECONDS + CALL_SECONDS):
            streams: dict[Any, Any] = {_key(job_id): f"{number}-0"}
            answer: Any = await self._redis.xread(streams, count=READ_FRAMES, block=round(READ_SECONDS * 1000))
            return _frames(answer[0][1]) if answer else []


@asynccontextmanager
async def _answered(seconds: float) -> AsyncIterator[None]:
    """Raises Unavailable in place of every way in which Redis can fail to answer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except (RedisError, OSError, TimeoutError) as error:
        raise Unavailable(f"Redis is away: {str(error) or type(error).__name__}") from error


def _key(job_id: str) -> str:
    return f"edgecore:preview:{job_id}"


def _is_kept(answer: object) -> bool:
    if isinstance(answer, ResponseError) and _NOT_NEWER in str(answer):
        return False
    if isinstance(answer, Exception):
        raise answer
    return True


def _frames(entries: Any) -> list[Frame]:
    """The frames of entries (id, fields), as redis-py has them in RESP2; what is no frame is left out."""
    found = []
    for _, fields in entries:
        try:
            found.append(Frame.FromString(fields[_FIELD]))
        except (DecodeError, KeyError):
            continue
    return found
