"""The autoencoder on unseen clips, beside the same clips shrunk to as many values as a latent has.

`make bench NAME=model-vae`: 100 clips at each of two sizes; about two minutes on two cores.
"""

import argparse
from pathlib import Path
from typing import Any

from rich.progress import track

from benchmarks import checkpoint as judged
from benchmarks.result import figure
from edgecore_aiprod.evaluation import autoencoder

SSIM, PASSED = 0.98, 0.98


def add_options(parser: argparse.ArgumentParser) -> None:
    judged.add_options(parser, 100, "clips at each size")


def run(seed: int, checkpoint: Path | None = None, clips: int = 100) -> dict[str, Any]:
    pipeline = judged.open_pipeline(checkpoint)
    figures: list[dict[str, Any]] = []
    for side in (64, 128):
        rebuilt = list(track(autoencoder.rebuild(pipeline, clips, seed, side), f"{side}×{side}", clips))
        found = autoencoder.measure(pipeline, rebuilt)
        rows = [
            ("SSIM", "ssim", "", SSIM),
            ("SSIM of the worst clip", "ssim_worst", "", None),
            ("PSNR", "psnr", "dB", None),
            ("perceptual distance", "perceptual", "", None),
            ("detector right", "all", "share", PASSED),
        ]
        figures += [
            figure(
                f"{name}, {side}×{side}",
                found[key],
                unit,
                target="stated" if least is None else f"≥ {least}",
                ok=least is None or found[key] >= least,
                n=clips,
                baseline=found["shrunk"][key],
                ratio=found[key] / found["shrunk"][key] if found["shrunk"][key] else None,
            )
            for name, key, unit, least in rows
        ]
    notes = [
        "17 frames; means over clips; beside: the clip averaged to as many values as its latent has, and enlarged",
        f"perceptual distance as LPIPS computes it, 0 is equal; features: {found['extractor']}",
    ]
    return {"name": "model-vae", "figures": figures, "notes": notes}
