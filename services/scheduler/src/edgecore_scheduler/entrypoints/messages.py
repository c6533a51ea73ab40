"""What the scheduler knows, as its contract says it."""

from datetime import datetime, timedelta

from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore_contracts.cloudevents import timestamp
from edgecore_scheduler.domain.breaker import Breaker
from edgecore_scheduler.domain.decisions import Decision
from edgecore_scheduler.domain.nodes import Connection
from edgecore_scheduler.domain.pools import PoolStanding


def node(known: Connection, connection: Connection | None) -> pb.Node:
    """A node as it last described itself, and what its open stream, if any, runs."""
    return pb.Node(
        node_id=known.node_id,
        pool=known.pool,
        device=known.device,
        backend=known.backend,
        models=sorted(known.models),
        capacity=known.capacity,
        running=len(connection.running) if connection else 0,
        connected=connection is not None,
        draining=known.draining,
    )


def pool(standing: PoolStanding) -> pb.Pool:
    return pb.Pool(**vars(standing))


def provider(backend: str, breaker: Breaker, nodes_ready: int, now: datetime) -> pb.Provider:
    """A provider; `now` labels when its breaker lets the next job through."""
    attempts, failures = breaker.recent
    retry_in = breaker.opens_in
    return pb.Provider(
        backend=backend,
        breaker=pb.BreakerState.Value(f"BREAKER_STATE_{breaker.state}"),
        nodes_ready=nodes_ready,
        recent_attempts=attempts,
        recent_failures=failures,
        retry_at=None if retry_in is None else timestamp(now + timedelta(seconds=retry_in)),
    )


def decision(made: Decision, at: datetime) -> pb.Decision:
    look = made.look
    return pb.Decision(
        number=made.number,
        attempt=made.attempt,
        backend=look.backend,
        node_id=look.node_id,
        verdict=pb.Verdict.Value(f"VERDICT_{look.verdict}"),
        code=look.code,
        detail=look.detail,
        decided_at=timestamp(at),
    )
