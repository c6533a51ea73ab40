"""Runs media/transcode.py as a child: what a stranger's file does to a decoder, it does there."""

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecore_contracts.states import Reason
from edgecore_inference.domain.gate import Probe
from edgecore_inference.domain.outcome import AttemptFailed, describe_exit

SECONDS = 600.0


@dataclass(frozen=True)
class Transcoded:
    """What lies in the folder now: a file for each probe, and the thumbnail with its size in pixels."""

    probes: dict[str, Probe]
    thumbnail_width: int
    thumbnail_height: int


async def transcode(source: Path, folder: Path, formats: Sequence[str]) -> Transcoded:
    """Raises AttemptFailed with QUALITY when the file is no usable video. Being cancelled kills the child."""
    command = [sys.executable, "-m", "edgecore_inference.media.transcode", str(source), str(folder), *formats]
    child = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(SECONDS):
            output, errors = await child.communicate()
    except TimeoutError as error:
        raise AttemptFailed(Reason.QUALITY, f"the video was not transcoded within {SECONDS:.0f} s") from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        words = errors.decode(errors="replace").strip().splitlines()
        why = words[-1] if words else describe_exit(child.returncode or 0)
        raise AttemptFailed(Reason.QUALITY, f"the video is not usable: {why}")
    told = json.loads(output)
    return Transcoded({name: Probe(**probe) for name, probe in told["probes"].items()}, *told["thumbnail"])
