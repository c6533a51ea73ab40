"""Events in any order, any number of times, lead to the same end; what is no event goes to the dead letters."""

import itertools
import random
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from edgecore_contracts.models import MODELS
from edgecore_contracts.topics import JOB_EVENTS
from edgecore_gateway.adapters import jobs
from edgecore_gateway.adapters.tables import attempts, job_transitions
from edgecore_gateway.adapters.tables import jobs as jobs_table
from edgecore_gateway.domain.projection import Unreadable, measured_seconds, state_change
from edgecore_gateway.domain.validation import validate
from edgecore_gateway.entrypoints.events import Projector
from edgecore_gateway.entrypoints.watch import Watch
from edgecore_runtime import dlq
from edgecore_runtime.ids import new_id
from edgecore_runtime.testing import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOW = datetime(2026, 11, 21, tzinfo=UTC)


async def projected(house: Any, order: list[Any]) -> list[Any]:
    """What the tables say after the events in this order, each in its own transaction, without the job's id."""
    job_id = new_id("job")
    spec = validate({"prompt": "x"}, MODELS, 1)
    projector = Projector(Watch(0))
    async with house.database.transaction() as session:
        await jobs.add(session, jobs.accepted(job_id, "user_x", spec, NOW))
    for event in order:
        event.message.job_id = job_id
        async with house.database.transaction() as session:
            await projector.handle(event, session)
    async with house.database.reading() as session:
        rows = [
            *(await session.execute(select(jobs_table).where(jobs_table.c.id == job_id))).all(),
            *(await session.execute(select(job_transitions).where(job_transitions.c.job_id == job_id))).all(),
            *(await session.execute(select(attempts).where(attempts.c.job_id == job_id))).all(),
        ]
    return sorted(str(tuple(row)).replace(job_id, "") for row in rows)


async def test_order_and_repetition_change_nothing(house: Any, kit: SimpleNamespace) -> None:
    events = [kit.enveloped(kit.changed("", version)) for version in range(1, 6)]
    for event in events:
        event.message.artifact.key = event.message.artifact.key and "jobs/1/video.mp4"
        if event.message.version < 5:
            event.message.ClearField("artifact")
    events.append(kit.enveloped(kit.ended("")))
    clean = await projected(house, events)
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)
    for _ in range(40):
        order = events + chance.choices(events, k=chance.randrange(4))
        chance.shuffle(order)
        assert await projected(house, order) == clean, f"seed {seed}"


async def test_a_retry_is_two_attempts_in_any_order(house: Any, kit: SimpleNamespace) -> None:
    queued_again, second = kit.changed("", 1), kit.changed("", 2)
    queued_again.version, queued_again.attempt = 3, 1
    second.version, second.attempt, second.node_id = 4, 2, "node-1"
    lost = kit.ended("")
    lost.ClearField("measurements")
    events = [kit.enveloped(one) for one in (kit.changed("", 2), queued_again, second, lost)]
    clean = await projected(house, events)
    assert sum("node-1" in row for row in clean) == 2
    for order in itertools.permutations(events):
        assert await projected(house, list(order)) == clean


async def test_an_attempts_time_is_its_nodes_and_not_the_length_of_a_bought_video() -> None:
    bought = {"provider_seconds": 8.0, "encode_seconds": 0.25, "upload_seconds": 0.125}
    assert measured_seconds(bought) == 0.375


async def test_bytes_that_are_no_event_are_parked_and_the_partition_flows(
    house: Any, client: httpx.AsyncClient, kit: SimpleNamespace
) -> None:
    job_id = await kit.new_job(client)
    good = kit.enveloped(kit.changed(job_id, 1))
    headers = [(name, value.encode()) for name, value in good.headers().items()]
    bad = [
        (b"\xff\xfe garbage", headers),
        (b"", []),
        (good.body(), [*headers[:2], ("ce_type", b"edgecore.jobs.v1.Nonsense")]),
        (None, headers),
        (kit.changed(new_id("job"), 1).SerializeToString(), [*headers, ("ce_id", b"evt_unknown_job")]),
    ]
    for body, with_headers in bad:
        await house.producer.send_and_wait(JOB_EVENTS, key=job_id.encode(), value=body, headers=with_headers)
    await house.say(good)

    async def queued() -> bool:
        return bool((await client.get(f"/api/v1/status/{job_id}")).json()["state"] == "QUEUED")

    await eventually(queued)
    letters = [
        one for one in await dlq.read(house.settings.kafka_bootstrap, JOB_EVENTS) if one.key == job_id.encode()
    ]
    assert [one.body or b"" for one in letters] == [body or b"" for body, _ in bad]
    assert all(one.reason and one.consumer == "gateway" for one in letters)
    assert "has no job" in letters[-1].reason


@pytest.mark.parametrize("broken", ["to", "from", "version", "artifact"])
async def test_what_a_change_must_say(kit: SimpleNamespace, broken: str) -> None:
    message = kit.changed("job_x", 5)
    message.ClearField(broken)
    with pytest.raises(Unreadable):
        state_change(message, NOW)


async def test_a_newer_schedulers_reason_is_kept(kit: SimpleNamespace) -> None:
    message = kit.changed("job_x", 2)
    message.reason = 99
    message.detail = "nul \0 in a text"
    change = state_change(message, NOW)
    assert (change.reason, change.detail) == ("UNKNOWN_99", "nul  in a text")
