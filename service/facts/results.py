"""Laboratory results and measurements: one number in the analyte's canonical unit, or why it cannot be read.

A comparator makes an interval (`>100` is everything above 100). A result without a unit, or with one that
is not in the table, is never guessed: it is kept as unreadable, so that a card can say so. A record holds
many more results than anyone asks for, so each is read only when its value is wanted. Source:
units-thresholds.yaml policy; decisions 16, 22 and 24 on the clinical material.
"""

import math
from collections.abc import Callable
from typing import Any

from rules.engine.facts import Source, Span
from rules.engine.spans import less
from rules.engine.units import Units
from service.datatypes import Quantity, ReferenceRange
from service.facts import concepts
from service.facts.dates import Calendar, Day
from service.resources import Observation

__all__ = ["NO_VALUE", "Corrected", "Result", "observed"]

NO_VALUE = "no value"
_ALBUMIN_LEAST, _ALBUMIN_MOST = 15.0, 60.0

PENDING = frozenset({"registered", "preliminary"})
_HIGH = frozenset({"H", "HH", "HU", ">"})
_LOW = frozenset({"L", "LL", "LU", "<"})


def observed(calendar: Calendar, resource: Observation) -> Day | None:
    """The day of an Observation: collection, else the end of the period, else issue."""
    return (
        calendar.past(resource.effectiveDateTime)
        or calendar.end(resource.effectivePeriod)
        or calendar.past(resource.effectiveInstant)
        or calendar.past(resource.issued)
    )


class Result:
    """A result of one analyte, read from its Observation or component on first use.

    `value` is in canonical units, None when it cannot be read: `reason` says why, and `raw` what stood there.
    `low` and `high` are the laboratory's own limits, `flag` its H or L.
    """

    __slots__ = (
        "_holder",
        "_limits",
        "_reading",
        "_resource",
        "_source",
        "_units",
        "analyte",
        "day",
        "key",
        "status",
    )

    def __init__(
        self, analyte: str, resource: Observation, holder: Any, day: Day, key: str, units: Units
    ) -> None:
        self.analyte = analyte
        self.day = day
        self.key = key
        self.status = resource.status or "final"
        self._resource = resource
        self._holder = holder
        self._units = units
        self._reading: tuple[float | Span | None, str] | None = None
        self._limits: tuple[float | None, float | None] | None = None
        self._source: Source | None = None

    @property
    def value(self) -> float | Span | None:
        reading = self._reading
        if reading is None:
            reading = self._reading = self._read()
        return reading[0]

    @property
    def reason(self) -> str:
        """Why there is no value; empty when there is one."""
        if self._reading is None:
            self._reading = self._read()
        return self._reading[1]

    @property
    def raw(self) -> str:
        """The number and unit as sent, or the text; empty when there is neither."""
        quantity = _quantity(self._holder)
        if quantity is None or quantity.value is None:
            return self._holder.valueString or ""
        return f"{quantity.comparator or ''}{quantity.value:g} {quantity.unit or quantity.code or ''}".strip()

    @property
    def recorded(self) -> str:
        """`raw`, where the value was converted; empty where it is the number that was sent."""
        value = self.value
        number = value.mid if isinstance(value, Span) else value
        quantity = self._holder.valueQuantity
        return "" if quantity is None or number == quantity.value else self.raw

    @property
    def source(self) -> Source:
        if self._source is None:
            code = concepts.label(concepts.codings((self._holder.code,)))
            self._source = Source(concepts.named("Observation", self._resource.id), code, self.key)
        return self._source

    @property
    def low(self) -> float | None:
        return self._range()[0]

    @property
    def high(self) -> float | None:
        return self._range()[1]

    @property
    def flag(self) -> str:
        interpretation = self._holder.interpretation
        if interpretation is None:
            return ""
        given = concepts.codes(interpretation)
        return "H" if given & _HIGH else "L" if given & _LOW else ""

    @property
    def pending(self) -> bool:
        return self.status in PENDING

    @property
    def above(self) -> bool | None:
        """Whether the laboratory calls the value high: by its range, else by its flag, else None."""
        above = less(self.high, self.value) if self.high is not None and self.value is not None else None
        return True if above is None and self.flag == "H" else above

    @property
    def below(self) -> bool | None:
        below = less(self.value, self.low) if self.low is not None and self.value is not None else None
        return True if below is None and self.flag == "L" else below

    def _read(self) -> tuple[float | Span | None, str]:
        holder = self._holder
        quantity = holder.valueQuantity
        if quantity is not None and quantity.value is not None and quantity.comparator is None:
            # Nearly every result: a number with a unit of the table.
            value = self._units.convert(self.analyte, quantity.value, quantity.code or quantity.unit)
            if value is not None:
                return value, ""
        quantity = _quantity(holder)
        if quantity is None or quantity.value is None:
            if self.pending:
                return None, "pending"
            text = holder.valueString is not None or holder.valueCodeableConcept is not None
            return None, "text, not a number" if text else NO_VALUE
        return _canonical(self.analyte, quantity, self._units)

    def _range(self) -> tuple[float | None, float | None]:
        if self._limits is None:
            quantity = _quantity(self._holder) or Quantity()
            self._limits = _limits(self.analyte, self._holder.referenceRange, quantity, self._units)
        return self._limits


