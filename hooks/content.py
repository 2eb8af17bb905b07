"""Checks of what goes into an answer: text, URLs, and the JSON of resources and extensions.

Each raises CardError naming the member at fault, never its value. Source: CDS Hooks 2.0.1, Null and empty
JSON elements (GEN-03, GEN-04) and Extensions (EXT-02).
"""

import math
import re
from collections.abc import Mapping
from functools import lru_cache

from hooks.errors import CardError

__all__ = ["check_extension", "check_json", "check_line", "check_text", "check_url"]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_LINE_BREAK = re.compile(r"[\n\u2028\u2029]")
_PATH = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*"
_QUERY = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*"
_URL = re.compile(
    r"https?://(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"
    rf"(?:/{_PATH})?(?:\?{_QUERY})?(?:\#{_QUERY})?\Z"
)
_REVERSE_DOMAIN = re.compile(r"[a-z][a-z0-9-]*(?:\.[A-Za-z0-9-]+)+\Z")
_DEEPEST = 32
_SHORT = 200


def check_text(at: str, text: str) -> None:
    """Text with something in it that can be sent as UTF-8; tabs and line feeds are the only controls."""
    fault = _short_text_fault(text) if len(text) <= _SHORT else _text_fault(text)
    if fault:
        raise CardError(at, fault)


def check_line(at: str, text: str, longest: int | None = None) -> None:
    """Text on one line, of at most `longest` characters."""
    check_text(at, text)
    if _LINE_BREAK.search(text):
        raise CardError(at, "is not on one line")
    if longest is not None and len(text) > longest:
        raise CardError(at, f"is longer than {longest} characters")


def _text_fault(text: str) -> str:
    """What is wrong with a text; empty when nothing is."""
    if not text.strip():
        return "is blank"
    return "has control characters or half of a surrogate pair" if _CONTROL.search(text) else ""


# Labels, names and codes are few, and the same ones are asked about in every call.
_short_text_fault = lru_cache(maxsize=4096)(_text_fault)


def check_url(at: str, url: str, *, secure: bool) -> None:
    """An absolute http(s) URL in its written form, without user information; `secure` wants https."""
    if not _URL.match(url):
        raise CardError(at, "is not an absolute http or https URL")
    if secure and not url.startswith("https:"):
        raise CardError(at, "is not an https URL")


def check_extension(at: str, extension: Mapping[str, object]) -> None:
    """An extension object, possibly none: reverse-domain names, JSON without null or empty members."""
    for name, value in extension.items():
        if not isinstance(name, str) or not _REVERSE_DOMAIN.match(name):
            raise CardError(at, "has a member whose name is not in reverse domain form")
        check_json(f"{at}.{name}", value)


def check_json(at: str, value: object, depth: int = 0) -> None:
    """JSON of ours without null, empty text, empty array or empty object, nested 32 deep at most.

    Null inside an array is left alone: FHIR aligns primitives and their extensions that way.
    """
    if depth > _DEEPEST:
        raise CardError(at, "is nested too deep")
    if isinstance(value, dict | list | tuple):
        if not value:
            raise CardError(at, "is empty")
        _check_members(at, value, depth + 1)
    elif isinstance(value, str):
        check_text(at, value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise CardError(at, "is not a finite number")
    elif not isinstance(value, bool | int):
        raise CardError(at, "is null or no JSON value")


def _check_members(
    at: str, value: dict[object, object] | list[object] | tuple[object, ...], depth: int
) -> None:
    if not isinstance(value, dict):
        for element in value:
            if element is not None:
                check_json(at, element, depth)
        return
    for name, member in value.items():
        if not isinstance(name, str):
            raise CardError(at, "has a member name that is no text")
        check_line(at, name)
        check_json(f"{at}.{name}", member, depth)
