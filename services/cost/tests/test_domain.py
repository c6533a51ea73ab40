"""Prices, quotes, billing and the predictor, without I/O."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecore.common.v1.common_pb2 import AdapterUse, FlowGuidance, GenerationSpec
from edgecore_contracts.errors import InvalidInput
from edgecore_contracts.own_only import own_only
from edgecore_contracts.work import WORK
from edgecore_cost.adapters.catalogue_file import BadCatalogue, load_catalogue, load_priors
from edgecore_cost.domain.billing import Use, attempt_line, period_end, period_of
from edgecore_cost.domain.catalogue import Offer
from edgecore_cost.domain.estimate import Candidate, provider_candidates
from edgecore_cost.domain.fleet import Fleet
from edgecore_cost.domain.predictor import Measurement, fit
from edgecore_cost.domain.prices import UNITS, Kind, NoPrice, Price, PriceBook, Unit
from edgecore_cost.domain.pricing import backend_of
from edgecore_cost.domain.quotes import Quote, State, decide
from edgecore_cost.domain.work import Work, work_of

NOW = datetime(2026, 11, 21, tzinfo=UTC)
CATALOGUE = load_catalogue("")
BOOK = PriceBook(CATALOGUE.prices)
PRIOR = load_priors()["aiprod-nano", "cpu"]
RULE = WORK["aiprod-nano"]


def test_the_shipped_catalogue_is_whole() -> None:
    assert len({one.id for one in CATALOGUE.prices}) == len(CATALOGUE.prices)
    assert all(one.unit is UNITS[one.kind] and one.source and one.micros > 0 for one in CATALOGUE.prices)
    assert CATALOGUE.providers == {"runway", "veo", "replicate"}
    for offer in CATALOGUE.offers:
        assert BOOK.find(Kind.PROVIDER, offer.backend, offer.model, NOW)
    for backend in CATALOGUE.providers:
        assert CATALOGUE.quoted_offer(backend, None)


def test_a_catalogue_that_is_none_is_refused(tmp_path: Any) -> None:
    for content in ("", "[[prices]]\nid = 1", "not toml"):
        file = tmp_path / "c.toml"
        file.write_text(content)
        with pytest.raises(BadCatalogue, match=r"c\.toml"):
            load_catalogue(str(file))


@pytest.mark.parametrize(
    ("device", "price"),
    [
        ("cpu", "price_cpu_2026"),
        ("NVIDIA A100-SXM4-80GB", "price_a100_2026"),
        ("NVIDIA L4", "price_l4_2026"),
        ("NVIDIA L40S", "price_compute_any_2026"),
        ("", "price_compute_any_2026"),
    ],
)
def test_a_device_has_a_price(device: str, price: str) -> None:
    assert BOOK.find(Kind.COMPUTE, "aiprod", device, NOW).id == price


def test_the_longest_name_and_the_newest_date_count() -> None:
    assert BOOK.find(Kind.PROVIDER, "veo", "veo-3.1-generate-preview", NOW).id == "price_veo31_20261112"
    assert BOOK.find(Kind.PROVIDER, "veo", "veo-3.1-lite-generate-preview", NOW).id == "price_veo31_lite_20261112"
    newer = Price("new", Kind.COMPUTE, "", "cpu", Unit.COMPUTE_SECOND, 1, NOW, "a test")
    book = PriceBook([*CATALOGUE.prices, newer])
    assert book.find(Kind.COMPUTE, "aiprod", "cpu", NOW).id == "new"
    assert book.find(Kind.COMPUTE, "aiprod", "cpu", NOW.replace(month=10)).id == "price_cpu_2026"
    assert [one.id for one in book.current(NOW) if one.model == "cpu"] == ["new"]
    with pytest.raises(NoPrice):
        BOOK.find(Kind.COMPUTE, "aiprod", "cpu", NOW.replace(year=2020))


@pytest.mark.parametrize(
    ("outcome", "compute", "provider"),
    [("SUCCEEDED", 24, 200_000), ("FAILED", None, 200_000), ("CANCELLED", 24, 200_000), ("LOST", None, 200_000)],
)
def test_what_an_attempt_bills(outcome: str, compute: int | None, provider: int | None) -> None:
    seconds = {"load_seconds": 50.0, "generate_seconds": 2.0, "encode_seconds": 0.1, "upload_seconds": 0.1}
    own = attempt_line(CATALOGUE, BOOK, "j", "u", 1, Use("aiprod", "cpu", outcome, seconds, 0.0), NOW)
    assert (own.amount if own else None) == compute
    paid = Use("replicate", "lightricks/ltx-2-fast", outcome, {}, 5.0)
    line = attempt_line(CATALOGUE, BOOK, "j", "u", 1, paid, NOW)
    assert (line.amount if line else None) == provider


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.none() | st.integers(0, 10**9), st.none() | st.integers())
def test_a_reservation_keeps_every_limit(own: int, paid: int, most: int | None, left: int | None) -> None:
    decision = decide(Quote("aiprod", own, own), [Quote("veo", paid, paid)], most, left)
    limits = [one for one in (most, left) if one is not None]
    if decision.state is State.SECURED:
        assert all(decision.amount <= limit for limit in limits)
        assert decision.amount == max(one.upper for one in decision.quotes)
    else:
        assert any(own > limit for limit in limits)
        assert decision.detail
        assert not decision.amount


def test_an_offer_bills_the_length_that_holds_what_is_asked() -> None:
    offer = Offer("veo", "m", (4.0, 6.0, 8.0), "s", 1.0, "", True)
    assert [offer.billed(wanted) for wanted in (0.1, 4.0, 4.1, 8.0, 30.0)] == [4.0, 4.0, 6.0, 8.0, 8.0]


def test_months() -> None:
    assert period_of(datetime(2026, 12, 31, 23, tzinfo=UTC)) == datetime(2026, 12, 1, tzinfo=UTC)
    assert period_end(datetime(2026, 12, 1, tzinfo=UTC)) == datetime(2027, 1, 1, tzinfo=UTC)
    assert period_end(datetime(2026, 1, 1, tzinfo=UTC)) == datetime(2026, 2, 1, tzinfo=UTC)


def works() -> list[Work]:
    sides = [(64, 64), (96, 64), (96, 96), (128, 128)]
    specs = [
        GenerationSpec(model="aiprod-nano", width=w, height=h, frames=f, fps=8, steps=s, guidance=4.0)
        for w, h in sides
        for f in (5, 17, 33)
        for s in (5, 10, 20, 40)
    ]
    return [work_of(one) for one in specs]


def asked(**changes: Any) -> GenerationSpec:
    values = {
        "model": "aiprod-nano",
        "width": 64,
        "height": 64,
        "frames": 17,
        "fps": 8,
        "steps": 20,
        "guidance": 4.0,
    }
    return GenerationSpec(**values | changes)


def test_a_second_stage_counts_at_its_own_size() -> None:
    plain, upscaled = work_of(asked()), work_of(asked(upscale=True))
    assert (upscaled.tokens, upscaled.passes) == (plain.tokens, plain.passes) == (80, RULE.passes(20, 4.0))
    assert upscaled.pixels == 4 * plain.pixels == 128 * 128 * 17


@pytest.mark.parametrize(
    ("changes", "passes"),
    [
        ({"variant": "standard"}, RULE.passes(20, 4.0)),
        ({"variant": "distilled", "steps": 4}, RULE.passes(4, 4.0, distilled=True)),
        ({"image": "inputs/i"}, RULE.passes(20, 4.0)),
        ({"flow_guidance": FlowGuidance(right=1, strength=1)}, RULE.passes(20, 4.0)),
        ({"flow_guidance": FlowGuidance(right=1, strength=0)}, RULE.passes(20, 4.0)),
        ({"flow_guidance": FlowGuidance(right=1, strength=0.5)}, RULE.passes(20, 4.0, blended=True)),
        ({"adapters": [AdapterUse(id="lora_1", scale=1)]}, RULE.passes(20, 4.0)),
    ],
)
def test_what_else_is_asked_counts_as_the_model_works(changes: dict[str, Any], passes: int) -> None:
    assert work_of(asked(**changes)) == Work(80, passes, 64 * 64 * 17)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({}, ""),
        ({"variant": "standard"}, ""),
        ({"variant": "distilled"}, "variant"),
        ({"variant": "standard", "upscale": True}, "upscale"),
        ({"image": "inputs/i"}, "image"),
        ({"flow_guidance": FlowGuidance()}, "flow_guidance"),
        ({"adapters": [AdapterUse(id="lora_1")]}, "adapters"),
    ],
)
def test_what_only_our_own_nodes_can_make(changes: dict[str, Any], field: str) -> None:
    assert own_only(asked(**changes)) == field


def test_a_provider_is_no_candidate_for_what_it_cannot_follow() -> None:
    fleet = Fleet((), {})

    def found(**changes: Any) -> list[Candidate]:
        return provider_candidates(asked(**changes), CATALOGUE, BOOK, fleet, CATALOGUE.providers, NOW)

    assert any(one.available for one in found())
    assert not any(one.available for one in found(image="inputs/i"))
    assert all(one.detail.startswith("cannot follow image; makes ") for one in found(image="inputs/i"))


def test_a_variant_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidInput, match="variant: must be one of standard, distilled"):
        backend_of(asked(variant="fast"))


def test_without_measurements_the_prior_speaks() -> None:
    law = fit([], PRIOR)
    work = works()[5]
    assert law.predict(work).seconds == pytest.approx(float(np.dot(PRIOR.coefficients, work.features)), rel=0.01)
    assert law.predict(work).low < law.predict(work).seconds < law.predict(work).high


def test_a_machine_of_another_speed_is_learnt_from_one_size() -> None:
    truth = np.array(PRIOR.coefficients) * 3.0
    one = works()[5]
    law = fit([Measurement(one, float(truth @ one.features))] * 5, PRIOR)
    for work in works():
        assert law.predict(work).seconds == pytest.approx(float(truth @ work.features), rel=0.05)


def test_another_law_is_learnt_and_unseen_works_are_predicted() -> None:
    """On works that were left out: small error, and an interval that holds nine of ten."""
    truth = np.array([0.3, 0.002, 4e-4, 6e-7, 2e-6])
    chance = np.random.default_rng(7)
    noisy = [
        Measurement(work, float(truth @ work.features) * float(chance.lognormal(0, 0.05))) for work in works() * 4
    ]
    order = chance.permutation(len(works()))
    unseen = {works()[i] for i in order[:16]}
    law = fit([one for one in noisy if one.work not in unseen], PRIOR)
    tested = [one for one in noisy if one.work in unseen]
    errors = [abs(law.predict(one.work).seconds / one.seconds - 1) for one in tested]
    assert np.mean(errors) < 0.07
    inside = [law.predict(one.work).low <= one.seconds <= law.predict(one.work).high for one in tested]
    assert 0.78 <= np.mean(inside) <= 1.0


def test_a_disturbed_attempt_does_not_bend_the_law() -> None:
    truth = np.array(PRIOR.coefficients)
    clean = [Measurement(work, float(truth @ work.features)) for work in works()]
    spoilt = [Measurement(one.work, one.seconds * (8 if i % 12 == 0 else 1)) for i, one in enumerate(clean)]
    law = fit(spoilt, PRIOR)
    errors = [abs(law.predict(one.work).seconds / one.seconds - 1) for one in clean]
    assert np.mean(errors) < 0.06


@given(st.lists(st.tuples(st.sampled_from(works()), st.floats(0.0, 1e6)), max_size=40))
def test_a_law_never_speaks_nonsense(measured: list[tuple[Work, float]]) -> None:
    law = fit([Measurement(work, seconds) for work, seconds in measured], PRIOR)
    for work in works()[:5]:
        predicted = law.predict(work)
        assert 0 <= predicted.low <= predicted.high < float("inf")
        assert predicted.seconds >= 0
