"""Preview frames: what arrives at the preview service, what they may cost, and that nobody waits for them."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Callable

import httpx
import numpy as np
import pytest

from edgecore.common.v1.common_pb2 import Reason
from edgecore.preview.v1.preview_pb2 import Frame
from edgecore_inference.adapters.engine_process import EngineProcess
from edgecore_inference.domain.engine_messages import Generate, Preview
from edgecore_inference.domain.outcome import AttemptFailed
from edgecore_inference.engine.previews import Look, PreviewMaker
from edgecore_inference.media.decode import pictures
from edgecore_runtime.testing import eventually

from .conftest import Node, StartNode
from .fake_preview import FakePreview, picture_of
from .test_work import CANCELLED, FAILED, SUCCEEDED, are_stored, report_of

CLOSED = "127.0.0.1:9"
"""Nobody listens there."""


@pytest.fixture
async def preview() -> AsyncIterator[FakePreview]:
    fake = FakePreview()
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
async def node(start_node: StartNode, preview: FakePreview) -> Node:
    """With previews, and all the time for them that they like."""
    started = await start_node(preview_address=f"127.0.0.1:{preview.port}", preview_share=1.0)
    await eventually(lambda: preview.streams)
    return started


async def metric(node: Node, line: str) -> float:
    async with httpx.AsyncClient(base_url=node.url) as client:
        text = (await client.get("/metrics")).text
    found = [one.split()[-1] for one in text.splitlines() if one.startswith(line)]
    return float(found[0]) if found else 0.0


def until(frames: list[Frame], **last: int) -> list[Frame]:
    """The frames, once one of them has these values."""
    there = any(all(getattr(one, name) == value for name, value in last.items()) for one in frames)
    return frames if there else []


def in_order(frames: list[Frame]) -> bool:
    numbers, steps = [one.number for one in frames], [one.step for one in frames]
    return numbers == sorted(set(numbers)) and steps == sorted(steps)


async def test_frames_arrive_in_order_and_end_as_the_video(node: Node, scheduler, preview) -> None:
    lease = scheduler.assign("job-1", token=3, prompt="pace", steps=100)
    report = await report_of(scheduler, lease)
    frames = await eventually(lambda: until(preview.of("job-1"), step=100))
    assert len(frames) >= 5
    assert in_order(frames)
    assert {one.number >> 20 for one in frames} == {one.attempt for one in frames} == {3}
    assert {(one.frames, one.steps, one.width, one.height, one.media_type) for one in frames} == {
        (17, 100, 64, 64, "image/jpeg")
    }
    assert len({one.frame for one in frames}) >= 3, "they walk through the clip"

    final = list(pictures(node.artifacts / report.artifact.key, "mp4"))
    away = [np.abs(picture_of(one).astype(int) - final[one.frame]).mean() for one in frames]
    assert away[-1] < 4, "the last frame is the video's own"
    assert away[0] > 2 * away[-1], "the first one was made early"
    assert all(one.made_at.seconds > 1_700_000_000 for one in frames)


async def test_the_last_frame_of_an_upscaled_video_has_its_size(node: Node, scheduler, preview) -> None:
    lease = scheduler.assign("job-1", prompt="pace", steps=20, upscale=True)
    await report_of(scheduler, lease)
    frames = await eventually(lambda: until(preview.of("job-1"), width=128))
    assert in_order(frames)
    assert {one.steps for one in frames} == {20}
    assert {one.width for one in frames[:-1]} == {64}
    assert (frames[-1].width, frames[-1].height) == (128, 128)


async def test_the_next_job_and_the_next_attempt_begin_anew(node: Node, scheduler, preview) -> None:
    for job_id, token, steps in (("job-1", 1, 20), ("job-1", 2, 20), ("job-2", 1, 4)):
        await report_of(scheduler, scheduler.assign(job_id, token=token, prompt="pace", steps=steps))
    await eventually(lambda: preview.of("job-2"))
    assert in_order_by_number(preview.of("job-1"))
    assert {one.attempt for one in preview.of("job-1")} == {1, 2}
    # Not always the first: who cannot send in time sends the newer one.
    assert 0 < preview.of("job-2")[0].number - 2**20 <= 5, "four steps and the final frame"


def in_order_by_number(frames: list[Frame]) -> bool:
    numbers = [one.number for one in frames]
    return numbers == sorted(set(numbers))


@pytest.mark.parametrize("changes", [{"preview_address": ""}, {"preview_address": CLOSED}, {"preview_share": 0.0}])
async def test_nothing_is_drawn_for_nobody(start_node, scheduler, preview, tmp_path, changes) -> None:
    node = await start_node(**({"preview_address": f"127.0.0.1:{preview.port}", "preview_share": 1.0} | changes))
    if "preview_address" not in changes:
        await eventually(lambda: preview.streams)
    report = await report_of(scheduler, scheduler.assign("job-1", prompt=f"note:{tmp_path}/drawn"))
    assert report.outcome == SUCCEEDED
    assert are_stored(node, report)
    assert not (tmp_path / "drawn").exists()
    assert not preview.frames


async def test_the_service_goes_and_comes_back_in_mid_job(node, scheduler, preview, tmp_path) -> None:
    drawn = tmp_path / "drawn"
    lease = scheduler.assign("job-1", prompt=f"note:{drawn}", steps=1500)
    await eventually(lambda: preview.of("job-1"))
    await preview.stop()

    async def away() -> bool:
        return await metric(node, "edgecore_inference_preview_connected") == 0.0

    await eventually(away)

    async def draws_no_more() -> bool:
        before, last = drawn.read_text(), scheduler.progress(lease)[-1].step
        await eventually(lambda: scheduler.progress(lease)[-1].step > last + 20)
        return drawn.read_text() == before

    await eventually(draws_no_more)

    seen = len(preview.frames)
    await preview.start()
    await eventually(lambda: len(preview.frames) > seen + 2)
    scheduler.cancel(lease)
    assert (await report_of(scheduler, lease)).outcome == CANCELLED
    assert in_order(preview.of("job-1"))


async def test_a_service_that_does_not_read_holds_nobody_up(start_node, scheduler, preview) -> None:
    preview.reads = False
    node = await start_node(preview_address=f"127.0.0.1:{preview.port}", preview_share=1.0)
    await eventually(lambda: preview.streams)
    long = scheduler.assign("job-1", prompt="noise", steps=3000)

    async def full() -> bool:
        return await metric(node, 'edgecore_inference_previews_total{fate="replaced"}') > 0

    await eventually(full, 30)
    scheduler.cancel(long)
    assert (await report_of(scheduler, long)).outcome == CANCELLED
    report = await report_of(scheduler, scheduler.assign("job-2", prompt="pace"))
    assert report.outcome == SUCCEEDED
    assert are_stored(node, report)


async def test_a_service_without_previews_is_no_harm(start_node, scheduler) -> None:
    """Another program's port: the scheduler's."""
    node = await start_node(preview_address=f"127.0.0.1:{scheduler.port}", preview_share=1.0)

    async def lost() -> bool:
        return await metric(node, "edgecore_inference_preview_connections_lost_total") >= 2

    await eventually(lost)
    assert (await report_of(scheduler, scheduler.assign("job-1", prompt="pace"))).outcome == SUCCEEDED


async def test_a_preview_that_fails_costs_no_video(node: Node, scheduler, preview) -> None:
    assert (await report_of(scheduler, scheduler.assign("job-1", prompt="blind"))).outcome == SUCCEEDED
    assert (await report_of(scheduler, scheduler.assign("job-2", prompt="pace"))).outcome == SUCCEEDED
    await eventually(lambda: preview.of("job-2"))
    assert not preview.of("job-1")


async def test_cancel_and_kill_while_frames_flow(node: Node, scheduler, preview) -> None:
    engine = node.engine_pid()
    lease = scheduler.assign("job-1", prompt="pace", steps=3000)
    await eventually(lambda: len(preview.of("job-1")) > 3)
    scheduler.cancel(lease)
    assert (await report_of(scheduler, lease)).outcome == CANCELLED
    assert node.engine_pid() == engine

    lease = scheduler.assign("job-2", prompt="noise", steps=3000)
    await eventually(lambda: len(preview.of("job-2")) > 3)
    os.kill(engine, signal.SIGKILL)
    report = await report_of(scheduler, lease)
    assert (report.outcome, report.reason) == (FAILED, Reason.REASON_ENGINE_FAILED)
    assert not node.files()

    assert (await report_of(scheduler, scheduler.assign("job-3", prompt="pace"))).outcome == SUCCEEDED
    await eventually(lambda: preview.of("job-3"))


class Watch:
    """A clock that previews move."""

    def __init__(self) -> None:
        self.time = 100.0
        self.offered: list[Preview] = []

    def maker(self, share: Callable[[], float]) -> PreviewMaker:
        def offer(preview: Preview, picture: bytes) -> bool:
            self.offered.append(preview)
            return True

        return PreviewMaker(share, offer, lambda: self.time)

    def draw(self, number: int) -> Look:
        self.time += 0.25
        return Look(number, 17, np.zeros((16, 16, 3), np.uint8))


@pytest.mark.parametrize(("share", "most"), [(0.0, 0), (0.05, 10), (0.1, 20), (0.25, 50), (1.0, 50)])
def test_previews_keep_to_their_share(share: float, most: int) -> None:
    watch = Watch()
    maker = watch.maker(lambda: share)
    for step in range(1, 51):
        watch.time += 1.0
        maker.after_step(step, 50, watch.draw)
        spent = 0.25 * len(watch.offered)
        assert spent <= share * step or spent == 0.25, "more than its share, and not the first"
    assert len(watch.offered) == most
    assert [one.frame for one in watch.offered] == list(range(most))
    assert not watch.offered or watch.offered[0].step == 1, "the first comes at once"


async def test_a_picture_cut_off_is_a_broken_engine() -> None:
    program = (
        "import sys, time;"
        'print(\'{"type": "Ready", "model": "m", "device": "cpu", "memory_bytes": 1, "load_seconds": 0}\','
        " flush=True);"
        "sys.stdin.readline();"
        'print(\'{"type": "Preview", "step": 1, "steps": 2, "frame": 0, "frames": 1, "width": 8,'
        ' "height": 8, "size": 500}\', flush=True); print(\'too little\')'
    )
    engine = await EngineProcess.launch([sys.executable, "-c", program], start_seconds=10, grace_seconds=1)
    with pytest.raises(AttemptFailed, match="the engine"):
        await engine.generate(Generate("x", "", 64, 64, 5, 2, 1.0, 0), lambda _: None)
    await engine.exited()


def test_previews_are_at_most_480p() -> None:
    sizes = []
    maker = PreviewMaker(lambda: 1.0, lambda preview, data: sizes.append((preview.width, preview.height)) is None)
    maker.after_decode(20, np.zeros((3, 1080, 1920, 3), np.uint8))
    assert sizes == [(853, 480)]
