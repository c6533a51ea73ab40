"""Commands from Kafka: generate, cancel."""

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore.jobs.v1.commands_pb2 import CancelJob, GenerateVideo
from edgecore.scheduler.v1 import scheduler_pb2 as pb
from edgecore_contracts.cloudevents import Event
from edgecore_runtime.consumer import PermanentFailure
from edgecore_scheduler.domain.nodes import Nodes
from edgecore_scheduler.scheduling import Scheduling


class Commands:
    """The handler of edgecore.job-commands.v1."""

    def __init__(self, scheduling: Scheduling, nodes: Nodes) -> None:
        self._scheduling = scheduling
        self._nodes = nodes

    async def handle(self, event: Event, session: AsyncSession) -> None:
        """Apply one command. Raises PermanentFailure for a message that is no command."""
        message: Message = event.message
        if isinstance(message, GenerateVideo):
            await self._scheduling.accept(session, message)
        elif isinstance(message, CancelJob):
            await self._cancel(session, message)
        else:
            raise PermanentFailure(f"{event.type} is not a command")

    async def _cancel(self, session: AsyncSession, command: CancelJob) -> None:
        lease = await self._scheduling.cancel(session, command)
        node = self._nodes.get(lease.node_id) if lease else None
        if lease and node:
            # Told before the commit, so at worst in vain; told again with each heartbeat until it stops.
            node.send(
                pb.SchedulerMessage(cancel=pb.Cancel(lease=pb.LeaseRef(lease_id=lease.id, token=lease.token)))
            )
