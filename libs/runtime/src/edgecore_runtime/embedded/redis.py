"""A Redis-protocol server in memory (`fakeredis`): streams, blocking reads, pub/sub, Lua.

    python -m edgecore_runtime.embedded.redis --port P

It runs in a process of its own because its connection threads keep a process alive at exit.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys

from edgecore_runtime.embedded.part import Account, until
from edgecore_runtime.embedded.process import PARENT_PIPE, exit_when_parent_dies

PING = b"*1\r\n$4\r\nPING\r\n"


class Redis:
    """The server on 127.0.0.1:`port`."""

    name = "redis"
    account: Account | None = None
    stop_signal = signal.SIGTERM
    orphan_signal = signal.SIGTERM

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def prepare(self) -> None:
        """Nothing: it has no files."""

    def argv(self) -> list[str]:
        return [sys.executable, "-m", "edgecore_runtime.embedded.redis", "--port", str(self.port)]

    def environment(self) -> dict[str, str]:
        return {PARENT_PIPE: "1"}

    async def wait_ready(self, deadline_s: float) -> None:
        await until(self._answers, deadline_s)

    async def _answers(self) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(PING)
            async with asyncio.timeout(1.0):
                return (await reader.readline()).startswith(b"+PONG")
        finally:
            writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="edgecore_runtime.embedded.redis", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="TCP port on 127.0.0.1")
    port = parser.parse_args().port
    exit_when_parent_dies(grace_s=1.0)
    # Nothing here is worth a goodbye, and the server's threads would not let an ordinary exit happen.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))

    from fakeredis import TcpFakeServer

    with TcpFakeServer(("127.0.0.1", port), server_type="redis") as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
