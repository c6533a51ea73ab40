"""Quotes and estimates out of the catalogue, the predictions and what is known of the nodes."""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from edgecore.common.v1.common_pb2 import GenerationSpec
from edgecore_contracts.own_only import own_only
from edgecore_cost.adapters import fleet, prices
from edgecore_cost.domain.catalogue import Catalogue
from edgecore_cost.domain.estimate import Candidate, own_candidate, provider_candidates
from edgecore_cost.domain.fleet import Fleet
from edgecore_cost.domain.prices import NoPrice, PriceBook
from edgecore_cost.domain.pricing import Predict, Priced, backend_of, price_own, quote_offer
from edgecore_cost.domain.quotes import Quote
from edgecore_runtime.clock import Clock


class Quoting:
    """`backends` are the paid providers that may be used, in order; `models` is what their nodes order."""

    def __init__(
        self,
        catalogue: Catalogue,
        predict: Predict,
        clock: Clock,
        backends: Sequence[str],
        models: Mapping[str, str],
        default_device: str,
    ) -> None:
        self._catalogue = catalogue
        self._predict = predict
        self._clock = clock
        self._backends = backends
        self._models = models
        self._default_device = default_device

    async def own(self, session: AsyncSession, spec: GenerationSpec) -> Quote:
        """On our own nodes. Raises InvalidInput for a spec that no model of ours can run."""
        priced = self._own(spec, await prices.book(session), await fleet.fleet(session))
        return Quote(backend_of(spec), priced.expected, priced.upper)

    async def providers(self, session: AsyncSession, spec: GenerationSpec) -> list[Quote]:
        """At every provider that may be used, has a price and can make the video."""
        book, found = await prices.book(session), []
        for backend in () if own_only(spec) else self._backends:
            offer = self._catalogue.quoted_offer(backend, self._models.get(backend))
            if offer is None:
                continue
            try:
                found.append(quote_offer(offer, book, spec, self._clock.now()))
            except NoPrice:
                continue
        return found

    async def candidates(self, session: AsyncSession, spec: GenerationSpec) -> list[Candidate]:
        """Every way to make the video, our own first. Raises InvalidInput."""
        book, known = await prices.book(session), await fleet.fleet(session)
        own = own_candidate(spec, self._own(spec, book, known), known)
        now = self._clock.now()
        return [own, *provider_candidates(spec, self._catalogue, book, known, self._backends, now)]

    def _own(self, spec: GenerationSpec, book: PriceBook, known: Fleet) -> Priced:
        devices = known.devices.get(backend_of(spec)) or (self._default_device,)
        return price_own(self._predict, self._catalogue, book, spec, devices, self._clock.now())
