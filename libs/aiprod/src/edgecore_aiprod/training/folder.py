"""A folder of videos as latents to train on: encoded once by `train prepare`, drawn from by lessons.

A cache folder holds one safetensors file a clip and `index.jsonl`, which says of each what it shows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from edgecore_aiprod.errors import TrainingError
from edgecore_aiprod.flow import latent_shape
from edgecore_aiprod.training.footage import Bucket

INDEX = "index.jsonl"
LATENTS = "latents"  # the tensor's name in a clip's file
_CAPITALS, _SMALL = 0.1, 0.1  # shares of captions that come all in capitals, all in small letters
_TURNED = 0.5  # share that begins elsewhere


@dataclass(frozen=True)
class Entry:
    """A line of the index."""

    file: str  # the video, as the listing names it
    caption: str
    bucket: Bucket
    sha256: str  # of the video
    latents: str  # the safetensors file's name

    def to_json(self) -> str:
        return json.dumps(vars(self) | {"bucket": list(self.bucket)}, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Entry:
        """Raises ValueError, KeyError or TypeError on what `to_json` does not write."""
        values: dict[str, Any] = json.loads(line)
        bucket = Bucket.parse("x".join(map(str, values.pop("bucket"))))
        return cls(**{key: str(value) for key, value in values.items()}, bucket=bucket)


class FolderBank:
    """Latents (N, T, H, W, C) in bfloat16 and captions, by bucket; all in memory."""

    def __init__(self, clips: dict[Bucket, tuple[Tensor, list[str]]]) -> None:
        self.clips = clips
        self._sizes = np.array([len(captions) for _, captions in clips.values()])

    @classmethod
    def open(cls, cache: Path) -> FolderBank:
        """Raises TrainingError naming the index's line or the latents' file that does not fit."""
        grouped: dict[Bucket, tuple[list[Tensor], list[str]]] = {}
        for entry in _read_index(cache / INDEX):
            latents, captions = grouped.setdefault(entry.bucket, ([], []))
            latents.append(_read_latents(cache / entry.latents, entry.bucket))
            captions.append(entry.caption)
        try:
            return cls({bucket: (torch.stack(latents), said) for bucket, (latents, said) in grouped.items()})
        except RuntimeError as error:
            raise TrainingError(str(cache), f"clips have unequal channels: {error}") from error

    def __len__(self) -> int:
        return int(self._sizes.sum())

    @property
    def channels(self) -> int:
        """Of the latents."""
        return next(iter(self.clips.values()))[0].shape[-1]

    def largest(self) -> tuple[Bucket, list[str]]:
        """The bucket of most clips, and their captions."""
        bucket = max(self.clips, key=lambda one: len(self.clips[one][1]))
        return bucket, self.clips[bucket][1]

    def draw(self, batch: int, rng: np.random.Generator) -> tuple[Tensor, list[str]]:
        """`batch` random clips of one bucket, each clip as likely as any other: float32 latents
        (B, T, H, W, C) and captions.
        """
        bucket = list(self.clips)[rng.choice(len(self._sizes), p=self._sizes / self._sizes.sum())]
        latents_NTHWC, captions = self.clips[bucket]
        chosen = rng.integers(len(captions), size=batch)
        latents_BTHWC = latents_NTHWC[torch.from_numpy(chosen)].float().to(torch.get_default_device())
        return latents_BTHWC, [captions[index] for index in chosen]


def retyped(caption: str, rng: np.random.Generator) -> str:
    """As others might have typed it: from another word on, all in capitals, all in small letters.

    A hundred captions show a reader of bytes a new word in few places and in one spelling; OVAL, or an oval
    named last, is then something else to it.
    """
    words, chance = caption.split(" "), rng.random()
    first = int(rng.integers(len(words))) if rng.random() < _TURNED else 0
    text = " ".join(words[first:] + words[:first])
    if chance < _CAPITALS:
        return text.upper()
    return text.lower() if chance < _CAPITALS + _SMALL else text


def _read_index(path: Path) -> list[Entry]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise TrainingError(str(path), "is missing: make it with `train prepare`") from error
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(str(path), f"cannot be read: {error}") from error
    if not lines:
        raise TrainingError(str(path), "names no clip")
    entries = []
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(Entry.from_json(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TrainingError(str(path), f"line {number}: is no entry of an index: {error!r}") from error
    return entries


def _read_latents(path: Path, bucket: Bucket) -> Tensor:
    try:
        latents_THWC = load_file(path)[LATENTS]
    except (OSError, SafetensorError, KeyError) as error:
        raise TrainingError(str(path), f"holds no latents: {error}") from error
    if latents_THWC.dim() != 4:
        raise TrainingError(str(path), f"has shape {tuple(latents_THWC.shape)}, not (T, H, W, C)")
    wanted = latent_shape(1, *bucket, channels=latents_THWC.shape[-1])[1:]
    if latents_THWC.shape != torch.Size(wanted):
        raise TrainingError(str(path), f"has shape {tuple(latents_THWC.shape)}, {bucket} needs {wanted}")
    if not torch.isfinite(latents_THWC).all():
        raise TrainingError(str(path), "has values that are not finite")
    return latents_THWC
