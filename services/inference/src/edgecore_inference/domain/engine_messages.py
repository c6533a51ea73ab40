"""What agent and engine say to each other: one JSON object a line, `type` names the class.

agent → engine: Generate, Encode, Cancel.
engine → agent: first Ready or Unusable; then, for each Generate and each Encode, exactly one of Generated,
Encoded, Stopped, Failed, with Progress before it.
Seconds are monotonic; memory is the peak of the engine's process so far.
"""

import dataclasses
import json
from dataclasses import dataclass

from edgecore_inference.domain.gate import Probe
from edgecore_inference.domain.outcome import FailureKind

LINE_MAX = 2**20
"""Bytes; a longer line is a broken engine."""


@dataclass(frozen=True)
class Generate:
    """Make a video and keep it for Encode. Sides are pixels."""

    prompt: str
    negative_prompt: str
    width: int
    height: int
    frames: int
    steps: int
    guidance: float
    seed: int


@dataclass(frozen=True)
class Encode:
    """Write the video made last to `path` as MP4, and decode it again to see what it is."""

    path: str
    fps: float


@dataclass(frozen=True)
class Cancel:
    """Stop the running Generate at the next step; nothing happens when none runs."""


@dataclass(frozen=True)
class Ready:
    """The model is loaded."""

    model: str
    device: str
    memory_bytes: int
    load_seconds: float


@dataclass(frozen=True)
class Unusable:
    """The checkpoint is missing or corrupt; the engine ends."""

    detail: str


@dataclass(frozen=True)
class Progress:
    """`step` of `steps` are done in a stage: text, sample or decode."""

    stage: str
    step: int
    steps: int


@dataclass(frozen=True)
class Generated:
    seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class Encoded:
    seconds: float
    peak_memory_bytes: int
    probe: Probe


@dataclass(frozen=True)
class Stopped:
    """Cancel was obeyed."""

    seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class Failed:
    """The command failed; the engine is well enough for the next one."""

    kind: FailureKind
    detail: str
    peak_memory_bytes: int


Command = Generate | Encode | Cancel
Reply = Generated | Encoded | Stopped | Failed
Message = Command | Reply | Ready | Unusable | Progress

_TYPES: dict[str, type[Message]] = {
    kind.__name__: kind
    for kind in (Generate, Encode, Cancel, Ready, Unusable, Progress, Generated, Encoded, Stopped, Failed)
}


class BadMessage(ValueError):
    """The other side said something that is not in this protocol."""


def dump(message: Message) -> bytes:
    """One line, its end included."""
    fields = dataclasses.asdict(message)
    return json.dumps({"type": type(message).__name__, **fields}).encode() + b"\n"


def load(line: bytes) -> Message:
    """Raise BadMessage on anything that `dump` does not write."""
    try:
        fields = json.loads(line)
        kind = _TYPES[fields.pop("type")]
        if kind is Encoded:
            fields["probe"] = Probe(**fields["probe"])
        if kind is Failed:
            fields["kind"] = FailureKind(fields["kind"])
        return kind(**fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadMessage(f"{line[:200]!r}: {error}") from error
