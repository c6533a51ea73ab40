"""One job priced: on a node of our own by predicted seconds, at a provider by the seconds it sells."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from edgecore.common.v1.common_pb2 import GenerationSpec
from edgecore_contracts.errors import FieldProblem, InvalidInput
from edgecore_contracts.models import MODELS
from edgecore_cost.domain.catalogue import Catalogue, Offer
from edgecore_cost.domain.predictor import Prediction
from edgecore_cost.domain.prices import GIGABYTE, Kind, Price, PriceBook
from edgecore_cost.domain.quotes import Quote
from edgecore_cost.domain.work import Work, work_of

Predict = Callable[[str, str, Work], Prediction]
"""(model, device, work) → seconds."""


@dataclass(frozen=True)
class Priced:
    """Micros expected, and the ends of the 90 % interval; how they came about."""

    expected: int
    low: int
    upper: int
    price: Price
    device: str
    prediction: Prediction


def backend_of(spec: GenerationSpec) -> str:
    """Where the model runs. Raises InvalidInput for a spec that no model here could run."""
    rules = MODELS.get(spec.model)
    problems = [] if rules else [FieldProblem("model", "must be one of " + ", ".join(MODELS))]
    sizes = {name: getattr(spec, name) for name in ("width", "height", "frames", "steps", "fps")}
    problems += [FieldProblem(name, "must be more than 0") for name, value in sizes.items() if not value > 0]
    if rules and spec.variant and spec.variant not in rules.variants:
        problems.append(FieldProblem("variant", "must be one of " + ", ".join(rules.variants)))
    if rules is None or problems:
        raise InvalidInput(problems)
    return rules.backend


def price_own(
    predict: Predict,
    catalogue: Catalogue,
    book: PriceBook,
    spec: GenerationSpec,
    devices: Sequence[str],
    when: datetime,
) -> Priced:
    """On the device of `devices` (one or more) that may come out dearest. Raises NoPrice, InvalidInput."""
    backend, work = backend_of(spec), work_of(spec)
    size = work.pixels * catalogue.bytes_per_pixel
    storage = book.find(Kind.STORAGE, "", "", when).micros * size / GIGABYTE * catalogue.storage_months
    found = []
    for device in devices:
        prediction = predict(spec.model, device, work)
        price = book.find(Kind.COMPUTE, backend, device, when)
        found.append(
            Priced(
                expected=math.floor(price.micros * prediction.seconds + storage + 0.5),
                low=math.floor(price.micros * prediction.low + storage),
                upper=math.ceil(price.micros * prediction.high + storage),
                price=price,
                device=device,
                prediction=prediction,
            )
        )
    return max(found, key=lambda one: one.upper)


def price_offer(offer: Offer, book: PriceBook, spec: GenerationSpec, when: datetime) -> tuple[int, float, Price]:
    """Micros, the seconds they buy, and the price. Raises NoPrice."""
    billed = offer.billed(wanted_seconds(spec))
    price = book.find(Kind.PROVIDER, offer.backend, offer.model, when)
    return price.amount(billed), billed, price


def quote_offer(offer: Offer, book: PriceBook, spec: GenerationSpec, when: datetime) -> Quote:
    """A provider's price is known beforehand: it is the expected one and the upper bound. Raises NoPrice."""
    amount, _billed, _price = price_offer(offer, book, spec, when)
    return Quote(offer.backend, amount, amount)


def wanted_seconds(spec: GenerationSpec) -> float:
    """How long the asked video is."""
    return spec.frames / spec.fps
