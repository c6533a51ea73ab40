"""An attempt whose videos are bought: one order whatever happens, and no end without the provider's verdict."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from edgecore.common.v1.common_pb2 import AdapterUse, FlowGuidance, GenerationSpec
from edgecore.jobs.v1.events_pb2 import AttemptOutcome
from edgecore.scheduler.v1.scheduler_pb2 import Assign, Finished, LeaseRef
from edgecore_contracts.states import Reason
from edgecore_inference.adapters.artifacts import Artifacts
from edgecore_inference.adapters.providers.runway import Runway
from edgecore_inference.adapters.scratch import Scratch
from edgecore_inference.adapters.task_book import PLACING, Placed, TaskBook
from edgecore_inference.entrypoints import provider_source
from edgecore_inference.entrypoints.attempt import Attempt, Workshop
from edgecore_inference.entrypoints.provider_source import ProviderSource
from edgecore_runtime.clock import SystemClock
from edgecore_runtime.http import HttpServer
from edgecore_runtime.objects import ObjectStore
from edgecore_runtime.testing import eventually
from tests.standins.provider import Faults, create_app

POLL_SECONDS = 0.02


class House:
    """A provider node's inside, and the stand-in it buys from."""

    def __init__(self, directory: Path, desk: Any, url: str) -> None:
        self.desk = desk
        self.book = TaskBook(directory / "orders")
        self.artifacts = directory / "artifacts"
        self.artifacts.mkdir()
        scratch = Scratch(directory / "scratch")
        scratch.clear()
        self.provider = Runway("key", url, "")
        source = ProviderSource("runway", self.provider, self.book, POLL_SECONDS, insecure=True)
        store = Artifacts(ObjectStore(self.artifacts.as_uri()))
        self._workshop = Workshop(source, store, scratch, SystemClock())

    def attempt(
        self, number: int = 1, seconds: float = 60.0, formats: tuple[str, ...] = ("mp4",), **more: Any
    ) -> Attempt:
        spec = GenerationSpec(
            model="aiprod-nano",
            prompt="a red circle",
            width=64,
            height=64,
            frames=17,
            fps=8,
            steps=20,
            formats=formats,
            **more,
        )
        assign = Assign(
            lease=LeaseRef(lease_id=f"l{number}", token=number), job_id="job_1", attempt=number, spec=spec
        )
        assign.time_limit.FromNanoseconds(int(seconds * 1e9))
        return Attempt(assign, self._workshop, lambda _: None)

    @property
    def orders(self) -> int:
        return len(self.desk.orders)


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    app = create_app()
    server = HttpServer(app, "127.0.0.1", 0)
    await server.start()
    made = House(tmp_path, app.state.desk, f"http://127.0.0.1:{server.port}")
    yield made
    await made.provider.close()
    await server.stop()


def failed(report: Finished, reason: Reason) -> bool:
    return report.outcome == AttemptOutcome.ATTEMPT_OUTCOME_FAILED and report.reason == reason.to_proto()


async def test_a_bought_video_is_delivered_in_every_format_with_its_bill(house: House) -> None:
    report = await house.attempt(formats=("webm", "mp4")).run()
    assert report.outcome == AttemptOutcome.ATTEMPT_OUTCOME_SUCCEEDED, report.detail
    assert [report.artifact.format, *(one.format for one in report.other_artifacts)] == [
        "webm",
        "mp4",
        "thumbnail",
    ]
    assert (report.artifact.width, report.artifact.height) == (320, 180), "as the provider made it"
    assert report.artifact.frames == 72
    assert (report.measurements.provider_seconds, report.measurements.provider_model) == (3, "gen4.5")
    assert len(list(house.artifacts.rglob("*.*"))) == 3
    assert house.book.of("job_1") is None


async def test_a_failure_at_the_provider_costs_nothing(house: House) -> None:
    house.desk.faults = Faults(fail=True)
    report = await house.attempt().run()
    assert failed(report, Reason.PROVIDER_ERROR)
    assert "told to fail" in report.detail
    assert report.measurements.provider_seconds == 0
    assert house.book.of("job_1") is None


async def test_a_refusal_leaves_nothing_behind(house: House) -> None:
    house.desk.faults = Faults(status=429)
    report = await house.attempt().run()
    assert failed(report, Reason.PROVIDER_ERROR)
    assert (house.orders, house.book.of("job_1")) == (0, None)


