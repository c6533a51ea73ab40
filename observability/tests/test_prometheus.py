"""Every panel's and every rule's query, asked of a real Prometheus that scrapes real services.

The gateway and analytics run as processes over embedded parts; what the scheduler and cost would say is published
as they would. So the names, labels and kinds that the queries rely on are those that the services export.
"""

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from edgecore.cost.v1.events_pb2 import CostPosted
from edgecore.jobs.v1.events_pb2 import AttemptFinished, JobStateChanged
from edgecore.scheduler.v1.events_pb2 import NodeStateChanged, PoolSnapshot
from edgecore_contracts.cloudevents import Event, timestamp
from edgecore_contracts.topics import JOB_EVENTS, topic_of
from edgecore_runtime import kafka_clients
from edgecore_runtime.embedded.parts import EmbeddedParts, embedded_parts
from edgecore_runtime.embedded.ports import free_ports
from edgecore_runtime.ids import new_id
from edgecore_runtime.testing import eventually

HOST = "127.0.0.1"
WINDOW = "5m"
START_SECONDS, ANSWER_SECONDS = 60, 90


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[EmbeddedParts]:
    with embedded_parts(tmp_path / "parts") as started:
        yield started


@contextmanager
def process(command: list[str], log: Path, environment: dict[str, str] | None = None) -> Iterator[None]:
    with log.open("w") as output:
        started = subprocess.Popen(command, stdout=output, stderr=output, env=os.environ | (environment or {}))
        try:
            yield
        finally:
            started.terminate()
            try:
                started.wait(10)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()


