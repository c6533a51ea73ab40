"""One of our services as a part of the local stack."""

from __future__ import annotations

import signal
import sys
from collections.abc import Mapping

import httpx

from edgecore_runtime.embedded.part import Account, until
from edgecore_runtime.embedded.process import PARENT_PIPE

HEALTH_TIMEOUT_S = 2.0


class Service:
    """`python -m <module> serve`, ready when GET `url`/health/ready answers 200."""

    account: Account | None = None
    stop_signal = signal.SIGTERM
    orphan_signal = signal.SIGTERM

    def __init__(self, name: str, module: str, url: str, settings: Mapping[str, str]) -> None:
        self.name = name
        self._module = module
        self.url = url
        self.settings = dict(settings)

    async def prepare(self) -> None:
        """Nothing: a service brings its own tables up to date when it starts."""

    def argv(self) -> list[str]:
        return [sys.executable, "-m", self._module, "serve"]

    def environment(self) -> dict[str, str]:
        return {**self.settings, PARENT_PIPE: "1", "PYTHONUNBUFFERED": "1"}

    async def wait_ready(self, deadline_s: float) -> None:
        # Neither certificates nor proxies concern a loopback address, and loading them costs time.
        client = httpx.AsyncClient(verify=False, trust_env=False, timeout=HEALTH_TIMEOUT_S)  # noqa: S501
        async with client as http:

            async def answers() -> bool:
                try:
                    return (await http.get(f"{self.url}/health/ready")).status_code == 200
                except httpx.TransportError:
                    return False

            await until(answers, deadline_s)
