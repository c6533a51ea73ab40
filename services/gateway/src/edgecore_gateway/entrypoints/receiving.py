"""How many large files are on their way through this process."""

from collections.abc import Iterator
from contextlib import contextmanager

from edgecore_contracts.errors import Unavailable

FILES_MOST = 8
"""Each takes as much of the temporary folder as a file may have."""


class Receiving:
    """One file a user, FILES_MOST together: a slow sender keeps nobody but himself waiting."""

    def __init__(self) -> None:
        self._senders: set[str] = set()

    @contextmanager
    def place(self, user_id: str) -> Iterator[None]:
        """While the file of this user arrives. Raises Unavailable."""
        if user_id in self._senders:
            raise Unavailable("another file of yours is still arriving; try again")
        if len(self._senders) >= FILES_MOST:
            raise Unavailable("too many files arrive at once; try again")
        self._senders.add(user_id)
        try:
            yield
        finally:
            self._senders.remove(user_id)
