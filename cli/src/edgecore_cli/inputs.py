"""Reading the options of `edgecore generate` that hold more than one value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edgecore_cli.errors import CommandFailed


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
