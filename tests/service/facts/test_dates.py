import datetime as dt
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.engine import Span
from service.datatypes import Period
from service.facts.dates import Calendar, Day
from tests.service.facts.build import NOW, ago

UTC = ZoneInfo("UTC")
CALENDAR = Calendar(NOW, UTC)


def ordinals(first: str, last: str, middle: str) -> Day:
    low, high, mid = (dt.date.fromisoformat(text).toordinal() for text in (first, last, middle))
    return Day(mid, low, high)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-09", ordinals("2026-03-09", "2026-03-09", "2026-03-09")),
        ("2026", ordinals("2026-01-01", "2026-12-31", "2026-07-01")),
        ("2026-02", ordinals("2026-02-01", "2026-02-28", "2026-02-15")),
        ("2024-02", ordinals("2024-02-01", "2024-02-29", "2024-02-15")),
        ("2025-12", ordinals("2025-12-01", "2025-12-31", "2025-12-15")),
        (" 2026-03-09 ", ordinals("2026-03-09", "2026-03-09", "2026-03-09")),
        ("2026-03-09T08:15:00Z", ordinals("2026-03-09", "2026-03-09", "2026-03-09")),
        ("2026-03-09T08:15:00.123+01:00", ordinals("2026-03-09", "2026-03-09", "2026-03-09")),
    ],
)
def test_a_date_is_the_range_of_days_it_stands_for(text: str, expected: Day) -> None:
    assert CALENDAR.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-13", "2026-02-30", "0000", "9999-12", "26-1-1", "2026-03-09T25:00:00Z", "20xx"],
)
def test_what_is_no_date_gives_none(text: str) -> None:
    assert CALENDAR.parse(text) is None


@pytest.mark.parametrize(
    ("zone", "expected"),
    [("UTC", "2026-11-24"), ("Europe/Berlin", "2026-11-24"), ("Europe/Helsinki", "2026-11-25")],
)
def test_a_moment_falls_on_the_day_of_the_sites_zone(zone: str, expected: str) -> None:
    day = Calendar(NOW, ZoneInfo(zone)).parse("2026-11-25T00:30:00+02:00")
    assert day is not None
    assert day.date.isoformat() == expected


def test_now_falls_on_the_day_of_the_sites_zone() -> None:
    now = dt.datetime.fromisoformat("2026-11-25T00:30:00+02:00")
    assert Calendar(now, UTC).today == Calendar(now, ZoneInfo("Europe/Helsinki")).today - 1


def test_a_time_without_a_zone_is_local_time() -> None:
    day = Calendar(NOW, ZoneInfo("Asia/Tokyo")).parse("2026-11-24T23:30:00")
    assert day is not None
    assert day.date.isoformat() == "2026-11-24"


@pytest.mark.parametrize(
    ("text", "past"), [(ago(0), True), (ago(-1), True), (ago(-2), False), ("2027", False), ("2026", True)]
)
def test_more_than_a_day_ahead_is_not_past(text: str, past: bool) -> None:
    assert (CALENDAR.past(text) is not None) is past


def test_an_absent_date_is_not_past() -> None:
    assert CALENDAR.past(None) is None
    assert CALENDAR.past("") is None


def test_a_period_begins_and_ends() -> None:
    period = Period(ago(9), ago(3))
    assert CALENDAR.start(period) == CALENDAR.parse(ago(9))
    assert CALENDAR.end(period) == CALENDAR.parse(ago(3))


@pytest.mark.parametrize("end", [None, ago(-30)])
def test_a_period_that_goes_on_ends_where_it_began(end: str | None) -> None:
    assert CALENDAR.end(Period(ago(9), end)) == CALENDAR.parse(ago(9))


def test_no_period_has_no_days() -> None:
    assert CALENDAR.start(None) is None
    assert CALENDAR.end(None) is None


@pytest.mark.parametrize(("text", "days"), [(ago(0), 0), (ago(-1), 0), (ago(42), 42)])
def test_days_are_counted_and_never_negative(text: str, days: int) -> None:
    day = CALENDAR.parse(text)
    assert day is not None
    assert CALENDAR.days_since(day) == days


