"""What a job brings along: how it reaches the engine, and what happens when it cannot."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from edgecore.common.v1.common_pb2 import AdapterUse, FlowGuidance, GenerationSpec, Reason
from edgecore.scheduler.v1.scheduler_pb2 import Stage
from edgecore_inference.adapters import inputs
from edgecore_inference.adapters.inputs import ADAPTER_BYTES, ADAPTERS_KEPT, IMAGE_BYTES, Inputs
from edgecore_inference.domain.outcome import AttemptFailed
from edgecore_inference.media.decode import probe
from edgecore_runtime.objects import ObjectStore

from .conftest import Node
from .fake_scheduler import FakeScheduler
from .test_work import FAILED, SUCCEEDED, report_of

PICTURE = b"not looked at by the agent"


def stored(folder: Path, key: str, content: bytes) -> str:
    """Put an object into the store in this folder; returns its SHA-256."""
    path = folder / key
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def adapter(folder: Path, name: str, scale: float = 1.0) -> AdapterUse:
    """An adapter whose file is in the store."""
    key = f"adapters/{name}.safetensors"
    digest = stored(folder, key, f"adapter {name}".encode())
    return AdapterUse(id=f"lora_{name}", key=key, sha256=digest, scale=scale)


async def test_everything_asked_for_reaches_the_engine(node: Node, scheduler: FakeScheduler, tmp_path) -> None:
    picture = stored(node.artifacts, "inputs/picture", PICTURE)
    uses = [adapter(node.artifacts, "a", 0.5), adapter(node.artifacts, "b", -1.0)]
    lease = scheduler.assign(
        "job-1",
        prompt=f"tell:{tmp_path}/told",
        variant="distilled",
        image="inputs/picture",
        flow_guidance=FlowGuidance(right=1.5, down=-2.0, strength=0.25),
        adapters=uses,
    )
    assert (await report_of(scheduler, lease)).outcome == SUCCEEDED
    told = json.loads((tmp_path / "told").read_text())
    assert (told["variant"], told["upscale"]) == ("distilled", False)
    assert (told["motion"], told["motion_strength"]) == ([1.5, -2.0], 0.25)
    assert [(one["id"], one["scale"]) for one in told["adapters"]] == [("lora_a", 0.5), ("lora_b", -1.0)]
    assert told["digests"] == [picture, *(one.sha256 for one in uses)]
    # The picture is gone with its attempt, the adapters wait for the next one.
    left = {path.name for path in node.scratch_files() if path.is_file()}
    assert left == {one.sha256 for one in uses}


async def test_a_plain_job_asks_for_nothing_more(node: Node, scheduler: FakeScheduler, tmp_path) -> None:
    await report_of(scheduler, scheduler.assign("job-1", prompt=f"tell:{tmp_path}/told"))
    told = json.loads((tmp_path / "told").read_text())
    assert (told["variant"], told["upscale"], told["image"]) == ("standard", False, "")
    assert (told["motion"], told["adapters"]) == (None, [])


async def test_a_second_stage_doubles_the_sides(node: Node, scheduler: FakeScheduler) -> None:
    lease = scheduler.assign("job-1", upscale=True, width=96, frames=9, formats=["mp4", "webm"])
    report = await report_of(scheduler, lease)
    assert (report.outcome, report.detail) == (SUCCEEDED, "")
    for one in (report.artifact, report.other_artifacts[0]):
        found = probe(node.artifacts / one.key, one.format)
        assert (found.width, found.height) == (one.width, one.height) == (192, 128)
    thumbnail = report.other_artifacts[1]
    assert (thumbnail.width, thumbnail.height) == (192, 128)
    progress = scheduler.progress(lease)
    last = [one for one in progress if one.stage == Stage.STAGE_SAMPLING][-1]
    assert (last.step, last.steps) == (4, 4)
    assert {(one.step, one.steps) for one in progress if one.stage == Stage.STAGE_UPLOADING} == {(4, 4)}


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        ({"image": "inputs/gone"}, Reason.REASON_INVALID_SPEC, "image: inputs/gone is not in the artifact store"),
        (
            {"image": "inputs/large"},
            Reason.REASON_INVALID_SPEC,
            f"image: inputs/large has {IMAGE_BYTES + 1} bytes, and at most {IMAGE_BYTES} are accepted",
        ),
        (
            {"adapters": [AdapterUse(id="lora_1", key="adapters/gone", sha256="0" * 64)]},
            Reason.REASON_INVALID_SPEC,
            "adapters: adapters/gone is not in the artifact store",
        ),
        (
            {"adapters": [AdapterUse(id="lora_1", key="adapters/large", sha256="0" * 64)]},
            Reason.REASON_INVALID_SPEC,
            f"adapters: adapters/large has {ADAPTER_BYTES + 1} bytes, and at most {ADAPTER_BYTES} are accepted",
        ),
        (
            {"adapters": [AdapterUse(id="lora_1", key="adapters/other", sha256="0" * 64)]},
            Reason.REASON_STORAGE,
            "adapters: lora_1: the SHA-256 of adapters/other is 100ef6a7",
        ),
        (
            {"adapters": [AdapterUse(id=f"lora_{index}") for index in range(9)]},
            Reason.REASON_INVALID_SPEC,
            "adapters: at most 8, not 9",
        ),
    ],
)
async def test_what_cannot_be_brought_has_a_reason(node, scheduler, spec: dict[str, Any], reason, words) -> None:
    for key, size in (("inputs/large", IMAGE_BYTES), ("adapters/large", ADAPTER_BYTES)):
        stored(node.artifacts, key, b"")
        os.truncate(node.artifacts / key, size + 1)
    stored(node.artifacts, "adapters/other", b"another file")
    report = await report_of(scheduler, scheduler.assign("job-1", **spec))
    assert (report.outcome, report.reason) == (FAILED, reason)
    assert report.detail.startswith(words)
    assert not [path for path in node.scratch_files() if path.is_file()]
    assert (await report_of(scheduler, scheduler.assign("job-2"))).outcome == SUCCEEDED


class Desk:
    """Inputs on their own, with a store in a folder."""

    def __init__(self, directory: Path) -> None:
        self.objects = directory / "objects"
        self.cache = directory / "adapters"
        self.folder = directory / "attempt"
        self.folder.mkdir()
        self.inputs = Inputs(ObjectStore(self.objects.as_uri()), self.cache)

    async def bring(self, *uses: AdapterUse, image: str = "") -> list[bytes]:
        """The adapters' files as the engine finds them."""
        found = await self.inputs.fetch(GenerationSpec(adapters=uses, image=image), self.folder)
        return [Path(one.path).read_bytes() for one in found.adapters]

    def kept(self) -> set[str]:
        return {path.name for path in self.cache.iterdir()}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_an_adapter_is_fetched_once(desk: Desk) -> None:
    use = adapter(desk.objects, "a")
    assert await desk.bring(use) == [b"adapter a"]
    (desk.objects / use.key).unlink()
    assert await desk.bring(use) == [b"adapter a"]
    # Another adapter with the same content is the same file.
    again = AdapterUse(id="lora_again", key="adapters/elsewhere", sha256=use.sha256)
    assert await desk.bring(again) == [b"adapter a"]


