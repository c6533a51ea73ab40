"""`submit`: how many jobs a second one gateway takes, each durable in PostgreSQL before its 202.

Beside it, in the same run: a FastAPI route that does nothing, under the same uvicorn settings and the same
client. One client process drives both in turns over 32 kept-open connections. The gateway runs with its relay
and consumer in the same process, as deployed, and publishes to the broker meanwhile; no inference runs.
The body is checked, so every request is a real job; that each is stored is counted afterwards.
"""

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.result import figure

CLIENTS = 32
REQUESTS = 3000
ROUNDS = 3
WARM_UP = 300
START_SECONDS = 60.0
RUN_SECONDS = 300.0

ROOT = Path(__file__).resolve().parents[1]
PROMPTS = [f"a {colour} circle moving {way}" for colour in ("red", "blue", "green") for way in ("left", "right")]


def run(seed: int) -> dict[str, Any]:
    """Measure both sides in ROUNDS turns; prints what it sees, and returns the benchmark's figures."""
    from edgecore_runtime.embedded.parts import embedded_parts
    from edgecore_runtime.embedded.ports import free_ports

    with tempfile.TemporaryDirectory(prefix="edgecore-submit-") as folder, embedded_parts(Path(folder)) as parts:
        gateway_port, noop_port = free_ports(2)
        settings = {
            "EDGECORE_DATABASE_URL": parts.database_url("submit"),
            "EDGECORE_KAFKA_BOOTSTRAP": parts.kafka_bootstrap,
            "EDGECORE_OBJECT_STORE_URL": f"file://{folder}/artifacts",
            "EDGECORE_DEV_KEY_FILE": f"{folder}/dev.key",
            "EDGECORE_MIGRATE_ON_START": "true",
            # Counted against as ever, and never reached.
            "EDGECORE_REDIS_URL": parts.redis_url,
            "EDGECORE_SUBMITS_PER_MINUTE": "10000000",
            "EDGECORE_LOG_LEVEL": "WARNING",
        }
        gateway = [sys.executable, "-m", "edgecore_gateway", "serve"]
        noop = [sys.executable, "-m", "benchmarks.submit", "noop", str(noop_port)]
        with _child(gateway, settings | {"EDGECORE_HTTP_PORT": str(gateway_port)}), _child(noop, {}):
            _wait_for(f"http://127.0.0.1:{gateway_port}/health")
            _wait_for(f"http://127.0.0.1:{noop_port}/health")
            key = Path(folder, "dev.key").read_text().strip()
            sides = {
                "noop": f"http://127.0.0.1:{noop_port}/noop",
                "generate": f"http://127.0.0.1:{gateway_port}/api/v1/generate",
            }
            seen = _drive(sides, key, seed)
            stored = asyncio.run(_stored(settings["EDGECORE_DATABASE_URL"]))
    return _report(seen, stored)


def _report(seen: dict[str, Any], stored: int) -> dict[str, Any]:
    accepted = seen["generate"]["accepted"]
    for name, side in seen.items():
        print(
            f"{name:9} {side['rate']:7.0f} requests/s   p50 {side['p50'] * 1000:6.1f} ms   "
            f"p99 {side['p99'] * 1000:6.1f} ms   of {side['n']}; rounds: "
            + ", ".join(f"{rate:.0f}/s" for rate in side["rates"])
        )
    print(f"accepted {accepted}, stored {stored}")
    durable = stored == accepted
    figures = [
        _figure("submit rate", "requests/s", seen, "rate", 1.0, durable),
        _figure("submit p50", "ms", seen, "p50", 1000.0, durable),
        _figure("submit p99", "ms", seen, "p99", 1000.0, durable),
    ]
    notes = [f"{CLIENTS} clients; beside: a FastAPI route that does nothing, under the same server and client"]
    return {"name": "submit", "figures": figures, "notes": notes}


def _figure(name: str, unit: str, seen: dict[str, Any], key: str, scale: float, ok: bool) -> dict[str, Any]:
    """No target is set for these: `ok` says that every accepted job was stored."""
    value, baseline = seen["generate"][key] * scale, seen["noop"][key] * scale
    n = seen["generate"]["n"]
    return figure(name, value, unit, target="stated", ok=ok, n=n, baseline=baseline, ratio=value / baseline)


