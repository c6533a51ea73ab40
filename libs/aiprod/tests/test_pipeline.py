"""The public face: requests, reports, cancelling, determinism; and what the shipped checkpoint shows."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from edgecore_aiprod import AiprodPipeline, Cancelled, GenerationRequest, InvalidRequest, StepReport
from edgecore_aiprod.checkpoint import load_model, save_model
from edgecore_aiprod.detector import detect
from edgecore_aiprod.image_file import fit_image
from edgecore_aiprod.lora import LowRank, new_adapter
from edgecore_aiprod.model import Model
from edgecore_aiprod.rules import DISTILLED_STEPS

SMALL = GenerationRequest("a red circle moving right", frames=5, steps=3)
PHOTO = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)


@pytest.fixture(scope="session")
def distilled_pipeline(tiny_model: Model) -> AiprodPipeline:
    """The tiny model with random weights for its distilled variant."""
    empty = new_adapter(tiny_model, 2, 2.0, "distilled")
    weights = {
        layer: LowRank(pair.down_RI, torch.randn(pair.up_OR.shape)) for layer, pair in empty.weights.items()
    }
    return AiprodPipeline(replace(tiny_model, distilled=replace(empty, weights=weights)))


def test_reports_come_in_order_with_a_clean_estimate(tiny_pipeline: AiprodPipeline) -> None:
    reports: list[StepReport] = []
    video = tiny_pipeline(SMALL, on_step=reports.append)
    assert video.shape == (5, 64, 64, 3)
    assert video.dtype == np.uint8
    assert [(report.stage, report.step) for report in reports] == [
        ("text", 0),
        ("sample", 1),
        ("sample", 2),
        ("sample", 3),
        ("decode", 3),
    ]
    assert all(report.steps == 3 for report in reports)
    assert reports[1].latent_x0 is not None
    assert reports[1].latent_x0.shape == (1, 2, 4, 4, 16)
    assert tiny_pipeline.preview(reports[1].latent_x0).shape == video.shape


def test_a_request_makes_the_same_clip_twice_and_a_seed_another(tiny_pipeline: AiprodPipeline) -> None:
    first = tiny_pipeline(SMALL)
    assert np.array_equal(tiny_pipeline(SMALL), first)
    assert not np.array_equal(tiny_pipeline(replace(SMALL, seed=1)), first)
    assert not np.array_equal(tiny_pipeline(replace(SMALL, negative_prompt="blue")), first)


@pytest.mark.parametrize("asked", range(5))
def test_cancel_is_asked_before_every_step_and_before_decoding(
    tiny_pipeline: AiprodPipeline, asked: int
) -> None:
    calls = count()
    reports: list[StepReport] = []
    with pytest.raises(Cancelled) as caught:
        tiny_pipeline(SMALL, reports.append, should_stop=lambda: next(calls) == asked)
    assert caught.value.step == max(0, asked - 1)
    assert [report.stage for report in reports].count("sample") == max(0, asked - 1)
    assert "decode" not in [report.stage for report in reports]
    assert tiny_pipeline(SMALL).shape == (5, 64, 64, 3)


@pytest.mark.parametrize("upscale", [False, True])
def test_the_first_frame_is_held_at_every_step(tiny_pipeline: AiprodPipeline, upscale: bool) -> None:
    reports: list[StepReport] = []
    request = replace(SMALL, image=PHOTO, upscale=upscale)
    video = tiny_pipeline(request, reports.append)
    opening = {}
    for side in (64, 128):
        pixels = torch.from_numpy(fit_image(PHOTO, side, side)).float() / 127.5 - 1.0
        with torch.inference_mode():
            opening[side // 16] = tiny_pipeline.model.vae.encode(pixels[None, None])
    seen = [report.latent_x0 for report in reports if report.latent_x0 is not None]
    assert len(seen) >= 3
    for latent_BTHWC in seen:
        assert torch.equal(latent_BTHWC[:, :1], opening[latent_BTHWC.shape[2]])
    held = tiny_pipeline.preview(opening[8 if upscale else 4])
    assert np.abs(video[0].astype(int) - held[0]).max() <= 1
    assert np.array_equal(tiny_pipeline(request), video)
    assert not np.array_equal(tiny_pipeline(replace(request, image=255 - PHOTO)), video)
    assert not np.array_equal(video[-1], tiny_pipeline(replace(SMALL, upscale=upscale))[-1])


def test_the_second_stage_doubles_the_sides(tiny_pipeline: AiprodPipeline) -> None:
    reports: list[StepReport] = []
    request = replace(SMALL, width=80, upscale=True)
    video = tiny_pipeline(request, reports.append)
    assert video.shape == (5, 128, 160, 3)
    assert [report.stage for report in reports] == ["text", *["sample"] * 3, "upscale", "decode"]
    assert [report.step for report in reports] == [0, 1, 2, 3, 3, 3]
    assert {report.steps for report in reports} == {3}
    for report in reports[1:-1]:
        assert report.latent_x0 is not None
        scale = 2 if report.stage == "upscale" else 1
        assert report.latent_x0.shape == (1, 2, 4 * scale, 5 * scale, 16)
        assert tiny_pipeline.preview(report.latent_x0).shape == (5, 64 * scale, 80 * scale, 3)
    assert np.array_equal(tiny_pipeline(request), video)


@pytest.mark.parametrize("asked", range(6))
def test_cancel_works_in_both_stages(tiny_pipeline: AiprodPipeline, asked: int) -> None:
    calls = count()
    reports: list[StepReport] = []
    with pytest.raises(Cancelled) as caught:
        tiny_pipeline(replace(SMALL, upscale=True), reports.append, should_stop=lambda: next(calls) == asked)
    assert caught.value.step == (reports[-1].step if reports else 0)
    assert "decode" not in [report.stage for report in reports]


def test_the_distilled_variant_takes_few_steps_and_leaves_no_trace(
    distilled_pipeline: AiprodPipeline,
) -> None:
    plain = distilled_pipeline(SMALL)
    reports: list[StepReport] = []
    distilled = distilled_pipeline(replace(SMALL, variant="distilled", steps=20), reports.append)
    assert {report.steps for report in reports} == {DISTILLED_STEPS}
    assert not np.array_equal(distilled, plain)
    guided = distilled_pipeline(replace(SMALL, variant="distilled", guidance=9.0, steps=4))
    assert np.array_equal(guided, distilled)
    with pytest.raises(Cancelled):
        distilled_pipeline(replace(SMALL, variant="distilled"), should_stop=lambda: True)
    assert np.array_equal(distilled_pipeline(SMALL), plain)


def test_what_a_checkpoint_has_no_weights_for_is_refused(tiny_model: Model) -> None:
    bare = AiprodPipeline(replace(tiny_model, upsampler=None))
    for field, value, nearest in (("upscale", True, False), ("variant", "distilled", "standard")):
        with pytest.raises(InvalidRequest, match="this checkpoint has no") as caught:
            bare(replace(SMALL, **{field: value}))
        assert (caught.value.field, caught.value.nearest) == (field, nearest)


def test_optional_parts_survive_the_round_trip(distilled_pipeline: AiprodPipeline, tmp_path: Path) -> None:
    model = load_model(save(distilled_pipeline.model, tmp_path / "whole"))
    assert model.distilled is not None
    assert model.upsampler is not None
    request = replace(SMALL, variant="distilled", upscale=True)
    assert AiprodPipeline(model)(request).shape == (5, 128, 128, 3)
    bare = load_model(save(replace(model, upsampler=None, distilled=None), tmp_path / "bare"))
    assert (bare.upsampler, bare.distilled) == (None, None)


def save(model: Model, folder: Path) -> Path:
    save_model(model, folder, {})
    return folder


def test_requests_are_equal_in_arrays_too() -> None:
    with_photo = replace(SMALL, image=PHOTO)
    assert with_photo == replace(SMALL, image=PHOTO.copy())
    assert with_photo != SMALL
    assert with_photo != replace(SMALL, image=255 - PHOTO)
    assert hash(SMALL) == hash(replace(SMALL))
    assert SMALL != "a red circle moving right"


@pytest.mark.parametrize(("width", "height", "frames"), [(128, 64, 5), (80, 112, 9), (64, 64, 33)])
def test_every_size_of_the_rules_runs(
    tiny_pipeline: AiprodPipeline, width: int, height: int, frames: int
) -> None:
    request = replace(SMALL, width=width, height=height, frames=frames, steps=1)
    assert tiny_pipeline(request).shape == (frames, height, width, 3)


@pytest.mark.parametrize(
    ("field", "value", "nearest"),
    [
        ("width", 65, 64),
        ("width", 4096, 128),
        ("height", 0, 64),
        ("height", "64", None),
        ("frames", 16, 17),
        ("frames", 18, 17),
        ("frames", 1, 5),
        ("steps", 0, 1),
        ("steps", 51, 50),
        ("steps", True, None),
        ("guidance", -1.0, 0.0),
        ("guidance", float("inf"), 20.0),
        ("guidance", float("nan"), None),
        ("seed", -1, 0),
        ("seed", 2**63, 2**63 - 1),
        ("prompt", "", None),
        ("prompt", "   ", None),
        ("prompt", "x" * 100_000, None),
        ("prompt", "a \ud800 circle", None),
        ("prompt", b"bytes", None),
        ("negative_prompt", "\udfff", None),
        ("negative_prompt", "x" * 2001, None),
        ("image", PHOTO.tolist(), None),
        ("image", PHOTO.astype(np.float32), None),
        ("image", PHOTO[..., 0], None),
        ("image", PHOTO[:8], (16, 120, 3)),
        ("image", np.zeros((1, 5000, 3), np.uint8), (16, 4096, 3)),
        ("motion", (1.0, 0.0), None),
        ("motion", np.array([1, 0]), None),
        ("motion", np.zeros(3), None),
        ("motion", np.zeros((17, 64, 64, 2)), None),
        ("motion", np.array([np.nan, 0.0]), None),
        ("motion", np.array([0.0, np.inf]), None),
        ("motion", np.array([0.0, 32.0]), "the same times 0.5"),
        ("motion_strength", 1.5, 1.0),
        ("motion_strength", -0.1, 0.0),
        ("motion_strength", float("nan"), None),
        ("motion_strength", "1", None),
        ("variant", "fast", "standard"),
        ("upscale", 1, None),
    ],
)
def test_a_broken_rule_names_field_and_nearest_value(
    tiny_pipeline: AiprodPipeline, field: str, value: Any, nearest: Any
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        tiny_pipeline(replace(SMALL, **{field: value}))
    assert (caught.value.field, caught.value.nearest) == (field, nearest)
    assert field in str(caught.value)
    assert len(str(caught.value)) < 300
    str(caught.value).encode("utf-8")


@pytest.mark.parametrize(
    "prompt", ["🔴➡️", "قلب أحمر سهم لليمين", "\u202eneddih\u202c", "\x00\x07", "é" * 2000, "🔴" * 2000]
)
def test_any_text_of_the_allowed_length_is_read(tiny_pipeline: AiprodPipeline, prompt: str) -> None:
    assert tiny_pipeline(replace(SMALL, prompt=prompt, steps=1)).shape == (5, 64, 64, 3)


def test_light_users_import_no_torch() -> None:
    code = (
        "import sys, edgecore_aiprod as e; from edgecore_aiprod.rules import NANO_RULES;"
        "assert e.MODEL_RULES['nano'] is NANO_RULES; assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


SHOWN = [
    ("a red circle moving right", "red", "circle", "right"),
    ("red circle moving right, slow, close-up", "red", "circle", "right"),
    ("a purple heart drifting up and to the left", "purple", "heart", "up-left"),
    ("a blue square moving down", "blue", "square", "down"),
    ("a white heart standing still", "white", "heart", "still"),
    ("a black circle sliding to the left", "black", "circle", "left"),
    ("the yellow square travels diagonally down and to the right", "yellow", "square", "down-right"),
    ("a green heart going up, fast", "green", "heart", "up"),
    ("an orange circle floating down-left", "orange", "circle", "down-left"),
    ("one brown square moves up and to the right", "brown", "square", "up-right"),
    ("a green circle moves from left to right", "green", "circle", "right"),
    ("a red heart is drifting straight down, far away", "red", "heart", "down"),
]


def test_the_shipped_checkpoint_shows_what_is_asked(shipped_pipeline: AiprodPipeline) -> None:
    seen = {}
    for seed, (prompt, *asked) in enumerate(SHOWN):
        reading = detect(shipped_pipeline(GenerationRequest(prompt, seed=1000 + seed)))
        seen[prompt] = [reading.colour, reading.shape, reading.motion] == asked
    assert sum(seen.values()) >= 9, [prompt for prompt, right in seen.items() if not right]
