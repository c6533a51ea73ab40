"""The rules of a frame, the newest number, and the slot: pure."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from edgecore_preview.domain.frames import flaw
from edgecore_preview.domain.newest import Newest
from edgecore_preview.domain.slot import Closed, Slot

MOST = 256 * 1024


def test_a_good_frame(kit: SimpleNamespace, job_id: str) -> None:
    assert flaw(kit.made(job_id, 1), MOST) is None
    assert flaw(kit.made(job_id, 0, width=480, height=854), MOST) is None
    assert flaw(kit.made(job_id, 2**20 - 1, attempt=2**31), MOST) is None
    assert flaw(kit.made(job_id, 1, size=MOST - 5), MOST) is None


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"job_id": ""}, "job_id"),
        ({"job_id": "a b"}, "job_id"),
        ({"job_id": "job\n"}, "job_id"),
        ({"job_id": "x" * 65}, "job_id"),
        ({"attempt": 0}, "attempt"),
        ({"attempt": 2**32 - 1}, "attempt"),
        ({"number": 5}, "number"),
        ({"number": 2 * 2**20}, "number"),
        ({"step": 21}, "step"),
        ({"frame": 17}, "frame"),
        ({"frames": 0, "frame": 0}, "frame"),
        ({"width": 0}, "width"),
        ({"height": 0}, "width"),
        ({"width": 855}, "width"),
        ({"width": 854, "height": 854}, "width"),
        ({"media_type": "image/png"}, "media_type"),
        ({"media_type": ""}, "media_type"),
        ({"data": b""}, "data"),
        ({"data": b"\x89PNG"}, "data"),
        ({"data": b"\xff\xd8\xff cut"}, "data"),
        ({"data": b"\xff\xd8\xff" + bytes(MOST) + b"\xff\xd9"}, "data"),
    ],
)
def test_a_frame_that_breaks_a_rule(
    kit: SimpleNamespace, job_id: str, changes: dict[str, Any], field: str
) -> None:
    told = flaw(kit.made(job_id, 1, **changes), MOST)
    assert told is not None
    assert told.startswith(field)
    assert len(told) < 200


def test_a_frame_without_a_usable_time(kit: SimpleNamespace, job_id: str) -> None:
    frame = kit.made(job_id, 1)
    frame.made_at.seconds = 2**62
    assert str(flaw(frame, MOST)).startswith("made_at")
    frame.ClearField("made_at")
    assert str(flaw(frame, MOST)).startswith("made_at")


def test_the_newest_of_many_jobs() -> None:
    newest = Newest(most=2)
    assert newest.rises("a", 5)
    assert not newest.rises("a", 5)
    assert not newest.rises("a", 4)
    assert newest.rises("a", 6)
    assert newest.rises("b", 1)
    assert newest.rises("c", 1)
    assert newest.rises("a", 5)  # forgotten, as the longest silent


async def test_a_slot_gives_the_latest_and_says_what_it_left_out(kit: SimpleNamespace, job_id: str) -> None:
    slot = Slot()
    for count in (1, 2, 3):
        slot.put(kit.made(job_id, count))
    frame, skipped = await slot.take()
    assert (frame.number % 2**20, skipped) == (3, 2)
    waiting = asyncio.create_task(slot.take())
    await asyncio.sleep(0)
    slot.put(kit.made(job_id, 4))
    frame, skipped = await waiting
    assert (frame.number % 2**20, skipped) == (4, 0)
    slot.put(kit.made(job_id, 5))
    slot.clear()
    slot.put(kit.made(job_id, 6))
    slot.close()
    frame, skipped = await slot.take()
    assert (frame.number % 2**20, skipped) == (6, 0)
    with pytest.raises(Closed):
        await slot.take()
