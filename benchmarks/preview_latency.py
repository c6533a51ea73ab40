"""`preview-latency`: from a node's send to a viewer's receive, with one viewer and with many.

The way is the deployed one: a publisher's gRPC stream → the preview service → Redis → the preview service → the
gateway → a WebSocket. Services and Redis are processes of their own; publisher and viewers share one. Redis is the
embedded stand-in, which looks for a reader's wake-up every 10 ms; a real Redis does not. Beside many viewers: one.
"""

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.result import figure
from benchmarks.submit import ROOT, _child, _wait_for

FRAMES = 400
RATE = 20.0
"""Frames a second, of a job."""
VIEWERS = (1, 20)
WARM_UP = 20
SIZES = (12_000, 36_000)
"""Bytes of a 480p JPEG of quality 75: from an early, blurred estimate to a late, detailed one."""
RUN_SECONDS = 120.0


def run(seed: int) -> dict[str, Any]:
    """Every stage in a process of its own; prints what it sees, and returns the benchmark's figures."""
    from edgecore_runtime.embedded.parts import embedded_parts
    from edgecore_runtime.embedded.ports import free_ports

    with tempfile.TemporaryDirectory(prefix="edgecore-preview-") as folder, embedded_parts(Path(folder)) as parts:
        gateway_port, preview_port, preview_grpc = free_ports(3)
        preview_settings = {
            "EDGECORE_REDIS_URL": parts.redis_url,
            "EDGECORE_GRPC_PORT": str(preview_grpc),
            "EDGECORE_HTTP_PORT": str(preview_port),
            "EDGECORE_LOG_LEVEL": "WARNING",
        }
        gateway_settings = {
            "EDGECORE_DATABASE_URL": parts.database_url("preview_latency"),
            "EDGECORE_KAFKA_BOOTSTRAP": parts.kafka_bootstrap,
            "EDGECORE_OBJECT_STORE_URL": f"file://{folder}/artifacts",
            "EDGECORE_DEV_KEY_FILE": f"{folder}/dev.key",
            "EDGECORE_MIGRATE_ON_START": "true",
            "EDGECORE_HTTP_PORT": str(gateway_port),
            "EDGECORE_PREVIEW_ADDRESS": f"127.0.0.1:{preview_grpc}",
            "EDGECORE_LOG_LEVEL": "WARNING",
        }
        with (
            _child([sys.executable, "-m", "edgecore_preview", "serve"], preview_settings),
            _child([sys.executable, "-m", "edgecore_gateway", "serve"], gateway_settings),
        ):
            _wait_for(f"http://127.0.0.1:{preview_port}/health/ready")
            _wait_for(f"http://127.0.0.1:{gateway_port}/health")
            key = Path(folder, "dev.key").read_text().strip()
            seen = {
                viewers: _drive(f"127.0.0.1:{gateway_port}", f"127.0.0.1:{preview_grpc}", key, viewers, seed)
                for viewers in VIEWERS
            }
    return _report(seen)


