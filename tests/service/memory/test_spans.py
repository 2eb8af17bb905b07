"""Spans of time as people write them."""

import datetime as dt

import pytest

from service.memory.spans import read_time

NOW = dt.datetime(2026, 11, 25, 12, 0, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("28d", "2026-10-28T12:00:00+00:00"),
        ("6h", "2026-11-25T06:00:00+00:00"),
        ("90m", "2026-11-25T10:30:00+00:00"),
        ("2026-11-01", "2026-11-01T00:00:00+00:00"),
        ("2026-11-01T10:00:00+01:00", "2026-11-01T10:00:00+01:00"),
    ],
)
def test_a_time_before_now_or_on_the_calendar(text: str, expected: str) -> None:
    assert read_time(text, NOW).isoformat() == expected


@pytest.mark.parametrize("text", ["", "28", "d", "-1d", "1w", "now", "2026-02-30"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"isoformat|month|day"):
        read_time(text, NOW)