def _drive(sides: dict[str, str], key: str, seed: int) -> dict[str, Any]:
    """Run the client in a process of its own; both servers and the broker have theirs too."""
    command = [sys.executable, "-m", "benchmarks.submit", "client", json.dumps(sides), str(seed)]
    done = subprocess.run(
        command,
        env=os.environ | {"EDGECORE_KEY": key},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        timeout=RUN_SECONDS,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def _stored(url: str) -> int:
    import asyncpg

    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return int(await connection.fetchval("SELECT count(*) FROM gateway.jobs"))
    finally:
        await connection.close()


@contextmanager
def _child(command: list[str], settings: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(command, env=os.environ | settings, cwd=ROOT)
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1):  # noqa: S310
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


async def noop_server(port: int) -> None:
    """The bare peer: one FastAPI route that answers 202 with an empty object, served as the gateway is."""
    from fastapi import FastAPI

    from edgecore_runtime import logs
    from edgecore_runtime.health import Health
    from edgecore_runtime.http import HttpServer
    from edgecore_runtime.service import Service

    logs.configure("noop", "WARNING")
    app = FastAPI()
    health = Health()
    app.include_router(health.router())

    @app.post("/noop", status_code=202)
    async def noop() -> dict[str, str]:
        return {}

    await Service("noop", [HttpServer(app, "127.0.0.1", port)], health).run()


async def client(sides: dict[str, str], key: str, seed: int) -> dict[str, Any]:
    """Drive each side in turns; the same requests go to both."""
    seen: dict[str, Any] = {name: {"times": [], "rates": [], "accepted": 0} for name in sides}
    for name, url in sides.items():
        seen[name]["accepted"] += len((await _round(url, key, WARM_UP, seed))[0])
    for turn in range(ROUNDS):
        for name, url in sides.items():
            times, wall = await _round(url, key, REQUESTS, seed + turn)
            seen[name]["times"] += times
            seen[name]["accepted"] += len(times)
            seen[name]["rates"].append(len(times) / wall)
    for side in seen.values():
        times = sorted(side.pop("times"))
        percentiles = statistics.quantiles(times, n=100)
        side.update(n=len(times), rate=statistics.median(side["rates"]), p50=percentiles[49], p99=percentiles[98])
    return seen


async def _round(url: str, key: str, requests: int, seed: int) -> tuple[list[float], float]:
    """Seconds of each request, and of all together. Raises RuntimeError on any answer but 202."""
    host, _, path = url.removeprefix("http://").partition("/")
    address, _, port = host.partition(":")
    share = requests // CLIENTS
    bodies = [_request(f"/{path}", host, key, PROMPTS[(seed + number) % len(PROMPTS)]) for number in range(share)]
    started = time.perf_counter()
    async with asyncio.timeout(RUN_SECONDS):
        all_times = await asyncio.gather(*(_one_client(address, int(port), bodies) for _ in range(CLIENTS)))
    return [one for times in all_times for one in times], time.perf_counter() - started


async def _one_client(address: str, port: int, requests: list[bytes]) -> list[float]:
    reader, writer = await asyncio.open_connection(address, port)
    times = []
    try:
        for request in requests:
            started = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 202"):
                raise RuntimeError(head.decode("latin-1"))
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            times.append(time.perf_counter() - started)
    finally:
        writer.close()
    return times


def _request(path: str, host: str, key: str, prompt: str) -> bytes:
    body = json.dumps({"prompt": prompt, "metadata": {"from": "benchmark"}}).encode()
    lines = [
        f"POST {path} HTTP/1.1",
        f"Host: {host}",
        f"Authorization: Bearer {key}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


if __name__ == "__main__":
    if sys.argv[1] == "noop":
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(noop_server(int(sys.argv[2])))
        sys.exit()
    print(json.dumps(asyncio.run(client(json.loads(sys.argv[2]), os.environ["EDGECORE_KEY"], int(sys.argv[3])))))
