"""Which ports are handed out."""

import pytest

from edgecore_runtime.embedded.ports import RANGE, free_ports


def test_ports_come_from_the_range_that_the_environment_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RANGE, "31000-31099")
    found = free_ports(5)
    assert len(set(found)) == 5
    assert all(31_000 <= port <= 31_099 for port in found)


def test_a_range_that_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RANGE, "31000-31002")
    with pytest.raises(OSError, match="of 5 free ports between 31000 and 31002"):
        free_ports(5)


@pytest.mark.parametrize("text", ["", "31000", "x-y", "31000-30000", "0-99", "60000-70000"])
def test_an_unusable_range_is_named(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(RANGE, text)
    with pytest.raises(OSError, match="EDGECORE_PORTS must be two ports like 20000-31999"):
        free_ports(1)
