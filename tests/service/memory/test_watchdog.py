"""Malfunction watch: each sentence on both sides of its limit."""

import pytest

from service.memory.watchdog import Daily, concerns

EVEN = [Daily(100, 5, 10)] * 28


def last_week(days: list[Daily], of_day: Daily) -> list[Daily]:
    return [*days[:21], *[of_day] * 7]


@pytest.mark.parametrize(
    ("of_day", "expected"),
    [
        (Daily(100, 5, 10), ""),
        (Daily(100, 0, 10), "r has gone silent: 105 fires before, none in the last 7 days."),
        (Daily(10, 0, 1), ""),
        (Daily(100, 14, 10), ""),
        (Daily(100, 15, 10), "r fires far more: 105 in the last 7 days, about 35 expected."),
        (Daily(100, 5, 29), ""),
        (Daily(100, 5, 31), "r can tell less: the share of calls without enough data rose by 21%."),
    ],
)
def test_the_last_week_against_the_days_before(of_day: Daily, expected: str) -> None:
    assert concerns({"r": last_week(EVEN, of_day)}, {}) == ([expected] if expected else [])


def test_a_rule_that_never_fired_may_begin_to() -> None:
    never = last_week([Daily(100, 0, 0)] * 28, Daily(100, 2, 0))
    assert concerns({"r": never}, {}) == ["r fires far more: 14 in the last 7 days, about 0 expected."]
    assert concerns({"r": [Daily(100, 2, 0)] * 7}, {}) == []


@pytest.mark.parametrize(("people", "expected"), [(1, 0), (2, 1)])
def test_two_people_who_call_a_record_wrong_are_heard(people: int, expected: int) -> None:
    assert len(concerns({}, {"r": people})) == expected
