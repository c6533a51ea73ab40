"""The fallback chain, without I/O: where a job may go, and that it always ends or waits for a stated reason."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edgecore_contracts.states import PERMANENT, JobState, Reason
from edgecore_scheduler.domain.chain import Chain, Plan, Standing
from edgecore_scheduler.domain.decisions import Code, Verdict
from edgecore_scheduler.domain.job import Job
from edgecore_scheduler.domain.retry import RetryPolicy
from edgecore_scheduler.domain.terms import Reservation, Terms

OWN, PROVIDERS = "aiprod", ("runway", "veo")
CHAIN = Chain(PROVIDERS, backend_attempts=2, patience=60.0, verdict_wait=300.0)
READY, BUSY, AWAY = Standing(1, 1), Standing(1, 0), Standing(0, 0, absent=600.0)
BROKEN = Standing(1, 1, closed=False)
ALLOWED = Terms(fallback=True, quotes={"runway": 50_000, "veo": 80_000})


def waiting(terms: Terms = ALLOWED, waited: float = 600.0, **failures: int) -> Job:
    job = Job("job_1", "u", "aiprod-nano", OWN, b"", terms=terms, waited=waited, backend_failures=failures)
    job.move(JobState.QUEUED, Reason.ACCEPTED)
    return job


def plan(job: Job, own: Standing = READY, runway: Standing = READY, veo: Standing = READY) -> Plan:
    return CHAIN.plan(job, OWN, {OWN: own, "runway": runway, "veo": veo}.__getitem__)


def codes(made: Plan) -> dict[str, Code]:
    return {look.backend: look.code for look in made.looks}


def test_a_provider_is_the_last_resort() -> None:
    assert plan(waiting()) == Plan(OWN)
    assert codes(plan(waiting(), own=BUSY)) == {OWN: Code.NODES_BUSY}
    assert plan(waiting(), own=BUSY).backend == OWN
    impatient = plan(waiting(waited=59.0), own=AWAY)
    assert (impatient.backend, codes(impatient)) == (OWN, {OWN: Code.NO_NODE})
    assert plan(waiting(aiprod=1)).backend == OWN


def test_the_next_provider_follows_when_one_cannot() -> None:
    assert plan(waiting(), own=AWAY).backend == "runway"
    assert plan(waiting(aiprod=2)).backend == "runway"
    assert plan(waiting(aiprod=2), runway=BROKEN).backend == "veo"
    assert plan(waiting(aiprod=2), runway=AWAY).backend == "veo"
    assert plan(waiting(aiprod=2, runway=2)).backend == "veo"
    everything = plan(waiting(aiprod=2), runway=BROKEN, veo=AWAY)
    assert everything.backend == "runway"
    assert codes(everything) == {OWN: Code.ATTEMPTS_USED, "runway": Code.BREAKER_OPEN, "veo": Code.NO_NODE}


def test_a_busy_provider_is_waited_for() -> None:
    made = plan(waiting(aiprod=2), runway=BUSY)
    assert (made.backend, codes(made)["runway"]) == ("runway", Code.NODES_BUSY)


def test_without_a_provider_a_job_stays_with_its_own_backend() -> None:
    for terms, code in (
        (Terms(quotes=ALLOWED.quotes), Code.NOT_ALLOWED),
        (Terms(fallback=True), Code.NO_QUOTE),
        (Terms(fallback=True, quotes=ALLOWED.quotes, max_cost=49_999), Code.OVER_MAX_COST),
        (Terms(Reservation.PENDING, True, ALLOWED.quotes), Code.UNSECURED),
    ):
        made = plan(waiting(terms, aiprod=4))
        assert (made.backend, codes(made)["runway"], codes(made)["veo"]) == (OWN, code, code)
    used = plan(waiting(aiprod=2, runway=2, veo=2))
    assert (used.backend, codes(used)["veo"]) == (OWN, Code.ATTEMPTS_USED)


def test_a_quote_at_the_limit_is_allowed() -> None:
    terms = Terms(fallback=True, quotes=ALLOWED.quotes, max_cost=50_000)
    assert plan(waiting(terms), own=AWAY).backend == "runway"


def test_only_news_is_written_down() -> None:
    job = waiting()
    for _ in range(3):
        job.note(plan(job, own=BUSY).looks)
    job.note(plan(job, own=AWAY, runway=BROKEN, veo=AWAY).looks)
    assert [(one.number, one.look.backend, one.look.code) for one in job.decisions] == [
        (1, OWN, Code.NODES_BUSY),
        (2, OWN, Code.NO_NODE),
        (3, "runway", Code.BREAKER_OPEN),
        (4, "veo", Code.NO_NODE),
    ]
    assert {one.attempt for one in job.decisions} == {1}


standings = st.builds(
    Standing,
    nodes=st.integers(0, 2),
    room=st.integers(0, 2),
    absent=st.sampled_from([0.0, 30.0, 600.0]),
    closed=st.booleans(),
)
terms = st.builds(
    Terms,
    reservation=st.sampled_from(Reservation),
    fallback=st.booleans(),
    quotes=st.dictionaries(st.sampled_from(PROVIDERS), st.integers(0, 100)),
    max_cost=st.none() | st.integers(0, 100),
)
FAILURES = [
    Reason.OUT_OF_MEMORY,
    Reason.TIMEOUT,
    Reason.NODE_LOST,
    Reason.NODE_DRAINED,
    Reason.STORAGE,
    Reason.PROVIDER_ERROR,
    Reason.PROVIDER_UNCLEAR,
    Reason.INVALID_SPEC,
]


@settings(max_examples=300)
@given(data=st.data(), job_terms=terms)
def test_every_job_ends_or_waits_for_a_stated_reason(data: Any, job_terms: Terms) -> None:
    """Whatever the fleet does: no provider without leave, none after an unclear one, and an end."""
    job = waiting(job_terms)
    retries = RetryPolicy(attempt_limit=5, first_pause=0.5)
    failed: Reason | None = None
    for _ in range(12):
        facts = {OWN: data.draw(standings)} | {name: data.draw(standings) for name in PROVIDERS}
        made = CHAIN.plan(job, OWN, facts.__getitem__)
        job.backend = made.backend
        job.note(made.looks)
        here = facts[job.backend]
        if not (here.nodes and here.room and (here.closed or job.backend == OWN)):
            assert job.backend in job.looks, "it waits, and nobody says why"
            continue
        if job.backend != OWN:
            assert job_terms.fallback
            assert job_terms.reservation is Reservation.SECURED
            assert job_terms.max_cost is None or job_terms.quotes[job.backend] <= job_terms.max_cost
            assert job.backend_failures.get(job.backend, 0) < CHAIN.backend_attempts
        assert failed not in PERMANENT
        job.allocate(CHAIN.choose(job, OWN, f"{job.backend}-0"))
        assert job.decisions[-1].look.verdict is Verdict.CHOSEN
        assert job.decisions[-1].attempt == job.attempt
        if (failed := data.draw(st.none() | st.sampled_from(FAILURES))) is None:
            job.deliver()
        else:
            retries.fail(job, failed, "")
        if job.state.terminal:
            assert job.failures <= 5
            return
        assert job.state is JobState.QUEUED