class Corrected(Result):
    """A total calcium corrected for albumin (g/L, within 30 days).

    Without an albumin the corrected value lies in the range that albumins between 15 and 60 g/L leave: a very
    high calcium is high whatever the albumin is.
    """

    __slots__ = ("_albumin",)

    def __init__(self, total: Result, albumin: Callable[[int], float | None]) -> None:
        """`albumin` gives the albumin nearest to a day."""
        super().__init__(total.analyte, total._resource, total._holder, total.day, total.key, total._units)
        self._albumin = albumin
        self._limits = None, None

    @property
    def without_albumin(self) -> bool:
        """Whether no albumin was found for it."""
        return self._albumin(self.day.mid) is None

    def _read(self) -> tuple[float | Span | None, str]:
        """corrected = total + 0.02 x (40 - albumin), mmol/L."""
        total, reason = super()._read()
        if total is None:
            return None, reason
        albumin = self._albumin(self.day.mid)
        if isinstance(total, float) and albumin is not None:
            return _corrected(total, albumin), ""
        if isinstance(total, float):
            total = Span(total, total, total)
        least, most = (albumin, albumin) if albumin is not None else (_ALBUMIN_LEAST, _ALBUMIN_MOST)
        low, high = _corrected(total.low, most), _corrected(total.high, least)
        middle = _corrected(total.mid, albumin if albumin is not None else 40.0)
        return Span(low, high, middle, total.low_open, total.high_open), ""

    @property
    def recorded(self) -> str:
        """The total it was worked out from."""
        return f"{self.raw} (total, no albumin)" if self.without_albumin else f"{self.raw} (total)"


def _corrected(total: float, albumin: float) -> float:
    return round(total + 0.02 * (40.0 - albumin), 3)


def _quantity(holder: Any) -> Quantity | None:
    quantity: Quantity | None = holder.valueQuantity
    if quantity is None and holder.valueInteger is not None:
        return Quantity(value=float(holder.valueInteger), unit="")
    return quantity


def _canonical(analyte: str, quantity: Quantity, units: Units) -> tuple[float | Span | None, str]:
    number = quantity.value or 0.0
    value = _converted(analyte, number, quantity, units)
    if value is None:
        return None, units.why(analyte, number, quantity.code or quantity.unit)
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
    """Convert by the coded unit, else by the printed one: senders fill either, and sometimes one is wrong."""
    if quantity.code is not None:
        converted = units.convert(analyte, value, quantity.code)
        if converted is not None or quantity.unit is None:
            return converted
    return units.convert(analyte, value, quantity.unit)


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
