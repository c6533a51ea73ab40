"""Passwords as argon2id hashes (RFC 9106's second recommended option, which the library has as its default).

One takes some 64 MiB and tens of milliseconds, so they are made and compared in threads, few at a time, and who
would wait for long is told to come again.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from edgecore_contracts.errors import Unavailable

AT_ONCE = 2
WAIT_SECONDS = 5.0

Result = TypeVar("Result")


class PasswordHashes:
    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._nobody: str | None = None

    async def of(self, password: str) -> str:
        """The hash to store. Raises Unavailable when too many wait."""
        return await self._run(lambda: self._hasher.hash(password))

    async def fits(self, password: str, stored: str | None) -> bool:
        """Whether the password is the one whose hash is stored; takes as long when none is. Raises Unavailable."""
        return await self._run(lambda: self._compare(password, stored))

    def _compare(self, password: str, stored: str | None) -> bool:
        if self._nobody is None:
            self._nobody = self._hasher.hash("nobody's password")
        try:
            return self._hasher.verify(stored or self._nobody, password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], Result]) -> Result:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._turns.acquire()
        except TimeoutError as error:
            raise Unavailable("too many passwords are being checked; try again") from error
        try:
            return await asyncio.to_thread(work)
        finally:
            self._turns.release()
