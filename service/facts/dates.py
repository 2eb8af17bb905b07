"""FHIR dates as whole days in the site's time zone.

A day is a proleptic ordinal (`date.toordinal`). A partial date is a range with the middle that facts.yaml
names: a year stands for 1 July, a month for its 15th. Source: FHIR R4 datatypes `date`, `dateTime`,
`instant`.
"""

import datetime as dt
from collections.abc import Callable
from functools import lru_cache
from zoneinfo import ZoneInfo

import msgspec

from rules.engine.facts import Span
from service.datatypes import Period

__all__ = ["MIDDLE_DECIDES", "Calendar", "Day"]

MIDDLE_DECIDES = 60
"""Windows of so many days and more are decided by the middle of a partial date (decision 25)."""


_A_MONTH = 31
_FIRST_YEAR = 1900
"""Systems that must send a date and have none send the first day they can write."""


class Day(msgspec.Struct, frozen=True, gc=False, order=True):
    """A day, or the range a partial date stands for: ordinals with low <= mid <= high."""

    mid: int
    low: int
    high: int

    @property
    def imprecise(self) -> bool:
        return self.low != self.high

    @property
    def date(self) -> dt.date:
        return dt.date.fromordinal(self.mid)

    @property
    def dated(self) -> str:
        """What is known of a partial date, a year or a month; empty for a day."""
        if self.low == self.high:
            return ""
        day = self.date
        return f"{day:%Y-%m}" if self.high - self.low < _A_MONTH else f"{day:%Y}"


class Calendar:
    """Reads FHIR dates and counts days back from `now`, both in one time zone.

    `now` is an aware datetime. Days in the future by more than one (clock and zone differences) are no days
    at all for a record that looks back: `parse` keeps them, `past` refuses them.
    """

    __slots__ = ("now", "parse", "today", "zone")

    def __init__(self, now: dt.datetime, zone: ZoneInfo) -> None:
        self.zone = zone
        self.now = now.astimezone(zone)
        self.today = self.now.date().toordinal()
        self.parse = _parser(zone)

    def past(self, text: str | None) -> Day | None:
        """The day of a FHIR date, None when absent, unreadable, or more than a day in the future."""
        if not text:
            return None
        day = self.parse(text)
        if day is None or day.low > self.today + 1:
            return None
        return day

    def start(self, period: Period | None) -> Day | None:
        return self.past(period.start) if period is not None else None

    def end(self, period: Period | None) -> Day | None:
        """End of a period, or its start when it has no end yet (or one in the future)."""
        if period is None:
            return None
        return self.past(period.end) or self.past(period.start)

    def days_since(self, day: Day) -> int | Span:
        """Whole days from `day` to today, never negative; a Span when the date is partial."""
        if day.low == day.high:
            return max(0, self.today - day.mid)
        low, high = max(0, self.today - day.high), max(0, self.today - day.low)
        return Span(low, high, min(max(self.today - day.mid, low), high))

    def within(self, day: Day | None, days: int) -> bool | None:
        """Whether `day` lies in the last `days` days; None when a partial date cannot tell.

        A long window is decided by the middle of a partial date, a shorter one only when every day of it
        agrees (decision 25 on the clinical material).
        """
        if day is None:
            return None
        if days >= MIDDLE_DECIDES or day.low == day.high:
            return self.today - day.mid <= days
        if self.today - day.low <= days:
            return True
        return None if self.today - day.high <= days else False


@lru_cache(maxsize=16)
def _parser(zone: ZoneInfo) -> Callable[[str], Day | None]:
    @lru_cache(maxsize=65536)
    def parse(text: str) -> Day | None:
        return _parse(text, zone)

    return parse


def _parse(text: str, zone: ZoneInfo) -> Day | None:
    text = text.strip()
    try:
        if len(text) == 4:
            return _span(
                dt.date(int(text), 1, 1),
                dt.date(int(text), 12, 31),
                dt.date(int(text), 7, 1),
            )
        if len(text) == 7 and text[4] == "-":
            first = dt.date(int(text[:4]), int(text[5:]), 1)
            last = (first + dt.timedelta(days=31)).replace(day=1) - dt.timedelta(days=1)
            return _span(first, last, first.replace(day=15))
        if len(text) > 10:
            moment = dt.datetime.fromisoformat(text)
            # A time without a zone breaks the specification; it is read as local time of the site.
            day = (moment.astimezone(zone) if moment.tzinfo else moment).date()
        else:
            day = dt.date.fromisoformat(text)
    except (ValueError, OverflowError):
        return None
    return _span(day, day, day)


def _span(low: dt.date, high: dt.date, mid: dt.date) -> Day | None:
    if low.year < _FIRST_YEAR:
        return None
    return Day(mid.toordinal(), low.toordinal(), high.toordinal())
