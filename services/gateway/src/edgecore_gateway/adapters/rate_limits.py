"""Counting uses against limits, in this process, and across replicas through Redis.

A use is decided at once by what this replica knows: its own uses, and those that Redis had counted for all
replicas when it was last asked. Every SYNC_SECONDS one round trip adds the new uses of all subjects to Redis and
brings the totals back. So no request ever waits for Redis, and the others' uses are known SYNC_SECONDS later.

While Redis is away each replica goes on by itself with the same limits, its uses of before included; what it
could not tell is told when Redis is back. What is counted may be lost with Redis: it is at most a window's worth.
"""

import asyncio
import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from edgecore_gateway.domain.window import Limit, Reading, window_at
from edgecore_runtime import logs
from edgecore_runtime.clock import Clock

SYNC_SECONDS = 0.1
AWAY_SECONDS = 1.0
"""Between two tries while Redis is away."""
CALL_SECONDS = 1.0
COUNTERS_MOST = 100_000
"""Beyond it the oldest counter is forgotten."""
BATCH_MOST = 1_000

log = logs.get(__name__)


@dataclass
class _Counter:
    ends_at: float
    known: int = 0
    """Of all replicas, when Redis was last asked."""
    new: int = 0
    """Ours that Redis has not been told of."""


class RateLimits:
    """A component; without `url` the counts are this process's alone."""

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._counters: OrderedDict[str, _Counter] = OrderedDict()
        self._untold: set[str] = set()
        self._forget_at = 0.0
        self._task: asyncio.Task[None] | None = None
        self.shared = False
        """Whether the last round trip to Redis went well."""

    def take(self, limit: Limit, subject: str) -> Reading:
        """Count one use when the limit admits it."""
        name, counter, left = self._counter(limit, subject)
        used = counter.known + counter.new
        if used >= limit.most:
            return Reading(limit, False, 0, left)
        counter.new += 1
        self._untold.add(name)
        return Reading(limit, True, limit.most - used - 1, left)

    def give_back(self, limit: Limit, subject: str) -> None:
        """Undo one `take` of the current window."""
        name, counter, _ = self._counter(limit, subject)
        if counter.known + counter.new > 0:
            counter.new -= 1
            self._untold.add(name)

    def _counter(self, limit: Limit, subject: str) -> tuple[str, _Counter, int]:
        now = self._clock.now().timestamp()
        number, left = window_at(subject, limit.seconds, now)
        name = _name(limit, subject, number)
        counter = self._counters.get(name)
        if counter is None:
            counter = self._counters[name] = _Counter(now + left)
            if len(self._counters) > COUNTERS_MOST:
                self._counters.popitem(last=False)
        return name, counter, left

    async def start(self) -> None:
        """Redis may be away: nothing waits for it."""
        if self._url:
            self._task = asyncio.create_task(self._sync_forever(), name="rate-limits")
        else:
            self._task = asyncio.create_task(self._forget_forever(), name="rate-limits")

    async def stop(self) -> None:
        """Asked for again every CALL_SECONDS: on a busy machine a client's own deadline, ending in the same
        moment, can take the cancellation for its own.
        """
        while self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=CALL_SECONDS)

    async def wait_failed(self) -> None:
        assert self._task is not None
        await asyncio.shield(self._task)

    async def _forget_forever(self) -> None:
        while True:
            self._untold.clear()
            self._forget()
            await asyncio.sleep(AWAY_SECONDS)

    async def _sync_forever(self) -> None:
        redis = Redis.from_url(
            self._url,
            socket_timeout=CALL_SECONDS,
            socket_connect_timeout=CALL_SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            while True:
                pause = SYNC_SECONDS
                try:
                    async with asyncio.timeout(CALL_SECONDS):
                        await self._sync(redis)
                    self._say(shared=True)
                except (RedisError, OSError, TimeoutError) as error:
                    self._say(shared=False, error=error)
                    pause = AWAY_SECONDS
                self._forget()
                await asyncio.sleep(pause)
        finally:
            await redis.aclose()

    async def _sync(self, redis: Redis) -> None:
        """One round trip for all that is new. After a failure in mid-way uses may count twice."""
        told = [(name, self._counters[name]) for name in list(self._untold)[:BATCH_MOST] if name in self._counters]
        if not told:
            self._untold.clear()
            await redis.ping()
            return
        news = [counter.new for _, counter in told]
        now = self._clock.now().timestamp()
        async with redis.pipeline(transaction=False) as pipeline:
            for (name, counter), new in zip(told, news, strict=True):
                pipeline.incrby(name, new)
                pipeline.expire(name, max(1, round(counter.ends_at - now) + 1))
            answers = await pipeline.execute()
        for (name, counter), new, total in zip(told, news, answers[::2], strict=True):
            counter.known = int(total)
            counter.new -= new
            if counter.new == 0:
                self._untold.discard(name)

    def _forget(self) -> None:
        """Drop the counters of windows that are over, at most once in AWAY_SECONDS."""
        now = self._clock.now().timestamp()
        if now < self._forget_at:
            return
        self._forget_at = now + AWAY_SECONDS
        for name in [name for name, counter in self._counters.items() if counter.ends_at <= now]:
            del self._counters[name]
        self._untold.intersection_update(self._counters)

    def _say(self, *, shared: bool, error: BaseException | None = None) -> None:
        if shared and not self.shared:
            log.info("rate limits are counted in Redis")
        elif error is not None and self.shared:
            log.warning("Redis is away: each replica counts by itself", error=repr(error))
        self.shared = shared


def _name(limit: Limit, subject: str, number: int) -> str:
    """A key of bounded length that shows nobody's address."""
    digest = hashlib.sha256(subject.encode()).hexdigest()[:32]
    return f"edgecore:rate:{limit.name}:{digest}:{number}"
