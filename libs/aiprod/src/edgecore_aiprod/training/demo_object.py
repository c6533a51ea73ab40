"""`python -m edgecore_aiprod.training.demo_object -o FOLDER`: clips of an object that the model never saw.

A folder as a user would bring one, videos and captions.csv, to train an adapter from.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from edgecore_aiprod.captions import english_caption
from edgecore_aiprod.training.listing import COLUMNS, LISTINGS
from edgecore_aiprod.video import write_mp4
from edgecore_aiprod.world import COLOURS, EXTRA_SHAPES, MOTIONS, render, sample_scene


def write_clips(folder: Path, clips: int, seed: int, shape: str = EXTRA_SHAPES[0]) -> None:
    """MP4s of 17 frames 64×64 and their list; every colour goes every way before one goes it twice."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LISTINGS[0]).open("w", encoding="utf-8", newline="") as file:
        listing = csv.writer(file)
        listing.writerow(COLUMNS)
        for index in range(clips):
            rng = np.random.default_rng((seed, index))
            colour, motion = list(COLOURS)[index % 9], list(MOTIONS)[index // 9 % 9]
            scene = sample_scene(rng, colour, shape, motion)
            name = f"{index:03d}.mp4"
            write_mp4(folder / name, render(scene))
            listing.writerow([name, english_caption(scene, rng).text])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m edgecore_aiprod.training.demo_object", description=__doc__
    )
    parser.add_argument("-o", "--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--clips", type=int, default=100, help="default 100")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shape", choices=EXTRA_SHAPES, default=EXTRA_SHAPES[0])
    options = parser.parse_args(arguments)
    write_clips(options.out, options.clips, options.seed, options.shape)
    print(f"{options.out}: {options.clips} clips and {LISTINGS[0]}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