def test_days_since_a_month_are_a_span_around_its_middle() -> None:
    month = CALENDAR.parse("2026-10")
    assert month is not None
    assert CALENDAR.days_since(month) == Span(25, 55, 41)


def test_days_since_the_running_year_stop_at_today() -> None:
    year = CALENDAR.parse("2026")
    assert year is not None
    assert CALENDAR.days_since(year) == Span(0, 328, 147)


def test_the_middle_of_a_running_year_may_lie_ahead() -> None:
    january = Calendar(dt.datetime(2026, 1, 20, tzinfo=dt.UTC), UTC)
    year = january.past("2026")
    assert year is not None
    assert january.days_since(year) == Span(0, 19, 0)


@pytest.mark.parametrize("window", [7, 30, 42, 60, 90, 180, 365])
def test_a_window_holds_its_last_day_and_not_the_next(window: int) -> None:
    assert CALENDAR.within(CALENDAR.parse(ago(window - 1)), window) is True
    assert CALENDAR.within(CALENDAR.parse(ago(window)), window) is True
    assert CALENDAR.within(CALENDAR.parse(ago(window + 1)), window) is False


@pytest.mark.parametrize(
    ("text", "window", "expected"),
    [
        ("2026-11", 30, True),  # 1 November is 24 days ago
        ("2026-11", 14, None),
        ("2026-10", 14, False),
        ("2026-10", 30, None),
        ("2026-10", 55, True),
        ("2026-10", 59, True),
        ("2026-09", 59, None),
        ("2026-09", 60, False),  # the 15th is 71 days ago, and the middle decides from 60 days on
        ("2026-09", 90, True),
        ("2026", 90, False),
        ("2026", 180, True),
        ("2026", 30, None),
    ],
)
def test_decision_25_partial_dates(text: str, window: int, expected: bool | None) -> None:
    assert CALENDAR.within(CALENDAR.parse(text), window) is expected


@pytest.mark.parametrize("text", ["0001-01-01", "0001", "1753-01-01T00:00:00Z", "1899-12"])
def test_the_first_day_a_system_can_write_stands_for_none(text: str) -> None:
    assert CALENDAR.parse(text) is None


@pytest.mark.parametrize(
    ("text", "dated"), [("2018", "2018"), ("2018-07", "2018-07"), ("2018-02", "2018-02"), ("2018-07-04", "")]
)
def test_a_partial_date_is_told_as_precise_as_it_is(text: str, dated: str) -> None:
    day = CALENDAR.parse(text)
    assert day is not None
    assert day.dated == dated


def test_no_day_is_in_no_known_window() -> None:
    assert CALENDAR.within(None, 30) is None


@settings(deadline=None)
@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    day = CALENDAR.parse(text)
    assert day is None or day.low <= day.mid <= day.high


@settings(deadline=None)
@given(st.dates(min_value=dt.date(1900, 1, 1)))
def test_a_full_date_comes_back(date: dt.date) -> None:
    day = CALENDAR.parse(date.isoformat())
    assert day is not None
    assert not day.imprecise
    assert day.date == date


@settings(deadline=None)
@given(st.dates(dt.date(1900, 1, 1), dt.date(2026, 11, 25)), st.sampled_from([4, 7]))
def test_days_since_a_partial_date_cover_every_day_in_it(date: dt.date, length: int) -> None:
    partial = CALENDAR.past(date.isoformat()[:length])
    assert partial is not None
    span = CALENDAR.days_since(partial)
    assert isinstance(span, Span)
    assert span.low <= CALENDAR.today - date.toordinal() <= span.high
    assert span.low <= span.mid <= span.high


@settings(deadline=None)
@given(st.dates(dt.date(2024, 1, 1), dt.date(2026, 11, 25)), st.integers(1, 59))
def test_a_short_window_never_contradicts_a_day_of_the_month(date: dt.date, window: int) -> None:
    month = CALENDAR.within(CALENDAR.past(date.isoformat()[:7]), window)
    assert month in (None, CALENDAR.today - date.toordinal() <= window)
