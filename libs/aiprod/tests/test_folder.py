"""A folder of videos becomes latents once; every bad row is named before anything is written."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from edgecore_aiprod import TrainingError
from edgecore_aiprod.model import Model
from edgecore_aiprod.training.folder import INDEX, FolderBank, retyped
from edgecore_aiprod.training.footage import BUCKETS, Bucket, Size, choose_bucket, read_clip
from edgecore_aiprod.training.prepare import Prepared, moved, prepare
from edgecore_aiprod.video import write_mp4, write_png
from edgecore_aiprod.world import render, sample_scene


def clip(seed: int, frames: int = 17, height: int = 64, width: int = 64) -> np.ndarray:
    return render(sample_scene(np.random.default_rng(seed)), frames, height, width)


def write_webm(path: Path, video: np.ndarray) -> None:
    with av.open(str(path), "w", format="webm") as container:
        stream = container.add_stream("libvpx-vp9", rate=8)
        stream.height, stream.width, stream.pix_fmt = video.shape[1], video.shape[2], "yuv420p"
        for frame in video:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    (folder / "wide").mkdir(parents=True)
    write_mp4(folder / "square.mp4", clip(1))
    write_mp4(folder / "wide" / "long.mp4", clip(2, 21, 128, 224))
    write_webm(folder / "short.webm", clip(3, 7))
    write_png(folder / "still.png", clip(4)[0])
    (folder / "captions.csv").write_text(
        'file,caption\nsquare.mp4,"a square, moving"\nwide/long.mp4,größer als 🟥\n'
        "short.webm,a short one\nstill.png,a still\n",
        encoding="utf-8",
    )
    return folder


def test_each_clip_goes_to_its_bucket_once(data: Path, tmp_path: Path, tiny_model: Model) -> None:
    cache = tmp_path / "cache"
    assert prepare(data, cache, tiny_model.vae, quiet=True) == Prepared(clips=4, encoded=4)
    entries = [json.loads(line) for line in (cache / INDEX).read_text("utf-8").splitlines()]
    assert [entry["bucket"] for entry in entries] == [[17, 64, 64], [17, 64, 112], [5, 64, 64], [1, 64, 64]]
    assert entries[1]["caption"] == "größer als 🟥"
    before = {path: path.stat().st_mtime_ns for path in cache.glob("*.safetensors")}
    assert prepare(data, cache, tiny_model.vae, quiet=True) == Prepared(clips=4, encoded=0)
    write_png(data / "new.png", clip(5)[0])
    with (data / "captions.csv").open("a", encoding="utf-8") as listing:
        listing.write("new.png,another still\n")
    assert prepare(data, cache, tiny_model.vae, quiet=True) == Prepared(clips=5, encoded=1)
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())


def test_copies_are_moved_and_are_made_once(data: Path, tmp_path: Path, tiny_model: Model) -> None:
    cache = tmp_path / "cache"
    assert prepare(data, cache, tiny_model.vae, quiet=True, copies=2) == Prepared(clips=12, encoded=12)
    latents_NTHWC, captions = FolderBank.open(cache).clips[Bucket(17, 64, 64)]
    assert captions == 3 * ["a square, moving"]
    assert len({tuple(latents.flatten().tolist()) for latents in latents_NTHWC}) == 3
    assert prepare(data, cache, tiny_model.vae, quiet=True) == Prepared(clips=4, encoded=0)
    assert prepare(data, cache, tiny_model.vae, quiet=True, copies=3) == Prepared(clips=16, encoded=4)


def test_a_clip_is_moved_by_up_to_a_sixteenth() -> None:
    still = np.zeros((2, 32, 48, 3), np.uint8)
    still[:, 16, 24] = 255
    places = {tuple(np.argwhere(moved(still, np.random.default_rng(seed)))[0][1:3]) for seed in range(200)}
    assert places == {(row, column) for row in range(14, 19) for column in range(21, 28)}


def test_the_bank_draws_one_bucket_at_a_time(data: Path, tmp_path: Path, tiny_model: Model) -> None:
    prepare(data, tmp_path / "cache", tiny_model.vae, quiet=True)
    bank = FolderBank.open(tmp_path / "cache")
    assert len(bank) == 4
    shapes = {
        "a square, moving": (5, 4, 4),
        "größer als 🟥": (5, 4, 7),
        "a short one": (2, 4, 4),
        "a still": (1, 4, 4),
    }
    seen = set()
    for seed in range(40):
        latents_BTHWC, captions = bank.draw(3, np.random.default_rng(seed))
        assert latents_BTHWC.dtype == torch.float32
        assert latents_BTHWC.shape == (3, *shapes[captions[0]], 16)
        again, said = bank.draw(3, np.random.default_rng(seed))
        assert torch.equal(again, latents_BTHWC)
        assert said == captions
        seen.update(captions)
    assert seen == set(shapes)


def test_captions_are_typed_in_other_ways_too() -> None:
    rng = np.random.default_rng(0)
    seen = Counter(retyped("An Oval, 動", rng) for _ in range(2000))
    words = ("An Oval, 動", "Oval, 動 An", "動 An Oval,")
    assert set(seen) == {typed for one in words for typed in (one, one.upper(), one.lower())}
    assert 150 < sum(seen[one.upper()] for one in words) < 250
    assert 150 < sum(seen[one.lower()] for one in words) < 250
    assert seen[words[0]] > seen[words[1]]
    assert min(seen[one] for one in words[1:]) > 100
    assert retyped("", rng) == ""


def test_latents_are_the_encoders_of_the_pixels(data: Path, tmp_path: Path, tiny_model: Model) -> None:
    (data / "captions.csv").unlink()
    (data / "captions.jsonl").write_text('\n{"caption": "a still", "file": "still.png"}\n')
    prepare(data, tmp_path / "cache", tiny_model.vae, quiet=True)
    pixels = read_clip(data / "still.png", Bucket(1, 64, 64))
    assert np.array_equal(pixels[0], clip(4)[0])
    truth = tiny_model.vae.encode(torch.from_numpy(pixels)[None].float() / 127.5 - 1.0)
    latents, captions = FolderBank.open(tmp_path / "cache").draw(1, np.random.default_rng(0))
    assert captions == ["a still"]
    assert torch.nn.functional.cosine_similarity(latents.flatten(), truth.flatten(), dim=0) > 0.99


def test_a_clip_is_scaled_to_cover_and_cropped_to_the_middle(tmp_path: Path) -> None:
    image = np.zeros((128, 256, 3), np.uint8)
    image[:, 64:192] = 200  # what a centred square keeps
    write_png(tmp_path / "a.png", image)
    assert read_clip(tmp_path / "a.png", Bucket(1, 64, 64))[0, 8:-8, 8:-8].min() == 200


@pytest.mark.parametrize(
    ("size", "bucket"),
    [
        (Size(17, 64, 64), Bucket(17, 64, 64)),
        (Size(16, 1080, 1920), Bucket(9, 64, 112)),
        (Size(1, 1920, 1080), Bucket(1, 112, 64)),
        (Size(6, 480, 720), Bucket(5, 64, 96)),
    ],
)
def test_the_nearest_bucket(size: Size, bucket: Bucket) -> None:
    assert choose_bucket(size, BUCKETS) == bucket


def test_of_equal_aspects_the_largest_that_is_no_enlargement() -> None:
    buckets = (Bucket(5, 64, 64), Bucket(5, 128, 128), Bucket(5, 256, 256))
    assert choose_bucket(Size(5, 200, 200), buckets) == Bucket(5, 128, 128)
    assert choose_bucket(Size(5, 32, 32), buckets) == Bucket(5, 64, 64)
    assert choose_bucket(Size(4, 32, 32), buckets) is None


@pytest.mark.parametrize("text", ["17x64", "16x64x64", "17x60x64", "0x64x64", "17x64x0", "17x64x²", "a"])
def test_a_wrong_bucket_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="frames 4k\\+1 and sides multiples of 16"):
        Bucket.parse(text)


def test_every_bad_row_is_listed_and_nothing_written(data: Path, tmp_path: Path, tiny_model: Model) -> None:
    (data / "captions.csv").unlink()
    (data / "torn.mp4").write_bytes((data / "square.mp4").read_bytes()[:300])
    (data / "text.webm").write_text("not a video")
    (data / "lie.png").write_bytes((data / "square.mp4").read_bytes())
    (data / "notes.txt").write_text("not a video")
    lines = [
        {"file": "square.mp4", "caption": "good"},
        {"file": "gone.mp4", "caption": "missing"},
        {"file": "torn.mp4", "caption": "truncated"},
        {"file": "text.webm", "caption": "text"},
        {"file": "lie.png", "caption": "lies about its type"},
        {"file": "notes.txt", "caption": "unknown type"},
        {"file": "square.mp4", "caption": " "},
        {"file": "square.mp4", "caption": "half \ud83d"},
        {"file": "square.mp4", "caption": "a", "mood": "sad"},
        {"file": "square.mp4"},
        {"file": 3, "caption": "a"},
        {"file": "../square.mp4", "caption": "outside"},
        {"file": "square.mp4", "caption": "a" * 2001},
        ["square.mp4", "a list"],
        {"file": "still.png", "caption": "too short"},
    ]
    (data / "captions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + "{\n")
    with pytest.raises(TrainingError) as raised:
        prepare(data, tmp_path / "cache", tiny_model.vae, (Bucket(5, 64, 64),), quiet=True)
    said = (
        "gone.mp4: is missing",
        "torn.mp4: cannot be read as mp4",
        "text.webm: cannot be read as webm",
        "lie.png: cannot be read as png_pipe",
        "notes.txt: must end in one of .mp4, .webm, .png",
        "caption: text of 1 to 2000 characters that are not all blank",
        "caption: no unpaired surrogate (one stands at character 5)",
        "unknown column 'mood'",
        "column 'caption' is missing",
        "file: text of 1 to 2000 characters",
        "file: a path inside",
        "not 2001 characters",
        "must be an object",
        "still.png: has 1 frames, the shortest bucket needs 5",
        "is not JSON",
    )
    assert len(raised.value.problems) == len(said)
    for line, (problem, part) in enumerate(zip(raised.value.problems, said, strict=True), start=2):
        assert problem.startswith(f"line {line}: ")
        assert part in problem
    str(raised.value).encode()  # can be printed
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("listing", "said"),
    [
        (b"file,caption,mood\nsquare.mp4,a,b\n", "line 1: unknown column 'mood'"),
        (b"file\nsquare.mp4\n", "line 1: column 'caption' is missing"),
        (b"", "line 1: column 'file' is missing"),
        (b"file,caption\n", "names no clip"),
        (b"file,caption\nsquare.mp4,\xff\n", "line 2: is not UTF-8"),
        (b'file,caption\nsquare.mp4,"open\n', "unexpected end of data"),
        (b"file,caption\nsquare.mp4\n", "line 2: caption: text of 1"),
        (b"file,caption\nsquare.mp4,a,b\n", "line 2: unknown column"),
    ],
)
def test_a_listing_that_is_none(
    data: Path, tmp_path: Path, tiny_model: Model, listing: bytes, said: str
) -> None:
    (data / "captions.csv").write_bytes(listing)
    with pytest.raises(TrainingError) as raised:
        prepare(data, tmp_path / "cache", tiny_model.vae, quiet=True)
    assert said in str(raised.value)
    assert not (tmp_path / "cache").exists()


def test_none_or_two_listings(data: Path, tmp_path: Path, tiny_model: Model) -> None:
    (data / "captions.jsonl").write_text("")
    with pytest.raises(TrainingError, match="holds both"):
        prepare(data, tmp_path / "cache", tiny_model.vae)
    for name in ("captions.csv", "captions.jsonl"):
        (data / name).unlink()
    with pytest.raises(TrainingError, match="holds none"):
        prepare(data, tmp_path / "cache", tiny_model.vae)


def test_a_cache_that_is_none(data: Path, tmp_path: Path, tiny_model: Model) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(TrainingError, match="is missing: make it with `train prepare`"):
        FolderBank.open(cache)
    prepare(data, cache, tiny_model.vae, quiet=True)
    entries = (cache / INDEX).read_text("utf-8")
    torn = cache / json.loads(entries.splitlines()[2])["latents"]
    torn.write_bytes(torn.read_bytes()[:-1])
    with pytest.raises(TrainingError, match=torn.name):
        FolderBank.open(cache)
    for text, said in (
        ("", "names no clip"),
        (entries[:-20], "line 4: is no entry"),
        ("[]\n", "line 1: is no entry"),
        (entries.replace("[17, 64, 64]", "[17, 64, 80]"), r"17x64x80 needs \(5, 4, 5, 16\)"),
    ):
        (cache / INDEX).write_text(text, "utf-8")
        with pytest.raises(TrainingError, match=said):
            FolderBank.open(cache)
