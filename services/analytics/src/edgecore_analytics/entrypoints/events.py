"""The handler of all four topics."""

import copy

from google.protobuf.message import Message
from sqlalchemy import event as hooks
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore.cost.v1.events_pb2 import BudgetExhausted, CostPosted
from edgecore.jobs.v1.commands_pb2 import GenerateVideo
from edgecore.jobs.v1.events_pb2 import AttemptFinished, JobStateChanged
from edgecore.scheduler.v1.events_pb2 import NodeStateChanged, PoolSnapshot
from edgecore_analytics.adapters import fleet, jobs
from edgecore_analytics.domain.job import Job
from edgecore_analytics.entrypoints import metrics
from edgecore_contracts.cloudevents import Event
from edgecore_runtime.consumer import PermanentFailure

OfOneJob = GenerateVideo | JobStateChanged | AttemptFinished | CostPosted


async def handle(event: Event, session: AsyncSession) -> None:
    """Fold one event into the rows. Raises PermanentFailure for one that can never be understood.

    What adds nothing to any figure (CancelJob, ReservationDecided) is passed over.
    """
    message: Message = event.message
    try:
        if isinstance(message, OfOneJob):
            await _fold(session, message)
        elif isinstance(message, PoolSnapshot):
            await fleet.show_pool(session, message)
        elif isinstance(message, NodeStateChanged):
            await fleet.show_node(session, message)
        elif isinstance(message, BudgetExhausted):
            hooks.listen(session.sync_session, "after_commit", lambda _: metrics.exhausted.inc(), once=True)
    except ValueError as error:
        raise PermanentFailure(f"{event.type}: {error}") from error


async def _fold(session: AsyncSession, message: OfOneJob) -> None:
    if not message.job_id:
        raise ValueError("it names no job")
    before = await jobs.load(session, message.job_id)
    after = copy.deepcopy(before)
    apply(after, message)
    await jobs.store(session, before, after)
    hooks.listen(session.sync_session, "after_commit", lambda _: metrics.count(before, after), once=True)


def apply(job: Job, message: OfOneJob) -> None:
    """Add a message's facts to the job's."""
    if isinstance(message, GenerateVideo):
        job.accept(message)
    elif isinstance(message, JobStateChanged):
        job.change(message)
    elif isinstance(message, AttemptFinished):
        job.end_attempt(message)
    else:
        job.post(message)
