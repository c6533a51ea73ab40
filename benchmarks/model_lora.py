"""An adapter for an object the model has never seen, from at most 100 clips: what it learns, what it forgets.

`make bench NAME=model-lora`: writes the clips as files, encodes them, trains the adapter by the committed config,
writes and reads its file, and makes 600 clips; about 20 minutes on two cores.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.progress import track

from benchmarks import checkpoint as judged
from benchmarks.result import figure, share
from edgecore_aiprod import AiprodPipeline, GenerationRequest
from edgecore_aiprod.adapter import save_adapter
from edgecore_aiprod.captions import english_caption
from edgecore_aiprod.detector import detect
from edgecore_aiprod.evaluation.attributes import ATTRIBUTES, summary
from edgecore_aiprod.evaluation.trials import Trial, batched_trials, prompts, unseen_rng
from edgecore_aiprod.pipeline import shipped_checkpoint
from edgecore_aiprod.training.config import read_config
from edgecore_aiprod.training.demo_object import write_clips
from edgecore_aiprod.training.loop import Trainer
from edgecore_aiprod.training.lora import LoraLesson, trained_adapter
from edgecore_aiprod.training.prepare import prepare
from edgecore_aiprod.world import EXTRA_SHAPES, SHAPES, Scene, sample_scene

CONFIG = Path("libs/aiprod/configs/nano/lora.toml")
SHOWN = 100  # clips of the new object
COPIES = 7  # of each, moved a little
NEW_SEEN, POINTS_LOST = 0.90, 3.0
(NEW,) = EXTRA_SHAPES


def add_options(parser: argparse.ArgumentParser) -> None:
    judged.add_options(parser, 200, "clips of the new object, and of the old ones with and without the adapter")
    parser.add_argument("--steps", type=int, help="train this many, not the configured number")


def run(seed: int, checkpoint: Path | None = None, clips: int = 200, steps: int | None = None) -> dict[str, Any]:
    """Old objects are asked for by the same prompts and seeds on both sides."""
    pipeline = judged.open_pipeline(checkpoint)
    old = list(prompts(clips, seed))
    before = _made(pipeline, old, seed, "old objects, plain")
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        adapter = _trained(pipeline, Path(place), checkpoint or shipped_checkpoint(), seed, steps)
        seconds = time.perf_counter() - started
        size = adapter.stat().st_size
        pipeline.load_adapter(adapter)
    after = _made(pipeline, old, seed, "old objects, adapter")
    new = _made(pipeline, _new_prompts(clips, seed), seed, "the new object")
    found = {name: summary(trials) for name, trials in (("before", before), ("after", after), ("new", new))}
    lost = 100 * (found["before"]["all"] - found["after"]["all"])
    figures = [
        share(f"{NEW}: all three right", found["new"]["all"], clips, least=NEW_SEEN),
        *[share(f"{NEW}: {name} right", found["new"][name], clips) for name in ATTRIBUTES],
        figure("lost by the old objects", lost, "points", target=f"≤ {POINTS_LOST:g}",
               ok=lost <= POINTS_LOST, n=clips),
        *judged.shares("old objects", found["after"], found["before"]),
        figure("clips to a trained adapter", seconds, "s", target="stated", ok=True, n=1),
        figure("the adapter's file", size / 1e6, "MB", target="stated", ok=True, n=1),
    ]  # fmt: skip
    notes = [
        f"the adapter saw {SHOWN} clips of the {NEW}, each also moved a little {COPIES} times; here are prompts"
        " and seeds it never saw, at scale 1",
        "old objects beside: the same prompts and seeds without the adapter",
        f"{NEW}, all three: {judged.at_95(found['new']['all'], clips)}; old objects with the adapter: "
        f"{judged.at_95(found['after']['all'], clips)}",
    ]
    return {"name": "model-lora", "figures": figures, "notes": notes}


def _trained(pipeline: AiprodPipeline, place: Path, base: Path, seed: int, steps: int | None) -> Path:
    """The adapter's file, from clips written to `place`."""
    write_clips(place / "clips", SHOWN, seed, NEW)
    prepare(place / "clips", place / "latents", pipeline.model.vae, copies=COPIES)
    config = replace(read_config(CONFIG, steps=steps), base=str(base), data=str(place / "latents"))
    Trainer(LoraLesson(config, place), config, place / "lora").run()
    path = place / f"{NEW}.safetensors"
    save_adapter(trained_adapter(place / "lora", NEW, (NEW,)), path)
    return path


def _new_prompts(count: int, seed: int) -> list[tuple[str, Scene]]:
    """Unseen English captions of the new object, with their scenes."""
    asked = []
    for index in range(count):
        rng = unseen_rng(seed, 1, index)
        scene = sample_scene(rng, shape=NEW)
        asked.append((english_caption(scene, rng).text, scene))
    return asked


def _made(pipeline: AiprodPipeline, asked: list[tuple[str, Scene]], seed: int, name: str) -> list[Trial]:
    """Read by a detector that knows the new object too."""
    stream = batched_trials(pipeline, asked, seed, GenerationRequest(""))
    return [
        replace(trial, reading=detect(trial.video, (*SHAPES, NEW))) for trial in track(stream, name, len(asked))
    ]
