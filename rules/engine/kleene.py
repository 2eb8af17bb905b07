"""Three-valued logic at run time: what generated rule code calls when an operator is not enough.

True, False, and None for unknown, after Kleene: an operand that decides the answer decides it whatever else
is unknown. This is CEL's error absorption, with an unknown fact in the place of an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rules.engine import spans
from rules.engine.spans import Number, Span

__all__ = ["RUNTIME", "at_least", "divided"]


def at_least(n: int, values: tuple[bool | None, ...]) -> bool | None:
    """Whether `n` or more of the values are true."""
    met = values.count(True)
    if met >= n:
        return True
    return None if met + values.count(None) >= n else False


def divided(a: int, b: int) -> int | None:
    """CEL's int division: truncates towards zero; by zero it is an error, so here unknown."""
    if b == 0:
        return None
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _ratio(a: Number, b: Number) -> Number | None:
    if isinstance(a, Span) or isinstance(b, Span):
        return spans.over(a, b)
    return None if b == 0 else a / b


def _greater(a: Number, b: Number) -> bool | None:
    return spans.less(b, a)


def _greater_or_equal(a: Number, b: Number) -> bool | None:
    return spans.less_or_equal(b, a)


def _differs(a: Number, b: Number) -> bool | None:
    same = spans.equals(a, b)
    return None if same is None else not same


# The names generated code may use, beside `v` (FactSet.values), constants K0, K1, ... and its own functions.
RUNTIME: Mapping[str, Callable[..., Any]] = {
    "Span": Span,
    "at_least": at_least,
    "divided": divided,
    "ratio": _ratio,
    "span_lt": spans.less,
    "span_le": spans.less_or_equal,
    "span_gt": _greater,
    "span_ge": _greater_or_equal,
    "span_eq": spans.equals,
    "span_ne": _differs,
    "span_add": spans.plus,
    "span_sub": spans.minus,
    "span_mul": spans.times,
}
