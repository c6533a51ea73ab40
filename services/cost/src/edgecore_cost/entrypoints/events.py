"""Events from Kafka: commands, what became of jobs and attempts, and how pools are doing."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncSession

from edgecore.jobs.v1.commands_pb2 import CancelJob, GenerateVideo, ReservationState
from edgecore.jobs.v1.events_pb2 import AttemptFinished, AttemptOutcome, JobStateChanged
from edgecore.scheduler.v1.events_pb2 import NodeStateChanged, PoolSnapshot
from edgecore_contracts.cloudevents import Event
from edgecore_contracts.errors import Conflict, InvalidInput
from edgecore_contracts.states import JobState
from edgecore_cost import metrics
from edgecore_cost.accounting import Accounting, Ask
from edgecore_cost.adapters import fleet, jobs, prices
from edgecore_cost.domain.billing import Use, attempt_line, compute_seconds, storage_line
from edgecore_cost.domain.catalogue import OUTCOMES, Catalogue
from edgecore_cost.domain.prices import NoPrice
from edgecore_cost.domain.pricing import Predict
from edgecore_cost.domain.quotes import Quote
from edgecore_cost.domain.work import work_of
from edgecore_cost.messages import micros, moment, reservation_decided
from edgecore_runtime.consumer import PermanentFailure
from edgecore_runtime.outbox import Outbox

STAGES = ("load_seconds", "generate_seconds", "encode_seconds", "upload_seconds")


class Events:
    """The handler of job-commands, job-events and pool-events."""

    def __init__(
        self,
        accounting: Accounting,
        catalogue: Catalogue,
        predict: Predict,
        outbox: Outbox,
        priced: Callable[[], Awaitable[None]],
    ) -> None:
        """`priced` returns when the price rows are there: before, an event would find no price and be parked."""
        self._priced = priced
        self._accounting = accounting
        self._catalogue = catalogue
        self._predict = predict
        self._outbox = outbox

    async def handle(self, event: Event, session: AsyncSession) -> None:
        """Apply one event. Raises PermanentFailure for one that can never be applied."""
        message: Message = event.message
        await self._priced()
        try:
            if isinstance(message, GenerateVideo):
                await self._generate(session, message, event.time)
            elif isinstance(message, AttemptFinished):
                await self._attempt(session, message, moment(message.occurred_at, event.time))
            elif isinstance(message, JobStateChanged):
                await self._state(session, message, moment(message.occurred_at, event.time))
            elif isinstance(message, PoolSnapshot):
                await fleet.note_pool(session, message.pool, moment(message.occurred_at, event.time))
            elif isinstance(message, NodeStateChanged):
                await fleet.note_node(session, message, moment(message.occurred_at, event.time))
            elif not isinstance(message, CancelJob):  # what a cancelled job costs, its attempts say
                raise PermanentFailure(f"cost has no use for {event.type}")
        except (InvalidInput, Conflict) as error:
            raise PermanentFailure(error.detail) from error
        except NoPrice as error:
            raise PermanentFailure(f"{error}; put one, then replay this dead letter") from error

    async def _generate(self, session: AsyncSession, command: GenerateVideo, when: datetime) -> None:
        """Remember what is to be made; decide, or record, its reservation."""
        await jobs.remember(session, command.job_id, command.spec)
        limit = micros("max_cost", command.max_cost) if command.HasField("max_cost") else None
        ask = Ask(command.job_id, command.user_id, command.spec, command.fallback, limit)
        if command.reservation == ReservationState.RESERVATION_STATE_PENDING:
            decided = await self._accounting.reserve(session, ask)
            await self._outbox.add(session, reservation_decided(decided, when), command.job_id)
        elif command.reservation == ReservationState.RESERVATION_STATE_SECURED:
            quotes = [
                Quote(one.backend, one.upper_bound.micros, micros("quotes", one.upper_bound))
                for one in command.quotes
            ]
            await self._accounting.record(session, ask, quotes)

    async def _attempt(self, session: AsyncSession, message: AttemptFinished, when: datetime) -> None:
        """Post what the attempt bills, and learn from what it took."""
        use = _use(message)
        book = await prices.book(session)
        line = attempt_line(self._catalogue, book, message.job_id, message.user_id, message.attempt, use, when)
        if line is not None:
            await self._accounting.post(session, line)
        if use.outcome == "SUCCEEDED" and use.backend not in self._catalogue.providers:
            seconds = compute_seconds(self._catalogue, use)
            if seconds > 0:
                await jobs.measure(session, message.job_id, message.attempt, use.model, seconds, when)
                await self._compare(session, message.job_id, use.model, seconds)

    async def _compare(self, session: AsyncSession, job_id: str, device: str, seconds: float) -> None:
        spec = await jobs.spec_of(session, job_id)
        if spec is not None:
            predicted = self._predict(spec.model, device, work_of(spec)).seconds
            metrics.relative_error.labels(spec.model, device).observe(abs(predicted - seconds) / seconds)

    async def _state(self, session: AsyncSession, message: JobStateChanged, when: datetime) -> None:
        """At the end: what is kept costs storage, and what was set aside is free."""
        try:
            state = JobState.from_proto(message.to)
        except ValueError:
            return  # a newer scheduler's state is not an end that we know
        if not state.terminal:
            return
        await jobs.end(session, message.job_id, when)
        if state is JobState.DELIVERED:
            size = sum(one.size_bytes for one in (message.artifact, *message.other_artifacts))
            book = await prices.book(session)
            line = storage_line(
                self._catalogue, book, message.job_id, message.user_id, message.attempt, size, when
            )
            if line is not None:
                await self._accounting.post(session, line)
        await self._accounting.settle(session, message.job_id, message.user_id)


def _use(message: AttemptFinished) -> Use:
    """Raises PermanentFailure for an outcome that nobody knows a rule for."""
    outcome = AttemptOutcome.Name(message.outcome) if message.outcome in AttemptOutcome.values() else ""
    outcome = outcome.removeprefix("ATTEMPT_OUTCOME_")
    if outcome not in OUTCOMES or not message.user_id or message.attempt < 1:
        raise PermanentFailure(f"an attempt of {message.job_id!r} without number, user or known outcome")
    measured = message.measurements
    return Use(
        backend=message.backend,
        model=measured.provider_model or measured.device,
        outcome=outcome,
        seconds={stage: max(getattr(measured, stage), 0.0) for stage in STAGES},
        provider_seconds=max(measured.provider_seconds, 0.0),
    )
