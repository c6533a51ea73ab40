"""The public face: requests, reports, cancelling, determinism; and what the shipped checkpoint shows."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
import pytest

from edgecore_aiprod import AiprodPipeline, Cancelled, GenerationRequest, InvalidRequest, StepReport
from edgecore_aiprod.detector import detect

SMALL = GenerationRequest("a red circle moving right", frames=5, steps=3)


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
