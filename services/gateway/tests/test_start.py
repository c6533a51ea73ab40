"""Starting and serving while others are away; the development key; the schema.

None of these gateways reaches the broker: they would share the consumer group with the one of the other tests.
"""

import stat
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from edgecore_gateway.adapters.tables import METADATA, SCHEMA, outbox, schema
from edgecore_gateway.bootstrap import NAME, build
from edgecore_gateway.domain.api_keys import new_key
from edgecore_gateway.settings import Settings
from edgecore_runtime.clock import SystemClock
from edgecore_runtime.database import Database
from edgecore_runtime.embedded.parts import EmbeddedParts
from edgecore_runtime.embedded.ports import free_ports
from edgecore_runtime.health import Health
from edgecore_runtime.outbox import Outbox
from edgecore_runtime.relay import Relay
from edgecore_runtime.service import Background, RunningService, Service
from edgecore_runtime.settings import table
from edgecore_runtime.testing import eventually, schema_drift

pytestmark = pytest.mark.asyncio(loop_scope="session")

PROMPT = {"prompt": "a red circle moving right"}


def alone(kit: SimpleNamespace, parts: EmbeddedParts, folder: Path, **others: Any) -> Settings:
    """Settings without a broker."""
    settings: Settings = kit.settings_for(parts, folder, kafka_bootstrap=f"127.0.0.1:{free_ports(1)[0]}", **others)
    return settings


async def test_a_job_is_accepted_while_kafka_and_scheduler_are_away(
    parts: EmbeddedParts, kit: SimpleNamespace, tmp_path: Path
) -> None:
    settings = alone(
        kit,
        parts,
        tmp_path,
        scheduler_address=f"127.0.0.1:{free_ports(1)[0]}",
        dev_key_file=str(tmp_path / "secrets" / "dev.key"),
    )
    await schema.migrate(settings)
    service = build(settings)
    async with RunningService(service):
        headers = {"Authorization": f"Bearer {Path(settings.dev_key_file).read_text().strip()}"}
        async with httpx.AsyncClient(base_url=kit.url_of(service), headers=headers) as client:
            assert (await client.get("/health/ready")).status_code == 200
            accepted = await client.post("/api/v1/generate", json=PROMPT)
            assert accepted.status_code == 202
            status = await client.get(accepted.json()["status_url"])
            assert (status.status_code, status.json()["state"]) == (200, "INIT")
    assert await schema.replay(settings, None) == 0


async def test_the_development_key_stays_and_a_lost_one_is_replaced(
    parts: EmbeddedParts, kit: SimpleNamespace, tmp_path: Path
) -> None:
    file = tmp_path / "dev.key"
    settings = alone(kit, parts, tmp_path, dev_key_file=str(file))
    await schema.migrate(settings)

    async def start_and_list(key: str | None = None) -> str:
        service = build(settings)
        async with RunningService(service):
            key = key or file.read_text().strip()
            headers = {"Authorization": f"Bearer {key}"}
            async with httpx.AsyncClient(base_url=kit.url_of(service), headers=headers) as client:
                assert (await client.get("/api/v1/jobs")).status_code == 200
        return key

    first = await start_and_list()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert await start_and_list() == first
    file.write_bytes(b"\xff\xfe not a key")
    second = await start_and_list()
    assert second != first
    file.unlink()
    assert await start_and_list() != second
    await start_and_list(first)


async def test_without_a_database_requests_are_told_to_come_again(
    parts: EmbeddedParts, kit: SimpleNamespace, tmp_path: Path
) -> None:
    away = f"postgresql+asyncpg://nobody@127.0.0.1:{free_ports(1)[0]}/nothing"
    service = build(alone(kit, parts, tmp_path, database_url=away))
    key = new_key().text
    async with (
        RunningService(service),
        httpx.AsyncClient(base_url=kit.url_of(service), headers={"Authorization": f"Bearer {key}"}) as client,
    ):
        answer = await client.post("/api/v1/generate", json=PROMPT)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert (await client.get("/health/ready")).status_code == 503
        assert (await client.get("/health/live")).status_code == 200


async def test_the_command_leaves_once_kafka_is_back(
    parts: EmbeddedParts, kit: SimpleNamespace, tmp_path: Path, house: Any
) -> None:
    """What a gateway could not send before it stopped, the next one sends."""
    settings = alone(kit, parts, tmp_path, dev_key_file=str(tmp_path / "dev.key"))
    await schema.migrate(settings)
    service = build(settings)
    async with RunningService(service):
        headers = {"Authorization": f"Bearer {(tmp_path / 'dev.key').read_text().strip()}"}
        async with httpx.AsyncClient(base_url=kit.url_of(service), headers=headers) as client:
            job_id = (await client.post("/api/v1/generate", json=PROMPT)).json()["id"]
    database = Database(settings.database_url, SCHEMA, 4)
    relay = Relay(database, Outbox(outbox, NAME, SystemClock()), parts.kafka_bootstrap, timedelta(hours=1))
    async with RunningService(Service(NAME, [database, Background("relay", relay.run)], Health())):
        (command,) = await eventually(lambda: house.commands(job_id), seconds=20)
    assert command.message.job_id == job_id


async def test_the_migrations_make_the_tables_that_the_code_names(
    parts: EmbeddedParts, kit: SimpleNamespace, tmp_path: Path
) -> None:
    settings = kit.settings_for(parts, tmp_path)
    await schema.migrate(settings)
    await schema.migrate(settings)
    database = Database(settings.database_url, SCHEMA, 3)

    try:
        assert await schema_drift(database, METADATA) == []
    finally:
        await database.stop()


@pytest.mark.parametrize(
    ("field", "value"), [("max_body_bytes", 0), ("key_cache", -1), ("database_url", "sqlite://")]
)
async def test_a_bad_setting_ends_the_start(
    parts: EmbeddedParts, kit: SimpleNamespace, tmp_path: Path, field: str, value: object
) -> None:
    with pytest.raises(ValueError, match=field):
        kit.settings_for(parts, tmp_path, **{field: value})


async def test_the_readme_shows_the_settings() -> None:
    readme = Path(__file__).parents[1] / "README.md"
    assert table(Settings) in readme.read_text()
