"""What agent and engine say to each other: one JSON object a line, `type` names the class.

agent → engine: Generate, Encode, Cancel, Previews.
engine → agent: first Ready or Unusable; then, for each Generate and each Encode, exactly one of Generated,
Encoded, Stopped, Failed, with Progress and Preview before it. A Preview's line is followed by its picture's bytes.
Seconds are monotonic; memory is the peak of the engine's process so far.
"""

import dataclasses
import json
from dataclasses import dataclass

from edgecore_inference.domain.gate import Probe
from edgecore_inference.domain.outcome import FailureKind

LINE_MAX = 2**20
"""Bytes; a longer line is a broken engine."""

PICTURE_MAX = 2**20
"""Bytes of one preview; a longer one is a broken engine. 480p at our quality stays below a fifth of it."""


@dataclass(frozen=True)
class Adapter:
    """A low-rank adapter's file; the id names its content. `scale` 1 is as it was trained."""

    id: str
    path: str
    scale: float


@dataclass(frozen=True)
class Generate:
    """Make a video and keep it for Encode. Sides are pixels; with `upscale` the video has twice of them.

    `preview_share` is what previews may take, as a share of the time that sampling takes; 0 makes none. `image` is
    the path of the first frame's file, empty without one. `motion` is pixels to the right and down from a frame to
    the next, and counts as much as `motion_strength` says, from 0 to 1.
    """

    prompt: str
    negative_prompt: str
    width: int
    height: int
    frames: int
    steps: int
    guidance: float
    seed: int
    preview_share: float = 0.0
    variant: str = "standard"
    upscale: bool = False
    image: str = ""
    motion: tuple[float, float] | None = None
    motion_strength: float = 1.0
    adapters: tuple[Adapter, ...] = ()


@dataclass(frozen=True)
class Encode:
    """Write the video made last to a folder in each of the formats, with a thumbnail, under the names of
    domain/formats.py, and decode each again to see what it is.
    """

    folder: str
    fps: float
    formats: tuple[str, ...]


@dataclass(frozen=True)
class Cancel:
    """Stop the running Generate at the next step, or Encode before the next format; nothing when none runs."""


@dataclass(frozen=True)
class Previews:
    """A new `preview_share` for the running Generate; nothing happens when none runs."""

    share: float


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
    """`step` of `steps` are done in a stage: text, sample, upscale or decode."""

    stage: str
    step: int
    steps: int


@dataclass(frozen=True)
class Preview:
    """Picture `frame` of the video's `frames` as the model saw it after `step` of `steps`; `size` bytes of JPEG
    follow. Sides are the JPEG's.
    """

    step: int
    steps: int
    frame: int
    frames: int
    width: int
    height: int
    size: int


@dataclass(frozen=True)
class Generated:
    """`tokens` is what the backbone saw in one step, of the second stage where there is one."""

    seconds: float
    peak_memory_bytes: int
    tokens: int


@dataclass(frozen=True)
class Encoded:
    """`probes` by format, in the order asked for; sides are the thumbnail's."""

    seconds: float
    peak_memory_bytes: int
    probes: dict[str, Probe]
    thumbnail_width: int
    thumbnail_height: int


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


Command = Generate | Encode | Cancel | Previews
Reply = Generated | Encoded | Stopped | Failed
Message = Command | Reply | Ready | Unusable | Progress | Preview

_TYPES: dict[str, type[Message]] = {
    kind.__name__: kind
    for kind in (
        *(Generate, Encode, Cancel, Previews),
        *(Ready, Unusable, Progress, Preview, Generated, Encoded, Stopped, Failed),
    )
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
            fields["probes"] = {name: Probe(**found) for name, found in fields["probes"].items()}
        if kind is Encode:
            fields["formats"] = tuple(fields["formats"])
        if kind is Generate:
            fields["motion"] = None if fields["motion"] is None else tuple(fields["motion"])
            fields["adapters"] = tuple(Adapter(**one) for one in fields["adapters"])
        if kind is Failed:
            fields["kind"] = FailureKind(fields["kind"])
        if kind is Preview and not 0 < fields["size"] <= PICTURE_MAX:
            raise ValueError(f"size: 1 to {PICTURE_MAX} bytes")
        return kind(**fields)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadMessage(f"{line[:200]!r}: {error}") from error
