"""What comes from Kafka: commands, and what cost decided on reservations."""

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore.cost.v1.events_pb2 import BudgetExhausted, CostPosted, ReservationDecided
from edgecore.jobs.v1.commands_pb2 import CancelJob, GenerateVideo
from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore_contracts.cloudevents import Event
from edgecore_runtime.consumer import PermanentFailure
from edgecore_scheduler.domain.nodes import Nodes
from edgecore_scheduler.scheduling import Scheduling


class Commands:
    """The handler of edgecore.job-commands.v1 and edgecore.cost-events.v1."""

    def __init__(self, scheduling: Scheduling, nodes: Nodes) -> None:
        self._scheduling = scheduling
        self._nodes = nodes

    async def handle(self, event: Event, session: AsyncSession) -> None:
        """Apply one message. Raises PermanentFailure for one that belongs on neither topic."""
        message: Message = event.message
        match message:
            case GenerateVideo():
                await self._scheduling.accept(session, message)
            case CancelJob():
                await self._cancel(session, message)
            case ReservationDecided():
                await self._decide(session, message)
            case CostPosted() | BudgetExhausted():
                pass  # others' business
            case _:
                raise PermanentFailure(f"{event.type} is not for the scheduler")

    async def _decide(self, session: AsyncSession, decided: ReservationDecided) -> None:
        try:
            await self._scheduling.decide(session, decided)
        except ValueError as error:
            raise PermanentFailure(str(error)) from error

    async def _cancel(self, session: AsyncSession, command: CancelJob) -> None:
        lease = await self._scheduling.cancel(session, command)
        node = self._nodes.get(lease.node_id) if lease else None
        if lease and node:
            # Told before the commit, so at worst in vain; told again with each heartbeat until it stops.
            node.send(
                pb.SchedulerMessage(cancel=pb.Cancel(lease=pb.LeaseRef(lease_id=lease.id, token=lease.token)))
            )
