"""The keys that sign access tokens: in the database, so that every replica signs and checks with the same ones.

The newest signs. A key older than the rotation is followed by a new one when next a token is signed, and is kept
for checking until every token signed with it has expired. A replica that meets a `kid` it does not know looks
again, at most once in LOOK_SECONDS.
"""

from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from sqlalchemy import delete, func, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_gateway.adapters.tables import signing_keys
from edgecore_gateway.domain.access_tokens import Claims, SigningKey, issue, key_id, verify
from edgecore_runtime.clock import Clock
from edgecore_runtime.database import Database
from edgecore_runtime.ids import new_id

LOOK_SECONDS = 1.0
STALE_SECONDS = 60.0
"""How old a replica's view of the keys may be: how long it may go on with a key that was removed by hand."""
LOCK = 0x65646765
"""Held while a key is made, so that two replicas do not both make one."""


class SigningKeys:
    def __init__(self, database: Database, clock: Clock, rotation: timedelta, token_seconds: int) -> None:
        self._database = database
        self._clock = clock
        self._rotation = rotation
        self._token_seconds = token_seconds
        self._keys: dict[str, SigningKey] = {}
        self._looked_at = float("-inf")

    async def sign(self, claims: Claims) -> str:
        """An access token, signed by a key that is younger than the rotation."""
        now = self._clock.now()
        if self._age() > STALE_SECONDS or not self._may_sign(now):
            await self._look()
        if not self._may_sign(now):
            await self._rotate(now)
        newest = max(self._keys.values(), key=lambda key: key.created_at)
        return issue(claims, newest, now, self._token_seconds)

    async def check(self, text: str) -> Claims:
        """Raises BadToken."""
        kid = key_id(text)
        age = self._age()
        if age > STALE_SECONDS or (kid not in self._keys and age > LOOK_SECONDS):
            await self._look()
        return verify(text, self._keys, self._clock.now())

    def _age(self) -> float:
        return self._clock.monotonic() - self._looked_at

    def _may_sign(self, now: datetime) -> bool:
        return any(self._young(key, now) for key in self._keys.values())

    def _young(self, key: SigningKey, now: datetime) -> bool:
        return now - key.created_at < self._rotation

    async def _look(self) -> None:
        async with self._database.reading() as session:
            self._keys = await _all(session)
        self._looked_at = self._clock.monotonic()

    async def _rotate(self, now: datetime) -> None:
        """Make a key unless another replica just did; drop those whose last token has expired."""
        async with self._database.transaction() as session:
            await session.execute(select(func.pg_advisory_xact_lock(LOCK)))
            keys = await _all(session)
            if not any(self._young(key, now) for key in keys.values()):
                made = SigningKey(new_id("sig"), Ed25519PrivateKey.generate(), now)
                raw = made.private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
                await session.execute(insert(signing_keys).values(id=made.id, private_key=raw, created_at=now))
                retired = now - self._rotation - 2 * timedelta(seconds=self._token_seconds)
                await session.execute(delete(signing_keys).where(signing_keys.c.created_at < retired))
                keys = await _all(session)
        self._keys = keys


async def _all(session: AsyncSession) -> dict[str, SigningKey]:
    rows = (await session.execute(select(signing_keys))).all()
    return {
        row.id: SigningKey(row.id, Ed25519PrivateKey.from_private_bytes(bytes(row.private_key)), row.created_at)
        for row in rows
    }
