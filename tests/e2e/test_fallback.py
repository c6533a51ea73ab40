"""No node of our own: a paid provider makes it, once, and the job says why and for how much."""

import subprocess
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import av
import httpx
import pytest

from edgecore_cli.process import StackProcess, stack_process
from edgecore_sdk import Client
from edgecore_sdk.errors import JobFailed
from tests.standins.process import ProviderStandin, provider_standin

from .waiting import soon

SECONDS = 120.0
PATIENCE = {
    # Nobody of ours will come: a provider may be asked at once.
    "EDGECORE_FALLBACK_WAIT": "0.5",
    "EDGECORE_RETRY_PAUSE": "0.05",
}


@pytest.fixture(scope="module")
def standin() -> Iterator[ProviderStandin]:
    with provider_standin() as running:
        yield running


@pytest.fixture(scope="module")
def start(standin: ProviderStandin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackProcess]:
    """A stack without a node of its own, but with two providers."""
    options = ["--without", "inference", "--provider", "runway", "--provider", "replicate"]
    with stack_process(
        tmp_path_factory.mktemp("bought"),
        options,
        environment=standin.environment() | PATIENCE,
        output=subprocess.DEVNULL,
    ) as stack:
        yield stack


@pytest.fixture
def client(start: StackProcess, standin: ProviderStandin) -> Iterator[Client]:
    standin.faults()
    with Client(start.url, start.api_key) as connected:
        yield connected


def read(stack: StackProcess, path: str) -> Any:
    headers = {"Authorization": f"Bearer {stack.api_key}"}
    return httpx.get(f"{stack.url}/api/v1{path}", headers=headers).raise_for_status().json()


def chosen(stack: StackProcess, job_id: str) -> list[str]:
    decisions = read(stack, f"/jobs/{job_id}/decisions")["data"]
    return [one["backend"] for one in decisions if one["verdict"] == "chosen"]


def costs(stack: StackProcess, job_id: str, kind: str) -> dict[str, Decimal] | None:
    """What the job cost, by kind of line, once there is one of this kind."""
    found = {line["kind"]: Decimal(line["amount"]) for line in read(stack, f"/jobs/{job_id}/cost")["lines"]}
    return found if kind in found else None


def test_a_provider_delivers_what_nobody_of_ours_can(
    start: StackProcess, client: Client, standin: ProviderStandin, tmp_path: Path
) -> None:
    before = len(standin.orders())
    job = client.generate("a red circle moving right", formats=["mp4", "webm"])
    done = client.wait(job.id, SECONDS)
    assert [one.format for one in done.renditions] == ["mp4", "webm"]
    with av.open(str(client.download(job.id, tmp_path / "bought.mp4"))) as container:
        assert sum(1 for _ in container.decode(video=0)) > 24
    assert chosen(start, job.id) == ["runway"]
    orders = standin.orders()[before:]
    assert [(order["provider"], order["prompt"]) for order in orders] == [("runway", "a red circle moving right")]
    lines = soon(lambda: costs(start, job.id, kind="provider"))
    assert lines["provider"] == Decimal("0.12") * orders[0]["seconds"]
    assert "compute" not in lines


def test_a_named_model_is_never_bought_elsewhere(client: Client, standin: ProviderStandin) -> None:
    before = len(standin.orders())
    job = client.generate("a red circle", model="aiprod-nano")
    soon(lambda: client.status(job.id).state == "QUEUED")
    assert client.status(job.id, wait_s=3).state == "QUEUED"
    client.cancel(job.id)
    assert len(standin.orders()) == before


def test_the_next_provider_is_asked_when_the_first_refuses(
    start: StackProcess, client: Client, standin: ProviderStandin
) -> None:
    standin.faults(status=503, share=0.5)
    job = client.generate("a blue square moving up")
    client.wait(job.id, SECONDS)
    assert chosen(start, job.id)[-1] in ("runway", "replicate")


def test_an_order_without_an_answer_is_not_placed_again(
    start: StackProcess, client: Client, standin: ProviderStandin
) -> None:
    standin.faults(status=504)
    before = len(standin.orders())
    job = client.generate("a green heart, still")
    with pytest.raises(JobFailed) as failed:
        client.wait(job.id, SECONDS)
    assert failed.value.job.error is not None
    assert failed.value.job.error.code == "PROVIDER_UNCLEAR"
    assert len(chosen(start, job.id)) == 1
    assert len(standin.orders()) == before


def test_too_dear_is_not_bought(start: StackProcess, client: Client, standin: ProviderStandin) -> None:
    before = len(standin.orders())
    job = client.generate("a white circle", max_cost="0.01")
    dear = {"over_max_cost", "no_quote"}
    soon(lambda: dear & {one["code"] for one in read(start, f"/jobs/{job.id}/decisions")["data"]})
    assert client.status(job.id, wait_s=3).state == "QUEUED"
    client.cancel(job.id)
    assert len(standin.orders()) == before
