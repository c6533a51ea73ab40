"""Whose key is it: a look at the database, remembered for a short while."""

import hmac
from collections import OrderedDict

from sqlalchemy import bindparam, insert, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_gateway.adapters.tables import api_keys, users
from edgecore_gateway.domain.api_keys import ApiKey
from edgecore_runtime.clock import Clock
from edgecore_runtime.database import Database

CACHE_MOST = 10_000

_OWNER = select(api_keys.c.hash, api_keys.c.user_id).where(
    api_keys.c.hash == bindparam("hash"), api_keys.c.revoked_at.is_(None)
)


class Keys:
    """Valid keys. A revoked key may still pass for `cache_seconds` in each replica; unknown ones are not kept."""

    def __init__(self, database: Database, clock: Clock, cache_seconds: float) -> None:
        self._database = database
        self._clock = clock
        self._cache_seconds = cache_seconds
        self._cache: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    async def owner(self, key: ApiKey) -> str | None:
        """The user's id; None when the key is unknown or revoked."""
        digest, now = key.hash, self._clock.monotonic()
        user_id, until = self._cache.get(digest, ("", 0.0))
        if now < until:
            return user_id
        async with self._database.reading() as session:
            found = await find_owner(session, key)
        if found is not None and self._cache_seconds > 0:
            self._cache[digest] = (found, now + self._cache_seconds)
            if len(self._cache) > CACHE_MOST:
                self._cache.popitem(last=False)
        return found


async def find_owner(session: AsyncSession, key: ApiKey) -> str | None:
    """The user's id by the stored hash, compared in constant time."""
    row = (await session.execute(_OWNER, {"hash": key.hash})).one_or_none()
    if row is None or not hmac.compare_digest(bytes(row.hash), key.hash):
        return None
    return str(row.user_id)


async def add_key(session: AsyncSession, user_id: str, name: str, key: ApiKey) -> None:
    """Store the key's hash for the user, who is made when missing."""
    await session.execute(upsert(users).values(id=user_id, name=name).on_conflict_do_nothing())
    await session.execute(insert(api_keys).values(hash=key.hash, user_id=user_id, shown=key.shown))
