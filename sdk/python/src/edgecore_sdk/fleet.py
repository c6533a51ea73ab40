"""What can run, where, and why a job ran there, as plain values. Fields that a newer server adds are ignored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

Json = Mapping[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Node:
    """A node as it last described itself; `running` of `capacity` jobs at a time."""

    id: str
    pool: str
    backend: str
    device: str
    models: tuple[str, ...]
    capacity: int
    running: int
    connected: bool
    draining: bool

    @classmethod
    def parse(cls, body: Json) -> Node:
        """Raises KeyError, TypeError or ValueError for a body that is not a node."""
        return cls(
            id=str(body["id"]),
            pool=str(body["pool"]),
            backend=str(body["backend"]),
            device=str(body["device"]),
            models=tuple(map(str, body["models"])),
            capacity=int(body["capacity"]),
            running=int(body["running"]),
            connected=bool(body["connected"]),
            draining=bool(body["draining"]),
        )


@dataclass(frozen=True)
class Pool:
    """`queued` waiting jobs that its nodes could take, and the seconds that those will probably take."""

    pool: str
    backend: str
    queued: int
    queued_seconds: float
    running: int
    nodes_ready: int
    nodes_draining: int
    capacity: int

    @classmethod
    def parse(cls, body: Json) -> Pool:
        """Raises KeyError, TypeError or ValueError for a body that is not a pool."""
        return cls(
            pool=str(body["pool"]),
            backend=str(body["backend"]),
            queued=int(body["queued"]),
            queued_seconds=float(body["queued_seconds"]),
            running=int(body["running"]),
            nodes_ready=int(body["nodes_ready"]),
            nodes_draining=int(body["nodes_draining"]),
            capacity=int(body["capacity"]),
        )


@dataclass(frozen=True)
class Provider:
    """A paid provider; `breaker` is closed, open (nothing is sent there until `retry_at`) or half_open."""

    backend: str
    breaker: str
    nodes_ready: int
    recent_attempts: int
    recent_failures: int
    retry_at: datetime | None

    @classmethod
    def parse(cls, body: Json) -> Provider:
        """Raises KeyError, TypeError or ValueError for a body that is not a provider."""
        retry_at = body.get("retry_at")
        return cls(
            backend=str(body["backend"]),
            breaker=str(body["breaker"]),
            nodes_ready=int(body["nodes_ready"]),
            recent_attempts=int(body["recent_attempts"]),
            recent_failures=int(body["recent_failures"]),
            retry_at=datetime.fromisoformat(retry_at) if retry_at else None,
        )


@dataclass(frozen=True)
class Model:
    """A model that can be asked for; `available` None: nobody can say now."""

    name: str
    backend: str
    available: bool | None
    limits: Json
    defaults: Json

    @classmethod
    def parse(cls, body: Json) -> Model:
        """Raises KeyError, TypeError or ValueError for a body that is not a model."""
        return cls(
            name=str(body["name"]),
            backend=str(body["backend"]),
            available=body["available"],
            limits=dict(body["limits"]),
            defaults=dict(body["defaults"]),
        )


@dataclass(frozen=True)
class Decision:
    """One look at one backend for one attempt: chosen, skipped (not now) or filtered (never); `code` is stable."""

    number: int
    attempt: int
    backend: str
    node: str | None
    verdict: str
    code: str
    detail: str
    decided_at: datetime

    @classmethod
    def parse(cls, body: Json) -> Decision:
        """Raises KeyError, TypeError or ValueError for a body that is not a decision."""
        return cls(
            number=int(body["number"]),
            attempt=int(body["attempt"]),
            backend=str(body["backend"]),
            node=body.get("node"),
            verdict=str(body["verdict"]),
            code=str(body["code"]),
            detail=str(body["detail"]),
            decided_at=datetime.fromisoformat(body["decided_at"]),
        )


def rows(parse: Callable[[Json], T]) -> Callable[[Json], list[T]]:
    """Reads a list's `data`."""
    return lambda body: [parse(one) for one in body["data"]]
