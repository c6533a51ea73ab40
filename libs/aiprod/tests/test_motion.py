"""Motion that is asked for: its hints, its strength, and its measurement on reference clips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from edgecore_aiprod import AiprodPipeline, GenerationRequest, InvalidRequest
from edgecore_aiprod.conditioning import conditioned
from edgecore_aiprod.flow import blended
from edgecore_aiprod.model import Model
from edgecore_aiprod.motion import motion_field, motion_hints, opening_hints
from edgecore_aiprod.optical_flow import estimate_motion, read_motion
from edgecore_aiprod.video import write_mp4
from edgecore_aiprod.world import MOTIONS, render, sample_scene

STILL = GenerationRequest("a red circle", frames=5, steps=2)
RIGHT = np.array([1.5, 0.0], np.float32)
MOVED = replace(STILL, motion=RIGHT)


def test_hints_are_the_mean_over_a_cell_and_its_frames() -> None:
    field_FHW2 = torch.zeros(9, 32, 48, 2)
    field_FHW2[0, ..., 0] = 1.0  # frame 0 has a latent frame of its own
    field_FHW2[1:5, :16, :16, 1] = torch.tensor([2.0, 4.0, 6.0, 8.0])[:, None, None]
    hints_THW4 = motion_hints(field_FHW2, 2, 3)
    assert hints_THW4.shape == (3, 2, 3, 4)
    assert (hints_THW4[0, ..., 0] == 1.0).all()
    assert hints_THW4[1, 0, 0].tolist() == [0.0, 5.0, 1.0, 0.0]
    assert not hints_THW4[1, 1:, :, :2].any()
    assert not hints_THW4[2, ..., :2].any()
    assert (hints_THW4[..., 2] == 1.0).all()


def test_a_vector_is_a_field_that_is_the_same_everywhere() -> None:
    vector = torch.tensor([1.5, -0.5])
    field_FHW2 = motion_field(vector, 5, 32, 32)
    assert torch.equal(motion_field(field_FHW2, 5, 32, 32), field_FHW2)
    assert (motion_hints(field_FHW2, 2, 2)[..., :2] == vector).all()


def test_hints_of_a_first_frame_ask_for_no_motion() -> None:
    hints_BTHW4 = opening_hints(1, 3, 2, 2)
    assert (hints_BTHW4[:, :1, ..., 3] == 1.0).all()
    assert hints_BTHW4.sum() == 4.0


def test_motion_of_no_strength_is_no_motion_to_the_bit(tiny_pipeline: AiprodPipeline) -> None:
    still = tiny_pipeline(STILL)
    assert np.array_equal(tiny_pipeline(replace(MOVED, motion_strength=0.0)), still)
    moved = tiny_pipeline(MOVED)
    assert not np.array_equal(moved, still)
    assert not np.array_equal(tiny_pipeline(replace(MOVED, motion_strength=0.5)), moved)
    everywhere = np.broadcast_to(RIGHT, (5, 64, 64, 2))
    assert np.array_equal(tiny_pipeline(replace(MOVED, motion=everywhere.copy())), moved)
    for upscaled in (MOVED, replace(MOVED, image=np.zeros((64, 64, 3), np.uint8))):
        assert tiny_pipeline(replace(upscaled, upscale=True)).shape == (5, 128, 128, 3)


def test_strength_blends_two_estimates_and_its_ends_make_only_one() -> None:
    asked: list[str] = []

    def saying(name: str, value: float) -> Tensor:
        asked.append(name)
        return torch.tensor(value)

    x = t = torch.zeros(1)
    values = []
    for strength in (0.0, 0.25, 1.0):
        denoise = blended(lambda x, t: saying("plain", 4.0), lambda x, t: saying("steered", 8.0), strength)
        values.append(float(denoise(x, t)))
    assert values == [4.0, 5.0, 8.0]
    assert asked == ["plain", "plain", "steered", "steered"]


@torch.inference_mode()
def test_guidance_strengthens_the_motion(tiny_model: Model) -> None:
    """With guidance 0 the estimate is that of the unconditional side, which is not told of the motion."""
    x_BTHWC, t_B = torch.randn(1, 2, 4, 4, 16), torch.ones(1)

    def estimate(request: GenerationRequest, guidance: float) -> Tensor:
        return conditioned(tiny_model, request, guidance, torch.device("cpu"))(x_BTHWC, t_B)

    assert torch.equal(estimate(MOVED, 0.0), estimate(STILL, 0.0))
    towards = estimate(MOVED, 1.0) - estimate(STILL, 1.0)
    torch.testing.assert_close(
        estimate(MOVED, 4.0) - estimate(STILL, 4.0), 4.0 * towards, atol=1e-3, rtol=1e-3
    )
    photo = replace(STILL, image=np.zeros((64, 64, 3), np.uint8))
    assert not torch.equal(estimate(photo, 0.0), estimate(STILL, 0.0))


def test_measured_motion_is_the_worlds() -> None:
    cosines, ratios = [], []
    for index, motion in enumerate(name for name in MOTIONS if name != "still"):
        scene = sample_scene(np.random.default_rng(index), motion=motion, colour="red")
        video = render(scene)
        field_FHW2 = estimate_motion(video)
        assert field_FHW2.shape == (17, 64, 64, 2)
        assert field_FHW2.dtype == np.float32
        assert np.array_equal(field_FHW2[-1], field_FHW2[-2])
        red = (video[..., 0].astype(int) - video[..., 1]) > 100
        mean, truth = field_FHW2[red].mean(axis=0), np.array(MOTIONS[motion]) * scene.travel / 16
        cosines.append(mean @ truth / np.linalg.norm(mean) / np.linalg.norm(truth))
        ratios.append(np.linalg.norm(mean) / np.linalg.norm(truth))
    assert min(cosines) > 0.9
    assert 0.7 < np.median(ratios) < 1.2


def test_nothing_moves_in_a_still_clip_or_a_single_frame() -> None:
    still = render(sample_scene(np.random.default_rng(0), motion="still"))
    assert np.abs(estimate_motion(still)).max() < 0.05
    assert not estimate_motion(still[:1]).any()
    for wrong in (still.astype(np.float32), still[..., 0]):
        with pytest.raises(ValueError, match="uint8"):
            estimate_motion(wrong)


def test_a_video_file_gives_its_motion_in_as_many_frames_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    scene = sample_scene(np.random.default_rng(3), motion="right", colour="blue", plain=True)
    write_mp4(path, render(scene), scale=2)
    for frames in (17, 9):
        field_FHW2 = read_motion(path, frames, 96, 64)
        assert field_FHW2.shape == (frames, 64, 96, 2)
        strongest = field_FHW2[np.linalg.norm(field_FHW2, axis=-1) > 0.5]
        assert strongest[:, 0].mean() > 5 * np.abs(strongest[:, 1].mean())
    with pytest.raises(InvalidRequest, match="a clip of 33 to") as caught:
        read_motion(path, 33, 64, 64)
    assert caught.value.field == "motion"
    path.write_bytes(b"not a video")
    with pytest.raises(InvalidRequest, match="a file with a video"):
        read_motion(path, 17, 64, 64)
    with pytest.raises(FileNotFoundError):
        read_motion(tmp_path / "nowhere.mp4", 17, 64, 64)
