"""The evaluation: its measures against known answers, its batches and its report on a tiny model."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from skimage.metrics import structural_similarity

from edgecore_aiprod import AiprodPipeline, GenerationRequest, evaluate
from edgecore_aiprod.detector import detect
from edgecore_aiprod.evaluation import attributes, autoencoder, following, frechet, languages, speed
from edgecore_aiprod.evaluation.batch import generate_many
from edgecore_aiprod.evaluation.features import perceptual_distance
from edgecore_aiprod.evaluation.page import render_page
from edgecore_aiprod.evaluation.parts import PARTS
from edgecore_aiprod.evaluation.pictures import Picture, beside, data_uri
from edgecore_aiprod.evaluation.report import FORMAT, write_report
from edgecore_aiprod.evaluation.subject import Settings
from edgecore_aiprod.evaluation.trials import Trial, prompts, rendered_trials
from edgecore_aiprod.pixels import to_pixels
from edgecore_aiprod.presets import PRESETS
from edgecore_aiprod.similarity import ssim
from edgecore_aiprod.twin import attention_twin, parameters
from edgecore_aiprod.world import MOTIONS, Scene, render, sample_scene

SMALL = GenerationRequest("a red circle", frames=5, steps=3)
FEW = Settings(
    prompts=2, per_locale=1, rebuilt=1, followed=2, repeats=1, steps=1, locales=("ar", "fr"), quiet=True
)


@pytest.fixture(scope="module")
def scenes() -> list[tuple[str, Scene]]:
    return list(prompts(6, seed=1))


@pytest.fixture(scope="module")
def truth(scenes: list[tuple[str, Scene]]) -> list[Trial]:
    return list(rendered_trials(scenes))


def noise(shape: tuple[int, ...], size: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, size, shape)


def test_a_batch_makes_the_clips_that_the_pipeline_makes(tiny_pipeline: AiprodPipeline) -> None:
    requests = [
        replace(SMALL, prompt=prompt, seed=seed)
        for seed, prompt in enumerate(["a red circle", "قلب أحمر سهم لليمين", "🔴 " * 40])
    ]
    together = list(generate_many(tiny_pipeline, requests, batch=2))
    alone = [tiny_pipeline(request) for request in requests]
    apart = [np.abs(one.astype(int) - other).max() for one, other in zip(together, alone, strict=True)]
    assert max(apart) <= 1
    assert not np.array_equal(together[0], together[1])


def test_requests_that_ask_for_more_are_made_one_by_one(tiny_pipeline: AiprodPipeline) -> None:
    moved = replace(SMALL, motion=np.array([2.0, 0.0], np.float32))
    requests = [SMALL, replace(SMALL, steps=2), moved]
    for made, request in zip(generate_many(tiny_pipeline, requests), requests, strict=True):
        assert np.array_equal(made, tiny_pipeline(request))


def test_the_frechet_distance_is_nothing_for_equal_sets_and_grows_with_noise() -> None:
    rows = noise((60, 12), 1.0)
    assert frechet.frechet_distance(rows, rows) == pytest.approx(0.0, abs=1e-9)
    distances = [
        frechet.frechet_distance(rows, rows + noise(rows.shape, size, 1)) for size in (0.1, 0.5, 2.0)
    ]
    assert all(less < more for less, more in pairwise(distances))
    assert frechet.frechet_distance(rows, rows + 3.0) == pytest.approx(12 * 9.0)


def test_the_frechet_distance_is_the_formula_of_its_paper() -> None:
    one, other = noise((80, 6), 1.0), noise((50, 6), 2.0, 1) + 0.5
    covariances = [np.cov(rows, rowvar=False) for rows in (one, other)]
    root = np.real(sqrtm(covariances[0] @ covariances[1]))
    shift = one.mean(axis=0) - other.mean(axis=0)
    expected = shift @ shift + np.trace(covariances[0] + covariances[1] - 2.0 * root)
    assert frechet.frechet_distance(one, other) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("rows", [np.zeros((1, 3)), np.zeros((4, 2))])
def test_the_frechet_distance_refuses_what_has_no_covariance(rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match="two or more rows of one length"):
        frechet.frechet_distance(np.zeros((4, 3)), rows)


@pytest.mark.parametrize("size", [2.0, 20.0])
def test_ssim_is_that_of_scikit_image(size: float) -> None:
    clip = render(sample_scene(np.random.default_rng(1)))[:2]
    other = np.clip(clip + noise(clip.shape, size), 0, 255).astype(np.uint8)
    ours = ssim(to_pixels(clip)[None], to_pixels(other)[None])[0]
    theirs = [
        structural_similarity(
            *(one.astype(np.float64) / 255.0 for one in pair),
            channel_axis=-1,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for pair in zip(clip, other, strict=True)
    ]
    assert ours.numpy() == pytest.approx(np.array(theirs), abs=1e-3)


def test_the_perceptual_distance_is_nothing_for_equal_clips_and_grows(tiny_pipeline: AiprodPipeline) -> None:
    clip = to_pixels(render(sample_scene(np.random.default_rng(1)))[:5])[None]
    encoder = tiny_pipeline.model.vae.encoder
    far = [
        float(perceptual_distance(encoder, clip, clip + size * torch.ones_like(clip).cumsum(dim=2) / 64.0))
        for size in (0.0, 0.1, 0.5)
    ]
    assert far[0] == 0.0
    assert far[0] < far[1] < far[2] < 4.0


def test_psnr_and_shrinking() -> None:
    clip = np.full((5, 64, 64, 3), 100, np.uint8)
    assert autoencoder.psnr(clip, clip) == 99.0
    assert autoencoder.psnr(clip, clip + 1) == pytest.approx(48.13, abs=0.01)
    assert np.array_equal(autoencoder.shrink(clip, channels=256), clip)


def test_shares_and_confusions_count_every_clip(truth: list[Trial]) -> None:
    wrong = replace(truth[0], reading=replace(truth[0].reading, shape=None))
    trials = [*truth, wrong]
    figures = attributes.measure(trials)
    assert figures["colour"] == 1.0
    assert figures["shape"] == figures["all"] == pytest.approx(6 / 7)
    for name, names in attributes.ATTRIBUTES.items():
        table = figures["confusion"][name]
        assert set(table) == set(names)
        assert sum(sum(row.values()) for row in table.values()) == 7
    assert figures["confusion"]["shape"][wrong.scene.shape][attributes.NOTHING] == 1
    assert attributes.interval(0.9, 10) == pytest.approx((0.596, 0.982), abs=0.001)
    assert attributes.interval(1.0, 10)[1] == 1.0


def test_a_language_is_the_mean_of_its_locales(truth: list[Trial]) -> None:
    wrong = [replace(trial, reading=replace(trial.reading, colour=None)) for trial in truth]
    trials = [("sr", truth[0]), ("sr-Latn", wrong[0]), ("fr", truth[1]), ("ja", truth[2]), ("ja", wrong[2])]
    found = languages.measure(trials)
    assert found["languages"] == {"sr": 0.5, "fr": 1.0, "ja": 0.5}
    assert found["mean"] == pytest.approx(2 / 3)
    assert (found["worst"], found["worst_share"]) == ("sr", 0.5)
    asked = languages.captions_by_locale(1, seed=0)
    assert len(asked) == 106
    assert len({languages.language(locale) for locale, _, _ in asked}) == 102
    assert len({scene for _, _, scene in asked if scene.texture is None}) <= 1


def test_the_motion_of_rendered_truth_follows_what_was_asked() -> None:
    for motion, way in MOTIONS.items():
        clip = render(sample_scene(np.random.default_rng(3), "red", "circle", motion, speed="normal"))
        expected = 0.0 if motion == "still" else 1.0
        assert following.cosine(way, following.moving_flow(clip)) == pytest.approx(expected, abs=0.05)
        assert following.cosine(way, detect(clip).velocity) == pytest.approx(expected, abs=0.01)
    assert following.cosine((1.0, 0.0), (0.0, 0.0)) == 0.0
    assert following.cosine((1.0, 0.0), (-2.0, 0.0)) == -1.0


@pytest.mark.parametrize("preset", PRESETS)
def test_the_twin_has_attention_alone_and_as_many_parameters(preset: str) -> None:
    params = PRESETS[preset]
    latent, context = params.vae.latent, params.text.out
    twin = attention_twin(params.backbone, latent, context)
    assert set(twin.blocks) == {"A"}
    assert (twin.width, len(twin.blocks)) == (params.backbone.width, len(params.backbone.blocks))
    ratio = parameters(twin, latent, context) / parameters(params.backbone, latent, context)
    assert ratio == pytest.approx(1.0, abs=0.01)


def test_a_backbone_without_room_for_a_twin_is_refused() -> None:
    narrow = replace(PRESETS["nano"].backbone, blocks="CCC", conv_expansion=1)
    with pytest.raises(ValueError, match="as many parameters as CCC"):
        attention_twin(narrow, 256, 256)


def test_memory_is_measured_in_a_process_of_its_own() -> None:
    backbone, size = PRESETS["nano"].backbone, speed.Size(5, 32, 32)
    peak = speed.peak_memory(backbone, size, latent=256, context=256, registers=6)
    assert peak["weights"] == 4 * parameters(backbone, 256, 256)
    assert peak["before"] + peak["weights"] < peak["peak"]


def test_a_clip_in_a_page_moves_and_keeps_every_pixel(truth: list[Trial]) -> None:
    clip = beside([truth[0].video, truth[1].video])
    head, _, data = data_uri(clip).partition(",")
    assert head == "data:image/png;base64"
    with av.open(io.BytesIO(base64.b64decode(data)), format="apng") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert np.array_equal(np.stack(frames[: len(clip)]), clip)


def test_a_report_is_whole(tiny_folder: Path, tmp_path: Path) -> None:
    parts = [name for name in PARTS if name != "speed"]
    report = write_report(tmp_path / "report", tiny_folder, FEW, parts)
    assert json.loads((tmp_path / "report" / "report.json").read_text("utf-8")) == json.loads(
        json.dumps(report)
    )
    assert report["format"] == FORMAT
    assert set(report) == {"format", "made", "settings", "parts"}
    assert list(report["parts"]) == list(report["made"]["seconds"]) == parts
    assert {"colour", "shape", "motion", "all", "clips", "confusion"} <= set(report["parts"]["english"])
    assert set(report["parts"]["languages"]["locales"]) == {"ar", "fr"}
    assert set(report["parts"]["autoencoder"]["128"]["shrunk"]) <= set(report["parts"]["autoencoder"]["128"])
    assert report["parts"]["frechet"]["floor"] > 0.0
    assert list(report["parts"]["following"]) == ["0", "0.5", "1"]
    page = (tmp_path / "report" / "report.html").read_text("utf-8")
    assert "<script" not in page
    assert "http" not in page
    assert page.count("data:image/png;base64,") == 2 + 2 + 2 + 2  # English, languages, autoencoder, following
    assert str(tmp_path) not in page


def test_speed_is_a_section_of_the_page() -> None:
    compared = speed.compare(PRESETS["nano"], speed.Size(5, 32, 32), repeats=1)
    assert compared["ratio"] == pytest.approx(compared["twin_seconds"] / compared["hybrid_seconds"])
    memory = {"before": 1, "weights": 1, "peak": 5_000_000}
    part = {"passes": [compared], "memory": {"hybrid": memory, "twin": memory}, "memory_size": [5, 32, 32]}
    assert "attention-only twin" in _page({"speed": part}, {})


def test_every_text_in_a_page_is_escaped(truth: list[Trial]) -> None:
    evil = '<script>alert("x")</script> & "\'><img src=x onerror=alert(1)>'
    picture = Picture(evil, evil, data_uri(truth[0].video[:1]))
    page = _page({"english": attributes.measure(truth)}, {"english": [picture]})
    assert "<script" not in page
    assert "<img src=x" not in page
    assert page.count("&lt;script&gt;") == 3  # as title, note and alternative text
    assert '"x"' not in page


def _page(parts: dict[str, object], pictures: dict[str, list[Picture]]) -> str:
    made = {"date": "2026-01-01", "model": "tiny", "files": {}, "torch": "2", "python": "3", "threads": 1}
    settings = {"seed": 1, "steps": 1, "guidance": 4.0}
    report = {"made": made | {"seconds": {}}, "settings": settings, "parts": parts}
    return render_page(report, pictures)


def test_the_command_writes_a_report_of_some_parts(
    tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--report", str(tmp_path / "out"), "--checkpoint", str(tiny_folder), "--prompts", "2"]
    assert evaluate.main([*arguments, "--parts", "detector", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parts"]["detector"]["64"]["clips"] == 2
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--parts", "detector,fvd"], "--parts: fvd: there are detector, english"),
        (["--per-locale", "0"], "--per-locale: at least 1"),
        (["--prompts", "0"], "--prompts: at least 1"),
        (["--report", "out", "--prompts", "1"], "--prompts: at least 2"),
        (["--locale", "xx"], "--locale"),
    ],
)
def test_a_wrong_option_is_named(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        evaluate.main(arguments)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_what_the_model_does_not_take_is_said_in_a_line(
    tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main(["--checkpoint", str(tiny_folder), "--prompts", "1", "--steps", "0"]) == 1
    assert "steps" in capsys.readouterr().err


def test_a_part_that_does_not_exist_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="fvd"):
        write_report(tmp_path / "report", tmp_path / "nothing", FEW, ["fvd"])
    assert not (tmp_path / "report").exists()
