from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecore_gateway.domain.json_body import MalformedJson, parse, printable


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": 1} x', "not JSON"),
        (b'\xef\xbb\xbf{"a": 1}', "not JSON"),
        (b'{"a": "\xff"}', "not UTF-8: byte 7 is 0xff"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b'{"b": {"\\ud800": 1, "\\ud800": 2}}', "stands twice"),
        (b"[" * 200_000, "too deeply"),
        (b'{"a":' * 200_000, "too deeply"),
        (b"9" * 5000, "too many digits"),
    ],
)
def test_what_is_not_json(raw: bytes, says: str) -> None:
    with pytest.raises(MalformedJson, match=says):
        parse(raw)


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_value_or_malformed(raw: bytes) -> None:
    with suppress(MalformedJson):
        parse(raw)


@given(st.text(st.characters(), max_size=200))
def test_printable_can_always_be_encoded(text: str) -> None:
    assert len(printable(text).encode().decode()) <= 81
