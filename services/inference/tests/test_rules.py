"""The quality gate, the reasons of failures, and the engine's messages."""

import dataclasses
import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecore_contracts.states import Reason
from edgecore_inference.domain import engine_messages as messages
from edgecore_inference.domain import formats, gate, outcome
from edgecore_inference.domain.outcome import FailureKind

GOOD = gate.Probe(
    codec="h264",
    pixel_format="yuv420p",
    width=64,
    height=64,
    frames=17,
    fps=8.0,
    seconds=17 / 8,
    brightness=90.0,
    variation=40.0,
    motion=2.0,
)
ASKED = gate.Expected(width=64, height=64, frames=17, fps=8.0)


def test_what_was_asked_for_passes() -> None:
    assert gate.problems("mp4", GOOD, ASKED) == []
    assert gate.problems("mp4", dataclasses.replace(GOOD, motion=0.0), ASKED) == []
    assert gate.problems("mp4", dataclasses.replace(GOOD, variation=0.4), ASKED) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"codec": "hevc"}, "codec: is hevc yuv420p, not h264 yuv420p"),
        ({"width": 62}, "size: is 62×64 pixels, not 64×64"),
        ({"frames": 16}, "frames: decodes to 16, not 17"),
        ({"fps": 7.5}, "fps: plays at 7.500, not 8.000"),
        ({"seconds": 1.9}, "duration: lasts 1.900 s, not 2.125 s"),
        ({"brightness": 1.2, "variation": 1.0}, "content: is black (mean 1.2, not over 4)"),
    ],
)
def test_what_was_not_asked_for_is_named(change: dict[str, object], words: str) -> None:
    assert gate.problems("mp4", dataclasses.replace(GOOD, **change), ASKED) == [words]


def test_all_problems_are_named_at_once() -> None:
    assert len(gate.problems("mp4", dataclasses.replace(GOOD, frames=3, fps=1.0, width=2), ASKED)) == 3


def test_what_was_measured_has_names() -> None:
    found = gate.measured("webm", GOOD)
    assert found["webm.seconds"] == 2.125
    assert found["webm.motion"] == 2.0


def test_formats_are_wanted_in_order_and_once() -> None:
    assert formats.wanted([]) == ["mp4"]
    assert formats.wanted(["webm", "mp4", "webm"]) == ["webm", "mp4"]
    with pytest.raises(ValueError, match="formats: one of mp4, webm, prores, not 'gif'"):
        formats.wanted(["mp4", "gif"])


@pytest.mark.parametrize(
    ("size", "small"),
    [((64, 64), (64, 64)), ((1280, 720), (853, 480)), ((1080, 1920), (480, 853)), ((5000, 64), (854, 10))],
)
def test_small_pictures_are_at_most_480p(size: tuple[int, int], small: tuple[int, int]) -> None:
    assert formats.fitted(*size) == small


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), FailureKind.OUT_OF_MEMORY),
        (OutOfMemoryError("CUDA out of memory."), FailureKind.OUT_OF_MEMORY),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), FailureKind.OUT_OF_MEMORY),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), FailureKind.ERROR),
        (ValueError("out of memory is only a phrase here"), FailureKind.ERROR),
        (OSError(errno.ENOSPC, "No space left on device"), FailureKind.STORAGE),
        (OSError(errno.EFBIG, "File too large"), FailureKind.STORAGE),
        (OSError(errno.ECHILD, "No child processes"), FailureKind.ERROR),
    ],
)
def test_what_kind_of_failure_it_was(error: Exception, kind: FailureKind) -> None:
    assert outcome.kind_of(error) is kind


def test_every_kind_has_a_reason() -> None:
    assert set(outcome.REASONS) == set(FailureKind)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "exited with code 0"),
        (7, "exited with code 7"),
        (-9, "was ended by SIGKILL"),
        (-99, "was ended by signal 99"),
    ],
)
def test_how_a_process_ended(code: int, words: str) -> None:
    failure = outcome.engine_ended(code)
    assert failure.reason is Reason.ENGINE_FAILED
    assert failure.detail == f"the engine {words}"


def test_details_are_cut() -> None:
    assert len(outcome.engine_said(FailureKind.ERROR, "x" * 10_000).detail) == outcome.DETAIL_MAX


@given(st.text(), st.text(), st.integers(0, 2**64 - 1), st.floats(0, 20))
def test_messages_survive_the_pipe(prompt: str, negative: str, seed: int, guidance: float) -> None:
    message = messages.Generate(prompt, negative, 64, 64, 17, 20, guidance, seed)
    line = messages.dump(message)
    assert line.count(b"\n") == 1
    assert messages.load(line) == message


@pytest.mark.parametrize(
    "message",
    [
        messages.Generate(
            *("a", "", 64, 64, 17, 20, 4.0, 1, 0.1, "distilled", True, "/scratch/image", (1.5, -2.0), 0.5),
            (messages.Adapter("lora_1", "/scratch/adapters/1", -0.5),),
        ),
        messages.Cancel(),
        messages.Encode("/scratch", 23.976, ("mp4", "prores")),
        messages.Previews(0.1),
        messages.Preview(3, 20, 8, 17, 64, 64, 900),
        messages.Ready("aiprod-nano", "cpu", 2**34, 1.5),
        messages.Unusable("config.json: is missing"),
        messages.Progress("sample", 3, 20),
        messages.Generated(2.0, 2**29, 80),
        messages.Encoded(0.1, 2**29, {"mp4": GOOD, "webm": GOOD}, 64, 64),
        messages.Stopped(1.0, 2**29),
        messages.Failed(FailureKind.STORAGE, "No space left on device", 2**29),
    ],
)
def test_every_message_survives_the_pipe(message: messages.Message) -> None:
    assert messages.load(messages.dump(message)) == message


@pytest.mark.parametrize(
    "line",
    [
        b"hello\n",
        b"[]\n",
        b"{}\n",
        b'{"type": "Nonsense"}\n',
        b'{"type": "Encode"}\n',
        b'{"type": ["Cancel"]}\n',
        messages.dump(messages.Preview(3, 20, 8, 17, 64, 64, 2**21)),
        b"\xff\n",
    ],
)
def test_anything_else_is_refused(line: bytes) -> None:
    with pytest.raises(messages.BadMessage):
        messages.load(line)
