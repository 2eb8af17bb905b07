from typing import Any

import pytest

from rules.engine import Span
from tests.service.facts import codes
from tests.service.facts.build import (
    Json,
    facts_of,
    lab,
    patient,
)


def crp(value: float, days: int | str | None = 1, unit: str | None = "mg/L", **members: Any) -> Json:
    return lab(codes.CRP, value, unit, days, **members)


# -- limits of the laboratory --------------------------------------------------------------------------


def haemoglobin(value: float, **members: Any) -> Json:
    return lab(codes.HAEMOGLOBIN, value, "g/L", 5, **members)


@pytest.mark.parametrize(
    ("gender", "value", "low"),
    [
        ("male", 129.9, True),
        ("male", 130, False),
        ("female", 119.9, True),
        ("female", 120, False),
        ("other", 125, False),
        (None, 119, True),
    ],
)
def test_haemoglobin_is_low_by_sex_without_a_range(gender: str | None, value: float, low: bool) -> None:
    facts = facts_of([patient(gender=gender), haemoglobin(value)])
    assert facts["labs.haemoglobin.below_range"] is low


@pytest.mark.parametrize(
    ("given", "low"),
    [
        (haemoglobin(125, low=115), False),
        (haemoglobin(125, low=126), True),
        (haemoglobin(125, low=125), False),
        (haemoglobin(135, interpretation=[{"coding": [{"code": "L"}]}]), True),
        (haemoglobin(125, low=115, interpretation=[{"coding": [{"code": "L"}]}]), False),
        (haemoglobin(100, comparator="<"), True),
        (haemoglobin(140, comparator="<"), None),
        (haemoglobin(140, comparator=">"), False),
        (haemoglobin(100, comparator="<", low=115), True),
    ],
)
def test_the_laboratorys_range_goes_before_the_fixed_limit(given: Json, low: bool | None) -> None:
    assert facts_of([patient(gender="male"), given])["labs.haemoglobin.below_range"] is low


def test_below_range_is_unknown_without_a_haemoglobin() -> None:
    assert facts_of([patient()])["labs.haemoglobin.below_range"] is None
    assert facts_of([lab(codes.HAEMOGLOBIN, 100, None, 5)])["labs.haemoglobin.below_range"] is None


@pytest.mark.parametrize(
    ("given", "high"),
    [
        (crp(9.9), False),
        (crp(10), True),
        (crp(6, high=5), True),
        (crp(5, high=5), False),
        (crp(12, high=15), False),
        (crp(6, interpretation=[{"coding": [{"code": "H"}]}]), True),
        (crp(6, interpretation={"coding": [{"code": "HH"}]}), True),
        (crp(6, interpretation=[{"coding": [{"code": "N"}]}]), False),
        (crp(100, comparator=">"), True),
        (crp(5, comparator=">"), None),
        (crp(5, comparator="<"), False),
        (crp(5, comparator="<", high=8), False),
    ],
)
def test_crp_is_raised_by_range_flag_or_10_mg(given: Json, high: bool | None) -> None:
    assert facts_of([given])["labs.crp.above_range"] is high


@pytest.mark.parametrize(("value", "high"), [(2.4, False), (9.9, False), (10, True)])
def test_trap_a_cardiac_crp_range_raises_nothing(value: float, high: bool) -> None:
    flagged = [{"coding": [{"code": "H"}]}]
    given = lab(codes.HS_CRP, value, "mg/L", 5, high=1, interpretation=flagged)
    assert facts_of([given])["labs.crp.above_range"] is high


@pytest.mark.parametrize(("stem", "code"), [("alp", codes.ALP), ("ldh", codes.LDH)], ids=["alp", "ldh"])
@pytest.mark.parametrize(
    ("members", "limits", "times"),
    [
        ({"high": 120}, {}, 2.0),
        ({}, {"alp": 160.0, "ldh": 160.0}, 1.5),
        ({"high": 120}, {"alp": 160.0, "ldh": 160.0}, 2.0),
        ({}, {}, None),
        ({"high": 120, "comparator": ">"}, {}, Span(2.0, float("inf"), 2.0, low_open=True)),
    ],
)
def test_enzymes_are_multiples_of_the_upper_limit(
    stem: str, code: str, members: dict[str, Any], limits: dict[str, float], times: float | Span | None
) -> None:
    facts = facts_of([lab(code, 240, "U/L", 5, **members)], upper_limits=limits)
    assert facts[f"labs.{stem}.times_uln"] == times


