"""Ids that clients make up: kept when they are UUIDs, else as a hash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.memory.rows import opaque


def test_a_uuid_is_kept_in_small_letters() -> None:
    assert opaque("D1577C69-DFBE-44AD-BA6D-3E05E953B2EA") == "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea"


@pytest.mark.parametrize("text", ["", "Jane Doe", "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea Jane", "\ud800"])
def test_anything_else_is_kept_as_a_hash(text: str) -> None:
    assert opaque(text).startswith("sha256:")
    assert opaque(text) == opaque(text)


@given(st.text(min_size=4))
def test_no_text_comes_through(text: str) -> None:
    assert opaque(text) == text.lower() or text not in opaque(text)
