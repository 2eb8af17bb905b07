import math

import msgspec
import pytest

from rules.engine import Span
from service.facts.dates import Calendar
from service.facts.results import Corrected, Result, observed
from service.resources import Observation
from tests.service.facts import codes
from tests.service.facts.build import NOW, Json, ago, concept, lab, observation, record_of, units

CALENDAR = Calendar(NOW, record_of([]).calendar.zone)


def result(analyte: str, given: Json) -> Result:
    resource = msgspec.convert(given, Observation)
    day = observed(CALENDAR, resource)
    assert day is not None
    return Result(analyte, resource, resource, day, "labs", units())


def test_a_result_is_read_with_its_limits_and_flag() -> None:
    given = lab(codes.CRP, 6, "mg/dL", 3, low=0, high=0.5, interpretation=[concept("http://x|H")], id="o1")
    read = result("crp", given)
    assert (read.value, read.low, read.high, read.flag) == (60.0, 0.0, 5.0, "H")
    assert read.reason == ""
    assert read.raw == "6 mg/dL"
    assert read.source.resource == "Observation/o1"
    assert read.source.code == codes.CRP
    assert read.source is read.source
    assert read.above is True
    assert read.below is False
    assert not read.pending


def test_a_result_without_a_number_keeps_its_text() -> None:
    read = result("crp", observation(codes.CRP, 3, valueString="see comment"))
    assert (read.value, read.raw, read.low, read.high, read.flag) == (None, "see comment", None, None, "")
    assert read.reason == "text, not a number"
    assert read.above is None
    assert read.below is None


@pytest.mark.parametrize(("status", "pending"), [("registered", True), ("preliminary", True), (None, False)])
def test_a_result_is_pending_by_its_status(status: str | None, pending: bool) -> None:
    read = result("crp", observation(codes.CRP, 3, status=status))
    assert read.pending is pending
    assert read.reason == ("pending" if pending else "no value")


@pytest.mark.parametrize(
    ("codes_given", "flag"),
    [
        (["H"], "H"),
        (["HU"], "H"),
        ([">"], "H"),
        (["LL"], "L"),
        (["<"], "L"),
        (["N"], ""),
        (["A"], ""),
        ([], ""),
    ],
)
def test_the_flag_is_high_low_or_neither(codes_given: list[str], flag: str) -> None:
    interpretation = [concept(f"http://x|{code}") for code in codes_given]
    assert result("crp", observation(codes.CRP, 3, interpretation=interpretation)).flag == flag


@pytest.mark.parametrize(
    ("comparator", "value", "above"), [(">", 5, True), (">=", 5, None), (">", 4, None), ("<", 5, False)]
)
def test_an_interval_is_above_a_limit_only_when_all_of_it_is(
    comparator: str, value: float, above: bool | None
) -> None:
    assert result("crp", lab(codes.CRP, value, "mg/L", 3, comparator=comparator, high=5)).above is above


def test_the_raw_text_keeps_what_was_sent() -> None:
    assert result("crp", lab(codes.CRP, 88, None, 3, comparator=">")).raw == ">88"
    quantity = {"value": 88.5, "unit": "milligrams", "code": "mg/L"}
    assert result("crp", observation(codes.CRP, 3, valueQuantity=quantity)).raw == "88.5 milligrams"


def test_a_corrected_calcium_keeps_what_was_measured() -> None:
    total = result("calcium-total", lab(codes.CALCIUM, 2.6, "mmol/L", 3, high=2.6))
    asked: list[int] = []

    def albumin(day: int) -> float:
        asked.append(day)
        return 30.0

    corrected = Corrected(total, albumin)
    assert corrected.value == 2.8
    assert corrected.raw == "2.6 mmol/L"
    assert corrected.high is None  # the limits are those of the total
    assert asked == [total.day.mid]


def test_a_calcium_without_an_albumin_is_what_any_albumin_leaves() -> None:
    total = result("calcium-total", lab(codes.CALCIUM, 2.6, "mmol/L", 3))
    corrected = Corrected(total, lambda day: None)
    assert corrected.value == Span(2.2, 3.1, 2.6)
    assert corrected.recorded == "2.6 mmol/L (total, no albumin)"


def test_a_calcium_with_a_comparator_is_corrected_at_both_ends() -> None:
    total = result("calcium-total", lab(codes.CALCIUM, 3, "mmol/L", 3, comparator=">"))
    assert Corrected(total, lambda day: 30.0).value == Span(3.2, math.inf, 3.2, low_open=True)
    assert Corrected(total, lambda day: None).value == Span(2.6, math.inf, 3.0, low_open=True)


@pytest.mark.parametrize(
    "given",
    [
        {"effectiveDateTime": ago(7), "issued": ago(1)},
        {"effectivePeriod": {"start": ago(9), "end": ago(7)}, "issued": ago(1)},
        {"effectivePeriod": {"start": ago(7)}},
        {"effectiveInstant": f"{ago(7)}T10:00:00Z", "issued": ago(1)},
        {"issued": f"{ago(7)}T10:00:00Z"},
        {"effectiveDateTime": "unknown", "issued": ago(7)},
    ],
)
def test_an_observation_has_the_day_it_was_taken(given: Json) -> None:
    day = observed(CALENDAR, msgspec.convert(given, Observation))
    assert day is not None
    assert day.date.isoformat() == ago(7)


def test_an_observation_without_a_date_has_no_day() -> None:
    assert observed(CALENDAR, Observation()) is None
