import datetime as dt
from typing import Any

import pytest

from service.facts.dates import Day
from service.facts.person import age_on
from tests.service.facts import codes
from tests.service.facts.build import NOW, ago, condition, facts_of, observation, patient


@pytest.mark.parametrize(
    ("born", "age"),
    [
        ("1960-11-24", 66),
        ("1960-11-25", 66),
        ("1960-11-26", 65),
        ("1960", 66),
        ("1960-11", 66),
        ("1960-12", 65),
        ("1960-10", 66),
        ("2008-02-29", 18),
        ("2026-11-25", 0),
    ],
)
def test_age_counts_completed_years_a_partial_date_by_its_middle(born: str, age: int) -> None:
    assert facts_of([patient(birthDate=born)])["person.age"] == age


@pytest.mark.parametrize("born", [None, "", "unknown", "2026-11-26", "2026", "2031-01-01"])
def test_a_birth_date_that_says_nothing_gives_no_age(born: str | None) -> None:
    assert facts_of([patient(birthDate=born)])["person.age"] is None


def test_a_leap_day_birthday_is_completed_on_the_first_of_march() -> None:
    born = dt.date(2008, 2, 29).toordinal()
    assert age_on(Day(born, born, born), dt.date(2026, 2, 28).toordinal()) == 17
    assert age_on(Day(born, born, born), dt.date(2026, 3, 1).toordinal()) == 18


def test_age_is_counted_in_the_sites_zone() -> None:
    now = dt.datetime.fromisoformat("2026-11-25T00:30:00+02:00")
    born = [patient(birthDate="1960-11-25")]
    assert facts_of(born, now=now, zone="UTC")["person.age"] == 65
    assert facts_of(born, now=now, zone="Europe/Berlin")["person.age"] == 65
    assert facts_of(born, now=now, zone="Europe/Helsinki")["person.age"] == 66


@pytest.mark.parametrize(
    ("gender", "sex"),
    [
        ("male", "male"),
        ("female", "female"),
        ("other", "other"),
        ("unknown", "unknown"),
        ("M", "unknown"),
        (None, "unknown"),
    ],
)
def test_sex_is_the_administrative_gender(gender: str | None, sex: str) -> None:
    assert facts_of([patient(gender=gender)])["person.sex"] == sex


def test_without_the_patient_little_is_known() -> None:
    facts = facts_of([])
    assert facts["person.sex"] == "unknown"
    assert facts["person.age"] is None


@pytest.mark.parametrize(
    ("members", "deceased"),
    [
        ({}, False),
        ({"deceasedBoolean": False}, False),
        ({"deceasedBoolean": True}, True),
        ({"deceasedDateTime": "2026-10-01"}, True),
    ],
)
def test_death_is_read_in_both_forms(members: dict[str, Any], deceased: bool) -> None:
    assert facts_of([patient(**members)])["person.deceased"] is deceased


@pytest.mark.parametrize(("days", "pregnant"), [(279, True), (280, True), (281, False)])
def test_pregnancy_counts_for_280_days(days: int, pregnant: bool) -> None:
    assert facts_of([condition(codes.PREGNANT, recorded=days)])["person.pregnant"] is pregnant
    assert facts_of([condition(codes.PREGNANT, onset=days, recorded=2)])["person.pregnant"] is pregnant


@pytest.mark.parametrize("ended", [{"clinical": "resolved"}, {"clinical": None, "abatementDateTime": ago(5)}])
def test_a_pregnancy_that_is_over_does_not_count(ended: dict[str, Any]) -> None:
    assert facts_of([condition(codes.PREGNANT, recorded=100, **ended)])["person.pregnant"] is False


def test_pregnancy_status_is_read_from_its_coded_value() -> None:
    value = {"coding": [{"system": "http://snomed.info/sct", "code": "77386006"}]}
    facts = facts_of([observation(codes.PREGNANCY_STATUS, 20, valueCodeableConcept=value)])
    assert facts["person.pregnant"] is True


def test_a_pregnancy_status_of_not_pregnant_is_none() -> None:
    value = {"coding": [{"system": "http://snomed.info/sct", "code": "60001007"}]}
    facts = facts_of([observation(codes.PREGNANCY_STATUS, 20, valueCodeableConcept=value)])
    assert facts["person.pregnant"] is False


def test_pregnancy_denied_is_none() -> None:
    assert facts_of([observation(codes.PREGNANT, 20, valueBoolean=False)])["person.pregnant"] is False


def test_pregnancy_is_unknown_when_the_data_were_not_read() -> None:
    assert facts_of([], available=frozenset({"patient"}))["person.pregnant"] is None


def test_now_is_an_input() -> None:
    later = NOW + dt.timedelta(days=365)
    assert facts_of([patient(birthDate="1960-11-25")], now=later)["person.age"] == 67
