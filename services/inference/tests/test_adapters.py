"""Adapters in the engine: read once, weighed anew for every video, and a bounded number of them."""

from pathlib import Path

import pytest
import torch

from edgecore_aiprod import AiprodPipeline
from edgecore_aiprod.adapter import save_adapter
from edgecore_aiprod.lora import new_adapter
from edgecore_aiprod.model import build_model
from edgecore_aiprod.presets import PRESETS
from edgecore_inference.domain.engine_messages import Adapter
from edgecore_inference.engine.adapters import KEPT, AdapterRack
from edgecore_inference.engine.loop import RequestRefused


@pytest.fixture(scope="module")
def pipeline() -> AiprodPipeline:
    torch.manual_seed(0)
    return AiprodPipeline(build_model(PRESETS["nano"]))


class Rack:
    """One with files for its adapters, and what is on the pipeline."""

    def __init__(self, pipeline: AiprodPipeline, folder: Path) -> None:
        self._folder = folder
        self._attached = pipeline.model.adapters
        for name in list(self._attached):
            pipeline.unload_adapter(name)
        self._rack = AdapterRack(pipeline)
        self._path = folder / "one"
        # All of one name, as different people's are: what tells them apart is the id.
        save_adapter(new_adapter(pipeline.model, 1, 1.0, "mine", ["backbone.outlet"]), self._path)

    def apply(self, **scales: float) -> None:
        self._rack.apply([Adapter(name, str(self._path), scale) for name, scale in scales.items()])

    def lose_files(self) -> None:
        self._path.unlink()

    @property
    def scales(self) -> dict[str, float]:
        return {name: one.scale for name, one in self._attached.items()}


@pytest.fixture
def rack(pipeline: AiprodPipeline, tmp_path: Path) -> Rack:
    return Rack(pipeline, tmp_path)


def test_only_the_adapters_of_the_job_count(rack: Rack) -> None:
    rack.apply(lora_a=1.0, lora_b=-0.5)
    assert rack.scales == {"lora_a": 1.0, "lora_b": -0.5}
    rack.lose_files()
    rack.apply(lora_b=2.0)
    assert rack.scales == {"lora_a": 0.0, "lora_b": 2.0}
    rack.apply()
    assert rack.scales == {"lora_a": 0.0, "lora_b": 0.0}


def test_the_one_used_longest_ago_goes_first(rack: Rack) -> None:
    for index in range(KEPT):
        rack.apply(**{f"lora_{index}": 1.0})
    rack.apply(lora_0=1.0)
    rack.apply(lora_new=1.0, lora_1=0.5)
    assert set(rack.scales) == {"lora_0", "lora_1", "lora_new", *(f"lora_{index}" for index in range(3, KEPT))}
    assert {name: scale for name, scale in rack.scales.items() if scale} == {"lora_new": 1.0, "lora_1": 0.5}


def test_a_file_that_does_not_fit_is_refused_in_the_models_words(rack: Rack, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = build_model(PRESETS["nano"])
    save_adapter(new_adapter(other, 1, 1.0, "mine", ["backbone.outlet"]), tmp_path / "one")
    with pytest.raises(RequestRefused, match=r"^adapters: lora_a is for the base model nano \w+…, this is nano"):
        rack.apply(lora_a=1.0)
    (tmp_path / "one").write_bytes(b"not a safetensors file")
    with pytest.raises(RequestRefused, match=r"^adapters: lora_a is not a safetensors file: "):
        rack.apply(lora_a=1.0)
    assert rack.scales == {}
