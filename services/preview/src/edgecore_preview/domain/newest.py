"""The newest frame number seen of each job, so that what an older attempt still sends is left out."""

from collections import OrderedDict


class Newest:
    """Remembers the `most` jobs that sent last; Redis refuses what this has forgotten."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._numbers: OrderedDict[str, int] = OrderedDict()

    def rises(self, job_id: str, number: int) -> bool:
        """Note the number; False when it is not above all that came before."""
        if number <= self._numbers.get(job_id, 0):
            return False
        self._numbers[job_id] = number
        self._numbers.move_to_end(job_id)
        if len(self._numbers) > self._most:
            self._numbers.popitem(last=False)
        return True
