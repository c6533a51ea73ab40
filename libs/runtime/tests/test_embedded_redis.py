"""The embedded Redis: streams, blocking reads and groups."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from edgecore_runtime.embedded.parts import EmbeddedParts

DEADLINE_MS = 10_000


@pytest.fixture
async def redis(embedded: EmbeddedParts) -> AsyncIterator[Redis]:
    async with Redis.from_url(embedded.redis_url) as client:
        yield client


async def test_a_blocked_reader_sees_what_is_added_to_a_stream(redis: Redis) -> None:
    reading = asyncio.create_task(redis.xread({"embedded:frames": "0"}, block=DEADLINE_MS))
    added = await redis.xadd("embedded:frames", {"frame": b"1"}, maxlen=10)
    [[name, [(entry, fields)]]] = _pairs(await reading)
    assert (name, entry, fields) == (b"embedded:frames", added, {b"frame": b"1"})


async def test_a_group_hands_each_entry_out_once(redis: Redis) -> None:
    await redis.xgroup_create("embedded:work", "viewers", id="0", mkstream=True)
    for number in range(4):
        await redis.xadd("embedded:work", {"n": number})
    seen = []
    for consumer in ("a", "b"):
        answer = await redis.xreadgroup("viewers", consumer, {"embedded:work": ">"}, count=2)
        [[_, entries]] = _pairs(answer)
        seen += [fields[b"n"] for _, fields in entries]
    assert seen == [b"0", b"1", b"2", b"3"]


def _pairs(answer: object) -> list[list[object]]:
    """Stream answers are lists in the older protocol and a mapping in the newer."""
    if isinstance(answer, dict):
        return [
            [name, entries[0] if isinstance(entries[0], list) else entries] for name, entries in answer.items()
        ]
    return [list(pair) for pair in answer]  # type: ignore[attr-defined]
