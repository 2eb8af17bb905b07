"""What may go into an answer as text, URL or JSON."""

import pytest

from hooks.content import check_extension, check_json, check_line, check_text, check_url
from hooks.errors import CardError


@pytest.mark.parametrize("text", ["a", "two\nlines\tand a tab", "5\u00a0mm", "naïve ☎", "𝄞"])
def test_text_that_can_be_sent(text: str) -> None:
    check_text("card.detail", text)


@pytest.mark.parametrize("text", ["", "  ", "\n", "a\rb", "a\x00b", "a\x7f", "\x85a", "\ud800"])
def test_text_that_cannot(text: str) -> None:
    with pytest.raises(CardError, match=r"card\.detail"):
        check_text("card.detail", text)


def test_a_line_is_one_line_of_limited_length() -> None:
    check_line("card.summary", "a" * 139, 139)
    for text in ("a" * 140, "a\nb", "a\u2028b", ""):
        with pytest.raises(CardError, match=r"card\.summary"):
            check_line("card.summary", text, 139)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org",
        "https://example.org:8443/a/b?c=d&e=%20f#g",
        "https://example.org/?x=/?",
        "https://[2001:db8::1]/a",
    ],
)
def test_urls_that_can_be_sent(url: str) -> None:
    check_url("link.url", url, secure=True)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/g",
        "javascript:alert(1)",
        "https://",
        "https:///a",
        "https://user:pass@example.org",
        "https://example.org/a b",
        "https://example.org/<a>",
        "https://example.org/%zz",
        "https://exämple.org",
        "https://example.org/a#b#c",
        "https://example.org\n",
    ],
)
def test_urls_that_cannot(url: str) -> None:
    with pytest.raises(CardError, match=r"link\.url"):
        check_url("link.url", url, secure=False)


def test_http_only_where_it_is_allowed() -> None:
    check_url("link.url", "http://127.0.0.1:8000/rules/x", secure=False)
    with pytest.raises(CardError, match="https"):
        check_url("source.url", "http://example.org", secure=True)


def test_a_url_is_checked_in_linear_time() -> None:
    with pytest.raises(CardError):
        check_url("link.url", "https://example.org/?" + "a" * 50_000 + " ", secure=False)


def test_json_of_ours() -> None:
    check_json("action.resource", {"a": [1, 2.5, True, "x", {"b": ("c",)}], "given": [None, "x"]})


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        [],
        "",
        {"a": None},
        {"a": []},
        {"a": [{}]},
        {"a": ""},
        {"a": float("nan")},
        {"a": float("inf")},
        {"a": object()},
        {"a": {"b": b"bytes"}},
        {1: "a"},
        {"": "a"},
        {"a\n": "a"},
        {"a": "\ud800"},
    ],
)
def test_json_that_must_not_leave(value: object) -> None:
    with pytest.raises(CardError):
        check_json("action.resource", value)


def test_json_nested_too_deep() -> None:
    value: object = "x"
    for _ in range(40):
        value = [value]
    with pytest.raises(CardError, match="deep"):
        check_json("action.resource", value)


@pytest.mark.parametrize("name", ["com.epic.cdshooks.card.detail.content-type", "org.tocsin.findings"])
def test_extensions_in_reverse_domain_form(name: str) -> None:
    check_extension("card.extension", {name: "text/markdown"})
    with pytest.raises(CardError, match=name):
        check_extension("card.extension", {name: None})


@pytest.mark.parametrize("name", ["findings", "Org.tocsin", ".a", "org..tocsin", "", 7])
def test_other_extension_names_are_refused(name: str) -> None:
    with pytest.raises(CardError, match="reverse domain"):
        check_extension("card.extension", {name: "x"})
