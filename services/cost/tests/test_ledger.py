"""The ledger under any history: Hypothesis shuffles, repeats, restarts, and counts the money by itself."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import func, select

from edgecore_contracts.cloudevents import Event
from edgecore_cost.accounting import Accounting, Ask
from edgecore_cost.adapters import accounts, reservations, tables
from edgecore_cost.adapters.catalogue_file import load_catalogue, load_priors
from edgecore_cost.adapters.predictions import Predictions
from edgecore_cost.adapters.prices import seed
from edgecore_cost.domain.billing import period_of
from edgecore_cost.entrypoints.events import Events
from edgecore_cost.quoting import Quoting
from edgecore_cost.settings import Settings
from edgecore_runtime.clock import SystemClock
from edgecore_runtime.database import Database
from edgecore_runtime.ids import new_id
from edgecore_runtime.outbox import Inbox, Outbox


def period() -> datetime:
    return period_of(datetime.now(UTC))


class Books:
    """Cost without Kafka and gRPC: what its consumer and its servicer call, on a real database."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.open()

    def open(self) -> None:
        clock, catalogue = SystemClock(), load_catalogue("")
        self.database = Database(self._url, tables.SCHEMA, 4)
        predictions = Predictions(self.database, load_priors(), 400, 60.0)
        quoting = Quoting(catalogue, predictions.predict, clock, ["runway"], {}, "cpu")
        outbox = Outbox(tables.outbox, "cost", clock)
        self.accounting = Accounting(outbox, quoting, clock, None)
        self._events = Events(self.accounting, catalogue, predictions.predict, outbox, _at_once)
        self._inbox = Inbox(tables.inbox)

    async def restart(self) -> None:
        await self.database.stop()
        self.open()

    async def handle(self, event: Event) -> None:
        async with self.database.transaction() as session:
            if await self._inbox.first_time(session, event):
                await self._events.handle(event, session)

    async def reserve(self, ask: Ask) -> Any:
        async with self.database.transaction() as session:
            return await self.accounting.reserve(session, ask)

    async def money(self, user: str) -> tuple[int, int, int]:
        """(spent, sum of the ledger's lines, held) in micros."""
        async with self.database.reading() as session:
            lines = select(func.coalesce(func.sum(tables.ledger.c.amount), 0)).where(
                tables.ledger.c.user_id == user
            )
            total = int((await session.execute(lines)).scalar_one())
            return (
                await accounts.spent(session, user, period()),
                total,
                await reservations.held(session, user),
            )

    async def end(self, job: str, user: str) -> Any:
        """Everything that is left of a job's history, for comparing."""
        async with self.database.reading() as session:
            ledger, made = tables.ledger, tables.reservations
            lines = await session.execute(
                select(ledger).where(ledger.c.job_id == job).order_by(*ledger.primary_key)
            )
            found = [(row.attempt, row.kind, row.amount, row.quantity, row.price_id) for row in lines]
            row = (await session.execute(select(made).where(made.c.job_id == job))).one_or_none()
            reservation = (row.state, row.amount, row.estimate, row.closed) if row else None
            measured = tables.measured
            learnt = await session.execute(select(measured.c.seconds).where(measured.c.job_id == job))
        return found, reservation, sorted(learnt.scalars()), await self.money(user)


async def _at_once() -> None:
    """Prices are there from the start."""


@pytest.fixture(scope="session")
def url(fresh_url: Any) -> str:
    url: str = fresh_url()

    async def prepare() -> None:
        await tables.schema.migrate(Settings(database_url=url, kafka_bootstrap="nobody:1"))
        database = Database(url, tables.SCHEMA, 3)
        async with database.transaction() as session:
            await seed(session, load_catalogue("").prices)
        await database.stop()

    asyncio.run(prepare())
    return url


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as one:
        yield one


@pytest.mark.local
def test_every_order_of_a_history_ends_the_same(url: str, runner: asyncio.Runner, kit: SimpleNamespace) -> None:
    books = runner.run(_opened(url))

    def history(job: str, user: str, pending: bool, delivered: bool) -> list[Event]:
        return [
            kit.enveloped(message)
            for message in (
                kit.command(job, user, "PENDING" if pending else "SECURED"),
                kit.attempt(job, user, 1, "FAILED"),
                kit.attempt(job, user, 2, "LOST"),
                kit.attempt(job, user, 3, "SUCCEEDED" if delivered else "CANCELLED"),
                kit.ended(job, user, "DELIVERED" if delivered else "CANCELLED"),
            )
        ]

    async def lived(order: list[int], again: list[int], pending: bool, delivered: bool) -> Any:
        job, user = new_id("job"), new_id("user")
        events = history(job, user, pending, delivered)
        # A repetition is the same event once more, or the same fact under another event's id.
        repeated = [events[i] if i % 2 else kit.enveloped(events[i].message) for i in again]
        for event in [events[i] for i in order] + repeated:
            await books.handle(event)
        return await books.end(job, user)

    clean = {
        (pending, delivered): runner.run(lived([0, 1, 2, 3, 4], [], pending, delivered))
        for pending in (False, True)
        for delivered in (False, True)
    }

    @settings(max_examples=30, suppress_health_check=list(HealthCheck))
    @given(
        order=st.permutations(range(5)),
        again=st.lists(st.integers(0, 4), max_size=6),
        pending=st.booleans(),
        delivered=st.booleans(),
    )
    def check(order: list[int], again: list[int], pending: bool, delivered: bool) -> None:
        assert runner.run(lived(order, again, pending, delivered)) == clean[pending, delivered]

    check()
    found, reservation, learnt, (spent, total, held) = clean[False, True]
    assert [line[:3] for line in found] == [(1, "STORAGE", 46000), (3, "COMPUTE", 22)]
    assert (reservation[3], learnt, spent, total, held) == ("settled", [2.0], 46022, 46022, 0)
    runner.run(books.database.stop())


