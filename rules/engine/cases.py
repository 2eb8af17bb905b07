"""The tests of one rule (tests.yaml): facts as a person writes them, and what the rule must make of them."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from rules.engine.documents import Document
from rules.engine.errors import FactError
from rules.engine.facts import FactSet, FactSpec, Span, Vocabulary

__all__ = ["Case", "TestFile", "case_facts", "parse_tests"]

_COMPARATOR = re.compile(r"(<=|<|>=|>)\s*([0-9]+(?:\.[0-9]+)?)$")
_ENDS = frozenset({"low", "high", "mid", "low_open", "high_open"})


class Case(msgspec.Struct, frozen=True):
    """One case. `facts` are as written; `by` is the suppression expected, `urgency` the one the card must
    have, `context` is for the policy that decides about suppression.
    """

    name: str
    kind: str
    expect: str
    facts: Mapping[str, Any]
    line: int
    by: str = ""
    urgency: str = ""
    hook: str = ""
    context: Mapping[str, Any] = {}


class TestFile(msgspec.Struct, frozen=True):
    """The cases of a rule and the day they are set on."""

    __test__ = False  # not a test class, whatever pytest thinks of its name

    now: datetime.date
    cases: tuple[Case, ...]


def parse_tests(document: Document) -> TestFile:
    """The cases of a document its schema accepts. ValueError when `now` is no real day."""
    raw: dict[str, Any] = document.data
    cases = tuple(
        Case(**entry, line=document.line(("cases", index))) for index, entry in enumerate(raw["cases"])
    )
    return TestFile(datetime.date.fromisoformat(raw["now"]), cases)


def case_facts(vocabulary: Vocabulary, written: Mapping[str, Any]) -> FactSet:
    """The facts of a case. Those not written down are what their absence means; a written null is unknown.

    FactError, naming the fact, for a fact or a value the vocabulary does not allow.
    """
    facts = FactSet(vocabulary)
    for spec in vocabulary:
        if spec.name not in written:
            facts.set(spec.name, spec.absent_value)
    for name, value in written.items():
        facts.set(name, _value(vocabulary.spec(name), value, vocabulary))
    return facts


def _value(spec: FactSpec, value: Any, vocabulary: Vocabulary) -> Any:
    if spec.kind and isinstance(value, dict):
        return _written_span(spec, value)
    if spec.kind and isinstance(value, str):
        return _comparator(spec, value)
    if spec.type.element is not None and isinstance(value, list):
        faults = list(_element_faults(spec, value, vocabulary))
        if faults:
            raise FactError(faults[0])
    return value


def _written_span(spec: FactSpec, value: Mapping[str, Any]) -> Span:
    if not {"low", "high"} <= value.keys() <= _ENDS:
        raise FactError(f"{spec.name}: an imprecise number is written {{low: 10, high: 40}}")
    low, high = float(value["low"]), float(value["high"])
    mid = float(value.get("mid", (low + high) / 2))
    return Span(low, high, mid, value.get("low_open", False), value.get("high_open", False))


def _comparator(spec: FactSpec, text: str) -> Span:
    match = _COMPARATOR.match(text)
    if match is None:
        raise FactError(f"{spec.name}: a result with a comparator is written '>100'")
    sign, limit = match.group(1), float(match.group(2))
    if sign[0] == ">":
        return Span(limit, float("inf"), limit, low_open=sign == ">")
    return Span(0.0, limit, limit, high_open=sign == "<")


def _element_faults(spec: FactSpec, values: list[Any], vocabulary: Vocabulary) -> Iterator[str]:
    element = spec.type.element
    fields = vocabulary.records.get(element.record) if element else None
    for value in values:
        if fields is None:
            if type(value).__name__ != _PYTHON.get(str(element)):
                yield f"{spec.name} is a list of {element}, and {value!r} is not one"
        elif not isinstance(value, dict):
            yield f"{spec.name} is a list of {element} records"
        else:
            unknown = sorted(value.keys() - fields.keys())
            if unknown:
                yield f"{spec.name}: {element} has no field {unknown[0]}"


_PYTHON = {"string": "str", "int": "int", "double": "float", "bool": "bool"}