@pytest.mark.parametrize(
    ("ranges", "times"),
    [
        ([{"high": {"value": 2, "unit": "ukat/L"}}], 2.0),
        (
            [
                {"type": {"coding": [{"code": "therapeutic"}]}, "high": {"value": 60}},
                {"high": {"value": 120}},
            ],
            2.0,
        ),
        ([{"type": {"coding": [{"code": "normal"}]}, "high": {"value": 120}}], 2.0),
        ([{"type": {"text": "adult"}, "high": {"value": 120}}], 2.0),
        ([{"high": {"value": 120, "unit": "furlong"}}], None),
        ([{"high": {"unit": "U/L"}}], None),
        ([{"low": {"value": 40}}], None),
    ],
)
def test_the_upper_limit_is_that_of_the_normal_range(ranges: list[Json], times: float | None) -> None:
    given = lab(codes.ALP, 240, "U/L", 5, referenceRange=ranges)
    assert facts_of([given])["labs.alp.times_uln"] == times


def creatinine(value: float, days: int, **members: Any) -> Json:
    return lab(codes.CREATININE, value, "umol/L", days, **members)


@pytest.mark.parametrize(
    ("before", "risen"),
    [
        ([creatinine(100, 35)], True),
        ([creatinine(101, 35)], False),
        ([creatinine(100, 34)], None),
        ([creatinine(100, 405)], True),
        ([creatinine(100, 406)], None),
        ([creatinine(100, 200), creatinine(125, 60)], False),
        ([creatinine(100, 60), creatinine(125, 60)], True),
        ([creatinine(90, 35, status="preliminary")], None),
        ([], None),
    ],
)
def test_creatinine_rose_by_30_percent_over_the_last_value_30_to_400_days_earlier(
    before: list[Json], risen: bool | None
) -> None:
    now = creatinine(130, 5, high=104)
    facts = facts_of([now, *before])
    assert facts["labs.creatinine.new_rise"] is risen
    assert facts_of([*before[::-1], now])["labs.creatinine.new_rise"] is risen


@pytest.mark.parametrize(
    ("value", "comparator", "risen"), [(900, ">", True), (110, ">", None), (100, "<", False)]
)
def test_a_creatinine_beyond_a_limit_is_compared_by_its_ends(
    value: float, comparator: str, risen: bool | None
) -> None:
    now = creatinine(value, 5, high=104, comparator=comparator)
    assert facts_of([now, creatinine(100, 60)])["labs.creatinine.new_rise"] is risen


@pytest.mark.parametrize(
    ("now", "before", "risen"),
    [
        (creatinine(100, 5, high=104), [creatinine(60, 60)], False),
        (creatinine(100, 5, high=104), [], False),
        (creatinine(130, 5, interpretation=[{"coding": [{"code": "H"}]}]), [], True),
        (creatinine(130, 5, interpretation=[{"coding": [{"code": "H"}]}]), [creatinine(90, 60)], True),
        (creatinine(130, 5, interpretation=[{"coding": [{"code": "L"}]}]), [creatinine(90, 60)], False),
        (creatinine(130, 5), [creatinine(90, 60)], None),
        (creatinine(130, 5), [], None),
        (creatinine(130, 5, comparator=">"), [creatinine(90, 60)], None),
    ],
)
def test_creatinine_must_be_above_its_limit_too(now: Json, before: list[Json], risen: bool | None) -> None:
    assert facts_of([now, *before])["labs.creatinine.new_rise"] is risen


def test_the_sites_limit_holds_where_the_laboratory_gives_none() -> None:
    given = [creatinine(130, 5), creatinine(90, 60)]
    assert facts_of(given, upper_limits={"creatinine": 104.0})["labs.creatinine.new_rise"] is True
    assert facts_of(given, upper_limits={"creatinine": 150.0})["labs.creatinine.new_rise"] is False
