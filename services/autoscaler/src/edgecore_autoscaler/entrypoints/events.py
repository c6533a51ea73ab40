"""Events from Kafka: jobs that arrive, pools that tell how they are."""

from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore.jobs.v1.commands_pb2 import GenerateVideo
from edgecore.scheduler.v1.events_pb2 import PoolSnapshot
from edgecore_autoscaler.adapters.demand import Demand
from edgecore_autoscaler.adapters.snapshots import Snapshots
from edgecore_contracts.cloudevents import Event
from edgecore_contracts.models import MODELS
from edgecore_runtime.clock import Clock
from edgecore_runtime.consumer import PermanentFailure


class Events:
    """Handles edgecore.job-commands.v1 and edgecore.pool-events.v1; other messages there do not concern it."""

    def __init__(self, clock: Clock, seconds_per_job: float, history_days: int) -> None:
        self._clock = clock
        self._seconds_per_job = seconds_per_job
        self._history = timedelta(days=history_days)
        self._demand = Demand()
        self._snapshots = Snapshots()

    async def handle(self, event: Event, session: AsyncSession) -> None:
        """Note one event. Raises PermanentFailure for one that lacks what it must have."""
        message = event.message
        if isinstance(message, GenerateVideo):
            await self._arrived(session, message, event.time)
        elif isinstance(message, PoolSnapshot):
            if not message.pool.pool:
                raise PermanentFailure("a snapshot must name its pool")
            await self._snapshots.save(session, message.pool, self._time(message.occurred_at, event.time))

    async def _arrived(self, session: AsyncSession, command: GenerateVideo, told_at: datetime) -> None:
        model = command.spec.model
        if not model:
            raise PermanentFailure("a job must name its model")
        arrived_at = self._time(command.accepted_at, told_at)
        if arrived_at < self._clock.now() - self._history:
            return  # a replay of what would be forgotten at once
        backend = MODELS[model].backend if model in MODELS else ""
        seconds = await self._snapshots.seconds_per_job(session, backend) or self._seconds_per_job
        await self._demand.add(session, model, arrived_at, seconds)

    def _time(self, stamp: Timestamp, otherwise: datetime) -> datetime:
        """When it happened, but never in the future: a sender's clock may be wrong."""
        return min(stamp.ToDatetime(UTC) if stamp.seconds else otherwise, self._clock.now())