async def test_an_order_without_an_answer_ends_unclear_and_is_counted_as_billed(house: House) -> None:
    house.desk.faults = Faults(status=504)
    report = await house.attempt().run()
    assert failed(report, Reason.PROVIDER_UNCLEAR)
    assert report.measurements.provider_seconds == 3


async def test_an_order_is_waited_for_again_after_a_restart(house: House) -> None:
    house.desk.faults = Faults(seconds=60)
    first = asyncio.create_task(house.attempt(1).run())
    await eventually(lambda: house.book.of("job_1") not in (None, Placed(PLACING, 3)))
    known = house.book.of("job_1")
    assert known is not None
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    # As a SIGKILL leaves it: nobody withdrew the order.
    house.desk.orders[known.task].cancelled = False
    house.desk.orders[known.task].ready_after = 0.0
    house.book.note("job_1", known)
    report = await house.attempt(2).run()
    assert report.outcome == AttemptOutcome.ATTEMPT_OUTCOME_SUCCEEDED, report.detail
    assert house.orders == 1


async def test_a_node_that_died_while_placing_does_not_place_again(house: House) -> None:
    house.book.note("job_1", Placed(PLACING, 3))
    report = await house.attempt().run()
    assert failed(report, Reason.PROVIDER_UNCLEAR)
    assert house.orders == 0


async def test_a_time_limit_stops_the_order_and_says_so(house: House) -> None:
    house.desk.faults = Faults(seconds=60)
    report = await house.attempt(seconds=2.0).run()
    assert failed(report, Reason.TIMEOUT)
    assert [order.cancelled for order in house.desk.orders.values()] == [True]
    assert report.measurements.provider_seconds == 0


async def test_a_time_limit_while_the_order_is_placed_is_unclear_and_nothing_is_placed_again(house: House) -> None:
    house.desk.faults = Faults(hang=True)
    report = await house.attempt(seconds=2.0).run()
    assert failed(report, Reason.PROVIDER_UNCLEAR)
    assert report.measurements.provider_seconds == 3
    house.desk.faults = Faults()
    assert failed(await house.attempt(2).run(), Reason.PROVIDER_UNCLEAR)
    assert house.orders == 1


async def test_a_video_that_is_paid_for_is_brought_whatever_is_left_of_the_limit(house: House) -> None:
    house.desk.faults = Faults(seconds=0.1, file_seconds=2.5)
    report = await house.attempt(seconds=2.0).run()
    assert report.outcome == AttemptOutcome.ATTEMPT_OUTCOME_SUCCEEDED, report.detail


async def test_an_order_that_cannot_be_stopped_is_unclear(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_source, "WITHDRAW_SECONDS", 0.2)
    house.desk.faults = Faults(seconds=60)
    running = asyncio.create_task(house.attempt(seconds=3.0).run())
    await eventually(lambda: house.orders == 1)
    house.desk.faults = Faults(seconds=60, looks_status=500)
    report = await running
    assert failed(report, Reason.PROVIDER_UNCLEAR)
    assert report.measurements.provider_seconds == 3


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("variant", "distilled"),
        ("upscale", True),
        ("image", "inputs/image"),
        ("flow_guidance", FlowGuidance(right=1.0, strength=1.0)),
        ("adapters", [AdapterUse(id="lora_1", scale=1.0)]),
    ],
)
async def test_what_no_provider_sells_is_not_ordered(house: House, field: str, value: Any) -> None:
    report = await house.attempt(**{field: value}).run()
    assert failed(report, Reason.INVALID_SPEC)
    assert report.detail == f"{field}: not to be had from runway"
    assert (house.orders, house.book.of("job_1")) == (0, None)


async def test_the_standard_variant_is_what_providers_make(house: House) -> None:
    report = await house.attempt(variant="standard").run()
    assert report.outcome == AttemptOutcome.ATTEMPT_OUTCOME_SUCCEEDED, report.detail


async def test_black_pictures_do_not_pass_the_gate(house: House) -> None:
    house.desk.faults = Faults(black=True)
    report = await house.attempt().run()
    assert failed(report, Reason.QUALITY)
    assert report.measurements.provider_seconds == 3, "the provider bills it all the same"
