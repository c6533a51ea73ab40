"""Fixed windows of time in which uses are counted. Two neighbouring windows together may admit twice the limit
within one window's length: the price of one counter a window."""

import math
import zlib
from dataclasses import dataclass

from edgecore_contracts.errors import ResourceExhausted


@dataclass(frozen=True)
class Limit:
    """At most `most` uses (0: no limit) in `seconds` seconds; `name` stands in the answers' headers."""

    name: str
    most: int
    seconds: int


@dataclass(frozen=True)
class Reading:
    """What a limit says after a use was asked for."""

    limit: Limit
    admitted: bool
    remaining: int
    reset_seconds: int
    """Until the window ends, at least 1."""

    def headers(self) -> dict[str, str]:
        """RateLimit fields by draft-ietf-httpapi-ratelimit-headers-10."""
        name = f'"{self.limit.name}"'
        return {
            "RateLimit-Policy": f"{name};q={self.limit.most};w={self.limit.seconds}",
            "RateLimit": f"{name};r={self.remaining};t={self.reset_seconds}",
        }


def window_at(subject: str, seconds: int, now: float) -> tuple[int, int]:
    """The number of the subject's window at `now` (UNIX time), and the whole seconds until it ends.

    Each subject's windows begin at a moment of its own, so that not everybody's end at once.
    """
    shifted = now + zlib.crc32(subject.encode()) % seconds
    number = math.floor(shifted / seconds)
    return number, max(1, math.ceil((number + 1) * seconds - shifted))


class TooMany(ResourceExhausted):
    """The limit admits no more uses in this window."""

    def __init__(self, reading: Reading, detail: str) -> None:
        super().__init__(f"{detail}; try again in {reading.reset_seconds} s")
        self.retry_after_seconds = reading.reset_seconds
