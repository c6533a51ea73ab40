"""What `edgecore generate` and `edgecore estimate` take alike, and how the API is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from edgecore_cli.errors import CommandFailed

Width = Annotated[int | None, typer.Option(help="pixels")]
Height = Annotated[int | None, typer.Option(help="pixels")]
Frames = Annotated[int | None, typer.Option(help="number of frames")]
Steps = Annotated[int | None, typer.Option(help="denoising steps")]
Image = Annotated[str | None, typer.Option(help="the first frame: a PNG, JPEG or WebP file, or an upload's id")]
Motion = Annotated[str | None, typer.Option(metavar="RIGHT,DOWN", help="how everything moves, pixels a frame")]
MotionStrength = Annotated[float | None, typer.Option(help="how much that counts, 0 to 1")]
Variant = Annotated[str | None, typer.Option(help="standard, or distilled: at most 4 steps")]
Upscale = Annotated[bool, typer.Option("--upscale", help="make it at twice width and height")]
Adapters = Annotated[
    list[str] | None,
    typer.Option("--adapter", metavar="ID[:SCALE]", help="a LoRA and how much it counts; may be repeated"),
]


def conditions(
    image: str | None,
    motion: str | None,
    motion_strength: float | None,
    variant: str | None,
    upscale: bool,
    adapters: list[str] | None,
) -> dict[str, Any]:
    """The client's arguments for what is asked beside words and numbers. Raises CommandFailed."""
    return {
        "image": image,
        "flow_guidance": flow_guidance(motion, motion_strength),
        "variant": variant,
        "upscale": upscale or None,
        "adapters": adapter_scales(adapters or ()),
    }


def flow_guidance(motion: str | None, strength: float | None) -> dict[str, Any] | None:
    """From `RIGHT,DOWN` (pixels a frame) and 0 to 1. Raises CommandFailed."""
    if motion is None:
        if strength is not None:
            raise CommandFailed("--motion-strength needs --motion RIGHT,DOWN")
        return None
    try:
        right, down = map(float, motion.split(","))
    except ValueError:
        raise CommandFailed(f"--motion takes RIGHT,DOWN in pixels a frame, such as 2,-1.5, not {motion}") from None
    return {"motion": [right, down]} | ({} if strength is None else {"strength": strength})


def adapter_scales(given: Sequence[str]) -> dict[str, float] | None:
    """Scales by id, from `ID` or `ID:SCALE` each. Raises CommandFailed."""
    scales: dict[str, float] = {}
    for one in given:
        adapter_id, _, scale = one.partition(":")
        if adapter_id in scales:
            raise CommandFailed(f"--adapter {adapter_id} is given twice")
        try:
            scales[adapter_id] = float(scale or 1)
        except ValueError:
            raise CommandFailed(f"--adapter takes ID or ID:SCALE, such as lora_…:0.8, not {one}") from None
    return scales or None
