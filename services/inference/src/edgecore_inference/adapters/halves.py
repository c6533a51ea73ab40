"""The two halves of a conversation, which end together."""

import asyncio
from collections.abc import Coroutine

import grpc


async def together(*halves: Coroutine[object, object, None]) -> None:
    """Run all until one ends, end the others, and raise what the first raised. Being cancelled cancels all.

    Not a TaskGroup: when a member fails while the group is cancelled, Python 3.11's raises the failure, and the
    cancellation is lost.
    """
    tasks = [asyncio.create_task(half) for half in halves]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in sorted(tasks, key=lambda one: one not in ended):
        if not task.cancelled():
            task.result()


def words(error: Exception) -> str:
    """How a stream ended, for the log."""
    if isinstance(error, grpc.aio.AioRpcError):
        return f"{error.code().name}: {error.details()}"
    return str(error) or type(error).__name__
