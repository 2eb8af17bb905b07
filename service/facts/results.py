"""Laboratory results and measurements: one number in the analyte's canonical unit, or why it cannot be read.

A comparator makes an interval (`>100` is everything above 100). A result without a unit, or with one that
is not in the table, is never guessed: it is kept as unreadable, so that a card can say so. Source: units-
thresholds.yaml policy; decisions 16, 22 and 24 on the clinical material.
"""

import math
from typing import Any

import msgspec

from rules.engine.facts import Source, Span
from rules.engine.units import Units
from service.facts import concepts
from service.facts.dates import Day
from service.resources import Quantity, ReferenceRange

__all__ = ["Result", "result_of"]

OTHER_HOUR = "lab-esr-excluded"
PENDING = frozenset({"registered", "preliminary"})
_HIGH = frozenset({"H", "HH", "HU", ">"})
_LOW = frozenset({"L", "LL", "LU", "<"})


class Result(msgspec.Struct, gc=False):
    """A result in canonical units. `value` is None when it cannot be read (`reason` says why, `raw` what
    stood there); `low` and `high` are the laboratory's own limits; `flag` is H, L or empty."""

    analyte: str
    value: float | Span | None
    day: Day | None
    status: str
    source: Source
    low: float | None = None
    high: float | None = None
    flag: str = ""
    reason: str = ""
    raw: str = ""

    @property
    def pending(self) -> bool:
        return self.status in PENDING

    @property
    def above(self) -> bool | None:
        """Whether the laboratory calls the value high: by its range, else by its flag; None when it says
        neither.
        """
        if self.high is not None and isinstance(self.value, float):
            return self.value > self.high
        return True if self.flag == "H" else None

    @property
    def below(self) -> bool | None:
        if self.low is not None and isinstance(self.value, float):
            return self.value < self.low
        return True if self.flag == "L" else None


def result_of(
    sets: frozenset[str],
    codes: tuple[tuple[str, str], ...],
    holder: Any,
    status: str,
    day: Day | None,
    source: Source,
    units: Units,
) -> Result | None:
    """The result of an Observation or component whose code is in `sets`; None when it is of no analyte we
    read.
    """
    for system, code in codes:
        analyte = units.analyte(system, code, sets)
        if analyte is not None:
            return _result(analyte, holder, status, day, source, units)
    if OTHER_HOUR in sets:
        # A reading at another hour was done, which counts, and cannot be compared, which is why it has no
        # value.
        return Result("esr-other", None, day, status, source, reason="not a reading at one hour")
    return None


def _result(
    analyte: str, holder: Any, status: str, day: Day | None, source: Source, units: Units
) -> Result | None:
    """The result an Observation or component states for an analyte; None when it states nothing at all."""
    quantity = holder.valueQuantity
    if quantity is None and holder.valueInteger is not None:
        quantity = Quantity(value=float(holder.valueInteger), unit="")
    flag = _flag(holder.interpretation)
    if quantity is None or quantity.value is None:
        if holder.dataAbsentReason is not None and status not in PENDING:
            return None
        text = holder.valueString is not None or holder.valueCodeableConcept is not None
        reason = "pending" if status in PENDING else "text, not a number" if text else "no value"
        return Result(analyte, None, day, status, source, flag=flag, reason=reason)
    number, reason = _canonical(analyte, quantity, units)
    low, high = _limits(analyte, holder.referenceRange, quantity, units)
    raw = f"{quantity.comparator or ''}{quantity.value:g} {quantity.unit or quantity.code or ''}".strip()
    return Result(analyte, number, day, status, source, low, high, flag, reason, raw)


def _canonical(analyte: str, quantity: Quantity, units: Units) -> tuple[float | Span | None, str]:
    assert quantity.value is not None
    value = _converted(analyte, quantity.value, quantity, units)
    if value is None:
        return None, units.why(analyte, quantity.value, quantity.code or quantity.unit)
    match quantity.comparator:
        case None | "":
            return value, ""
        case "<":
            return Span(0.0, value, value, high_open=True), ""
        case "<=":
            return Span(0.0, value, value), ""
        case ">":
            return Span(value, math.inf, value, low_open=True), ""
        case ">=":
            return Span(value, math.inf, value), ""
        case _:
            return None, "comparator not known"


def _converted(analyte: str, value: float, quantity: Quantity, units: Units) -> float | None:
    """Convert by the coded unit, else by the printed one: senders fill either, and sometimes only one is
    right.
    """
    for unit in (quantity.code, quantity.unit):
        if unit is not None:
            converted = units.convert(analyte, value, unit)
            if converted is not None:
                return converted
    if quantity.code is None and quantity.unit is None:
        return units.convert(analyte, value, None)
    return None


def _limits(
    analyte: str, ranges: list[ReferenceRange] | None, quantity: Quantity, units: Units
) -> tuple[float | None, float | None]:
    """Low and high of the laboratory's normal range; a range of another type (therapeutic …) is no limit."""
    for given in ranges or ():
        kind = concepts.codes(given.type) if given.type is not None else frozenset()
        if kind and "normal" not in kind:
            continue
        return _limit(analyte, given.low, quantity, units), _limit(analyte, given.high, quantity, units)
    return None, None


def _limit(analyte: str, limit: Quantity | None, quantity: Quantity, units: Units) -> float | None:
    if limit is None or limit.value is None:
        return None
    # Many laboratories print the unit once, with the value.
    unit = limit if limit.unit or limit.code else quantity
    return _converted(analyte, limit.value, unit, units)


def _flag(interpretation: Any) -> str:
    if interpretation is None:
        return ""
    given = concepts.codes(interpretation)
    return "H" if given & _HIGH else "L" if given & _LOW else ""
