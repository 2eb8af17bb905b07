"""How a card puts values, durations, examinations and sources into words.

Text from the record is escaped before it reaches Markdown.
"""

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from rules.engine import Evidence, Span
from service.facts.results import Result

__all__ = [
    "basis",
    "bullets",
    "cut",
    "escape",
    "few",
    "interval",
    "lasting",
    "lower_first",
    "printed",
    "studies",
    "unread",
]

_MODALITIES = {
    "mri": "MRI",
    "ct": "CT",
    "xray": "X-ray",
    "pet": "PET",
    "dxa": "DXA",
    "nuclear": "nuclear scan",
    "us": "ultrasound",
}
_MARKUP = re.compile(r"([\\`*_\[\]<>#~|&@]|:(?=//)|(?<=[wW]{3})\.)")
# Control characters no card can hold, and those that hide text or turn it round.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_SPACE = re.compile(r"\s+")
# Most of what is shown is a number with its unit, and needs no closer look.
_HARMLESS = re.compile(r"(?:[0-9.]+|[A-Za-z0-9/%]+)(?: [A-Za-z0-9/%]+)*")
_INITIALS = re.compile(r" [A-Z]{1,3}$")
# A list of reasons, or of what is not recorded, longer than this ends in "and n more"; the Decision has all.
_MOST_FACTS = 5
_LONGEST_RAW = 40
_MOST_STUDIES = 2
# A length without an end, in days, as facts have it.
_FOR_EVER = 36_500
# From so many days on, a duration is told in units of so many days.
_LENGTHS = ((730, 365.25, "years"), (90, 30.44, "months"), (0, 1, "days"))
_UNITS = {"Cel": "°C", "[degF]": "°F", "umol/L": "µmol/L", "10*9/L": "×10⁹/L"}


def escape(text: str) -> str:
    """Text from the record made inert: one line, no Markdown or HTML of its own, no links."""
    if _HARMLESS.fullmatch(text):
        return text
    return _MARKUP.sub(r"\\\1", _HIDDEN.sub("", _SPACE.sub(" ", text)).strip())


def printed(text: str) -> str:
    """A number with its unit as people write it."""
    number, _, unit = text.partition(" ")
    return f"{number} {_UNITS.get(unit, unit)}"


def lasting(days: int | Span) -> str:
    """A duration in the largest unit in which it is still told apart: "45 days", "7 months", "6 years"."""
    middle = days.mid if isinstance(days, Span) else days
    length, unit = next((length, unit) for least, length, unit in _LENGTHS if middle >= least)
    if isinstance(days, Span):
        low = round(days.low / length)
        high = round(days.high / length) if days.high < _FOR_EVER else _FOR_EVER
        value = f"about {low}" if low == high else interval(Span(low, high, low))
    else:
        value = str(round(days / length))
    return f"{value} {unit}"


def few(parts: Sequence[str]) -> Sequence[str]:
    """A list that ends in "and n more" when it is long."""
    more = len(parts) - _MOST_FACTS
    return parts if more <= 0 else (*parts[: _MOST_FACTS - 1], f"and {more + 1} more")


def bullets(lines: Iterable[str]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def lower_first(text: str) -> str:
    """A title in the middle of a sentence; an abbreviation stays as it is."""
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


def studies(studies: Iterable[Mapping[str, Any]], today: dt.date) -> str:
    """The newest examinations in words: what of which region, when, and what was found."""
    newest = sorted(studies, key=lambda study: int(study["days"]))[:_MOST_STUDIES]
    return "; ".join(_study(study, today - dt.timedelta(days=study["days"])) for study in newest)


def _study(study: Mapping[str, Any], day: dt.date) -> str:
    name = str(study["modality"])
    name = _MODALITIES.get(name, name)
    regions = " and ".join(str(region).replace("-", " ") for region in study["regions"])
    of = f" of the {regions}" if regions else ""
    result = str(study.get("result") or "result not coded").replace("-", " ")
    return escape(f"{name}{of}") + f" ({day.isoformat()}): {escape(result)}"


def unread(result: Result) -> str:
    """A result that could not be read: its name, what stood there, its day, and why."""
    name = result.analyte.replace("-", " ")
    name = name.upper() if len(name) <= 4 else name
    of = f" of {result.day.date.isoformat()}" if result.day is not None else ""
    return (
        f"{name} {escape(cut(result.raw))}{of} ({result.reason})"
        if result.raw
        else f"{name}{of} ({result.reason})"
    )


def cut(text: str) -> str:
    """Text of the record, as much of it as a card holds."""
    return text if len(text) <= _LONGEST_RAW else f"{text[:_LONGEST_RAW]}…"


def interval(value: Span) -> str:
    """An imprecise number."""
    if value.high >= _FOR_EVER or value.high == float("inf"):
        return f"{'more than' if value.low_open else 'at least'} {value.low:g}"
    if value.low == 0 and value.high_open:
        return f"less than {value.high:g}"
    return f"{value.low:g} to {value.high:g}"


@lru_cache(maxsize=256)
def basis(*evidence: Evidence) -> str:
    """The sources of a card."""
    return f"Basis: {escape('; '.join(map(_cited, evidence)))}."


def _cited(evidence: Evidence) -> str:
    """A source as a card can hold it: who, and when."""
    author = evidence.short or _INITIALS.sub(
        "", re.split(r"[.:(,]", evidence.citation, maxsplit=1)[0].strip()
    )
    year = f" {evidence.year}" if evidence.year and str(evidence.year) not in author else ""
    return f"{author}{year}"
