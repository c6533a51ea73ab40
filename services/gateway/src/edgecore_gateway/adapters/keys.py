"""API keys in PostgreSQL: whose a key is (remembered for a short while), and a user's list of them."""

import hmac
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_gateway.adapters.known_principals import KnownPrincipals
from edgecore_gateway.adapters.tables import api_keys, users
from edgecore_gateway.domain.api_keys import ApiKey
from edgecore_gateway.domain.principal import Principal, Role, Scope
from edgecore_runtime.clock import Clock
from edgecore_runtime.database import Database
from edgecore_runtime.ids import new_id

_OWNER = (
    select(api_keys.c.hash, api_keys.c.id, api_keys.c.user_id, api_keys.c.scopes, users.c.role)
    .join(users, users.c.id == api_keys.c.user_id)
    .where(api_keys.c.hash == bindparam("hash"), api_keys.c.revoked_at.is_(None), users.c.disabled_at.is_(None))
)
_LISTED = [column for column in api_keys.c if column is not api_keys.c.hash]


class Keys:
    """Valid keys. A revoked key may still pass for `cache_seconds` in each replica; unknown ones are not kept."""

    def __init__(self, database: Database, clock: Clock, cache_seconds: float) -> None:
        self._database = database
        self._known: KnownPrincipals[bytes] = KnownPrincipals(clock, cache_seconds)

    async def principal(self, key: ApiKey) -> Principal | None:
        """None when the key is unknown or revoked, or its user disabled."""
        digest = key.hash
        principal = self._known.get(digest)
        if principal is None:
            async with self._database.reading() as session:
                principal = await find_owner(session, key)
            if principal is not None:
                self._known.keep(digest, principal)
        return principal

    def forget(self) -> None:
        """Look again at every key: one was revoked, or its user changed."""
        self._known.forget()


async def find_owner(session: AsyncSession, key: ApiKey) -> Principal | None:
    """The principal by the stored hash, compared in constant time."""
    row = (await session.execute(_OWNER, {"hash": key.hash})).one_or_none()
    if row is None or not hmac.compare_digest(bytes(row.hash), key.hash):
        return None
    return Principal(row.user_id, Role(row.role), frozenset(map(Scope, row.scopes)), row.id, by_key=True)


async def key_exists(session: AsyncSession, key: ApiKey) -> bool:
    """Also when it was revoked, or its user disabled."""
    query = select(api_keys.c.id).where(api_keys.c.hash == key.hash)
    return (await session.execute(query)).one_or_none() is not None


async def add_key(session: AsyncSession, user_id: str, name: str, key: ApiKey, scopes: Iterable[Scope]) -> Any:
    """Store the key's hash for a user who exists; returns the row as listed."""
    values = {
        "hash": key.hash,
        "id": new_id("key"),
        "user_id": user_id,
        "name": name,
        "scopes": sorted(scopes),
        "shown": key.shown,
    }
    return (await session.execute(insert(api_keys).values(values).returning(*_LISTED))).one()


async def valid_keys(session: AsyncSession, user_id: str) -> list[Any]:
    """The rows of the user's valid keys, newest first."""
    query = select(*_LISTED).where(api_keys.c.user_id == user_id, api_keys.c.revoked_at.is_(None))
    return list((await session.execute(query.order_by(api_keys.c.id.desc()))).all())


async def revoke_key(session: AsyncSession, user_id: str, key_id: str, now: datetime) -> bool:
    """False when the user has no such valid key."""
    mine = (api_keys.c.id == key_id, api_keys.c.user_id == user_id, api_keys.c.revoked_at.is_(None))
    revoked = update(api_keys).where(*mine).values(revoked_at=now).returning(api_keys.c.id)
    return (await session.execute(revoked)).one_or_none() is not None
