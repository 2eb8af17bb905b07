"""Words: placeholders in texts, and facts as a clinician reads them.

A placeholder is `{name}`: a parameter of the rule (`{min_days}`), `{fact:pain.back.days}`, `{contact:mscc}`
for a number of the site, or `{imaging_date}` on a card that asks to read a report on file. Parameters are
filled when the bundle loads; the others when a card is written.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from rules.engine.spans import Span
from rules.engine.vocabulary import FactSpec

__all__ = ["NOT_RECORDED", "fill", "number", "placeholders", "quantity", "said", "stray_braces"]

NOT_RECORDED = "not recorded"

_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]*(?:[.:-][a-z0-9_]+)*)\}")
_UNIT_WORDS = {"d": ("day", "days"), "a": ("year", "years")}


def placeholders(text: str) -> list[str]:
    """The names in braces, in order."""
    return _PLACEHOLDER.findall(text)


def stray_braces(text: str) -> bool:
    """Whether braces are left that form no placeholder."""
    rest = _PLACEHOLDER.sub("", text)
    return "{" in rest or "}" in rest


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with every placeholder replaced that has a value; the others stay as they are."""
    return _PLACEHOLDER.sub(lambda match: values.get(match.group(1), match.group(0)), text)


def number(value: int | float) -> str:
    """A number without a needless `.0`."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def said(spec: FactSpec, value: Any) -> str:
    """A fact's value in words with its unit: "9 days", "over 100 mg/L", "yes", "not recorded"."""
    if value is None:
        return NOT_RECORDED
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Span):
        return _span(spec.unit, value)
    if isinstance(value, int | float):
        return quantity(number(value), spec.unit, value == 1)
    if isinstance(value, str):
        return value.replace("-", " ") if spec.values else value
    return _listed(value)


def quantity(text: str, unit: str, single: bool = False) -> str:
    """A number, already in words, with its UCUM unit as people say it: "9 days", "50 mm/h"."""
    if unit in _UNIT_WORDS:
        return f"{text} {_UNIT_WORDS[unit][0 if single else 1]}"
    if unit in ("", "1") or unit.startswith("{"):  # UCUM's dimensionless units have nothing to show
        return text
    return f"{text} {unit}"


def _span(unit: str, value: Span) -> str:
    if math.isinf(value.high):
        return quantity(f"{'over' if value.low_open else 'at least'} {number(value.low)}", unit)
    if value.low <= 0 or math.isinf(value.low):
        return quantity(f"{'under' if value.high_open else 'at most'} {number(value.high)}", unit)
    return quantity(f"{number(value.low)} to {number(value.high)}", unit)


def _listed(values: Sequence[Any]) -> str:
    """Names one by one; records only by their number, since what matters of them depends on the card."""
    if not values:
        return "none"
    if isinstance(values[0], dict):
        return f"{len(values)} on record"
    return ", ".join(map(str, values))
