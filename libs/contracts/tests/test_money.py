"""Money as people read it."""

import pytest

from edgecore_contracts import money


@pytest.mark.parametrize(
    ("micros", "text"), [(0, "0.000000"), (27, "0.000027"), (1_250_000, "1.250000"), (-5, "-0.000005")]
)
def test_money_has_six_decimals(micros: int, text: str) -> None:
    assert money.text(micros) == text
    assert money.usd(micros).currency == "USD"