async def _opened(url: str) -> Books:
    return Books(url)


@pytest.mark.local
def test_money_adds_up_whatever_happens(url: str, kit: SimpleNamespace) -> None:
    jobs = st.integers(0, 3)

    class Money(RuleBasedStateMachine):
        """Beside the service a plain model: lines by key, and what is promised."""

        def __init__(self) -> None:
            super().__init__()
            self.runner = asyncio.Runner()
            self.books = self.runner.run(_opened(url))
            self.user = new_id("user")
            self.ids = [new_id("job") for _ in range(4)]
            self.lines: dict[tuple[int, int, str], int] = {}
            self.said: list[Event] = []
            self.limit = 0

        @initialize(limit=st.integers(0, 800))
        def budget(self, limit: int) -> None:
            async def put() -> None:
                async with self.books.database.transaction() as session:
                    await accounts.put_limit(session, self.user, limit)

            self.limit = limit
            self.runner.run(put())

        def say(self, message: Any) -> None:
            event = kit.enveloped(message)
            self.said.append(event)
            self.runner.run(self.books.handle(event))

        @rule(chosen=st.lists(jobs, min_size=1, max_size=4))
        def reserve_together(self, chosen: list[int]) -> None:
            async def all_at_once() -> Any:
                asks = [Ask(self.ids[one], self.user, kit.spec(), False, None) for one in chosen]
                return await asyncio.gather(*(self.books.reserve(ask) for ask in asks))

            before = self.runner.run(self.books.money(self.user))
            answers = self.runner.run(all_at_once())
            by_job: dict[str, set[str]] = {}
            for answer in answers:
                by_job.setdefault(answer.job_id, set()).add(repr(answer.decision))
            assert all(len(same) == 1 for same in by_job.values())
            spent, _, held = self.runner.run(self.books.money(self.user))
            assert held == before[2] or spent + held <= self.limit

        @rule(job=jobs, pending=st.booleans())
        def accept(self, job: int, pending: bool) -> None:
            self.say(kit.command(self.ids[job], self.user, "PENDING" if pending else "SECURED"))

        @rule(job=jobs, number=st.integers(1, 3), outcome=st.sampled_from(["SUCCEEDED", "FAILED", "CANCELLED"]))
        def attempt(self, job: int, number: int, outcome: str) -> None:
            seconds = float(number)
            self.say(kit.attempt(self.ids[job], self.user, number, outcome, seconds, when=period()))
            if outcome != "FAILED":
                self.lines.setdefault((job, number, "COMPUTE"), round(seconds * 11))

        @rule(job=jobs)
        def lose(self, job: int) -> None:
            self.say(kit.attempt(self.ids[job], self.user, 9, "LOST"))

        @rule(job=jobs, state=st.sampled_from(["DELIVERED", "ERROR", "CANCELLED"]))
        def end(self, job: int, state: str) -> None:
            self.say(kit.ended(self.ids[job], self.user, state, size=10**6))
            if state == "DELIVERED":
                self.lines.setdefault((job, 1, "STORAGE"), 23)

        @rule(index=st.integers(0, 100))
        def repeat(self, index: int) -> None:
            if self.said:
                self.runner.run(self.books.handle(self.said[index % len(self.said)]))

        @rule()
        def restart(self) -> None:
            self.runner.run(self.books.restart())

        @invariant()
        def sums_are_equal(self) -> None:
            spent, total, held = self.runner.run(self.books.money(self.user))
            assert spent == total == sum(self.lines.values())
            assert held >= 0

        @invariant()
        def there_is_one_posting_a_line(self) -> None:
            async def posted() -> int:
                async with self.books.database.reading() as session:
                    box = tables.outbox.c
                    own = select(func.count()).where(
                        box.key.in_(self.ids), box.headers["ce_type"].astext == "edgecore.cost.v1.CostPosted"
                    )
                    return int((await session.execute(own)).scalar_one())

            assert self.runner.run(posted()) == len(self.lines)

        def teardown(self) -> None:
            self.runner.run(self.books.database.stop())
            self.runner.close()

    run_state_machine_as_test(
        Money,
        settings=settings(max_examples=8, stateful_step_count=15, suppress_health_check=list(HealthCheck)),
    )
