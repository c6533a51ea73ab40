"""The local stack's plan: which children it has, on which ports, with which files and settings."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from edgecore_cli.errors import CommandFailed
from edgecore_cli.service import Service
from edgecore_runtime.embedded.broker import Broker
from edgecore_runtime.embedded.ports import free_ports, is_free
from edgecore_runtime.embedded.postgres import Postgres
from edgecore_runtime.embedded.redis import Redis

HOST = "127.0.0.1"
DATABASE = "edgecore"
# The embedded broker holds every join of a consumer group open for half a session (a second at least), and
# after a kill -9 for the dead member's whole session and the joining: 1 s and 4 s with this, else 5 and 18.
TUNING = {"EDGECORE_KAFKA_SESSION_TIMEOUT": "2"}
WITH_OUTBOX = ("gateway", "scheduler")


@dataclass(frozen=True)
class Layout:
    """Everything a stack in `directory` (absolute) consists of."""

    directory: Path
    postgres: Postgres
    broker: Broker
    redis: Redis
    api_port: int
    scheduler_port: int
    scheduler_grpc_port: int
    inference_port: int
    inference: bool

    @classmethod
    def plan(cls, directory: Path, port: int, inference: bool) -> Layout:
        """`port` is the HTTP API's, 0 for a free one; all others are free ones.

        Raises CommandFailed when `port` is taken.
        """
        if port and not is_free(port, HOST):
            raise CommandFailed(
                f"port {port} is in use, and the gateway's HTTP API wants it; choose another with --port"
                " (--port 0 takes a free one)"
            )
        free = iter(free_ports(7, HOST))
        return cls(
            directory=directory,
            postgres=Postgres(directory / "postgres", next(free)),
            broker=Broker(next(free)),
            redis=Redis(next(free)),
            scheduler_port=next(free),
            scheduler_grpc_port=next(free),
            inference_port=next(free),
            api_port=port or next(free),
            inference=inference,
        )

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.api_port}"

    @property
    def key_file(self) -> Path:
        return self.directory / "dev-api-key"

    @property
    def database_url(self) -> str:
        return self.postgres.database_url(DATABASE)

    def make_folders(self) -> None:
        for name in ("logs", "artifacts", "scratch", "traces"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)

    def services(self) -> list[Service]:
        """In the order in which they are started. PostgreSQL must have been prepared."""
        services = [self._gateway(), self._scheduler()]
        if self.inference:
            services.append(self._inference())
        return services

    def _gateway(self) -> Service:
        settings = {**self._stored(), "EDGECORE_DEV_KEY_FILE": str(self.key_file), **self._to_scheduler()}
        return self._service("gateway", self.api_port, settings)

    def _scheduler(self) -> Service:
        settings = {**self._stored(), "EDGECORE_GRPC_PORT": str(self.scheduler_grpc_port)}
        return self._service("scheduler", self.scheduler_port, settings)

    def _inference(self) -> Service:
        settings = {
            "EDGECORE_NODE_ID": "local-0",
            "EDGECORE_SCRATCH_DIRECTORY": str(self.directory / "scratch"),
            **self._to_scheduler(),
        }
        return self._service("inference", self.inference_port, settings)

    def _stored(self) -> dict[str, str]:
        return {"EDGECORE_DATABASE_URL": self.database_url, "EDGECORE_MIGRATE_ON_START": "true"}

    def _to_scheduler(self) -> dict[str, str]:
        return {"EDGECORE_SCHEDULER_ADDRESS": f"{HOST}:{self.scheduler_grpc_port}"}

    def _tuning(self) -> dict[str, str]:
        """What suits a laptop, unless whoever starts the stack has set it."""
        return {name: value for name, value in TUNING.items() if name not in os.environ}

    def _service(self, name: str, port: int, settings: dict[str, str]) -> Service:
        common = {
            **self._tuning(),
            "EDGECORE_HTTP_HOST": HOST,
            "EDGECORE_HTTP_PORT": str(port),
            "EDGECORE_KAFKA_BOOTSTRAP": self.broker.bootstrap,
            "EDGECORE_REDIS_URL": self.redis.url,
            "EDGECORE_OBJECT_STORE_URL": (self.directory / "artifacts").as_uri(),
            "EDGECORE_TRACE_FILE": str(self.directory / "traces" / f"{name}.jsonl"),
        }
        return Service(name, f"http://{HOST}:{port}", {**common, **settings})
