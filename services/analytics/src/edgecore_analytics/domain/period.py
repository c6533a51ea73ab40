"""The time a question is about, cut into hours or days of UTC."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from edgecore_contracts.errors import FieldProblem, InvalidInput

LONGEST = timedelta(days=366)
LONGEST_BY_HOUR = timedelta(days=31)


class Bucket(StrEnum):
    HOUR = "hour"
    DAY = "day"

    @property
    def step(self) -> timedelta:
        return timedelta(hours=1) if self is Bucket.HOUR else timedelta(days=1)


@dataclass(frozen=True)
class Period:
    """From `start` (included) to `end` (not included), both in UTC."""

    start: datetime
    end: datetime
    bucket: Bucket

    def check(self) -> None:
        """Raise InvalidInput for a period that is empty or too long."""
        if self.start >= self.end:
            raise InvalidInput([FieldProblem("from", "must be before `to`")])
        longest = LONGEST_BY_HOUR if self.bucket is Bucket.HOUR else LONGEST
        if self.end - self.start > longest:
            rule = f"must be at most {longest.days} days before `to` with buckets of one {self.bucket}"
            raise InvalidInput([FieldProblem("from", rule, (self.end - longest).isoformat())])

    def starts(self) -> Iterator[datetime]:
        """The start of every bucket that the period touches, oldest first, without gaps."""
        start = self.start.replace(minute=0, second=0, microsecond=0)
        if self.bucket is Bucket.DAY:
            start = start.replace(hour=0)
        while start < self.end:
            yield start
            start += self.bucket.step
