"""The example as a process against a real broker: counting, going on, starting over, ending on Ctrl-C."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from edgecore.common.v1 import common_pb2
from edgecore.cost.v1.events_pb2 import CostPosted
from edgecore.jobs.v1.events_pb2 import JobStateChanged
from edgecore_contracts.cloudevents import Event
from edgecore_contracts.topics import COST_EVENTS, JOB_EVENTS, topic_of
from edgecore_runtime import kafka_clients
from edgecore_runtime.embedded.parts import EmbeddedParts, embedded_parts
from edgecore_runtime.ids import new_id
from edgecore_runtime.kafka_topics import ensure_topics
from edgecore_runtime.testing import eventually

PROGRAM = Path(__file__).parents[1] / "consumer.py"
STOP_SECONDS = 20


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[EmbeddedParts]:
    with embedded_parts(tmp_path / "parts") as started:
        yield started


@contextmanager
def program(bootstrap: str, folder: Path, *options: str) -> Iterator[Any]:
    """The running example, and a function that reads what it has printed."""
    log = folder / "output.txt"
    with log.open("w") as output:
        command = [sys.executable, str(PROGRAM), bootstrap, "--state", str(folder / "figures.sqlite"), *options]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        process.report = log.read_text  # type: ignore[attr-defined]
        try:
            yield process
        finally:
            process.kill()
            process.wait()


async def stop(process: Any) -> str:
    """End it as Ctrl-C does; returns everything that it printed."""
    process.send_signal(signal.SIGINT)
    assert await asyncio.to_thread(process.wait, STOP_SECONDS) == 0
    return str(process.report())


def shown(process: Any, *lines: tuple[str, int, str]) -> Any:
    """Whether the newest report has exactly these lines: user, delivered, cost."""
    wanted = [(user, str(delivered), cost) for user, delivered, cost in lines]
    return lambda: reported(process.report()) == wanted


def reported(text: str) -> list[tuple[str, ...]]:
    last = text.rpartition("user ")[2].splitlines()[1:]
    return [tuple(line.split()) for line in last]


def delivered(job_id: str, user_id: str) -> Event:
    return enveloped(JobStateChanged(job_id=job_id, user_id=user_id, version=5, to=common_pb2.JOB_STATE_DELIVERED))


def failed(job_id: str, user_id: str) -> Event:
    return enveloped(JobStateChanged(job_id=job_id, user_id=user_id, version=2, to=common_pb2.JOB_STATE_ERROR))


def cost(job_id: str, user_id: str, micros: int, attempt: int = 1) -> Event:
    line = CostPosted(job_id=job_id, user_id=user_id, attempt=attempt, kind="COST_KIND_COMPUTE")
    line.amount.micros = micros
    return enveloped(line)


def enveloped(message: Any) -> Event:
    return Event(new_id("evt"), "edgecore/test", datetime.now(UTC), message.job_id, message)


@asynccontextmanager
async def log_of(bootstrap: str) -> AsyncIterator[Any]:
    """A function that publishes events."""

    async def say(*events: Event) -> None:
        for event in events:
            headers = [(name, value.encode()) for name, value in event.headers().items()]
            topic = topic_of(event.message).name
            await producer.send_and_wait(topic, key=event.key.encode(), value=event.body(), headers=headers)

    await ensure_topics(bootstrap, [JOB_EVENTS, COST_EVENTS])
    async with kafka_clients.opened(kafka_clients.producer(bootstrap)) as producer:
        say.producer = producer  # type: ignore[attr-defined]
        yield say


async def test_it_counts_goes_on_and_starts_over(parts: EmbeddedParts, tmp_path: Path) -> None:
    bootstrap = parts.kafka_bootstrap
    async with log_of(bootstrap) as say:
        first = [delivered("j1", "ann"), cost("j1", "ann", 27), delivered("j2", "bob"), failed("j3", "bob")]
        await say(*first, cost("j2", "bob", 1_000_000), cost("j2", "bob", 5, attempt=2))
        with program(bootstrap, tmp_path) as process:
            await eventually(shown(process, ("ann", 1, "0.000027"), ("bob", 1, "1.000005")), 30)
            # Again, as the same events and as new ones with the same facts: nothing changes.
            await say(*first, delivered("j1", "ann"), cost("j1", "ann", 27))
            await say.producer.send_and_wait(JOB_EVENTS, key=b"x", value=b"\xff", headers=[])
            await say(delivered("j4", "ann"))
            await eventually(shown(process, ("ann", 2, "0.000027"), ("bob", 1, "1.000005")), 30)
            output = await stop(process)
            assert "passed over edgecore.job-events.v1" in output
            assert "Traceback" not in output
        await say(delivered("j5", "eve"))
        with program(bootstrap, tmp_path) as process:
            await eventually(
                shown(process, ("ann", 2, "0.000027"), ("bob", 1, "1.000005"), ("eve", 1, "0.000000")), 30
            )
            # It went on where it had ended: the bytes that are no event were not read again.
            assert "passed over" not in await stop(process)
        with program(bootstrap, tmp_path, "--from-beginning") as process:
            await eventually(
                shown(process, ("ann", 2, "0.000027"), ("bob", 1, "1.000005"), ("eve", 1, "0.000000")), 30
            )
            assert "passed over" in await stop(process)


async def test_killed_it_counts_nothing_twice(parts: EmbeddedParts, tmp_path: Path) -> None:
    async with log_of(parts.kafka_bootstrap) as say:
        for number in range(40):
            await say(delivered(f"j{number}", "ann"), cost(f"j{number}", "ann", 1))
        for _ in range(3):
            with program(parts.kafka_bootstrap, tmp_path) as process:
                await eventually(lambda process=process: reported(process.report()), 30)
                process.kill()
            await say(cost(new_id("job"), "ann", 0))
        with program(parts.kafka_bootstrap, tmp_path) as process:
            await eventually(shown(process, ("ann", 40, "0.000040")), 30)


async def test_topics_that_do_not_exist_yet_are_waited_for(parts: EmbeddedParts, tmp_path: Path) -> None:
    with program(parts.kafka_bootstrap, tmp_path) as process:
        await eventually(lambda: "nothing to read yet" in process.report(), 30)
        async with log_of(parts.kafka_bootstrap) as say:
            await say(delivered("j1", "ann"), cost("j1", "ann", 27))
            await eventually(shown(process, ("ann", 1, "0.000027")), 40)
        assert "stopped" in await stop(process)


async def test_a_broker_that_is_away_is_waited_for(parts: EmbeddedParts, tmp_path: Path) -> None:
    parts.kill_broker()
    with program(parts.kafka_bootstrap, tmp_path) as process:
        await eventually(lambda: "trying again" in process.report(), 30)
        await asyncio.to_thread(parts.restart_broker)
        async with log_of(parts.kafka_bootstrap) as say:
            await say(delivered("j1", "ann"))
            await eventually(shown(process, ("ann", 1, "0.000000")), 40)
        assert "stopped" in await stop(process)
