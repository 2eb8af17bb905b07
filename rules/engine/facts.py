"""Facts of one call: values with their dates and sources, three-valued, laid out for the compiled rules.

The names that make up the contract with whoever fills the facts are all importable from here.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from rules.engine.errors import FactError
from rules.engine.spans import Span
from rules.engine.vocabulary import FactSpec, FieldSpec, Vocabulary

__all__ = ["Fact", "FactSet", "FactSpec", "FieldSpec", "Source", "Span", "Vocabulary"]


class Source(msgspec.Struct, frozen=True, gc=False):
    """Where a fact came from.

    `resource` is a relative reference ("Observation/abc"), `code` a "system|code" pair, and `key` the
    prefetch key it came under, "context.draftOrders", or "fetched:<key>".
    """

    resource: str
    code: str = ""
    key: str = ""


class Fact(msgspec.Struct):
    """One fact as people and records see it. `value` is None exactly when `known` is False; `note` may then
    say why. `dated` is the date as precise as it was recorded ("2018", "2018-07", "2018-07-01"), empty
    without one.
    """

    name: str
    value: Any
    known: bool
    date: datetime.date | None
    sources: tuple[Source, ...]
    note: str
    dated: str


_Detail = tuple[datetime.date | None, tuple[Source, ...], str, str]
_NO_DETAIL: _Detail = (None, (), "", "")
_ACCEPTS: dict[str, tuple[type, ...]] = {
    "bool": (bool,),
    "int": (int,),
    "float": (float, int),
    "string": (str,),
    "list": (list, tuple),
}


class FactSet:
    """The facts of one call. Everything is unknown until set.

    `values` is read by compiled rules through slot numbers, so it must only be changed through `set`.
    """

    __slots__ = ("_details", "values", "vocabulary")

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.values: list[Any] = [None] * len(vocabulary)
        self._details: dict[int, _Detail] = {}

    def set(
        self,
        name: str,
        value: Any,
        *,
        date: datetime.date | None = None,
        sources: Sequence[Source] = (),
        note: str = "",
        dated: str = "",
    ) -> None:
        """Give a fact its value, replacing an earlier one. None means unknown; a number that is not finite
        becomes unknown. `dated` is given for a date that is less precise than a day.

        FactError when the name is not declared or the value is not of the declared type.
        """
        slot = self.vocabulary.slots.get(name)
        if slot is None:
            raise FactError(f"no fact is called {name}")
        # A plain value of the plain type is what nearly every call brings; anything else is looked at.
        if value is not None and value.__class__ is not self.vocabulary.plain[slot]:
            value, note = _checked(self.vocabulary.facts[slot], value, note)
        self.values[slot] = value
        if date is not None or sources or note:
            given = sources if sources.__class__ is tuple else tuple(sources)
            self._details[slot] = (date, given, note, dated)
        else:
            self._details.pop(slot, None)

    def get(self, name: str) -> Fact:
        """The fact with its date and sources; FactError when the name is not declared."""
        return self._fact(self.vocabulary.spec(name))

    def __getitem__(self, name: str) -> Any:
        """The raw value, None for unknown."""
        return self.values[self.vocabulary.spec(name).slot]

    def all_facts(self) -> Iterator[Fact]:
        """Every declared fact, in the order of the vocabulary."""
        return map(self._fact, self.vocabulary)

    def _fact(self, spec: FactSpec) -> Fact:
        value = self.values[spec.slot]
        date, sources, note, dated = self._details.get(spec.slot, _NO_DETAIL)
        if date is not None and not dated:
            dated = date.isoformat()
        return Fact(spec.name, value, value is not None, date, sources, note, dated)


def _checked(spec: FactSpec, value: Any, note: str) -> tuple[Any, str]:
    if isinstance(value, Span):
        if not spec.kind:
            raise FactError(f"{spec.name} cannot hold an imprecise number")
        return value, note
    if type(value) not in _ACCEPTS[spec.type.name]:
        raise FactError(f"{spec.name} holds {spec.type}, not {type(value).__name__}")
    if spec.type.name == "float":
        return (float(value), note) if math.isfinite(value) else (None, note or "not a finite number")
    if spec.values and value not in spec.values:
        raise FactError(f"{spec.name} does not allow this value; it allows {', '.join(spec.values)}")
    return value, note
