"""Somebody else's video into the formats wanted, in a process of its own with limits.

    python -m edgecore_inference.media.transcode SOURCE FOLDER FORMAT…

SOURCE is an MP4 file; the files and the thumbnail are left in FOLDER under the names of domain/formats.py. Prints
one line of JSON: what each file decodes to, and the thumbnail's size. A file that does not decode, or is larger
than the limits, ends it with status 1 and one line on stderr.
"""

import argparse
import json
import resource
import sys
from dataclasses import asdict
from pathlib import Path

from edgecore_inference.domain.formats import FORMATS, THUMBNAIL, file_name
from edgecore_inference.media.decode import UnreadableVideo, pictures, probe
from edgecore_inference.media.encode import write_video
from edgecore_inference.media.jpeg import small_jpeg

MEMORY_BYTES = 4 * 2**30
CPU_SECONDS = 1200
SIDE_MAX = 4096
FRAMES_MAX = 3000
"""A two-minute clip at 25 frames a second in 4K: more than any provider sells in one order."""


def transcode(source: Path, folder: Path, formats: list[str]) -> dict[str, object]:
    """Raises UnreadableVideo, also for a video over the limits."""
    found = probe(source, "mp4")
    if max(found.width, found.height) > SIDE_MAX or not 0 < found.frames <= FRAMES_MAX or found.fps <= 0:
        raise UnreadableVideo(
            f"{found.frames} frames of {found.width}×{found.height} at {found.fps:g}: over {FRAMES_MAX} frames of"
            f" {SIDE_MAX} pixels a side, or empty"
        )
    for name in formats:
        path = folder / file_name(name)
        write_video(pictures(source, "mp4"), found.width, found.height, found.fps, name, path)
    middle = next(picture for number, picture in enumerate(pictures(source, "mp4")) if number == found.frames // 2)
    data, width, height = small_jpeg(middle)
    (folder / file_name(THUMBNAIL)).write_bytes(data)
    probes = {name: asdict(probe(folder / file_name(name), name)) for name in formats}
    return {"probes": probes, "thumbnail": [width, height]}


def main() -> None:
    parser = argparse.ArgumentParser(prog="edgecore_inference.media.transcode", description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("formats", nargs="+", choices=list(FORMATS))
    arguments = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    try:
        print(json.dumps(transcode(arguments.source, arguments.folder, arguments.formats)))  # noqa: T201
    except (UnreadableVideo, ValueError, OSError, MemoryError) as error:
        sys.exit(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
