"""Halves that end together."""

import asyncio

import pytest

from edgecore_inference.adapters.halves import together


async def forever() -> None:
    await asyncio.Event().wait()


async def fails() -> None:
    raise EOFError


async def fails_when_cancelled() -> None:
    try:
        await forever()
    except asyncio.CancelledError:
        raise EOFError from None


async def test_one_that_fails_ends_the_other() -> None:
    with pytest.raises(EOFError):
        await together(forever(), fails())


async def test_a_cancellation_is_not_lost_in_a_failure_that_it_causes() -> None:
    task = asyncio.create_task(together(forever(), fails_when_cancelled()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
