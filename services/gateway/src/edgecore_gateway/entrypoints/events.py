"""What the scheduler decided and what cost posted: events become the gateway's projection."""

from sqlalchemy import event as orm_event
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore.cost.v1.events_pb2 import BudgetExhausted, CostPosted, ReservationDecided
from edgecore.jobs.v1 import events_pb2
from edgecore_contracts.cloudevents import Event
from edgecore_gateway.adapters import costs, jobs
from edgecore_gateway.adapters.jobs import UnknownJob
from edgecore_gateway.domain.costs import cost_line, reservation_change
from edgecore_gateway.domain.projection import Unreadable, attempt_end, state_change
from edgecore_gateway.entrypoints.watch import Watch
from edgecore_runtime.consumer import PermanentFailure


class Projector:
    """Handles `edgecore.job-events.v1` and `edgecore.cost-events.v1`, and wakes those who wait for the job."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    async def handle(self, event: Event, session: AsyncSession) -> None:
        """Apply the event in the session's transaction. Raises PermanentFailure when it can never be."""
        message = event.message
        try:
            if isinstance(message, events_pb2.JobStateChanged):
                await jobs.apply_state(session, state_change(message, event.time))
            elif isinstance(message, events_pb2.AttemptFinished):
                await jobs.apply_attempt_end(session, attempt_end(message, event.time))
            elif isinstance(message, CostPosted):
                await costs.apply_line(session, cost_line(message, event.time))
            elif isinstance(message, ReservationDecided):
                await costs.apply_reservation(session, reservation_change(message))
            elif isinstance(message, BudgetExhausted):
                return  # of a user, and no job: whoever asks for the next job is told
            else:
                raise PermanentFailure(f"the gateway has no use for {event.type}")
        except (Unreadable, UnknownJob) as error:
            raise PermanentFailure(str(error)) from error
        # Whoever is woken before the commit would read the old state and go on waiting.
        job_id = message.job_id
        orm_event.listen(session.sync_session, "after_commit", lambda _: self._watch.wake(job_id), once=True)
