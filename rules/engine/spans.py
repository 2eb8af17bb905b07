"""Numbers known only within limits, and what may be said about them.

A laboratory that reports `>100`, or a symptom dated "2026-03", gives a range and not a point. A comparison
over a range is true or false only when every value in it agrees; otherwise it is unknown (decisions 24 and 25
of the clinical material). The functions below are called from generated rule code; `None` stands for unknown
throughout.
"""

from __future__ import annotations

import msgspec

__all__ = [
    "Number",
    "Span",
    "equals",
    "known_mid",
    "less",
    "less_or_equal",
    "minus",
    "negated",
    "over",
    "plus",
    "times",
]


class Span(msgspec.Struct, frozen=True):
    """An imprecise number: `low <= x <= high`; an open end leaves the limit itself out. `mid` is the best
    single guess.
    """

    low: float
    high: float
    mid: float
    low_open: bool = False
    high_open: bool = False


Number = int | float | Span


def _ends(x: Number) -> tuple[float, float, bool, bool]:
    if isinstance(x, Span):
        return x.low, x.high, x.low_open, x.high_open
    return x, x, False, False


def less(a: Number, b: Number) -> bool | None:
    """`a < b` over every pair of values."""
    a_low, a_high, _, a_high_open = _ends(a)
    b_low, b_high, b_low_open, _ = _ends(b)
    if a_high < b_low or (a_high == b_low and (a_high_open or b_low_open)):
        return True
    return False if a_low >= b_high else None


def less_or_equal(a: Number, b: Number) -> bool | None:
    """`a <= b` over every pair of values."""
    above = less(b, a)
    return None if above is None else not above


def equals(a: Number, b: Number) -> bool | None:
    """`a == b` over every pair of values: true for two points, false only when the two do not meet."""
    a_low, a_high, _, _ = _ends(a)
    b_low, b_high, _, _ = _ends(b)
    if a_low == a_high == b_low == b_high:
        return True
    if less(a, b) or less(b, a):
        return False
    return None


def known_mid(x: Number) -> int | float:
    """The best single guess: the number itself, or the middle of its span."""
    return x.mid if isinstance(x, Span) else x


def plus(a: Number, b: Number) -> Number:
    """The range of `a + b`."""
    a_low, a_high, a_low_open, a_high_open = _ends(a)
    b_low, b_high, b_low_open, b_high_open = _ends(b)
    mid = known_mid(a) + known_mid(b)
    return Span(a_low + b_low, a_high + b_high, mid, a_low_open or b_low_open, a_high_open or b_high_open)


def negated(a: Number) -> Number:
    """The range of `-a`."""
    low, high, low_open, high_open = _ends(a)
    return Span(-high, -low, -known_mid(a), high_open, low_open)


def minus(a: Number, b: Number) -> Number:
    """The range of `a - b`, the two taken as independent."""
    return plus(a, negated(b))


def _product(a: float, b: float) -> float:
    return 0.0 if a == 0 or b == 0 else a * b  # an end at zero times an unbounded end stays zero, never NaN


def times(a: Number, b: Number) -> Number:
    """The range of `a * b`. Ends count as reached, which can only make a later comparison more careful."""
    a_low, a_high, _, _ = _ends(a)
    b_low, b_high, _, _ = _ends(b)
    corners = [_product(x, y) for x in (a_low, a_high) for y in (b_low, b_high)]
    return Span(min(corners), max(corners), _product(known_mid(a), known_mid(b)))


def over(a: Number, b: Number) -> Number | None:
    """The range of `a / b` for doubles, or unknown when the divisor may be zero."""
    low, high, _, _ = _ends(b)
    if low <= 0 <= high:
        return None
    return times(a, Span(1 / high, 1 / low, 1 / known_mid(b)))
