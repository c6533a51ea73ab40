"""Sign-ins in PostgreSQL: a session is the family of refresh tokens that follow one another from one sign-in.

A refresh token that comes a second time was stolen, from its owner or by him who first used it: either way the
whole family ends, and its owner signs in again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore_gateway.adapters.known_principals import KnownPrincipals
from edgecore_gateway.adapters.tables import refresh_tokens, sessions, users
from edgecore_gateway.domain.access_tokens import Claims
from edgecore_gateway.domain.principal import ALL_SCOPES, Principal, Role
from edgecore_gateway.domain.refresh_tokens import new_refresh_token, refresh_hash
from edgecore_runtime.clock import Clock
from edgecore_runtime.database import Database
from edgecore_runtime.ids import new_id

_ALIVE = (
    select(sessions.c.user_id, users.c.role)
    .join(users, users.c.id == sessions.c.user_id)
    .where(
        sessions.c.id == bindparam("id"),
        sessions.c.user_id == bindparam("user_id"),
        sessions.c.revoked_at.is_(None),
        users.c.disabled_at.is_(None),
    )
)


class Sessions:
    """Sessions that go on. One that was ended may still pass for `cache_seconds` in each replica."""

    def __init__(self, database: Database, clock: Clock, cache_seconds: float) -> None:
        self._database = database
        self._known: KnownPrincipals[Claims] = KnownPrincipals(clock, cache_seconds)

    async def principal(self, claims: Claims) -> Principal | None:
        """None when the session is over or its user disabled."""
        principal = self._known.get(claims)
        if principal is None:
            async with self._database.reading() as session:
                found = await session.execute(_ALIVE, {"id": claims.session_id, "user_id": claims.user_id})
                row = found.one_or_none()
            if row is not None:
                role = Role(row.role)
                principal = Principal(claims.user_id, role, ALL_SCOPES, claims.session_id, by_key=False)
                self._known.keep(claims, principal)
        return principal

    def forget(self) -> None:
        """Look again at every session: one was ended, or its user changed."""
        self._known.forget()


@dataclass(frozen=True)
class Refreshed:
    """What a refresh token led to. `token` is None when it was refused; `reused`: the session was ended for it."""

    claims: Claims | None
    token: str | None = None
    reused: bool = False


async def open_session(session: AsyncSession, user_id: str, now: datetime, lasts: timedelta) -> tuple[Claims, str]:
    """A new session, and its first refresh token."""
    session_id = new_id("ses")
    await session.execute(
        insert(sessions).values(id=session_id, user_id=user_id, created_at=now, expires_at=now + lasts)
    )
    return Claims(user_id, session_id), await _next_token(session, session_id, now)


async def refresh(session: AsyncSession, token: str, now: datetime) -> Refreshed:
    """Use a refresh token. Commit whatever this answers: a refusal may have ended the session."""
    digest = refresh_hash(token)
    if digest is None:
        return Refreshed(None)
    # The locks make a second user of the same token wait, and then see that it was used.
    query = (
        select(refresh_tokens.c.used_at, sessions, users.c.disabled_at)
        .join(sessions, sessions.c.id == refresh_tokens.c.session_id)
        .join(users, users.c.id == sessions.c.user_id)
        .where(refresh_tokens.c.hash == digest)
        .with_for_update(of=[refresh_tokens, sessions])
    )
    row = (await session.execute(query)).one_or_none()
    if row is None:
        return Refreshed(None)
    claims = Claims(row.user_id, row.id)
    if row.revoked_at is not None or row.expires_at <= now or row.disabled_at is not None:
        return Refreshed(claims)
    if row.used_at is not None:
        await _revoke(session, now, sessions.c.id == row.id)
        return Refreshed(claims, reused=True)
    await session.execute(update(refresh_tokens).where(refresh_tokens.c.hash == digest).values(used_at=now))
    return Refreshed(claims, await _next_token(session, row.id, now))


async def close_session(session: AsyncSession, user_id: str, token: str, now: datetime) -> str | None:
    """End the user's session that the refresh token, used or not, belongs to; its id, None when there is none."""
    digest = refresh_hash(token)
    mine = select(refresh_tokens.c.session_id).where(refresh_tokens.c.hash == digest)
    ended = await _revoke(session, now, sessions.c.id.in_(mine), sessions.c.user_id == user_id)
    return ended[0] if ended else None


async def close_all(session: AsyncSession, user_id: str, now: datetime) -> None:
    """End every session of the user."""
    await _revoke(session, now, sessions.c.user_id == user_id)


async def prune(session: AsyncSession) -> None:
    """Drop the sessions that have expired, and with them their tokens."""
    await session.execute(delete(sessions).where(sessions.c.expires_at < func.clock_timestamp()))


async def _revoke(session: AsyncSession, now: datetime, *which: object) -> list[str]:
    statement = update(sessions).where(*which, sessions.c.revoked_at.is_(None))  # type: ignore[arg-type]
    rows = (await session.execute(statement.values(revoked_at=now).returning(sessions.c.id))).all()
    return [row.id for row in rows]


async def _next_token(session: AsyncSession, session_id: str, now: datetime) -> str:
    token = new_refresh_token()
    await session.execute(
        insert(refresh_tokens).values(hash=refresh_hash(token), session_id=session_id, created_at=now)
    )
    return token
