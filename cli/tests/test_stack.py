"""`edgecore up` with real embedded parts: what becomes of its children, however it ends."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

import asyncpg
import httpx
import psutil
import pytest

from edgecore_cli.layout import SERVICES
from edgecore_cli.record import Record
from edgecore_runtime.embedded.parts import EmbeddedParts
from edgecore_runtime.testing import eventually, is_gone

PARTS = ["postgres", "broker", "redis", *SERVICES]

RunUp = Callable[..., Any]


def addresses(record: Record) -> list[str]:
    return [record.url, record.kafka_bootstrap, record.database_url, record.redis_url]


async def query(record: Record, sql: str) -> object:
    connection = await asyncpg.connect(record.database_url.replace("+asyncpg", ""))
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_all_parts_answer_and_the_record_says_where(run_up: RunUp) -> None:
    up = run_up()
    record = await up.ready()
    assert set(record.children) == set(PARTS)
    assert all(child.ready and psutil.pid_exists(child.pid) for child in record.children.values())
    assert record.pid == up.process.pid
    assert await query(record, "SELECT current_database()") == "edgecore"
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"{record.url}/health/ready")).status_code == 200
    assert (up.directory / "stack.json").stat().st_mode & 0o077 == 0
    await eventually(lambda: str(up.directory / "dev-api-key") in up.output)
    assert f"{record.url}/api/v1" in up.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_asked_for_end_leaves_nothing(run_up: RunUp, number: int) -> None:
    up = run_up()
    await up.ready()
    family = up.family()
    assert len(family) >= len(PARTS)
    up.process.send_signal(number)
    assert await up.ended() == 0
    assert all(is_gone(process) for process in family)
    assert not (up.directory / "stack.json").exists()
    assert up.errors == ""


async def test_the_end_is_bounded_for_a_child_that_does_not_listen(run_up: RunUp) -> None:
    up = run_up(scheduler="stubborn")
    await up.ready()
    family = up.family()
    up.process.send_signal(signal.SIGINT)
    await eventually(lambda: "once more to kill" in up.output)
    up.process.send_signal(signal.SIGINT)
    assert await up.ended() == 0
    assert all(is_gone(process) for process in family)


async def test_sigkill_leaves_no_orphan_and_no_commit_is_lost(run_up: RunUp) -> None:
    up = run_up(scheduler="stubborn")
    record = await up.ready()
    await query(record, "CREATE TABLE accepted AS SELECT generate_series(1, 500)")
    family = up.family()
    up.process.kill()
    await up.ended()

    # At once, while the old children still end: the new stack waits for them.
    again = run_up()
    record = await again.ready()
    assert all(is_gone(process) for process in family)
    assert await query(record, "SELECT count(*) FROM accepted") == 500


async def test_a_killed_child_is_back_at_once_in_its_place(run_up: RunUp) -> None:
    up = run_up()
    before = await up.ready()
    for name in PARTS:
        os.kill(before.children[name].pid, signal.SIGKILL)
        after = await up.restarted(name, before.children[name].pid)
        assert after.children[name].restarts >= 1
        others = [other for other in PARTS if other != name]
        assert [after.children[o].pid for o in others] == [before.children[o].pid for o in others]
        assert addresses(after) == addresses(before)
        assert f"{name} was ended by SIGKILL; restarting at once" in up.output
        before = after


async def test_a_second_up_is_refused_with_pid_and_url(run_up: RunUp) -> None:
    record = await run_up().ready()
    second = run_up()
    assert await second.ended() == 1
    assert f"already runs in {second.directory} (pid {record.pid}, {record.url})" in second.errors
    assert second.errors.count("\n") == 1
    assert Record.read(second.directory) == record


async def test_a_taken_port_is_named_with_who_wanted_it(run_up: RunUp) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        up = run_up(port=str(port))
        assert await up.ended() == 1
    assert f"port {port} is in use" in up.errors
    assert "gateway" in up.errors
    assert "--port" in up.errors


async def test_a_child_that_cannot_start_stops_the_stack_with_its_last_lines(run_up: RunUp) -> None:
    up = run_up(scheduler="refuse")
    assert await up.ended() == 1
    assert "scheduler exited with code 1; given up after 5 tries" in up.errors
    assert "scheduler does not want to" in up.errors
    assert "Traceback" not in up.errors
    assert not (up.directory / "stack.json").exists()


async def test_a_missing_checkpoint_is_told_at_once(run_up: RunUp) -> None:
    up = run_up(inference="no-checkpoint")
    assert await up.ended() == 1
    assert "inference cannot start: no checkpoint: run make train" in up.errors
    assert up.errors.count("\n") == 1


async def test_state_stays_for_the_next_up(run_up: RunUp) -> None:
    up = run_up()
    await query(await up.ready(), "CREATE TABLE jobs AS SELECT 'kept'::text AS state")
    up.process.send_signal(signal.SIGTERM)
    assert await up.ended() == 0
    assert await query(await run_up().ready(), "SELECT state FROM jobs") == "kept"


async def test_parts_that_run_elsewhere_are_used_and_not_started(run_up: RunUp, embedded: EmbeddedParts) -> None:
    database_url = await asyncio.to_thread(embedded.database_url, "elsewhere")
    elsewhere = ["--database-url", database_url, "--kafka", embedded.kafka_bootstrap]
    up = run_up(options=[*elsewhere, "--redis-url", embedded.redis_url])
    record = await up.ready()
    assert set(record.children) == set(SERVICES)
    assert (record.database_url, record.kafka_bootstrap, record.redis_url) == (
        database_url,
        embedded.kafka_bootstrap,
        embedded.redis_url,
    )


async def test_a_service_can_be_left_out_but_not_the_gateway(run_up: RunUp) -> None:
    up = run_up(options=["--without", "inference", "--without", "autoscaler"])
    record = await up.ready()
    assert set(PARTS) - set(record.children) == {"inference", "autoscaler"}
    assert "EDGECORE_COST_ADDRESS" in record.environment["gateway"]
    refused = run_up(options=["--without", "gateway", "--directory", str(up.directory / "other")])
    assert await refused.ended() == 1
    assert "cannot leave out 'gateway'; what can be left out: scheduler, inference" in refused.errors


@pytest.mark.parametrize(
    ("name", "words"), [("luma", "no provider is called 'luma'"), ("runway", "set RUNWAYML_API_SECRET to its key")]
)
async def test_a_provider_that_cannot_be_used_is_refused_at_once(run_up: RunUp, name: str, words: str) -> None:
    up = run_up(options=["--provider", name])
    assert await up.ended() == 1
    assert words in up.errors
