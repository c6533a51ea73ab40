"""Each provider through its official package, against a stand-in that speaks the provider's wire format."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from edgecore.common.v1.common_pb2 import GenerationSpec
from edgecore_inference.adapters.providers import Away, Provider, Refused, TaskState, Unclear
from edgecore_inference.adapters.providers.replicate import Replicate
from edgecore_inference.adapters.providers.runway import Runway
from edgecore_inference.adapters.task_book import PLACING, Placed, TaskBook
from edgecore_inference.domain.offers import Offer, Shape, order
from edgecore_runtime.http import HttpServer
from edgecore_runtime.testing import eventually
from tests.standins.provider import Faults, create_app

SPEC = GenerationSpec(prompt="a red circle moving right", width=64, height=64, frames=17, fps=8, seed=7)
KINDS = {"runway": Runway, "replicate": Replicate}


@pytest.fixture
async def standin() -> AsyncIterator[Any]:
    app = create_app()
    server = HttpServer(app, "127.0.0.1", 0)
    await server.start()
    app.state.url = f"http://127.0.0.1:{server.port}"
    yield app.state
    await server.stop()


@pytest.fixture(params=sorted(KINDS))
async def provider(request: pytest.FixtureRequest, standin: Any) -> AsyncIterator[Provider]:
    made: Provider = KINDS[request.param]("key", standin.url, "")
    yield made
    await made.close()


async def over(provider: Provider, task: str) -> Any:
    async def look() -> Any:
        found = await provider.look(task)
        return found if found.state.over else None

    return await eventually(look)


async def test_an_order_becomes_a_video_at_a_link(provider: Provider, standin: Any) -> None:
    task = await provider.submit(order(SPEC, provider.offer))
    found = await over(provider, task)
    assert found.state is TaskState.SUCCEEDED
    async with httpx.AsyncClient() as http:
        video = await http.get(found.url)
    assert video.content[4:8] == b"ftyp"
    placed = standin.desk.orders[task]
    assert placed.prompt == SPEC.prompt
    assert placed.seconds == {"runway": 3, "replicate": 6}[placed.provider], "2.1 s were asked for"


async def test_a_failure_at_the_provider_says_why(provider: Provider, standin: Any) -> None:
    standin.desk.faults = Faults(fail=True)
    found = await over(provider, await provider.submit(order(SPEC, provider.offer)))
    assert (found.state, found.detail) == (TaskState.FAILED, "the stand-in was told to fail")


@pytest.mark.parametrize("status", [400, 401, 402, 429, 500, 503])
async def test_a_refusal_is_a_verdict(provider: Provider, standin: Any, status: int) -> None:
    standin.desk.faults = Faults(status=status)
    with pytest.raises(Refused, match=f"HTTP {status}"):
        await provider.submit(order(SPEC, provider.offer))
    assert not standin.desk.orders


@pytest.mark.parametrize("status", [502, 504])
async def test_a_gateways_error_is_no_verdict(provider: Provider, standin: Any, status: int) -> None:
    standin.desk.faults = Faults(status=status)
    with pytest.raises(Unclear):
        await provider.submit(order(SPEC, provider.offer))


async def test_an_order_without_an_answer_is_unclear_and_not_repeated(
    provider: Provider, standin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    standin.desk.faults = Faults(hang=True)
    impatient(provider, monkeypatch)
    with pytest.raises(Unclear):
        await provider.submit(order(SPEC, provider.offer))
    assert len(standin.desk.orders) == 1


@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_a_provider_that_cannot_be_reached_has_taken_no_order(
    kind: str, unused_tcp_port_factory: Callable[[], int]
) -> None:
    provider: Provider = KINDS[kind]("key", f"http://127.0.0.1:{unused_tcp_port_factory()}", "")
    with pytest.raises(Refused, match="not reached"):
        await provider.submit(order(SPEC, provider.offer))
    with pytest.raises(Away):
        await provider.look("any")
    await provider.close()


async def test_a_cancelled_order_ends_as_cancelled(provider: Provider, standin: Any) -> None:
    standin.desk.faults = Faults(seconds=60)
    task = await provider.submit(order(SPEC, provider.offer))
    await provider.cancel(task)
    assert (await over(provider, task)).state is TaskState.CANCELLED


async def test_a_question_without_an_answer_is_asked_again(provider: Provider, standin: Any) -> None:
    task = await provider.submit(order(SPEC, provider.offer))
    standin.desk.faults = Faults(looks_status=500)
    with pytest.raises(Away):
        await provider.look(task)


@pytest.mark.parametrize(
    ("frames", "fps", "width", "height", "seconds", "shape"),
    [
        (17, 8, 64, 64, 4, Shape(1280, 720)),
        (33, 8, 64, 128, 6, Shape(720, 1280)),
        (33, 1, 128, 64, 8, Shape(1280, 720)),
        (48, 8, 128, 64, 6, Shape(1280, 720)),
    ],
)
def test_the_nearest_offer_is_not_shorter_than_asked_where_there_is_one(
    frames: int, fps: float, width: int, height: int, seconds: int, shape: Shape
) -> None:
    offer = Offer((4, 6, 8), (Shape(1280, 720), Shape(720, 1280)), 5)
    wanted = order(
        GenerationSpec(prompt="a red circle", frames=frames, fps=fps, width=width, height=height), offer
    )
    assert (wanted.seconds, wanted.shape, wanted.prompt) == (seconds, shape, "a red")


def test_a_book_remembers_orders_through_a_restart(tmp_path: Any) -> None:
    book = TaskBook(tmp_path / "orders")
    assert book.of("job_1") is None
    book.note("job_1", Placed(PLACING, 4))
    book.note("job_1", Placed("task", 4))
    again = TaskBook(tmp_path / "orders")
    assert again.of("job_1") == Placed("task", 4)
    again.forget("job_1")
    again.forget("job_1")
    assert book.of("job_1") is None


def impatient(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[type(provider).__module__], "SUBMIT_SECONDS", 3.0)


async def test_close_ends_connections(provider: Provider) -> None:
    await asyncio.wait_for(provider.close(), 5)
