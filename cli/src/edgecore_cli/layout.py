"""The local stack's plan: which children it has, on which ports, with which files and settings."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgecore_cli.errors import CommandFailed
from edgecore_cli.service import Service
from edgecore_runtime.embedded.broker import Broker
from edgecore_runtime.embedded.part import Part
from edgecore_runtime.embedded.ports import free_ports, is_free
from edgecore_runtime.embedded.postgres import Postgres
from edgecore_runtime.embedded.redis import Redis

HOST = "127.0.0.1"
DATABASE = "edgecore"
POOL = "local"
# The embedded broker holds every join of a consumer group open for half a session (a second at least), and
# after a kill -9 for the dead member's whole session and the joining: 1 s and 4 s with this, else 5 and 18.
TUNING = {"EDGECORE_KAFKA_SESSION_TIMEOUT": "2"}

SERVICES = ("gateway", "scheduler", "inference", "preview", "cost", "analytics", "autoscaler")
WITH_GRPC = ("scheduler", "preview", "cost", "analytics")
WITH_DATABASE = ("gateway", "scheduler", "cost", "analytics", "autoscaler")
WITH_OUTBOX = ("gateway", "scheduler", "cost")

PROVIDERS = {
    "runway": ("RUNWAYML_API_SECRET", "RUNWAYML_BASE_URL"),
    "replicate": ("REPLICATE_API_TOKEN", "REPLICATE_BASE_URL"),
}
"""Paid providers, and where their packages look for the account's key and another address."""

POOLS = [
    {
        "name": POOL,
        "model": "aiprod-nano",
        "backend": "aiprod",
        "device": "cpu",
        "minReplicas": 1,
        "maxReplicas": 4,
        "coldStartSeconds": 10,
        "forecast": {"mode": "Observe"},
    }
]
"""What the autoscaler is told here: it has no cluster to change, and says what it would do."""


@dataclass(frozen=True)
class Outside:
    """Parts that run elsewhere and are used instead of embedded ones; None: start our own."""

    database_url: str | None = None
    kafka: str | None = None
    redis_url: str | None = None


