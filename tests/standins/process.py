"""A stand-in provider as a process of its own, told what to do wrong over HTTP."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from edgecore_runtime.embedded.ports import free_ports

READY_SECONDS = 30.0


class ProviderStandin:
    """A running stand-in at `url`."""

    def __init__(self, url: str, process: "subprocess.Popen[bytes]") -> None:
        self.url = url
        self.process = process

    def faults(self, **faults: Any) -> None:
        """From now on; nothing named: it works."""
        httpx.put(f"{self.url}/standin/faults", json=faults).raise_for_status()

    def orders(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = httpx.get(f"{self.url}/standin/orders").json()
        return found

    def environment(self) -> dict[str, str]:
        """What makes both providers' packages talk to it."""
        return {
            "RUNWAYML_API_SECRET": "stand-in",
            "RUNWAYML_BASE_URL": self.url,
            "REPLICATE_API_TOKEN": "stand-in",
            "REPLICATE_BASE_URL": self.url,
            "EDGECORE_PROVIDER_POLL_SECONDS": "0.2",
        }


@contextmanager
def provider_standin(seed: int = 0) -> Iterator[ProviderStandin]:
    """Ready inside the block."""
    port = free_ports(1)[0]
    command = [sys.executable, "-m", "tests.standins.provider", "--port", str(port), "--seed", str(seed)]
    process = subprocess.Popen(command)
    standin = ProviderStandin(f"http://127.0.0.1:{port}", process)
    try:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                standin.orders()
                break
            except httpx.TransportError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        yield standin
    finally:
        process.terminate()
        process.wait(10)
