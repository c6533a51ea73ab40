"""Every way to make a video, what it costs and when it is there, and the one to take."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from edgecore.common.v1.common_pb2 import GenerationSpec
from edgecore_contracts.own_only import own_only
from edgecore_cost.domain.catalogue import Catalogue, Offer
from edgecore_cost.domain.fleet import Fleet
from edgecore_cost.domain.predictor import INTERVAL_LEAST
from edgecore_cost.domain.prices import NoPrice, PriceBook
from edgecore_cost.domain.pricing import Priced, backend_of, price_offer, wanted_seconds


@dataclass(frozen=True)
class Candidate:
    """Micros; `eta_seconds` until the video is there, None when unknown."""

    backend: str
    model: str
    amount: int
    low: int
    high: int
    eta_seconds: float | None
    price_id: str
    available: bool
    detail: str
    own: bool


@dataclass(frozen=True)
class Recommendation:
    candidate: Candidate
    reason: str


def own_candidate(spec: GenerationSpec, priced: Priced, fleet: Fleet) -> Candidate:
    """On our own nodes."""
    backend = backend_of(spec)
    predicted = priced.prediction
    basis = (
        f"fitted on {predicted.measured} measured attempts"
        if predicted.measured >= INTERVAL_LEAST
        else f"from a shipped prior and {predicted.measured} measured attempts"
    )
    detail = f"{predicted.seconds:.3g} s on {priced.device}, {basis}"
    ready = fleet.ready(backend)
    if not ready:
        missing = "no node is ready" if fleet.known(backend) else "no pool has reported yet"
        detail = f"{missing}; {detail}"
    wait = fleet.wait_seconds(backend, predicted.seconds)
    return Candidate(
        backend=backend,
        model=spec.model,
        amount=priced.expected,
        low=priced.low,
        high=priced.upper,
        eta_seconds=wait + predicted.seconds if ready else None,
        price_id=priced.price.id,
        available=ready,
        detail=detail,
        own=True,
    )


def provider_candidates(
    spec: GenerationSpec,
    catalogue: Catalogue,
    book: PriceBook,
    fleet: Fleet,
    configured: Collection[str],
    when: datetime,
) -> list[Candidate]:
    """Every offer that has a price. `configured` are the providers that this installation may use."""
    found = []
    for offer in catalogue.offers:
        try:
            amount, billed, price = price_offer(offer, book, spec, when)
        except NoPrice:
            continue
        obstacle = _obstacle(offer, spec, fleet, configured)
        made = _made(offer, spec, billed)
        found.append(
            Candidate(
                backend=offer.backend,
                model=offer.model,
                amount=amount,
                low=amount,
                high=amount,
                eta_seconds=offer.eta_seconds,
                price_id=price.id,
                available=not obstacle,
                detail=f"{obstacle}; {made}" if obstacle else made,
                own=False,
            )
        )
    return found


def recommend(candidates: Sequence[Candidate]) -> Recommendation | None:
    """Our own nodes while one is ready, else the cheapest provider to be had, else our own and a wait."""
    available = [one for one in candidates if one.available]
    own = [one for one in available if one.own]
    if own:
        best = min(own, key=lambda one: one.amount)
        dearer = [one for one in available if not one.own and one.amount >= best.amount]
        extra = f", and cheaper than {len(dearer)} providers" if dearer else ""
        return Recommendation(best, f"our own nodes are ready{extra}")
    if available:
        best = min(available, key=lambda one: (one.amount, one.eta_seconds or 0.0))
        return Recommendation(best, "none of our own nodes is ready; the cheapest provider to be had")
    waiting = [one for one in candidates if one.own]
    if not waiting:
        return None
    return Recommendation(waiting[0], "nothing is ready now: the job waits for a node of our own")


def _obstacle(offer: Offer, spec: GenerationSpec, fleet: Fleet, configured: Collection[str]) -> str:
    if offer.backend not in configured:
        return "not configured here"
    if field := own_only(spec):
        return f"cannot follow {field}"
    if offer.needs:
        return f"needs {offer.needs}"
    if fleet.known(offer.backend) and not fleet.ready(offer.backend):
        return "its node is not ready"
    return ""


def _made(offer: Offer, spec: GenerationSpec, billed: float) -> str:
    wanted = wanted_seconds(spec)
    made = f"makes {billed:g} s at {offer.size} for the {wanted:.3g} s asked at {spec.width}×{spec.height}"
    return f"{made}; it makes no longer ones" if billed < wanted - 1e-9 else made
