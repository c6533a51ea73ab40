"""Shapes with their names, causality in time, and what padding and batching must not change."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgecore_aiprod.attention import attend, rotary_angles_3d
from edgecore_aiprod.backbone import HINTS, Backbone
from edgecore_aiprod.depthwise import DepthwiseConv3d
from edgecore_aiprod.flow import (
    GUIDED_ABOVE,
    add_noise,
    guided,
    latent_shape,
    sample,
    schedule,
    velocity_loss,
)
from edgecore_aiprod.model import Model
from edgecore_aiprod.presets import PRESETS, ModelParams
from edgecore_aiprod.video_layers import fold_patches, unfold_patches


@torch.inference_mode()
def test_the_autoencoder_shrinks_space_by_16_and_time_by_4(tiny_model: Model) -> None:
    for B, F, H, W in ((2, 5, 64, 64), (1, 17, 32, 48), (1, 1, 16, 16)):
        video_BTHWC = torch.rand(B, F, H, W, 3) * 2 - 1
        z_BTHWC = tiny_model.vae.encode(video_BTHWC)
        assert tuple(z_BTHWC.shape) == latent_shape(B, F, H, W, 16)
        assert tuple(z_BTHWC.shape) == (B, (F - 1) // 4 + 1, H // 16, W // 16, 16)
        assert tiny_model.vae.decode(z_BTHWC).shape == (B, F, H, W, 3)


@torch.inference_mode()
def test_the_first_frame_is_encoded_and_decoded_alone_and_time_is_causal(tiny_model: Model) -> None:
    vae = tiny_model.vae
    video = torch.rand(1, 13, 32, 32, 3) * 2 - 1
    z = vae.encode(video)
    torch.testing.assert_close(vae.encode(video[:, :1]), z[:, :1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(vae.encode(video[:, :9]), z[:, :3], atol=1e-4, rtol=1e-4)
    made = vae.decode(z)
    torch.testing.assert_close(vae.decode(z[:, :1]), made[:, :1], atol=1e-4, rtol=1e-4)
    changed = z.clone()
    changed[:, 2:] = 0
    torch.testing.assert_close(vae.decode(changed)[:, :5], made[:, :5], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(vae.decode(changed)[:, 5:], made[:, 5:])


def test_sizes_off_the_grid_are_refused(tiny_model: Model) -> None:
    for shape in ((1, 6, 64, 64, 3), (1, 5, 60, 64, 3), (1, 5, 64, 72, 3)):
        with pytest.raises(ValueError, match="4k"):
            tiny_model.vae.encode(torch.zeros(shape))


def test_patches_fold_and_unfold() -> None:
    x = torch.rand(2, 3, 8, 12, 5)
    assert fold_patches(x, 4).shape == (2, 3, 2, 3, 80)
    assert torch.equal(unfold_patches(fold_patches(x, 4), 4), x)


@torch.inference_mode()
def test_text_is_not_changed_by_its_neighbours_and_nothing_is_cut(tiny_model: Model) -> None:
    alone_BRE = tiny_model.text.encode(["a red circle"])
    assert alone_BRE.shape == (1, 4, 16)
    beside_BRE = tiny_model.text.encode(["a red circle", "ein sehr viel längerer Satz über ein Herz ❤"])
    torch.testing.assert_close(beside_BRE[:1], alone_BRE, atol=1e-5, rtol=1e-4)
    ends = ["🔴" * 1999 + last for last in "🔴🔵"]
    red_RE, blue_RE = tiny_model.text.encode(ends)
    assert not torch.equal(red_RE, blue_RE)
    assert tiny_model.text.encode([""]).shape == (1, 4, 16)


@torch.inference_mode()
def test_the_backbone_keeps_the_shape_and_hears_time_text_and_hints(tiny_model: Model) -> None:
    x_BTHWC = torch.randn(2, 3, 4, 5, 16)
    text_BRE = tiny_model.text.encode(["a red circle", "blue"])
    t_B = torch.tensor([0.5, 0.5])
    y_BTHWC = tiny_model.backbone(x_BTHWC, t_B, text_BRE)
    assert y_BTHWC.shape == x_BTHWC.shape
    assert not torch.allclose(tiny_model.backbone(x_BTHWC, t_B * 2, text_BRE), y_BTHWC)
    assert not torch.allclose(tiny_model.backbone(x_BTHWC, t_B, text_BRE.flip(0)), y_BTHWC)
    nothing_BTHW4 = torch.zeros(2, 3, 4, 5, HINTS)
    assert torch.equal(tiny_model.backbone(x_BTHWC, t_B, text_BRE, nothing_BTHW4), y_BTHWC)
    for channel in range(HINTS):
        hints_BTHW4 = nothing_BTHW4.clone()
        hints_BTHW4[..., channel] = 1.0
        assert not torch.allclose(tiny_model.backbone(x_BTHWC, t_B, text_BRE, hints_BTHW4), y_BTHWC)


def test_attention_matches_the_library_and_rotary_positions_are_relative() -> None:
    q, k, v = torch.randn(3, 2, 4, 6, 8)
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[:, 4:] = False
    expected = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
    torch.testing.assert_close(attend(q, k, v, mask), expected.transpose(1, 2).flatten(-2))
    assert rotary_angles_3d(3, 4, 5, 64).shape == (60, 32)


def test_a_grid_seen_in_inference_first_can_still_be_trained_on(tiny_model: Model) -> None:
    x_BTHWC, t_B, text_BRE = torch.randn(1, 2, 7, 3, 16), torch.tensor([0.5]), torch.randn(1, 4, 16)
    with torch.inference_mode():
        seen = tiny_model.backbone(x_BTHWC, t_B, text_BRE)
    made = tiny_model.backbone(x_BTHWC.requires_grad_(), t_B, text_BRE)
    torch.testing.assert_close(made.detach(), seen)
    made.square().mean().backward()  # type: ignore[no-untyped-call]


def test_a_depthwise_convolution_learns_as_torchs_own_does() -> None:
    torch.manual_seed(0)
    ours, layout = DepthwiseConv3d(6), (2, 5, 3, 4, 6)
    theirs = nn.Conv3d(6, 6, 3, padding=1, groups=6)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(layout).permute(0, 4, 1, 2, 3).requires_grad_()
    weighed = torch.randn(layout).permute(0, 4, 1, 2, 3)
    gradients = [
        torch.autograd.grad((layer(x) * weighed).sum(), (x, *layer.parameters())) for layer in (ours, theirs)
    ]
    for mine, torchs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, torchs)


@pytest.mark.parametrize("gradients", [True, False])
def test_a_depthwise_convolution_stays_in_float32_under_autocast(gradients: bool) -> None:
    convolution, x_BCTHW = DepthwiseConv3d(6), torch.randn(2, 6, 5, 3, 4)
    with torch.set_grad_enabled(gradients):
        plain = convolution(x_BCTHW)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(convolution(x_BCTHW.bfloat16().float()), convolution(x_BCTHW.bfloat16()))
            assert torch.equal(convolution(x_BCTHW), plain)


def test_the_presets_follow_the_plan() -> None:
    base = PRESETS["base"].backbone
    assert (base.blocks.count("A"), base.blocks.count("C")) == (30, 18)
    assert (base.width, base.heads, base.feed_forward) == (768, 12, 3072)
    for name, params in PRESETS.items():
        assert params.name == name
        assert params.vae.latent == params.text.out == 256
        assert ModelParams.from_dict(params.to_dict()) == params
    with torch.device("meta"):
        nano = PRESETS["nano"]
        weights = sum(weight.numel() for weight in Backbone(nano.backbone, 256, 256).parameters())
    assert weights < 7e6


def test_euler_follows_a_straight_path_exactly() -> None:
    x0, noise = torch.randn(2, 1, 2, 2, 2, 3)
    for steps in (1, 7):
        for churn in (0.0, 1.0):
            *_, last = sample(lambda x, t: x0, noise, schedule(steps), churn)
            torch.testing.assert_close(last.x_BTHWC, x0)
    first, *_ = sample(lambda x, t: x0, noise, schedule(4), churn=0.0)
    t, after = schedule(4)[:2]
    torch.testing.assert_close(first.x_BTHWC, noise + (after - t) * (noise - x0))
    assert schedule(4)[0] == 1
    assert schedule(4)[-1] == 0
    assert (schedule(10).diff() < 0).all()


def test_the_loss_is_that_of_the_velocity() -> None:
    x0, noise, guess = torch.randn(3, 2, 1, 2, 2, 3)
    t = torch.tensor([0.5, 0.9])
    x_t = add_noise(x0, noise, t)
    scale = t[:, None, None, None, None]
    velocity = (x_t - guess) / scale
    torch.testing.assert_close(velocity_loss(guess, x0, t), (velocity - (noise - x0)).square().mean())


def test_guidance_goes_away_from_the_second_estimate_while_there_is_much_noise() -> None:
    def at(guidance: float, time: float) -> float:
        asked, avoided = torch.full((1,), 3.0), torch.full((1,), 1.0)
        denoise = guided(lambda x, t: asked, lambda x, t: avoided, guidance)
        return float(denoise(torch.zeros(1), torch.full((1,), time)))

    assert [at(guidance, 1.0) for guidance in (1.0, 0.0, 4.0)] == [3.0, 1.0, 9.0]
    assert at(4.0, GUIDED_ABOVE - 0.01) == 3.0
