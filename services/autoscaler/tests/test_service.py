"""The running service without a cluster: events in, decisions and their reasons out."""

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from edgecore_autoscaler.adapters.tables import demand, tables
from edgecore_autoscaler.bootstrap import build
from edgecore_autoscaler.settings import Settings
from edgecore_contracts.errors import InvalidInput
from edgecore_runtime import settings as runtime_settings
from edgecore_runtime.testing import eventually, schema_drift


def now() -> datetime:
    return datetime.now(UTC)


async def test_a_queue_says_three_and_why(house: Any) -> None:
    await house.snapshot(now(), queued=14, queued_seconds=35.0)

    async def three() -> bool:
        return (await house.pool()).get("desired") == 3

    await eventually(three, 30)
    pool = await house.pool()
    assert pool["reason"] == "3: queue of 14 jobs (35 s of work) over 2 nodes; floor 1"
    assert (pool["mode"], pool["floor"], pool["ceiling"], pool["ready"]) == ("observe", 1, 6, 2)
    assert pool["forecast"] is None
    metrics = (await house.get("/metrics")).text
    assert 'edgecore_pool_desired{pool="local"} 3.0' in metrics
    assert 'edgecore_pool_ready{pool="local"} 2.0' in metrics


async def test_an_older_snapshot_changes_nothing(house: Any) -> None:
    at = now()
    await house.snapshot(at, pool="order", queued=4, queued_seconds=8.0)
    await house.snapshot(at - timedelta(seconds=5), pool="order", queued=9, queued_seconds=90.0)
    # With the same key, so that it comes behind them.
    await house.snapshot(at, pool="behind", key="order", queued=1, queued_seconds=1.0)
    await eventually(lambda: house.snapshot_of("behind"), 30)
    kept = await house.snapshot_of("order")
    assert (kept.queued, kept.seconds_per_job) == (4, 2.0)


async def test_an_empty_queue_keeps_what_a_job_takes(house: Any) -> None:
    at = now()
    await house.snapshot(at, pool="empty", queued=2, queued_seconds=6.0)
    await house.snapshot(at + timedelta(milliseconds=1), pool="empty", running=1)

    async def empty() -> Any:
        row = await house.snapshot_of("empty")
        return row is not None and row.queued == 0 and row

    assert (await eventually(empty, 30)).seconds_per_job == 3.0


async def test_arrivals_are_counted_once_a_minute_and_event(house: Any) -> None:
    before = sum(row[2] for row in await house.demand())
    at = now().replace(second=30)
    await house.arrive(at, count=3, model="counted")
    for _ in range(2):
        await house.arrive(at, model="counted", event_id="evt_same_again")
    await house.other_messages(at)

    async def counted() -> bool:
        return sum(row[2] for row in await house.demand()) >= before + 4

    await eventually(counted, 30)
    await house.arrive(at, model="last")

    async def last() -> bool:
        return any(row[0] == "last" for row in await house.demand())

    await eventually(last, 30)
    (row,) = [row for row in await house.demand() if row[0] == "counted"]
    minute = min(at, now()).replace(second=0, microsecond=0)
    assert row == ("counted", minute, 4, 20.0), "four jobs of the assumed 5 GPU-seconds"


async def test_what_is_no_event_stops_nothing(house: Any) -> None:
    await house.garbage("edgecore.pool-events.v1")
    await house.snapshot(now(), pool="")
    await house.snapshot(now(), pool="after-garbage", queued=1, queued_seconds=1.0)
    await eventually(lambda: house.snapshot_of("after-garbage"), 30)
    assert (await house.get("/health/live")).status_code == 200


async def test_yesterday_raises_the_floor(start: Any, parts: Any, tmp_path: Path) -> None:
    """Two days of four busy GPUs at this time of day, and nothing now."""
    url = parts.database_url("autoscaler_forecast")
    minute = now().replace(second=0, microsecond=0) - timedelta(days=2, hours=1)
    rows = [
        {"model": "aiprod-nano", "minute": minute + timedelta(minutes=i), "jobs": 48, "gpu_seconds": 240.0}
        for i in range(2 * 24 * 60)
    ]
    async with (
        start(parts, tmp_path, database_url=url, kafka_bootstrap="127.0.0.1:1") as house,
        house.database.transaction() as session,
    ):
        await session.execute(insert(demand), rows)
    async with start(parts, tmp_path, database_url=url, kafka_bootstrap="127.0.0.1:1") as house:

        async def raised() -> bool:
            return (await house.pool()).get("floor") == 5

        await eventually(raised, 30)
        pool = await house.pool()
        assert pool["forecast"]["season"] == "day"
        assert pool["desired"] == 5
        assert "floor 5 from yesterday's" in pool["reason"]


async def test_a_restart_goes_on_from_what_was_kept(start: Any, parts: Any, tmp_path: Path) -> None:
    url = parts.database_url("autoscaler_restart")
    async with start(parts, tmp_path, database_url=url) as house:
        await house.snapshot(now(), pool="kept", queued=6, queued_seconds=12.0)
        await eventually(lambda: house.snapshot_of("kept"), 30)
    async with start(parts, tmp_path, database_url=url, kafka_bootstrap="127.0.0.1:1") as house:
        assert (await house.snapshot_of("kept")).queued == 6
        await eventually(house.pools, 10)


async def test_the_migrations_make_the_tables(house: Any) -> None:
    assert await schema_drift(house.database, tables) == []


async def test_the_database_may_be_away(parts: Any, tmp_path: Path) -> None:
    """It starts, says not ready, and stays alive."""
    settings = Settings(
        database_url="postgresql+asyncpg://nobody@127.0.0.1:1/none",
        kafka_bootstrap="127.0.0.1:1",
        http_port=0,
        reconcile_interval=0.1,
    )
    service = build(settings)
    failures = await service.health.failures(service.health.ready)
    assert "PostgreSQL does not answer" in failures["database"]
    assert await service.health.failures(service.health.live) == {}
    for component in service.components[:1]:
        await component.stop()


def test_a_bad_pools_file_ends_the_start(tmp_path: Path) -> None:
    file = tmp_path / "pools.yaml"
    file.write_text("- name: local\n  model: m\n  minReplicas: 3\n  maxReplicas: 2\n")
    url = "postgresql+asyncpg://nobody@127.0.0.1:1/none"
    settings = Settings(database_url=url, kafka_bootstrap="127.0.0.1:1", pools_file=str(file))
    with pytest.raises(InvalidInput, match="minReplicas must not be above maxReplicas"):
        build(settings)


def test_a_cluster_needs_a_template(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("EDGECORE_DATABASE_URL", "postgresql+asyncpg://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("EDGECORE_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("EDGECORE_KUBERNETES", "true")
    with pytest.raises(SystemExit):
        runtime_settings.load(Settings)
    assert "EDGECORE_POD_TEMPLATE" in capsys.readouterr().err


def test_a_laptop_loads_no_cluster_library() -> None:
    code = (
        "import sys, edgecore_autoscaler.bootstrap;"
        "print([name for name in ('kopf', 'kubernetes_asyncio', 'aiohttp') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_process_runs_and_stops(parts: Any, tmp_path: Path) -> None:
    """`serve` with migrations, then SIGTERM: exit 0."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "EDGECORE_DATABASE_URL": parts.database_url("autoscaler_process"),
        "EDGECORE_KAFKA_BOOTSTRAP": parts.kafka_bootstrap,
        "EDGECORE_MIGRATE_ON_START": "true",
        "EDGECORE_HTTP_PORT": "0",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "edgecore_autoscaler", "serve"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if '"started"' in line:
                break
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.stderr.close()