@dataclass(frozen=True)
class Layout:
    """Everything a stack in `directory` (absolute) consists of. `http` and `grpc` are ports by service.

    `providers` are asked, in order, for what our own nodes cannot do; each is a node of its own.
    """

    directory: Path
    providers: tuple[str, ...]
    outside: Outside
    postgres: Postgres
    broker: Broker
    redis: Redis
    http: dict[str, int]
    grpc: dict[str, int]

    @classmethod
    def plan(
        cls,
        directory: Path,
        port: int,
        without: Sequence[str] = (),
        providers: Sequence[str] = (),
        outside: Outside | None = None,
    ) -> Layout:
        """`port` is the HTTP API's, 0 for a free one; all others are free ones. `without` names services.

        Raises CommandFailed when `port` is taken, a service is unknown or cannot be left out, or a provider is
        unknown or has no key.
        """
        _check_providers(providers)
        for name in without:
            if name not in SERVICES or name == "gateway":
                choices = ", ".join(name for name in SERVICES if name != "gateway")
                raise CommandFailed(f"cannot leave out {name!r}; what can be left out: {choices}")
        if port and not is_free(port, HOST):
            raise CommandFailed(
                f"port {port} is in use, and the gateway's HTTP API wants it; choose another with --port"
                " (--port 0 takes a free one)"
            )
        names = [*(name for name in SERVICES if name not in without), *providers]
        speaking = [name for name in WITH_GRPC if name in names]
        free = iter(free_ports(3 + len(names) + len(speaking), HOST))
        return cls(
            directory=directory,
            providers=tuple(providers),
            outside=outside or Outside(),
            postgres=Postgres(directory / "postgres", next(free)),
            broker=Broker(next(free)),
            redis=Redis(next(free)),
            grpc={name: next(free) for name in speaking},
            http={name: next(free) for name in names} | ({"gateway": port} if port else {}),
        )

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.http['gateway']}"

    @property
    def key_file(self) -> Path:
        return self.directory / "dev-api-key"

    @property
    def password_file(self) -> Path:
        return self.directory / "dev-password"

    @property
    def database_url(self) -> str:
        return self.outside.database_url or self.postgres.database_url(DATABASE)

    @property
    def kafka_bootstrap(self) -> str:
        return self.outside.kafka or self.broker.bootstrap

    @property
    def redis_url(self) -> str:
        return self.outside.redis_url or self.redis.url

    def make_folders(self) -> None:
        for name in ("logs", "artifacts", "scratch", "traces"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        # JSON is YAML too.
        (self.directory / "pools.yaml").write_text(json.dumps(POOLS, indent=2) + "\n")

    def parts(self) -> list[Part]:
        """The embedded parts to start."""
        own: list[tuple[str | None, Part]] = [
            (self.outside.database_url, self.postgres),
            (self.outside.kafka, self.broker),
            (self.outside.redis_url, self.redis),
        ]
        return [part for elsewhere, part in own if elsewhere is None]

    def services(self) -> list[Service]:
        """All but the nodes. PostgreSQL must have been prepared."""
        return [self._service(name) for name in self.http if name not in ("inference", *self.providers)]

    def nodes(self) -> list[Service]:
        """What makes the videos."""
        return [self._service(name) for name in self.http if name in ("inference", *self.providers)]

    def _service(self, name: str) -> Service:
        url = f"http://{HOST}:{self.http[name]}"
        settings = {**self._tuning(), **self._common(name), **self._special().get(name, {})}
        if name in WITH_DATABASE:
            settings |= {"EDGECORE_DATABASE_URL": self.database_url, "EDGECORE_MIGRATE_ON_START": "true"}
        if name in self.grpc:
            settings |= {"EDGECORE_GRPC_PORT": str(self.grpc[name])}
        module = "edgecore_inference.provider" if name in self.providers else f"edgecore_{name}"
        return Service(name, module, url, settings)

    def _common(self, name: str) -> dict[str, str]:
        """What any service may want to know; it reads what it needs."""
        addresses = {f"EDGECORE_{peer.upper()}_ADDRESS": f"{HOST}:{port}" for peer, port in self.grpc.items()}
        return addresses | {
            "EDGECORE_HTTP_HOST": HOST,
            "EDGECORE_HTTP_PORT": str(self.http[name]),
            "EDGECORE_KAFKA_BOOTSTRAP": self.kafka_bootstrap,
            "EDGECORE_REDIS_URL": self.redis_url,
            "EDGECORE_OBJECT_STORE_URL": (self.directory / "artifacts").as_uri(),
            "EDGECORE_TRACE_FILE": str(self.directory / "traces" / f"{name}.jsonl"),
        }

    def _special(self) -> dict[str, dict[str, str]]:
        """What one service alone is told."""
        chain = {"EDGECORE_FALLBACK_BACKENDS": ",".join(self.providers)} if self.providers else {}
        return {name: self._provider(name) for name in self.providers} | {
            "scheduler": chain,
            "cost": chain,
            "gateway": {
                "EDGECORE_DEV_KEY_FILE": str(self.key_file),
                "EDGECORE_DEV_PASSWORD_FILE": str(self.password_file),
            },
            "inference": {
                "EDGECORE_NODE_ID": f"{POOL}-0",
                "EDGECORE_POOL": POOL,
                "EDGECORE_SCRATCH_DIRECTORY": str(self.directory / "scratch"),
            },
            "autoscaler": {"EDGECORE_POOLS_FILE": str(self.directory / "pools.yaml")},
        }

    def _provider(self, name: str) -> dict[str, str]:
        key, url = (os.environ.get(variable, "") for variable in PROVIDERS[name])
        return {
            "EDGECORE_PROVIDER": name,
            "EDGECORE_PROVIDER_API_KEY": key,
            "EDGECORE_PROVIDER_URL": url,
            "EDGECORE_SCRATCH_DIRECTORY": str(self.directory / "scratch"),
            "EDGECORE_ORDERS_DIRECTORY": str(self.directory / "orders"),
        }

    def _tuning(self) -> dict[str, str]:
        """What suits a laptop, unless whoever starts the stack has set it."""
        return {name: value for name, value in TUNING.items() if name not in os.environ}


def _check_providers(names: Sequence[str]) -> None:
    for name in names:
        if name not in PROVIDERS:
            raise CommandFailed(f"no provider is called {name!r}; there are {', '.join(PROVIDERS)}")
        if not os.environ.get(PROVIDERS[name][0]):
            raise CommandFailed(f"{name} needs an account: set {PROVIDERS[name][0]} to its key")
