"""The embedded parts' real counterparts: Apache Kafka, PostgreSQL and Redis in containers, of the same shape.

The same suites run on both: EDGECORE_TEST_REAL=1 makes `embedded_parts` give these. Images are
EDGECORE_KAFKA_IMAGE, EDGECORE_POSTGRES_IMAGE and EDGECORE_REDIS_IMAGE, by default the public ones. Needs Docker.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path

from testcontainers.core.container import DockerContainer

from edgecore_runtime.embedded.part import Part
from edgecore_runtime.embedded.parts import EmbeddedParts

IMAGES = {"postgres": "postgres:15", "broker": "apache/kafka:4.1.0", "redis": "redis:7"}
VARIABLES = {
    "postgres": "EDGECORE_POSTGRES_IMAGE",
    "broker": "EDGECORE_KAFKA_IMAGE",
    "redis": "EDGECORE_REDIS_IMAGE",
}
READY_SECONDS = 110.0
PORTS = {"postgres": 5432, "broker": 9092, "redis": 6379}


class ContainerParts(EmbeddedParts):
    """Each part is a container on the port that the embedded one would have.

    A broker that is killed and restarted keeps its log, unlike the embedded one.
    """

    def __init__(self, directory: Path, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(directory, loop)
        self._containers: dict[str, DockerContainer] = {}
        # Where the embedded PostgreSQL would keep the password that it made.
        self._password = directory / "postgres" / "password"
        self._password.parent.mkdir(parents=True, exist_ok=True)
        self._password.write_text(secrets.token_urlsafe(24))

    async def _start(self, part: Part) -> None:
        known = self._containers.get(part.name)
        if known is None:
            known = self._containers[part.name] = self._container(part)
            await asyncio.to_thread(known.start)
        else:
            await asyncio.to_thread(known.get_wrapped_container().start)
        await part.wait_ready(READY_SECONDS)

    def _container(self, part: Part) -> DockerContainer:
        container = DockerContainer(os.environ.get(VARIABLES[part.name], IMAGES[part.name]))
        for name, value in self._environment(part).items():
            container = container.with_env(name, value)
        host_port = int(part.url.rpartition(":")[2].partition("/")[0])
        return container.with_bind_ports(PORTS[part.name], host_port)

    def _environment(self, part: Part) -> dict[str, str]:
        if part.name == "postgres":
            return {"POSTGRES_PASSWORD": self._password.read_text()}
        if part.name == "redis":
            return {}
        # What clients are told, in the words of Apache's image and, first, of a smaller one that knows the rest.
        return {
            "ADVERTISED": self.kafka_bootstrap,
            "KAFKA_HEAP": "384m",
            "KAFKA_NODE_ID": "1",
            "KAFKA_PROCESS_ROLES": "broker,controller",
            "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@127.0.0.1:9093",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "KAFKA_LISTENERS": "PLAINTEXT://0.0.0.0:9092,CONTROLLER://127.0.0.1:9093",
            "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{self.kafka_bootstrap}",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
            "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
            "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        }

    async def _end(self, part: Part) -> None:
        """SIGKILL; what it had written stays, as it does on a real one."""
        await asyncio.to_thread(self._kill, self._containers[part.name])

    @staticmethod
    def _kill(container: DockerContainer) -> None:
        wrapped = container.get_wrapped_container()
        wrapped.reload()
        if wrapped.status == "running":
            wrapped.kill()
            wrapped.wait()

    async def _stop_all(self) -> None:
        async with asyncio.TaskGroup() as stopping:
            for container in self._containers.values():
                stopping.create_task(asyncio.to_thread(container.stop))
