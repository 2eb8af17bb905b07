import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.engine import Source
from service.facts.dates import Day
from service.facts.entries import Evidence


def test_evidence_says_a_finding_is_there_unless_told_otherwise() -> None:
    evidence = Evidence("problem", Source("Condition/c1"), frozenset({"hip-pain"}), ())
    assert evidence.present is True
    assert not evidence.suspected
    assert evidence.active is None


@pytest.mark.parametrize(("low", "high", "imprecise"), [(5, 5, False), (4, 6, True)])
def test_a_day_is_imprecise_when_it_is_a_range(low: int, high: int, imprecise: bool) -> None:
    assert Day(5, low, high).imprecise is imprecise


@settings(deadline=None)
@given(st.dates(), st.dates())
def test_days_are_ordered_as_dates_are(first: dt.date, second: dt.date) -> None:
    one, two = (Day(*[date.toordinal()] * 3) for date in (first, second))
    assert (one < two) is (first < second)
