"""The Work stream's beginning: who registers, and with what."""

import asyncio
from collections.abc import AsyncIterator

from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore_contracts.errors import FieldProblem, InvalidInput
from edgecore_scheduler.domain.fleet import Fleet
from edgecore_scheduler.domain.nodes import Connection
from edgecore_scheduler.entrypoints.conversation import Conversation, Desk

REGISTER_SECONDS = 10.0


async def work(requests: AsyncIterator[pb.WorkerMessage], desk: Desk) -> AsyncIterator[pb.SchedulerMessage]:
    """One node's stream. Raises InvalidInput when it does not begin with a complete Register."""
    register = await _registration(requests, desk.fleet)
    connection = Connection(
        node_id=register.node_id,
        pool=register.pool,
        backend=register.backend,
        device=register.device,
        models=frozenset(register.models),
        capacity=register.capacity,
    )
    held = {lease.lease_id: lease.token for lease in register.leases}
    async for message in Conversation(desk, connection).hold(requests, held):
        yield message


async def _registration(requests: AsyncIterator[pb.WorkerMessage], fleet: Fleet) -> pb.Register:
    try:
        async with asyncio.timeout(REGISTER_SECONDS):
            message = await anext(requests)
    except (TimeoutError, StopAsyncIteration) as error:
        raise InvalidInput([FieldProblem("register", "must come first, within 10 s")]) from error
    if message.WhichOneof("message") != "register":
        raise InvalidInput([FieldProblem("register", "must come first")])
    register = message.register
    # A provider takes jobs of any model.
    needed = ("node_id", "pool") if fleet.is_provider(register.backend) else ("node_id", "pool", "models")
    missing = [name for name in needed if not getattr(register, name)]
    problems = [FieldProblem(f"register.{name}", "must not be empty") for name in missing]
    if register.capacity < 1:
        problems.append(FieldProblem("register.capacity", "must be at least 1", 1))
    if problems:
        raise InvalidInput(problems)
    return register
