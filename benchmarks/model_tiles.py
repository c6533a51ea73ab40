"""Memory and time of decoding a large clip in tiles, beside decoding it whole; untrained, each in a process.

`make bench NAME=model-tiles`: `base` at 17 frames of 768×768; about two minutes on two cores, and 6 GB of memory.
"""

import argparse
import multiprocessing
import time
from typing import Any

import torch
from rich.progress import track

from benchmarks.result import figure
from edgecore_aiprod.evaluation.footprint import peak_bytes
from edgecore_aiprod.flow import latent_shape
from edgecore_aiprod.presets import PRESETS, SPATIAL
from edgecore_aiprod.tiles import TILE, decode_tiles
from edgecore_aiprod.vae import VideoVae

DIFFERENCE = 1e-4  # of pixels in [-1, 1]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--preset", choices=sorted(PRESETS), default="base")
    parser.add_argument("--frames", type=int, default=17, help="4k+1 (default 17)")
    parser.add_argument("--side", type=int, default=768, help="pixels, a multiple of 16 (default 768)")


def run(seed: int, preset: str = "base", frames: int = 17, side: int = 768) -> dict[str, Any]:
    cells = {"tiles": TILE, "whole": side // SPATIAL}
    processes = multiprocessing.get_context("spawn")
    made = {}
    for name, tile in track(cells.items(), "decoding"):
        with processes.Pool(1) as one:
            made[name] = one.apply(_decode, (seed, preset, frames, side, tile))
    (tiles, tiles_peak, tiles_s), (whole, whole_peak, whole_s) = made["tiles"], made["whole"]
    apart = float((tiles - whole).abs().max())
    figures = [
        figure("memory of decoding", tiles_peak / 1e6, "MB", target="< whole", ok=tiles_peak < whole_peak, n=1,
               baseline=whole_peak / 1e6, ratio=tiles_peak / whole_peak),
        figure("time of decoding", tiles_s, "s", target="stated", ok=True, n=1,
               baseline=whole_s, ratio=tiles_s / whole_s),
        figure("largest difference of a pixel from -1 to 1", apart, "", target=f"≤ {DIFFERENCE:g}",
               ok=apart <= DIFFERENCE, n=tiles.numel()),
    ]  # fmt: skip
    notes = [
        f"{preset}, {frames} frames of {side}×{side}, float32, random weights; tiles of {TILE} cells a side",
        "memory is beyond libraries, weights and the latent: features and the clip itself",
        "beside: the same latent in one piece",
    ]
    return {"name": "model-tiles", "figures": figures, "notes": notes}


@torch.inference_mode()
def _decode(seed: int, preset: str, frames: int, side: int, tile: int) -> tuple[torch.Tensor, int, float]:
    """The clip, bytes at the peak beyond what was there before, and seconds."""
    torch.set_num_threads(2)
    torch.manual_seed(seed)
    params = PRESETS[preset].vae
    vae = VideoVae(params).eval()
    for weight in vae.decoder.parameters():
        weight.normal_(std=0.05)  # a new network's branches are zero, and could differ in nothing
    z_BTHWC = torch.randn(*latent_shape(1, frames, side, side, params.latent))
    before, started = peak_bytes(), time.perf_counter()
    made = decode_tiles(vae.decoder, z_BTHWC, vae.reach, tile)
    return made, peak_bytes() - before, time.perf_counter() - started
