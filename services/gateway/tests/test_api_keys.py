import pytest

from edgecore_gateway.domain.api_keys import new_key, parse_key


def test_a_new_key_is_well_formed_and_shows_little() -> None:
    key = new_key()
    assert parse_key(key.text) == key
    assert len(key.text) == 54
    assert key.text not in repr(key)
    assert new_key() != key


@pytest.mark.parametrize("position", [5, 20, 47, 48, 53])
def test_one_wrong_character_is_noticed(position: int) -> None:
    text = new_key().text
    other = "a" if text[position] != "a" else "b"
    assert parse_key(text[:position] + other + text[position + 1 :]) is None


@pytest.mark.parametrize("text", ["", "edge_", "sk-" + "a" * 51, "edge_" + "é" * 49, "edge_" + "a" * 1_000_000])
def test_what_cannot_be_a_key(text: str) -> None:
    assert parse_key(text) is None
