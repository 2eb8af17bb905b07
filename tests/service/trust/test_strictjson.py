"""Objects that two parsers could read differently are refused."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.trust.strictjson import NotStrict, read_object

_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), _VALUES))
def test_any_object_of_json_is_read_as_it_was_written(members: dict[str, object]) -> None:
    assert read_object(json.dumps(members).encode()) == members


@given(st.binary(max_size=200))
def test_any_bytes_end_in_an_object_or_in_not_strict(data: bytes) -> None:
    with contextlib.suppress(NotStrict):
        assert isinstance(read_object(data), dict)


@pytest.mark.parametrize(
    "text",
    [
        '{"aud": 1, "aud": 2}',
        '{"a": {"b": 1, "b": 1}}',
        '{"exp": NaN}',
        '{"exp": -Infinity}',
        "[]",
        '"text"',
        "",
        "{",
        '{"a": 1} {"b": 2}',
        '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"a": ' + "9" * 5000 + "}",
    ],
    ids=lambda text: text[:20],
)
def test_what_is_not_one_plain_object_is_refused(text: str) -> None:
    with pytest.raises(NotStrict):
        read_object(text.encode())


def test_other_encodings_than_utf_8_are_refused() -> None:
    with pytest.raises(NotStrict):
        read_object('{"iss": "é"}'.encode("latin-1"))