class House:
    """Two services and a Prometheus, with doors for the test."""

    def __init__(self, folder: Path, parts: EmbeddedParts, configured: Path) -> None:
        self._folder = folder
        self._parts = parts
        self._configured = configured
        self.services = dict(zip(("gateway", "analytics"), free_ports(2), strict=True))
        (self._prometheus,) = free_ports(1)

    @contextmanager
    def running(self, prometheus: str) -> Iterator[None]:
        (grpc,) = free_ports(1)
        with ExitStack() as stack:
            for name, port in self.services.items():
                environment = {
                    "EDGECORE_DATABASE_URL": self._parts.database_url("house"),
                    "EDGECORE_KAFKA_BOOTSTRAP": self._parts.kafka_bootstrap,
                    "EDGECORE_KAFKA_SESSION_TIMEOUT": "2",
                    "EDGECORE_MIGRATE_ON_START": "true",
                    "EDGECORE_OBJECT_STORE_URL": (self._folder / "artifacts").as_uri(),
                    "EDGECORE_HTTP_PORT": str(port),
                    "EDGECORE_DEV_KEY_FILE": str(self._folder / "key"),
                    "EDGECORE_GAUGE_INTERVAL": "0.5",
                    "EDGECORE_ANALYTICS_ADDRESS": f"{HOST}:{grpc}",
                } | ({"EDGECORE_GRPC_PORT": str(grpc)} if name == "analytics" else {})
                command = [sys.executable, "-m", f"edgecore_{name}", "serve"]
                stack.enter_context(process(command, self._folder / f"{name}.log", environment))
            command = [
                prometheus,
                f"--config.file={self._configuration()}",
                f"--storage.tsdb.path={self._folder / 'tsdb'}",
                f"--web.listen-address={HOST}:{self._prometheus}",
            ]
            stack.enter_context(process(command, self._folder / "prometheus.log"))
            yield

    def _configuration(self) -> Path:
        """The project's own configuration and rules, only faster, with these services as targets."""
        document = yaml.safe_load((self._configured / "prometheus.yaml").read_text())
        document["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        rules = yaml.safe_load((self._configured / "rules.yaml").read_text())
        for group in rules["groups"]:
            group.pop("interval", None)
        (self._folder / "rules.yaml").write_text(yaml.safe_dump(rules))
        targets = [
            {"targets": [f"{HOST}:{port}"], "labels": {"service": name}} for name, port in self.services.items()
        ]
        (self._folder / "targets.json").write_text(json.dumps(targets))
        path = self._folder / "prometheus.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    async def ready(self) -> bool:
        """Whether all of it answers."""
        urls = [f"http://{HOST}:{port}/health/ready" for port in self.services.values()]
        async with httpx.AsyncClient() as client:
            try:
                answers = [await client.get(url) for url in [*urls, f"http://{HOST}:{self._prometheus}/-/ready"]]
            except httpx.TransportError:
                return False
        return all(answer.status_code == 200 for answer in answers)

    async def api(self, path: str, **parameters: str) -> Any:
        async with httpx.AsyncClient(timeout=20) as client:
            answer = await client.get(f"http://{HOST}:{self._prometheus}/api/v1/{path}", params=parameters)
        body = answer.json()
        assert body["status"] == "success", f"{parameters}: {body}"
        return body["data"]

    async def values(self, expression: str) -> list[float]:
        """What the expression gives now; fails when Prometheus calls it an error."""
        return [float(one["value"][1]) for one in (await self.api("query", query=expression))["result"]]

    def _caller(self) -> httpx.AsyncClient:
        """A client of the real gateway."""
        headers = {"Authorization": f"Bearer {(self._folder / 'key').read_text().strip()}"}
        base = f"http://{HOST}:{self.services['gateway']}"
        return httpx.AsyncClient(base_url=base, headers=headers, timeout=20)

    async def submit(self) -> str:
        """A job, accepted by the real gateway; its command comes to analytics over the log."""
        async with self._caller() as client:
            answer = await client.post("/api/v1/generate", json={"prompt": "a red circle moving right"})
            assert answer.status_code == 202, answer.text
            await client.get("/api/v1/status/nothing")
        return str(answer.json()["id"])

    async def usage(self) -> Any:
        """What the gateway answers about usage, from analytics."""
        async with self._caller() as client:
            answer = await client.get("/api/v1/analytics/usage", params={"bucket": "hour"})
        assert answer.status_code == 200, answer.text
        return answer.json()


def life(job_id: str) -> list[Any]:
    """What the scheduler and cost say of a job that fails on one backend and is delivered by another."""
    at = timestamp(datetime.now(UTC) + timedelta(seconds=2))
    found: list[Any] = []
    for attempt, backend in ((1, "aiprod"), (2, "veo")):
        last = attempt == 2
        state = "JOB_STATE_DELIVERED" if last else "JOB_STATE_QUEUED"
        reason = "REASON_COMPLETED" if last else "REASON_TIMEOUT"
        outcome = "ATTEMPT_OUTCOME_SUCCEEDED" if last else "ATTEMPT_OUTCOME_FAILED"
        for version, to in ((attempt * 2, "JOB_STATE_ALLOCATED"), (attempt * 2 + 1, state)):
            change = JobStateChanged(job_id=job_id, version=version, to=to, reason=reason, attempt=attempt)
            change.backend = backend
            change.occurred_at.CopyFrom(at)
            found.append(change)
        end = AttemptFinished(job_id=job_id, attempt=attempt, outcome=outcome, reason=reason, backend=backend)
        end.measurements.generate_seconds = 1.0
        line = CostPosted(job_id=job_id, attempt=attempt, kind="COST_KIND_COMPUTE", occurred_at=at)
        line.amount.micros = 30
        found += [end, line]
    return found


def pool_events() -> list[Any]:
    at = timestamp(datetime.now(UTC))
    snapshot = PoolSnapshot(occurred_at=at)
    snapshot.pool.pool, snapshot.pool.backend, snapshot.pool.queued = "local", "aiprod", 1
    snapshot.pool.queued_seconds, snapshot.pool.capacity = 2.5, 1
    return [snapshot, NodeStateChanged(node_id="n", pool="local", state="NODE_STATE_READY", occurred_at=at)]


async def feed(house: House, producer: Any) -> None:
    """One more job, and one more event that cannot be handled, so that every counter grows."""
    for message in [*life(await house.submit()), *pool_events()]:
        event = Event(new_id("evt"), "edgecore/test", datetime.now(UTC), "key", message)
        headers = [(name, value.encode()) for name, value in event.headers().items()]
        await producer.send_and_wait(topic_of(message).name, key=b"key", value=event.body(), headers=headers)
    await producer.send_and_wait(JOB_EVENTS, key=b"x", value=b"\xff", headers=[])


@pytest.mark.timeout(360)
async def test_every_query_has_an_answer(
    observability: Any, binary: Any, parts: EmbeddedParts, tmp_path: Path
) -> None:
    house = House(tmp_path, parts, observability.folder / "prometheus")
    with house.running(binary("prometheus")):
        await eventually(house.ready, START_SECONDS)
        async with kafka_clients.opened(kafka_clients.producer(parts.kafka_bootstrap)) as producer:
            await feed(house, producer)
            await eventually(lambda: house.values("edgecore_analytics_fallbacks_total > 0"), START_SECONDS)
            # A counter's rate needs it to grow between two scrapes.
            await feed(house, producer)
        await eventually(lambda: house.values("edgecore_analytics_fallbacks_total > 1"), START_SECONDS)

        async def counted() -> bool:
            total = (await house.usage())["total"]
            return [total[name] for name in ("jobs", "delivered", "fallbacks", "cost")] == [2, 2, 2, "0.000120"]

        await eventually(counted, START_SECONDS)
        queries = observability.panel_queries(WINDOW) + [rule for rule in observability.rules if not rule.is_alert]
        # An alert that does not fire has no result; the series that it looks at have.
        alerts = [rule for rule in observability.rules if rule.is_alert]
        wanted = [query.expression for query in queries]
        wanted += sorted({metric for rule in alerts for metric in rule.metrics})
        silent = list(wanted)

        async def all_answered() -> bool:
            nonlocal silent
            silent = [one for one in silent if not _numbers(await house.values(one))]
            return not silent

        try:
            await eventually(all_answered, ANSWER_SECONDS)
        except pytest.fail.Exception:
            pytest.fail(f"no numbers within {ANSWER_SECONDS} s: {json.dumps(silent, indent=1)}")
        for rule in alerts:
            await house.values(rule.expression)

        async def all_evaluated() -> bool:
            groups = (await house.api("rules"))["groups"]
            loaded = [rule for group in groups for rule in group["rules"]]
            assert len(loaded) == len(observability.rules)
            assert not [rule for rule in loaded if rule["health"] == "err"], loaded
            return all(rule["health"] == "ok" for rule in loaded)

        await eventually(all_evaluated, ANSWER_SECONDS)
        for recorded in ("edgecore:job_latency_seconds:p95_5m", 'ALERTS{alertname="EventsParked"}'):
            await eventually(lambda series=recorded: house.values(series), ANSWER_SECONDS)


def _numbers(values: list[float]) -> bool:
    return bool(values) and not all(math.isnan(value) for value in values)
