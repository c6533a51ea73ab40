"""The embedded PostgreSQL: what was committed is there after kill -9, and again after a restart."""

import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from edgecore_runtime.embedded.part import PartFailed
from edgecore_runtime.embedded.parts import EmbeddedParts
from edgecore_runtime.embedded.ports import free_ports
from edgecore_runtime.embedded.postgres import Postgres
from edgecore_runtime.embedded.process import Child

DEADLINE_S = 30.0

Start = Callable[[Postgres], Coroutine[Any, Any, Child]]


@pytest.fixture
async def start(tmp_path: Path) -> AsyncIterator[Start]:
    children: list[Child] = []

    async def start(postgres: Postgres) -> Child:
        await postgres.prepare()
        children.append(Child(postgres, tmp_path / "postgres.log"))
        await children[-1].ready(DEADLINE_S)
        return children[-1]

    yield start
    for child in children:
        await child.stop(5)


async def query(postgres: Postgres, sql: str) -> Any:
    return await fetch(postgres.url, sql)


async def fetch(url: str, sql: str) -> Any:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_commits_survive_sigkill_and_a_restart(tmp_path: Path, start: Start) -> None:
    postgres = Postgres(tmp_path / "postgres", free_ports(1)[0])
    server = await start(postgres)
    await query(postgres, "CREATE TABLE jobs (id int)")
    await query(postgres, "INSERT INTO jobs SELECT generate_series(1, 1000)")

    os.kill(server.pid, signal.SIGKILL)
    assert await server.exited() == -signal.SIGKILL
    assert (postgres.data / "postmaster.pid").exists()

    server = await start(postgres)
    assert await query(postgres, "SELECT count(*) FROM jobs") == 1000
    await server.stop(5)
    assert server.exit_code == 0

    elsewhere = Postgres(tmp_path / "postgres", free_ports(1)[0])
    await start(elsewhere)
    assert await query(elsewhere, "SELECT count(*) FROM jobs") == 1000


async def test_a_lock_file_that_names_a_living_stranger_is_stale(tmp_path: Path, start: Start) -> None:
    postgres = Postgres(tmp_path / "postgres", free_ports(1)[0])
    server = await start(postgres)
    os.kill(server.pid, signal.SIGKILL)
    await server.exited()
    lock = postgres.data / "postmaster.pid"
    lock.write_text("\n".join([str(os.getpid()), *lock.read_text().splitlines()[1:], ""]))

    await start(postgres)
    assert await query(postgres, "SELECT 1") == 1


async def test_settings_are_durable(embedded: EmbeddedParts) -> None:
    assert await fetch(embedded.database_url("postgres"), "SHOW fsync") == "on"
    assert await fetch(embedded.database_url("postgres"), "SHOW synchronous_commit") == "on"
    assert await fetch(embedded.database_url("postgres"), "SHOW server_version_num") >= "180000"


async def test_strangers_need_the_password(embedded: EmbeddedParts) -> None:
    url = embedded.database_url("postgres")
    password = embedded.directory / "postgres" / "password"
    assert password.stat().st_mode & 0o077 == 0
    with pytest.raises(asyncpg.InvalidPasswordError):
        await fetch(url.replace(password.read_text(), "guess"), "SELECT 1")


async def test_databases_are_made_once_and_by_plain_names(embedded: EmbeddedParts) -> None:
    url = embedded.database_url("made_once")
    assert embedded.database_url("made_once") == url
    assert await fetch(url, "SELECT count(*) FROM pg_database WHERE datname = 'made_once'") == 1
    with pytest.raises(ValueError, match="database name"):
        embedded.database_url('x"; DROP DATABASE postgres')


async def test_a_second_server_on_the_same_data_is_refused(
    tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgecore_runtime.embedded.postgres.PREDECESSOR_DEADLINE_S", 0.1)
    await start(Postgres(tmp_path / "postgres", free_ports(1)[0]))
    with pytest.raises(PartFailed, match="already runs"):
        await start(Postgres(tmp_path / "postgres", free_ports(1)[0]))


async def test_a_taken_port_is_told_with_the_end_of_the_log(tmp_path: Path, start: Start) -> None:
    first = Postgres(tmp_path / "first", free_ports(1)[0])
    await start(first)
    with pytest.raises(PartFailed, match="Address already in use") as failure:
        await start(Postgres(tmp_path / "second", first.port))
    assert failure.value.exit_code == 1
    assert failure.value.reason == "exited with code 1"


async def test_an_interrupted_making_of_the_cluster_is_made_again(tmp_path: Path, start: Start) -> None:
    postgres = Postgres(tmp_path / "postgres", free_ports(1)[0])
    half_done = postgres.directory / "data.new"
    half_done.mkdir(parents=True)
    (half_done / "PG_VERSION").write_text("18")
    await start(postgres)
    assert await query(postgres, "SELECT 1") == 1
