"""`python -m edgecore_aiprod.evaluation.footprint`: the memory that one pass needs, in a process of its own.

Reads one JSON object from standard input (see `speed.peak_memory`) and prints one.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

import torch

from edgecore_aiprod.evaluation.speed import Size, forward, untrained
from edgecore_aiprod.presets import BackboneParams


def peak_bytes() -> int:
    """The most that was resident since this program began.

    Linux keeps `ru_maxrss` across exec, so that of a child begins at its parent's; VmHWM begins anew.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def main() -> None:
    asked = json.load(sys.stdin)
    torch.set_num_threads(asked["threads"])
    before = peak_bytes()
    latent, context, bfloat16 = asked["latent"], asked["context"], asked["bfloat16"]
    backbone = untrained(BackboneParams(**asked["params"]), latent, context, bfloat16)
    weights = sum(weight.numel() * weight.element_size() for weight in backbone.parameters())
    forward(backbone, Size(*asked["size"]), latent, torch.randn(asked["registers"], context), bfloat16)()
    print(json.dumps({"before": before, "weights": weights, "peak": peak_bytes()}))


if __name__ == "__main__":
    main()
