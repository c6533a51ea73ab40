"""The money: one method an occurrence, each within the caller's transaction, with its events.

Every change of a user's money holds the lock of the user's account, so that budgets hold whatever happens at the
same time. Rows are keyed by what they are about, so that occurrences in any order and number end the same.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncSession

from edgecore.common.v1.common_pb2 import GenerationSpec
from edgecore.cost.v1.events_pb2 import BudgetExhausted
from edgecore_contracts.cloudevents import timestamp
from edgecore_contracts.errors import Conflict
from edgecore_contracts.money import usd
from edgecore_cost import metrics
from edgecore_cost.adapters import accounts, jobs, ledger, reservations
from edgecore_cost.adapters.accounts import Account
from edgecore_cost.adapters.reservations import SETTLED, Reservation
from edgecore_cost.domain.billing import Line, period_end, period_of
from edgecore_cost.domain.quotes import Decision, Quote, State, decide
from edgecore_cost.messages import cost_posted
from edgecore_cost.quoting import Quoting
from edgecore_runtime import logs
from edgecore_runtime.clock import Clock
from edgecore_runtime.outbox import Outbox

log = logs.get(__name__)


@dataclass(frozen=True)
class Ask:
    """Money wanted for a job. `fallback`: paid providers may be covered; `max_cost` in micros, None: no limit."""

    job_id: str
    user_id: str
    spec: GenerationSpec
    fallback: bool
    max_cost: int | None


class Accounting:
    """The rules of domain/ applied to the rows of adapters/. `default_limit` in micros, None is unlimited."""

    def __init__(self, outbox: Outbox, quoting: Quoting, clock: Clock, default_limit: int | None) -> None:
        self._outbox = outbox
        self._quoting = quoting
        self._clock = clock
        self.default_limit = default_limit

    async def reserve(self, session: AsyncSession, ask: Ask) -> Reservation:
        """Set money aside, once; the same job again gets the same answer. Raises InvalidInput, Conflict."""
        account = await accounts.lock(session, ask.user_id)
        known = await reservations.get(session, ask.job_id)
        if known is not None:
            if known.user_id != ask.user_id:
                raise Conflict(f"job {ask.job_id} has another user's reservation")
            return await self._kept(session, known)
        own = await self._quoting.own(session, ask.spec)
        providers = await self._quoting.providers(session, ask.spec) if ask.fallback else []
        left = await self._left(session, account)
        decision = decide(own, providers, ask.max_cost, left)
        made = await self._add(session, ask.job_id, ask.user_id, decision)
        await self._tell_exhausted(session, account, decision.over_budget)
        return made

    async def record(self, session: AsyncSession, ask: Ask, quotes: list[Quote]) -> None:
        """A job that was told its money is secured: the row is there, or is made, whatever the budget says now."""
        account = await accounts.lock(session, ask.user_id)
        known = await reservations.get(session, ask.job_id)
        if known is None:
            own = await self._quoting.own(session, ask.spec)
            covered = tuple(quotes) or (own,)
            decision = Decision(State.SECURED, own.expected, max(one.upper for one in covered), covered)
            await self._add(session, ask.job_id, ask.user_id, decision)
        else:
            await self._kept(session, known)
        await self._tell_exhausted(session, account)

    async def post(self, session: AsyncSession, line: Line) -> bool:
        """Write a ledger line and tell of it; False when it was there."""
        account = await accounts.lock(session, line.user_id)
        if not await ledger.post(session, line):
            return False
        await self._outbox.add(session, cost_posted(line), line.job_id)
        await self._tell_exhausted(session, account)
        metrics.posted.labels(line.kind).inc(line.amount)
        log.info("cost posted", job_id=line.job_id, attempt=line.attempt, kind=line.kind, micros=line.amount)
        return True

    async def settle(self, session: AsyncSession, job_id: str, user_id: str) -> None:
        """The job is over: what its reservation still holds is free."""
        await accounts.lock(session, user_id)
        await reservations.settle(session, job_id)

    async def expire(self, session: AsyncSession, age: timedelta) -> int:
        """Release reservations whose job nobody saw within `age`; returns how many."""
        count = await reservations.expire(session, age)
        metrics.reservations.labels("EXPIRED").inc(count)
        return count

    async def _add(self, session: AsyncSession, job_id: str, user_id: str, decision: Decision) -> Reservation:
        closed = SETTLED if await jobs.is_over(session, job_id) else None
        reservation = Reservation(job_id, user_id, decision, closed)
        await reservations.add(session, reservation)
        metrics.reservations.labels(decision.state).inc()
        log.info("reservation", job_id=job_id, state=decision.state, micros=decision.amount)
        return reservation

    async def _kept(self, session: AsyncSession, known: Reservation) -> Reservation:
        """A known reservation, holding its money again if it had expired."""
        if known.closed == SETTLED:
            return known
        await reservations.keep(session, known.job_id)
        return replace(known, closed=None)

    async def _left(self, session: AsyncSession, account: Account) -> int | None:
        """What the month's budget still has; None without one."""
        limit = account.limit(self.default_limit)
        if limit is None:
            return None
        spent = await accounts.spent(session, account.user_id, period_of(self._clock.now()))
        return limit - spent - await reservations.held(session, account.user_id)

    async def _tell_exhausted(self, session: AsyncSession, account: Account, refused: bool = False) -> None:
        """Tell, once a month, that the budget is reached, or did not cover a job."""
        limit, left = account.limit(self.default_limit), await self._left(session, account)
        if limit is None or left is None or not (refused or left <= 0):
            return
        now = self._clock.now()
        period = period_of(now)
        if await accounts.first_exhausted(session, account.user_id, period):
            spent = await accounts.spent(session, account.user_id, period)
            event = BudgetExhausted(
                user_id=account.user_id,
                budget=usd(limit),
                spent=usd(spent),
                period_start=timestamp(period),
                period_end=timestamp(period_end(period)),
                occurred_at=timestamp(now),
            )
            await self._outbox.add(session, event, account.user_id)