async def test_the_adapter_used_longest_ago_goes_first(desk: Desk) -> None:
    uses = [adapter(desk.objects, str(index)) for index in range(ADAPTERS_KEPT + 2)]
    for use in uses[:ADAPTERS_KEPT]:
        await desk.bring(use)
    await desk.bring(uses[0])
    await desk.bring(*uses[ADAPTERS_KEPT:])
    assert desk.kept() == {one.sha256 for one in (uses[0], *uses[3:])}
    # One that is to go for another of the same job is fetched again.
    contents = await desk.bring(uses[1], uses[3])
    assert contents == [b"adapter 1", b"adapter 3"]
    assert len(desk.kept()) == ADAPTERS_KEPT


async def test_a_file_that_somebody_removed_is_fetched_again(desk: Desk) -> None:
    use = adapter(desk.objects, "a")
    await desk.bring(use)
    (desk.cache / use.sha256).unlink()
    assert await desk.bring(use) == [b"adapter a"]


async def test_a_store_that_is_away(desk: Desk) -> None:
    use = adapter(desk.objects, "a")
    (desk.objects / use.key).unlink()
    (desk.objects / "adapters").rmdir()
    (desk.objects / "adapters").write_text("a file where the folder was")
    with pytest.raises(AttemptFailed) as caught:
        await desk.bring(use)
    assert caught.value.reason.to_proto() == Reason.REASON_STORAGE
    assert caught.value.detail.startswith("adapters: cannot read adapters/a.safetensors")


async def test_a_store_that_hangs(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named pipe that nobody writes to never ends."""
    monkeypatch.setattr(inputs, "FETCH_SECONDS", 2.0)
    (desk.objects / "inputs").mkdir(parents=True)
    pipe = desk.objects / "inputs/hangs"
    os.mkfifo(pipe)
    with pytest.raises(AttemptFailed) as caught:
        await desk.bring(image="inputs/hangs")
    os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))  # lets go of the store's thread
    assert caught.value.detail == "image: inputs/hangs did not arrive within 2 s"
