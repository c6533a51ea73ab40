"""The fallback chain: a job's own backend first, then the paid providers in their order.

A provider is the last resort. A job moves on only when its own backend has used its attempts or has had no node
for a while; nodes that are merely busy are waited for. Without a provider to be had it stays with its own.
"""

from collections.abc import Callable
from dataclasses import dataclass

from edgecore_contracts.money import text
from edgecore_scheduler.domain.decisions import Code, Look, Verdict
from edgecore_scheduler.domain.job import Job
from edgecore_scheduler.domain.terms import Reservation


@dataclass(frozen=True)
class Standing:
    """How a backend stands now for a job's model.

    `nodes` take work, `room` jobs they could take at once; `absent` is seconds since there was one, 0 while there
    is; `closed` says whether its breaker lets jobs through (always, for our own).
    """

    nodes: int
    room: int
    absent: float = 0.0
    closed: bool = True


@dataclass(frozen=True)
class Plan:
    """Where a job is to wait, and the looks that led there; none says that it could go there at once."""

    backend: str
    looks: tuple[Look, ...] = ()


@dataclass(frozen=True)
class Chain:
    """`backend_attempts` failures use up a backend while there is another one.

    `patience` is seconds without a node of our own, `verdict_wait` seconds for a provider's node to come back and
    say what became of an order.
    """

    providers: tuple[str, ...]
    backend_attempts: int
    patience: float
    verdict_wait: float

    def plan(self, job: Job, own: str, standing: Callable[[str], Standing]) -> Plan:
        """Where a queued job goes next. `own` is its model's backend."""
        home = standing(own)
        used = job.backend_failures.get(own, 0) >= self.backend_attempts
        gone = home.nodes == 0 and min(job.waited, home.absent) >= self.patience
        if not (used or gone):
            return Plan(own, _looks(_hindrance(own, home)))
        offers = [self._offer(job, provider, standing(provider)) for provider in self.providers]
        waiting = [offer for offer in offers if offer.look is None or offer.look.code in WORTH_WAITING]
        choice = next((one for one in waiting if one.let_through), waiting[0] if waiting else None)
        looks = _looks(*(offer.look for offer in offers))
        if choice is None:
            return Plan(own, _looks(_hindrance(own, home)) + looks)
        why_not = _attempts_used(own, job) if used else _hindrance(own, home)
        return Plan(choice.backend, _looks(why_not) + looks)

    def overdue(self, job: Job) -> bool:
        """Whether nobody will say any more what became of a job's order at a provider."""
        return bool(job.bound) and job.waited >= self.verdict_wait

    def refusal(self, job: Job, provider: str) -> Look | None:
        """Why this job may not go to this provider at all, or not yet; None when it may."""
        terms, quote = job.terms, job.terms.quotes.get(provider)
        if not terms.fallback:
            return _filtered(provider, Code.NOT_ALLOWED, "the caller chose the model: paid providers are out")
        if terms.reservation is not Reservation.SECURED:
            return _skipped(provider, Code.UNSECURED, "no paid provider before the money is set aside")
        if quote is None:
            return _filtered(provider, Code.NO_QUOTE, f"nobody said what {provider} would cost")
        if terms.max_cost is not None and quote > terms.max_cost:
            limit = f"up to {text(quote)} USD, and {text(terms.max_cost)} is the most"
            return _filtered(provider, Code.OVER_MAX_COST, f"{provider} costs {limit}")
        if job.backend_failures.get(provider, 0) >= self.backend_attempts:
            return _attempts_used(provider, job)
        return None

    def _offer(self, job: Job, provider: str, standing: Standing) -> "_Offer":
        look = self.refusal(job, provider) or _hindrance(provider, standing)
        return _Offer(provider, look, standing.closed)

    def choose(self, job: Job, own: str, node_id: str) -> Look:
        """The look that sends a job to a node of the backend it waits at."""
        if job.backend == own:
            return Look(own, Verdict.CHOSEN, Code.FIRST_CHOICE, f"{node_id} runs {job.model}", node_id)
        quote = text(job.terms.quotes[job.backend])
        detail = f"{own} could not; {job.backend} costs up to {quote} USD"
        return Look(job.backend, Verdict.CHOSEN, Code.FALLBACK, detail, node_id)


WORTH_WAITING = frozenset({Code.NODES_BUSY, Code.BREAKER_OPEN})
"""What a provider is waited for; one without a node is passed over."""


@dataclass(frozen=True)
class _Offer:
    backend: str
    look: Look | None
    let_through: bool


def _hindrance(backend: str, standing: Standing) -> Look | None:
    """What keeps a backend from taking a job now."""
    if standing.nodes == 0:
        return _skipped(backend, Code.NO_NODE, f"no node of {backend} takes work")
    if not standing.closed:
        return _skipped(backend, Code.BREAKER_OPEN, f"{backend} failed too often lately")
    if standing.room == 0:
        return _skipped(backend, Code.NODES_BUSY, f"every node of {backend} is busy")
    return None


def _looks(*looks: Look | None) -> tuple[Look, ...]:
    return tuple(look for look in looks if look is not None)


def _attempts_used(backend: str, job: Job) -> Look:
    failures = job.backend_failures.get(backend, 0)
    return _filtered(backend, Code.ATTEMPTS_USED, f"{failures} attempts failed on {backend}")


def _skipped(backend: str, code: Code, detail: str) -> Look:
    return Look(backend, Verdict.SKIPPED, code, detail)


def _filtered(backend: str, code: Code, detail: str) -> Look:
    return Look(backend, Verdict.FILTERED, code, detail)
