"""A tensor that does not fit a network: the error names the dimension."""

from __future__ import annotations

import pytest
import torch

from edgecore_aiprod.model import Model
from edgecore_aiprod.motion import motion_hints


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((5, 64, 64, 3), r"video_BTHWC: must have the dimensions \(B, T, H, W, C\)"),
        ((1, 3, 5, 64, 64), "C of .* must be 3, not 64"),
        ((1, 5, 64, 64, 4), "C of .* must be 3, not 4"),
        ((0, 5, 64, 64, 3), "B of .* must be at least 1, not 0"),
        ((1, 0, 64, 64, 3), "T of .* must be at least 1, not 0"),
        ((1, 4, 64, 64, 3), r"4k\+1"),
        ((1, 5, 60, 64, 3), "multiples of 16"),
        ((1, 5, 64, 0, 3), "W of .* must be at least 1, not 0"),
    ],
)
def test_a_wrong_video_is_told_the_dimension(tiny_model: Model, shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        tiny_model.vae.encode(torch.zeros(shape))


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((2, 4, 4, 16), "z_BTHWC: must have the dimensions"),
        ((1, 2, 4, 4, 17), "C of .* must be 16, not 17"),
        ((1, 0, 4, 4, 16), "T of .* must be at least 1"),
    ],
)
def test_a_wrong_latent_is_told_the_dimension(tiny_model: Model, shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        tiny_model.vae.decode(torch.zeros(shape))


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("x", (2, 3, 4, 16), "x_BTHWC: must have the dimensions"),
        ("x", (2, 3, 4, 4, 15), "x_BTHWC: C of .* must be 16, not 15"),
        ("t", (3,), "t_B: B of .* must be 2, not 3"),
        ("t", (), "t_B: must have the dimensions"),
        ("text", (2, 16), "text_BRE: must have the dimensions"),
        ("text", (3, 4, 16), "text_BRE: B of .* must be 2, not 3"),
        ("text", (2, 4, 8), "text_BRE: E of .* must be 16, not 8"),
        ("text", (2, 0, 16), "text_BRE: R of .* must be at least 1"),
        ("hints", (3, 4, 4, 4), "hints_BTHW4: must have the dimensions"),
        ("hints", (2, 3, 4, 4, 2), "hints_BTHW4: C of .* must be 4, not 2"),
        ("hints", (2, 3, 4, 5, 4), "hints_BTHW4: W of .* must be 4, not 5"),
        ("hints", (2, 1, 4, 4, 4), "hints_BTHW4: T of .* must be 3, not 1"),
    ],
)
def test_the_backbone_names_the_dimension_that_does_not_fit(
    tiny_model: Model, name: str, shape: tuple[int, ...], said: str
) -> None:
    given = {
        "x": torch.zeros(2, 3, 4, 4, 16),
        "t": torch.zeros(2),
        "text": torch.zeros(2, 4, 16),
        "hints": torch.zeros(2, 3, 4, 4, 4),
    }
    given[name] = torch.zeros(shape)
    with pytest.raises(ValueError, match=said):
        tiny_model.backbone(given["x"], given["t"], given["text"], given["hints"])


@torch.inference_mode()
def test_one_text_and_one_clips_hints_serve_a_batch(tiny_model: Model) -> None:
    x_BTHWC, t_B = torch.randn(2, 3, 4, 4, 16), torch.tensor([0.2, 0.7])
    text_1RE, hints_1THW4 = torch.randn(1, 4, 16), torch.randn(1, 3, 4, 4, 4)
    one = tiny_model.backbone(x_BTHWC, t_B, text_1RE, hints_1THW4)
    each = tiny_model.backbone(x_BTHWC, t_B, text_1RE.repeat(2, 1, 1), hints_1THW4.repeat(2, 1, 1, 1, 1))
    torch.testing.assert_close(one, each)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((64, 64, 2), "field_FHW2: must have the dimensions"),
        ((5, 64, 64, 3), "C of .* must be 2, not 3"),
        ((4, 64, 64, 2), r"F must be 4k\+1, not 4"),
        ((0, 64, 64, 2), "F of .* must be at least 1"),
    ],
)
def test_a_wrong_motion_field_is_told_the_dimension(shape: tuple[int, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        motion_hints(torch.zeros(shape), 4, 4)
