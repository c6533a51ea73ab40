"""Pauses between tries: each longer than the last, with jitter, so that replicas do not march in step."""

import asyncio
import random


class Backoff:
    """`first` and `longest` are seconds; a pause lasts between half of its length and all of it."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self.seconds = first

    async def pause(self) -> None:
        """Wait, and wait longer next time."""
        seconds = self.seconds
        self.seconds = min(self.seconds * 2, self._longest)
        await asyncio.sleep(seconds * random.uniform(0.5, 1.0))

    def reset(self) -> None:
        """It went well: start over."""
        self.seconds = self._first
