"""Encoding a folder of videos into a cache, once: what `train prepare` does.

Everything is looked at before anything is written, so that one error names all that is wrong.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track
from safetensors.torch import save_file

from edgecore_aiprod.errors import TrainingError
from edgecore_aiprod.pixels import to_pixels
from edgecore_aiprod.replacement import replacing
from edgecore_aiprod.training.bank import encoder_sha256
from edgecore_aiprod.training.folder import INDEX, LATENTS, Entry
from edgecore_aiprod.training.footage import BUCKETS, Bucket, choose_bucket, measure, read_clip
from edgecore_aiprod.training.listing import Row, find_listing, read_listing
from edgecore_aiprod.vae import VideoVae


class Prepared(NamedTuple):
    clips: int  # in the index
    encoded: int  # now; the others were there


def prepare(
    data: Path,
    cache: Path,
    vae: VideoVae,
    buckets: tuple[Bucket, ...] = BUCKETS,
    quiet: bool = False,
    copies: int = 0,
) -> Prepared:
    """Encode what the cache does not have yet, then write its index.

    Besides each clip come `copies` of it moved a little, which keep a lesson from learning a few clips by
    heart. A file is named after the clip's content, the encoder, its size and the copy, so it is never
    stale. Raises TrainingError that lists all rows that cannot be used; nothing has been written then.
    """
    listing = find_listing(data)
    rows, problems = read_listing(listing)
    chosen: list[tuple[Row, Bucket]] = []
    for row in track(rows, "looking", disable=quiet):
        try:
            chosen.append((row, _bucket(row, buckets)))
        except ValueError as error:
            problems.append(f"line {row.line}: {error}")
    if problems:
        raise TrainingError(str(listing), *sorted(problems, key=_line))
    if not chosen:
        raise TrainingError(str(listing), "names no clip")
    cache.mkdir(parents=True, exist_ok=True)
    encoder = encoder_sha256(vae)
    entries: list[Entry] = []
    missing: dict[str, tuple[Path, Entry, list[int]]] = {}
    for row, bucket in chosen:
        entry = _entry(row, bucket, data, encoder)
        versions = [_copy_of(entry, copy) for copy in range(1 + copies)]
        entries += versions
        new = [copy for copy, version in enumerate(versions) if not (cache / version.latents).exists()]
        if new:
            missing[entry.latents] = row.file, entry, new
    for file, entry, new in track(missing.values(), "encoding", disable=quiet):
        clip = read_clip(file, entry.bucket)
        for copy in new:
            rng = np.random.default_rng((copy, int(entry.sha256[:8], 16)))
            _encode(vae, moved(clip, rng) if copy else clip, cache / _copy_of(entry, copy).latents)
    with replacing(cache / INDEX) as partial:
        partial.write_text("".join(f"{entry.to_json()}\n" for entry in entries), encoding="utf-8")
    return Prepared(len(entries), sum(len(new) for _, _, new in missing.values()))


def _bucket(row: Row, buckets: tuple[Bucket, ...]) -> Bucket:
    size = measure(row.file, max(bucket.frames for bucket in buckets))
    bucket = choose_bucket(size, buckets)
    if bucket is None:
        shortest = min(bucket.frames for bucket in buckets)
        raise ValueError(f"{row.file.name}: has {size.frames} frames, the shortest bucket needs {shortest}")
    return bucket


def _line(problem: str) -> int:
    return int(problem.removeprefix("line ").partition(":")[0])


def _entry(row: Row, bucket: Bucket, data: Path, encoder: str) -> Entry:
    with row.file.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    latents = f"{digest[:16]}-{encoder[:8]}-{bucket}.safetensors"
    return Entry(str(row.file.relative_to(data)), row.caption, bucket, digest, latents)


def _copy_of(entry: Entry, copy: int) -> Entry:
    """Number 0 is the clip itself."""
    return replace(entry, latents=f"{copy}-{entry.latents}") if copy else entry


def moved(clip_THWC: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """By up to a sixteenth of each side; what comes in repeats the edge."""
    _, height, width, _ = clip_THWC.shape
    down, right = height // 16, width // 16
    wide = np.pad(clip_THWC, ((0, 0), (down, down), (right, right), (0, 0)), mode="edge")
    top, left = rng.integers(2 * down + 1), rng.integers(2 * right + 1)
    return wide[:, top : top + height, left : left + width]


def _encode(vae: VideoVae, clip_THWC: NDArray[np.uint8], path: Path) -> None:
    video_BTHWC = to_pixels(clip_THWC)[None]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        latents_THWC = vae.encode(video_BTHWC)[0].bfloat16()
    with replacing(path) as partial:
        save_file({LATENTS: latents_THWC.contiguous()}, partial)