def _drive(gateway: str, preview: str, key: str, viewers: int, seed: int) -> dict[str, Any]:
    """The publisher and the viewers, in one process with one clock; what the viewers cost it is in the figures."""
    arguments = [gateway, preview, str(viewers), str(seed)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.preview_latency", *arguments],
        env=os.environ | {"EDGECORE_KEY": key},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        timeout=RUN_SECONDS,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _report(seen: dict[int, dict[str, Any]]) -> dict[str, Any]:
    figures = []
    alone = seen[VIEWERS[0]]
    for viewers, side in seen.items():
        who = "1 viewer" if viewers == 1 else f"{viewers} viewers"
        print(
            f"{who:>10}: p50 {side['p50']:6.1f} ms   p99 {side['p99']:6.1f} ms   received {side['received']} of"
            f" {side['expected']}, told as skipped {side['skipped']}"
        )
        whole = side["received"] + side["skipped"] == side["expected"]
        for name in ("p50", "p99"):
            beside = {} if side is alone else {"baseline": alone[name], "ratio": side[name] / alone[name]}
            figures.append(
                figure(f"{name}, {who}", side[name], "ms", target="stated", ok=whole, n=side["received"], **beside)
            )
    notes = [
        f"{FRAMES} frames of {SIZES[0] // 1000} to {SIZES[1] // 1000} kB at {RATE:g} a second; beside: one viewer",
        "met: every frame was received, or told as skipped; publisher and viewers share a process. The embedded"
        " Redis wakes readers every 10 ms",
    ]
    return {"name": "preview-latency", "figures": figures, "notes": notes}


async def client(gateway: str, preview: str, viewers: int, seed: int) -> dict[str, Any]:
    """One job, its publisher and its viewers. Latency: from made_at, as the frame is sent, to its receive."""
    import httpx

    headers = {"Authorization": f"Bearer {os.environ['EDGECORE_KEY']}"}
    async with httpx.AsyncClient(base_url=f"http://{gateway}", headers=headers) as api:
        answer = await api.post("/api/v1/generate", json={"prompt": "a red circle moving right"})
        job_id = answer.raise_for_status().json()["id"]
    sent: dict[int, float] = {}
    watching = [asyncio.create_task(_watch(gateway, job_id, headers, sent)) for _ in range(viewers)]
    await _publish(preview, job_id, sent, watching, Random(seed))
    seen = await asyncio.gather(*watching)
    times = sorted(one for times, _ in seen for one in times)
    percentiles = statistics.quantiles(times, n=100)
    return {
        "p50": percentiles[49] * 1000,
        "p99": percentiles[98] * 1000,
        "received": len(times),
        "skipped": sum(skipped for _, skipped in seen),
        "expected": FRAMES * viewers,
    }


async def _watch(
    gateway: str, job_id: str, headers: dict[str, str], sent: dict[int, float]
) -> tuple[list[float], int]:
    """Seconds of each frame after the warm-up, and how many were told as skipped."""
    from websockets.asyncio.client import connect

    times: list[float] = []
    skipped = 0
    first, last = 2**20 + WARM_UP, 2**20 + WARM_UP + FRAMES
    url = f"ws://{gateway}/api/v1/preview/{job_id}"
    async with connect(url, additional_headers=headers, compression=None, proxy=None) as viewer:
        async for text in viewer:
            now = time.perf_counter()
            message = json.loads(text)
            number = message["number"]
            if number > first:
                times.append(now - sent[number])
                # A frame left out in the warm-up is none of the measured ones.
                skipped += min(message["skipped"], number - first - 1)
            if number >= last:
                return times, skipped
    raise RuntimeError("the stream ended before the last frame")


async def _publish(
    preview: str, job_id: str, sent: dict[int, float], watching: list[asyncio.Task[Any]], random: Random
) -> None:
    from edgecore.preview.v1 import preview_pb2 as pb
    from edgecore.preview.v1 import preview_pb2_grpc
    from edgecore_runtime import grpc_client

    async def requests() -> AsyncIterator[pb.PublishRequest]:
        started = time.perf_counter()
        for count in range(1, WARM_UP + FRAMES + 1):
            await asyncio.sleep(max(0.0, started + count / RATE - time.perf_counter()))
            size = random.randint(*SIZES)
            frame = pb.Frame(
                job_id=job_id,
                attempt=1,
                number=2**20 + count,
                step=count,
                steps=WARM_UP + FRAMES,
                frames=1,
                width=854,
                height=480,
                media_type="image/jpeg",
                data=b"\xff\xd8\xff" + random.randbytes(size) + b"\xff\xd9",
            )
            frame.made_at.GetCurrentTime()
            sent[frame.number] = time.perf_counter()
            yield pb.PublishRequest(frame=frame)

    async with grpc_client.channel(preview) as channel, asyncio.timeout(RUN_SECONDS):
        answer = await preview_pb2_grpc.PreviewServiceStub(channel).Publish(requests())
        if answer.dropped:
            raise RuntimeError(f"the preview service dropped {answer.dropped} frames")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait(watching, timeout=10)


if __name__ == "__main__":
    found = asyncio.run(client(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
    print(json.dumps(found))
