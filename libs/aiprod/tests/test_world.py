"""The detector against rendered truth: it must be right before it may judge anything."""

from __future__ import annotations

import numpy as np
import pytest

from edgecore_aiprod.detector import detect
from edgecore_aiprod.world import (
    COLOURS,
    EXTRA_SHAPES,
    MOTIONS,
    RADII,
    SHAPES,
    TRAVEL,
    Scene,
    render,
    sample_scene,
    signed_distance,
)

ALL_SHAPES = (*SHAPES, *EXTRA_SHAPES)


def test_the_detector_reads_at_least_99_percent_of_rendered_truth() -> None:
    scenes = [sample_scene(np.random.default_rng((11, index))) for index in range(400)]
    readings = [detect(render(scene)) for scene in scenes]
    right = [
        all(reading.agrees(scene.colour, scene.shape, scene.motion))
        for scene, reading in zip(scenes, readings, strict=True)
    ]
    assert np.mean(right) >= 0.99


@pytest.mark.parametrize("extra", EXTRA_SHAPES)
def test_an_extra_shape_is_read_when_the_detector_is_asked_to_know_it(extra: str) -> None:
    scenes = [sample_scene(np.random.default_rng((12, index)), shape=extra) for index in range(300)]
    videos = [render(scene) for scene in scenes]
    right = [
        all(detect(video, ALL_SHAPES).agrees(scene.colour, extra, scene.motion))
        for scene, video in zip(scenes, videos, strict=True)
    ]
    assert np.mean(right) >= 0.99
    assert all(detect(video).shape is None for video in videos[:50])


def test_knowing_the_extra_shapes_costs_the_others_nothing() -> None:
    scenes = [sample_scene(np.random.default_rng((11, index))) for index in range(100)]
    readings = [detect(render(scene), ALL_SHAPES) for scene in scenes]
    assert np.mean([seen.shape == scene.shape for scene, seen in zip(scenes, readings, strict=True)]) >= 0.99


def test_shapes_are_of_equal_area_and_told_apart_by_their_overlap() -> None:
    """The detector needs an overlap of .88 with one template, .03 more than with the next."""
    y, x = np.mgrid[-25:25:0.1, -25:25:0.1].astype(np.float32)
    masks = {shape: signed_distance(shape, x, y, 13.0) < 0 for shape in ALL_SHAPES}
    for shape, mask in masks.items():
        assert mask.sum() * 0.01 == pytest.approx(np.pi * 13.0**2, rel=0.01)
        others = [other for name, other in masks.items() if name != shape]
        assert all((mask & other).sum() / (mask | other).sum() < 0.84 for other in others)


def test_extra_shapes_are_never_drawn_at_random() -> None:
    shapes = {sample_scene(np.random.default_rng((13, index))).shape for index in range(200)}
    assert shapes == set(SHAPES)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_colour_and_shape_is_told_apart(colour: str, shape: str) -> None:
    motion = list(MOTIONS)[(list(COLOURS).index(colour) + SHAPES.index(shape)) % 9]
    scene = sample_scene(np.random.default_rng(3), colour, shape, motion)
    assert detect(render(scene)).agrees(colour, shape, motion) == (True, True, True)


@pytest.mark.parametrize(("frames", "height", "width"), [(5, 64, 64), (33, 96, 128), (17, 128, 64)])
def test_other_sizes_and_lengths_are_read_as_well(frames: int, height: int, width: int) -> None:
    scene = sample_scene(np.random.default_rng(5), "green", "heart", "up-left")
    video = render(scene, frames, height, width)
    assert video.shape == (frames, height, width, 3)
    assert detect(video).agrees("green", "heart", "up-left") == (True, True, True)


def test_the_detector_is_not_flattered() -> None:
    """Nothing is read out of noise, an empty ground, a smear or two shapes."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (17, 64, 64, 3)).astype(np.uint8)
    empty = np.full((17, 64, 64, 3), 128, np.uint8)
    assert detect(noise).shape is None
    assert detect(empty) == detect(empty[:5])
    assert detect(empty).colour is None
    clip = render(sample_scene(np.random.default_rng(1), "red", "square", "still", size="far"))
    smear = np.stack([clip[0].astype(np.float32)] * 17)
    for _ in range(12):
        smear = (smear + np.roll(smear, 2, axis=1) + np.roll(smear, 2, axis=2)) / 3
    assert detect(smear.astype(np.uint8)).shape != "square"
    two = np.where(
        np.abs(clip.astype(int) - clip[0, 0, 0]).max(-1, keepdims=True) > 60, clip, np.roll(clip, 30, axis=2)
    )
    assert detect(two).shape is None


def test_a_clip_that_wanders_has_no_motion() -> None:
    scene = sample_scene(np.random.default_rng(2), "blue", "circle", "right", speed="fast")
    order = np.random.default_rng(4).permutation(17)
    assert detect(render(scene)[order]).motion is None


@pytest.mark.parametrize("video", [np.zeros((1, 64, 64, 3), np.uint8), np.zeros((5, 64, 64, 3), np.float32)])
def test_the_detector_refuses_what_is_not_a_clip(video: np.ndarray) -> None:
    with pytest.raises(ValueError, match="uint8 clip"):
        detect(video)


def test_a_scene_stays_in_the_frame_and_renders_the_same_twice() -> None:
    def border_is_ground(scene: Scene) -> bool:
        video = render(scene).astype(int)
        border = np.concatenate([video[:, 0], video[:, -1], video[:, :, 0], video[:, :, -1]], axis=1)
        return bool(np.abs(border - np.median(border, axis=(0, 1))).max() < 40)

    scenes = [
        sample_scene(np.random.default_rng((6, index)), shape=shape)
        for index in range(60)
        for shape in (None, *EXTRA_SHAPES)
    ]
    assert all(border_is_ground(scene) for scene in scenes)
    assert np.array_equal(render(scenes[0]), render(scenes[0]))


def test_names_the_world_does_not_have_are_refused() -> None:
    for wrong in (
        {"colour": "pink"},
        {"shape": "star"},
        {"motion": "round"},
        {"speed": "warp"},
        {"size": "huge"},
    ):
        with pytest.raises(KeyError):
            sample_scene(np.random.default_rng(0), **wrong)
    assert set(TRAVEL) == {"slow", "normal", "fast"}
    assert set(RADII) == {"far", "medium", "close"}
