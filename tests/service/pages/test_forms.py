"""Bodies of forms: what browsers send, and what nobody should."""

from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.pages.forms import read_form

URLENCODED = "application/x-www-form-urlencoded"


def multipart(fields: dict[str, str], file: bytes = b"") -> tuple[str, bytes]:
    request = httpx.Request("POST", "http://t/", data=fields, files={"file": ("a.json", file)})
    return request.headers["content-type"], request.read()


@given(st.dictionaries(st.sampled_from(["patient", "data", "text"]), st.text(st.characters(codec="utf-8"))))
def test_both_media_types_give_the_fields_back(fields: dict[str, str]) -> None:
    media_type, body = multipart(fields, b'{"a":1}')
    assert read_form(media_type, body) == {**fields, "file": '{"a":1}'}
    assert read_form(URLENCODED, urlencode(fields).encode()) == fields


def test_of_a_name_given_twice_the_last_that_says_something_counts() -> None:
    assert read_form(URLENCODED, b"a=1&a=2&a=&b=") == {"a": "2", "b": ""}


@pytest.mark.parametrize(
    ("media_type", "body"),
    [
        ("", b"a=1"),
        ("application/json", b'{"a":1}'),
        ("multipart/form-data", b"--x\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\nno head\r\n--x--\r\n"),
        (URLENCODED, b"\xff=1"),
        (URLENCODED, b"a=1&" * 60),
    ],
)
def test_what_is_no_form_has_no_fields(media_type: str, body: bytes) -> None:
    assert read_form(media_type, body) == {}


@given(st.binary(max_size=200), st.text(st.characters(codec="latin-1"), max_size=40))
def test_any_bytes_are_read(body: bytes, tail: str) -> None:
    for media_type in (f"multipart/form-data; boundary={tail}", f"{URLENCODED}{tail}", tail):
        assert all(isinstance(value, str) for value in read_form(media_type, body).values())


def test_bytes_that_are_no_text_are_marked() -> None:
    media_type, body = multipart({}, b"\xff{")
    assert read_form(media_type, body) == {"file": "\ufffd{"}
