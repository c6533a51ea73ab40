"""The three sizes: their shapes by name, their numbers of parameters, and that the largest one runs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields

import pytest
import torch

from edgecore_aiprod.flow import latent_shape
from edgecore_aiprod.model import Model, build_model
from edgecore_aiprod.motion import motion_hints
from edgecore_aiprod.presets import PRESETS, ModelParams, count_parameters

#: As the README states them; `python -m edgecore_aiprod.presets` prints them.
PARAMETERS = {
    "nano": {"vae": 3_845_187, "text": 783_936, "backbone": 6_798_592, "upsampler": 839_200},
    "small": {"vae": 23_183_491, "text": 5_271_424, "backbone": 54_963_456},
    "base": {"vae": 57_927_075, "text": 26_922_496, "backbone": 351_504_640},
}


def check_shapes(model: Model, B: int, F: int, H: int, W: int) -> None:
    """Once through every network, in the weights' own type."""
    params, dtype = model.params, model.backbone.inlet.weight.dtype
    T, h, w, C = (F - 1) // 4 + 1, H // 16, W // 16, params.vae.latent
    R, E = params.text.registers, params.text.out
    video_BTHWC = torch.rand(B, F, H, W, 3, dtype=dtype) * 2 - 1
    z_BTHWC = model.vae.encode(video_BTHWC)
    assert z_BTHWC.shape == (B, T, h, w, C) == latent_shape(B, F, H, W, C)
    text_BRE = model.text.encode(["a red circle"] * B)
    assert text_BRE.shape == (B, R, E)
    hints_THW4 = motion_hints(torch.ones(F, H, W, 2), h, w)
    assert hints_THW4.shape == (T, h, w, 4)
    t_B = torch.full((B,), 0.5)
    noise_BTHWC = torch.randn(B, T, h, w, C)
    x0_BTHWC = model.backbone(noise_BTHWC, t_B, text_BRE, hints_THW4[None])
    assert x0_BTHWC.shape == (B, T, h, w, C)
    made_BTHWC = model.vae.decode(z_BTHWC)
    assert made_BTHWC.shape == (B, F, H, W, 3)
    assert all(made.isfinite().all() for made in (z_BTHWC, text_BRE, x0_BTHWC, made_BTHWC))


@torch.inference_mode()
@pytest.mark.parametrize("name", ["nano", "small"])
def test_nano_and_small_run(name: str) -> None:
    torch.manual_seed(0)
    check_shapes(build_model(PRESETS[name]), B=2, F=5, H=32, W=48)


@torch.inference_mode()
def test_base_runs_at_a_small_resolution() -> None:
    with torch.device("meta"):
        model = build_model(PRESETS["base"])
    for part in (model.vae, model.text, model.backbone):  # 1.7 GB; torch's own initialisation takes a minute
        part.to_empty(device="cpu")
        for weight in part.parameters():
            weight.fill_(0.01)
        for buffer in part.buffers():
            buffer.fill_(1)
    check_shapes(model, B=1, F=5, H=32, W=32)


@pytest.mark.parametrize("name", list(PRESETS))
def test_numbers_of_parameters_are_those_stated(name: str) -> None:
    assert count_parameters(PRESETS[name]) == PARAMETERS[name]


def test_base_is_the_plans_backbone() -> None:
    base = PRESETS["base"].backbone
    assert len(base.blocks) == 48
    assert (base.blocks.count("A"), base.blocks.count("C")) == (30, 18)
    assert "CC" not in base.blocks  # interleaved
    assert (base.width, base.heads, base.feed_forward) == (768, 12, 3072)


def test_every_preset_keeps_the_latent_and_text_of_the_plan_and_survives_json() -> None:
    for name, params in PRESETS.items():
        assert params.name == name
        assert params.vae.latent == params.text.out == 256
        assert {field.name for field in fields(params)} >= set(params.to_dict()) - {"upsampler"}
        assert ModelParams.from_dict(params.to_dict()) == params


def test_the_command_prints_the_table() -> None:
    command = [sys.executable, "-W", "error", "-m", "edgecore_aiprod.presets"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name, parts in PARAMETERS.items():
        row = next(line for line in printed.splitlines() if line.startswith(f"| `{name}` "))
        assert row.endswith(f" {sum(parts.values()):,} |")
        assert all(f" {count:,} " in row for count in parts.values())
