"""A stand-in for the engine: the real loop, channel and encoder around a model that draws instead of thinking.

The prompt says how it behaves, `<word>` or `<word>:<path>`:
    hold:P      wait before every step until the file P exists, looking at should_stop
    deaf:P      the same without looking at should_stop
    stop        SIGSTOP itself in the second step
    die         SIGKILL itself in the second step
    exit        leave with status 7 in the second step
    oom         raise MemoryError
    cuda        raise what torch raises when a GPU is full
    refuse      refuse the request
    bug         raise an error that nobody foresaw
    black       make a black video
    short       make one frame too few
    narrow      make the frames 16 pixels too narrow
    blind       fail to draw every preview
    pace        take 10 ms a step
    note:P      the same, and write the number of previews drawn so far into the file P
    noise       the same as pace, with previews of 480p noise, so that they are large
    chatter     print to standard output before every step
    wide        make noise, so that the file is large
    tell:P      write the request into the file P as JSON, with the SHA-256 of the files that it names
The checkpoint too: corrupt, absent (exit before being ready), wait:P (load until the file P exists).
"""

import dataclasses
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from edgecore_inference.domain.engine_messages import Generate
from edgecore_inference.engine.loop import CheckpointUnusable, GenerationStopped, OnStep, RequestRefused, serve
from edgecore_inference.engine.previews import Look
from edgecore_inference.media.frames import Video

POLL_SECONDS = 0.005
STEP_SECONDS = 0.01


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


class DrawnModel:
    name = "aiprod-nano"
    device = "cpu"
    memory_bytes = 2**30

    def tokens(self, request: Generate) -> int:
        return request.frames * request.height * request.width // 1024

    def generate(self, request: Generate, on_step: OnStep, should_stop: Callable[[], bool]) -> Video:
        word, _, path = request.prompt.partition(":")
        self._fail(word)
        if word == "tell":
            _tell(request, Path(path))
        on_step("text", 1, 1)
        for step in range(1, request.steps + 1):
            if word in ("hold", "deaf"):
                _wait_for(Path(path), should_stop if word == "hold" else _never)
            if should_stop() and word != "deaf":
                raise GenerationStopped
            if word in ("pace", "note", "noise"):
                time.sleep(STEP_SECONDS)
            self._misbehave(word, step)
            on_step("sample", step, request.steps, partial(_sketch, request, step))
        if request.upscale:
            on_step("upscale", request.steps, request.steps)
        on_step("decode", request.steps, request.steps)
        return _draw(request, word)

    @staticmethod
    def _fail(word: str) -> None:
        if word == "oom":
            raise MemoryError
        if word == "cuda":
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        if word == "refuse":
            raise RequestRefused("steps: at most 50, nearest 50")
        if word == "bug":
            raise KeyError("conditioning")

    @staticmethod
    def _misbehave(word: str, step: int) -> None:
        if word == "chatter":
            print("a library says hello")  # noqa: T201
            os.write(1, b"and so does C code\n")
        if step == 2 and word in ("stop", "die"):
            os.kill(os.getpid(), signal.SIGSTOP if word == "stop" else signal.SIGKILL)
        if step == 2 and word == "exit":
            os._exit(7)


def _sketch(request: Generate, step: int, number: int) -> Look:
    """The clip comes out of the dark with the steps."""
    word, _, path = request.prompt.partition(":")
    if word == "blind":
        raise MemoryError
    if word == "note":
        draft = Path(f"{path}.draft")
        draft.write_text(str(number + 1))
        draft.replace(path)
    if word == "noise":
        return Look(0, 1, np.random.default_rng(step).integers(0, 256, (480, 480, 3), np.uint8))
    video = _draw(dataclasses.replace(request, upscale=False), word)
    at = 4 * number % len(video)
    return Look(at, len(video), (video[at] * step / request.steps).astype(np.uint8))


def _tell(request: Generate, path: Path) -> None:
    files = [request.image, *(one.path for one in request.adapters)]
    digests = [hashlib.sha256(Path(one).read_bytes()).hexdigest() if one else "" for one in files]
    path.write_text(json.dumps({**dataclasses.asdict(request), "digests": digests}))


def _draw(request: Generate, word: str) -> Video:
    frames = request.frames - (word == "short")
    scale = 2 if request.upscale else 1
    sides = (scale * request.height, scale * request.width - 16 * (word == "narrow"))
    video = np.zeros((frames, *sides, 3), np.uint8)
    if word == "wide":
        return np.random.default_rng(request.seed).integers(0, 256, video.shape, np.uint8)
    if word != "black":
        for index in range(frames):
            video[index, 10:30, 2 * index : 2 * index + 20] = (220, 40, 40)
    return video


def _wait_for(path: Path, should_stop: Callable[[], bool]) -> None:
    while not path.exists() and not should_stop():
        time.sleep(POLL_SECONDS)


def _never() -> bool:
    return False


def _load() -> DrawnModel:
    checkpoint = sys.argv[1]
    if checkpoint == "corrupt":
        raise CheckpointUnusable("corrupt/model.safetensors: its SHA-256 is not the one in config.json")
    if checkpoint == "absent":
        os._exit(9)
    if checkpoint.startswith("wait:"):
        _wait_for(Path(checkpoint.removeprefix("wait:")), _never)
    return DrawnModel()


if __name__ == "__main__":
    serve(_load)
