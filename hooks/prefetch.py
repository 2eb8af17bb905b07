"""Prefetch templates in the subset that every client of CDS Hooks 2.0.1 can be asked to fill.

Source: CDS Hooks 2.0.1, Prefetch tokens and Prefetch query restrictions (PF-02 to PF-07). One rule more: a
parameter occurs once, because the CDS Hooks Sandbox joins repeated ones with a comma, which changes their
meaning.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from hooks.errors import TokenUnresolved
from hooks.hook import Context, Hook

__all__ = ["PrefetchTemplate", "Problem", "lint", "resolve"]


class PrefetchTemplate(msgspec.Struct, frozen=True):
    """A FHIR read or type-level search relative to the client's base; its data comes back under `key`."""

    key: str
    query: str


class Problem(msgspec.Struct, frozen=True):
    """Why a template must not be published. `code` is stable, `message` one sentence."""

    key: str
    code: str
    message: str


_MESSAGES: Mapping[str, str] = {
    "key-blank": "The key is blank.",
    "characters": "The query has white space outside a token, a fragment, or characters that are not ASCII.",
    "token-malformed": "Braces do not form a token like {{context.patientId}}.",
    "token-not-allowed": "A token is not one the hook offers in CDS Hooks 2.0.1.",
    "shape": "The query is neither Type/id, nor Type?parameters, nor {{context.userId}}.",
    "parameter-malformed": "A search parameter is not of the form name=value.",
    "parameter-repeated": "A search parameter occurs more than once.",
    "parameter-not-allowed": "A search parameter is a control parameter other than _count and _sort.",
    "chaining": "A search parameter is chained.",
    "modifier": "A search parameter has a modifier other than :in.",
    "date-prefix": "A date has a prefix other than eq, lt, gt, ge, le.",
    "count": "_count is not a positive whole number.",
    "sort": "_sort is not a list of parameter names, each perhaps with a leading minus.",
}
_TOKEN = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_FILLED = "x"
_READ = re.compile(r"[A-Z][A-Za-z]+/[^/?&=]+\Z")
_SEARCH = re.compile(r"[A-Z][A-Za-z]+\?(.+)\Z")
_WHOLE = re.compile(r"\{\{\s*context\.userId\s*\}\}\Z")
_WRONG_CHARACTER = re.compile(r"[^!-~]|#")
_ALLOWED_CONTROL = frozenset({"_id", "_lastUpdated", "_count", "_sort"})
_WRONG_DATE = re.compile(r"(?:ne|sa|eb|ap)\d{4}")
_COUNT = re.compile(r"[1-9][0-9]*\Z")
_SORT = re.compile(r"-?[A-Za-z_][\w-]*(?:,-?[A-Za-z_][\w-]*)*\Z")
# Kept as written in the text of a template; "+" is not, since servers read it as a space.
_PLAIN = "/?:@!$&'()*,;=%"


def lint(template: PrefetchTemplate, hook: Hook) -> list[Problem]:
    """Everything that keeps `template` from being published for `hook`; empty when it is safe."""
    codes = dict.fromkeys(_faults(template, hook))
    return [Problem(template.key, code, _MESSAGES[code]) for code in codes]


def resolve(template: PrefetchTemplate, context: Context[Any]) -> str:
    """The query of a template for one call, relative to the FHIR base and percent-encoded.

    Raises TokenUnresolved when the call gives no value for a token, e.g. no encounter.
    """
    values = context.tokens()
    parts: list[str] = []
    end = 0
    for match in _TOKEN.finditer(template.query):
        name = match.group(1)
        if name not in values:
            raise TokenUnresolved(template.key, name)
        parts += (quote(template.query[end : match.start()], safe=_PLAIN), quote(values[name], safe="/,"))
        end = match.end()
    return "".join((*parts, quote(template.query[end:], safe=_PLAIN)))


def _faults(template: PrefetchTemplate, hook: Hook) -> Iterator[str]:
    if not template.key.strip():
        yield "key-blank"
    for match in _TOKEN.finditer(template.query):
        if match.group(1) not in hook.tokens:
            yield "token-not-allowed"
    query = _TOKEN.sub(_FILLED, template.query)
    if "{" in query or "}" in query:
        yield "token-malformed"
    if _WRONG_CHARACTER.search(query):
        yield "characters"
    search = _SEARCH.match(query)
    if search is not None:
        yield from _search_faults(search.group(1).split("&"))
    elif not _READ.match(query) and not _WHOLE.match(template.query):
        yield "shape"


def _search_faults(parameters: list[str]) -> Iterator[str]:
    names = [parameter.partition("=")[0] for parameter in parameters]
    if len(set(names)) < len(names):
        yield "parameter-repeated"
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if not name or not value:
            yield "parameter-malformed"
            continue
        yield from _name_faults(name)
        yield from _value_faults(name, value)


def _name_faults(name: str) -> Iterator[str]:
    base, _, modifier = name.partition(":")
    if base.startswith("_") and base not in _ALLOWED_CONTROL:
        yield "parameter-not-allowed"
    elif modifier not in ("", "in"):
        yield "modifier"
    if "." in name:
        yield "chaining"


def _value_faults(name: str, value: str) -> Iterator[str]:
    if _WRONG_DATE.match(value):
        yield "date-prefix"
    if name == "_count" and not _COUNT.match(value):
        yield "count"
    if name == "_sort" and not _SORT.match(value):
        yield "sort"
