"""PostgreSQL: one transaction per unit of work, committed at the edge and nowhere else.

Domain and adapters get the session and never commit; whoever received the request or the event opens the
transaction and so decides that all of it happens, outbox rows included, or none.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import MetaData, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from edgecore_runtime import crash

CONNECT_SECONDS = 5
STATEMENT_SECONDS = 15
POOL_WAIT_SECONDS = 10
RESERVED = 2
"""Connections of the pool that are the relay's own: one holds its lock, one publishes."""


TRANSIENT = ("08", "40", "53", "57P")
"""SQLSTATE classes (PostgreSQL's appendix A): connection, rollback by deadlock, resources, shutdown or start."""


def is_transient(error: BaseException) -> bool:
    """True when the database (or the way to it) failed, not the statement: the same work may succeed later."""
    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None) or ""
        return error.connection_invalidated or state.startswith(TRANSIENT) or isinstance(error, InterfaceError)
    return isinstance(error, PoolTimeout | ConnectionError | TimeoutError | OSError)


class Database:
    """One service's schema."""

    def __init__(self, url: str, schema: str, pool_size: int) -> None:
        self.schema = schema
        self.engine = create_async_engine(
            url,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=POOL_WAIT_SECONDS,
            connect_args={
                "timeout": CONNECT_SECONDS,
                "command_timeout": STATEMENT_SECONDS,
                "server_settings": {"application_name": f"edgecore-{schema}"},
            },
        )
        event.listen(self.engine.sync_engine, "checkout", _refuse_closed)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        self._after_commit: list[Callable[[], None]] = []
        # The pool lets newcomers overtake those who wait for a connection; the semaphore keeps the order.
        self._turns = asyncio.Semaphore(pool_size - RESERVED)

    def after_commit(self, hook: Callable[[], None]) -> None:
        """Call `hook` after every committed transaction, for example to wake the outbox relay."""
        self._after_commit.append(hook)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Commit when the block ends, roll back when it raises."""
        async with self._turn(), self._sessions() as session:
            async with session.begin():
                yield session
                await session.flush()
                crash.point("commit.before")
            crash.point("commit.after")
        for hook in self._after_commit:
            hook()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncSession]:
        """A session for queries alone; nothing is committed and no hook is called."""
        async with self._turn(), self._sessions() as session:
            yield session

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """First come, first served. Raises TimeoutError after POOL_WAIT_SECONDS."""
        async with asyncio.timeout(POOL_WAIT_SECONDS):
            await self._turns.acquire()
        try:
            yield
        finally:
            self._turns.release()

    async def check(self) -> str | None:
        """A health check: None, or what is wrong."""
        try:
            async with self.engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
        except Exception as error:
            return f"PostgreSQL does not answer: {type(error).__name__}"
        return None

    async def start(self) -> None:
        """Connections are opened on demand: a database that is away stops no service from starting."""

    async def stop(self) -> None:
        await self.engine.dispose()

    async def wait_failed(self) -> None:
        """The pool mends itself; it never fails for good."""

        await asyncio.Event().wait()


def _refuse_closed(connection: Any, *_: object) -> None:
    """Have the pool replace a connection that the server closed meanwhile.

    asyncpg knows when its socket is closed; a ping would tell the same for a round trip more per transaction.
    """
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def metadata(schema: str) -> MetaData:
    """Table metadata with constraint names that migrations can rely on."""
    return MetaData(
        schema=schema,
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        },
    )
