"""What only the operator of a local stack sees: traces, log lines, metrics."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from edgecore_cli.process import StackProcess
from edgecore_sdk import Client

from .waiting import soon

SECONDS = 60.0
SERVICES = ("gateway", "scheduler", "inference")


def lines(path: Path) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in path.read_text().splitlines() if line.startswith("{") and line.endswith("}")
    ]


def trace_of(folder: Path, job_id: str) -> list[dict[str, Any]]:
    """Every span, of any service, of the trace in which the job was attempted."""
    spans = [span | {"service": file.stem} for file in folder.glob("*.jsonl") for span in lines(file)]
    attempts = [span for span in spans if span["attributes"].get("job_id") == job_id]
    traces = {span["context"]["trace_id"] for span in attempts if span["service"] == "inference"}
    return [span for span in spans if span["context"]["trace_id"] in traces]


def test_one_trace_joins_http_kafka_grpc_and_the_engine(local_stack: StackProcess) -> None:
    with Client(local_stack.url, local_stack.api_key) as client:
        job = client.generate("a red circle moving right", frames=5, steps=2)
        client.wait(job.id, SECONDS)

    def joined() -> list[dict[str, Any]]:
        """The trace, once each service has written its spans and only one of them has none above it."""
        trace = trace_of(local_stack.directory / "traces", job.id)
        ids = {span["context"]["span_id"] for span in trace}
        roots = [span for span in trace if span["parent_id"] not in ids]
        everybody = {span["service"] for span in trace} >= set(SERVICES)
        return trace if everybody and len(roots) == 1 else []

    trace = soon(joined, SECONDS)
    (root,) = [span for span in trace if span["parent_id"] is None]
    assert root["service"] == "gateway"
    assert "/api/v1/generate" in root["name"]
    consumed = [span["name"] for span in trace if span["service"] == "scheduler"]
    assert "consume edgecore.jobs.v1.GenerateVideo" in consumed


def test_log_lines_are_json_with_service_trace_and_job(local_stack: StackProcess) -> None:
    with Client(local_stack.url, local_stack.api_key) as client:
        job = client.wait(client.generate("a red circle moving right", frames=5, steps=2).id, SECONDS)
    for service in SERVICES:
        own = lines(local_stack.directory / "logs" / f"{service}.log")
        assert own, service
        assert {line["service"] for line in own} == {service}
        about = [line for line in own if line.get("job_id") == job.id]
        assert about, f"{service} wrote no line about the job"
        assert all("timestamp" in line and "level" in line and "event" in line for line in own)
        assert any("trace_id" in line for line in about), f"{service}'s lines about the job name no trace"


def test_every_service_shows_metrics_and_health(local_stack: StackProcess) -> None:
    for service, environment in local_stack.record.environment.items():
        url = f"http://127.0.0.1:{environment['EDGECORE_HTTP_PORT']}"
        assert httpx.get(f"{url}/health/ready").json() == {"status": "ok", "failures": {}}, service
        assert "edgecore_" in httpx.get(f"{url}/metrics").text, service


def test_the_outbox_can_be_replayed_and_dead_letters_listed(local_stack: StackProcess) -> None:
    def edgecore(*arguments: str) -> str:
        command = [sys.executable, "-m", "edgecore_cli", *arguments, "--directory", str(local_stack.directory)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    with Client(local_stack.url, local_stack.api_key) as client:
        job = client.wait(client.generate("a red circle moving right", frames=5, steps=2).id, SECONDS)
        edgecore("outbox", "replay")
        again = client.wait(client.generate("a blue circle moving right", frames=5, steps=2).id, SECONDS)
        assert again.state == "DELIVERED"
        assert client.status(job.id).version == job.version, "a replay has no second effect"
    edgecore("dlq", "list")
