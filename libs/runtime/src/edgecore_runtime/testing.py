"""A pytest plugin: the embedded parts once per test run, fresh databases, and waiting on conditions.

Loaded by the root conftest. A test that asks for `embedded` is of the local tier; the others are pure.
"""

import asyncio
import inspect
import itertools
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, MetaData

from edgecore_contracts.cloudevents import Event, decode
from edgecore_runtime.database import Database
from edgecore_runtime.embedded.parts import EmbeddedParts, embedded_parts
from edgecore_runtime.kafka_clients import opened, reader

POLL_SECONDS = 0.02
SESSION_SECONDS = 6.0 if os.environ.get("EDGECORE_TEST_REAL") else 2.0
"""Of a consumer group: the embedded broker holds joins for half of it; a real one accepts no less than 6 s."""

Value = TypeVar("Value")

_numbers = itertools.count(1)


def own_parts(owner: str) -> Any:
    """A fixture: PostgreSQL, broker and Redis for the whole run, for the tests of `owner` alone."""

    @pytest.fixture(scope="session")
    def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedParts]:
        with embedded_parts(tmp_path_factory.mktemp(owner)) as parts:
            yield parts

    return started


embedded = own_parts("embedded")
"""For all who have none of their own: what they leave in the log others see."""


@pytest.fixture
def database_url(embedded: EmbeddedParts) -> str:
    """The asyncpg URL of an empty database of this test alone."""
    return embedded.database_url(f"test_{os.getpid()}_{next(_numbers)}")


def is_gone(process: psutil.Process) -> bool:
    """A zombie counts as gone: whether it is reaped is up to the machine's first process."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def schema_drift(database: Database, tables: MetaData) -> list[Any]:
    """How the migrated database differs from the tables that the code names; alembic's own table aside."""

    def differences(connection: Connection) -> list[Any]:
        options = {
            "include_schemas": True,
            "include_name": lambda name, kind, _: kind != "schema" or name == database.schema,
            "include_object": lambda _, name, kind, *__: (kind, name) != ("table", "alembic_version"),
            "compare_type": True,
        }
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), tables))

    async with database.engine.connect() as connection:
        return await connection.run_sync(differences)


async def published(bootstrap: str, topic: str) -> list[Event]:
    """Every event that the broker has on the topic now, read to the ends: silence may be a slow broker's."""
    found: list[Event] = []
    consumer = reader(bootstrap)
    consumer.subscribe([topic])
    async with asyncio.timeout(60), opened(consumer):
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(one) < end for one, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                found += [decode(one.key, one.value, one.headers) for one in records]
    return found


async def eventually(condition: Callable[[], Value | Awaitable[Value]], seconds: float = 30.0) -> Value:
    """Wait until `condition()` is true and return what it returned; fail with its last value after `seconds`.

    The default is long: on a busy machine a member of a consumer group may be back only after ten seconds.
    """
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if asyncio.get_running_loop().time() > deadline:
            pytest.fail(f"not true within {seconds} s: {_name(condition)} returned {value!r}")
        await asyncio.sleep(POLL_SECONDS)


def _name(condition: Callable[..., object]) -> str:
    code = getattr(condition, "__code__", None)
    return f"{Path(code.co_filename).name}:{code.co_firstlineno}" if code else repr(condition)
