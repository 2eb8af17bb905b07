import datetime as dt
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.facts import codes
from tests.service.facts.build import (
    Json,
    ago,
    condition,
    facts_of,
    lab,
    observation,
)

NO: Json = {"valueBoolean": False}


def kilograms(value: float, days: int, **members: Any) -> Json:
    return lab(codes.WEIGHT, value, "kg", days, **members)


def degrees(value: float, days: int, unit: str = "Cel", **members: Any) -> Json:
    return lab(codes.TEMPERATURE, value, unit, days, **members)


# -- fever ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "fever"), [(13, True), (14, True), (15, None)])
def test_fever_counts_for_14_days(days: int, fever: bool | None) -> None:
    assert facts_of([condition(codes.FEVER, onset=days, recorded=days)])["context.fever_recent"] is fever
    assert facts_of([degrees(38.5, days)])["context.fever_recent"] is fever


@pytest.mark.parametrize(("onset", "fever"), [(14, True), (15, None)])
def test_fever_counts_by_its_onset_not_by_its_record(onset: int, fever: bool | None) -> None:
    fact = facts_of([condition(codes.FEVER, onset=onset, recorded=2)]).get("context.fever_recent")
    assert fact.value is fever
    assert fact.date == (dt.date.fromisoformat(ago(onset)) if fever else None)


@pytest.mark.parametrize(
    ("value", "unit", "fever"),
    [
        (38.0, "Cel", True),
        (37.9, "Cel", False),
        (100.4, "[degF]", True),
        (100.3, "[degF]", False),
        (38.0, "°C", True),
    ],
)
def test_fever_begins_at_38_degrees(value: float, unit: str, fever: bool) -> None:
    assert facts_of([degrees(value, 2, unit)])["context.fever_recent"] is fever


def test_one_high_temperature_in_14_days_is_fever() -> None:
    facts = facts_of([degrees(39.1, 9), degrees(36.8, 1)])
    assert facts["context.fever_recent"] is True
    assert facts["context.temperature"] == 36.8


def test_of_two_temperatures_on_one_day_the_higher_is_shown() -> None:
    for pair in ([degrees(36.8, 1), degrees(38.2, 1)], [degrees(38.2, 1), degrees(36.8, 1)]):
        assert facts_of(pair)["context.temperature"] == 38.2


@pytest.mark.parametrize(
    "given",
    [
        [],
        [degrees(38.5, 2, "")],
        [lab(codes.TEMPERATURE, 38.5, None, 2)],
        [degrees(38.5, 2, status="preliminary")],
        [degrees(38.5, 2, status="entered-in-error")],
        [lab(codes.TEMPERATURE, 101, "Cel", 2)],
    ],
)
def test_a_temperature_that_cannot_be_read_leaves_fever_unknown(given: list[Json]) -> None:
    assert facts_of(given)["context.fever_recent"] is None


@pytest.mark.parametrize(
    ("comparator", "value", "fever"), [(">", 39, True), (">", 37, None), ("<", 37, False), ("<", 38.5, None)]
)
def test_a_temperature_with_a_comparator_is_an_interval(
    comparator: str, value: float, fever: bool | None
) -> None:
    assert facts_of([degrees(value, 2, comparator=comparator)])["context.fever_recent"] is fever


def test_fever_denied_and_not_measured_is_none() -> None:
    assert facts_of([observation(codes.FEVER, 2, **NO)])["context.fever_recent"] is False
    assert facts_of([observation(codes.FEVER, 2, **NO), degrees(38.4, 1)])["context.fever_recent"] is True


def test_fever_denied_beside_an_unclear_temperature_is_unknown() -> None:
    given = [observation(codes.FEVER, 2, **NO), degrees(37, 1, comparator=">")]
    assert facts_of(given)["context.fever_recent"] is None


# -- weight --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "loss"), [(180, True), (181, None)])
def test_weight_loss_coded_counts_for_180_days(days: int, loss: bool | None) -> None:
    assert facts_of([condition(codes.WEIGHT_LOSS, onset=days, recorded=days)])["context.weight_loss"] is loss


@pytest.mark.parametrize(("onset", "loss"), [(180, True), (181, None), (182, None)])
def test_weight_loss_coded_counts_by_its_onset_not_by_its_record(onset: int, loss: bool | None) -> None:
    assert facts_of([condition(codes.WEIGHT_LOSS, onset=onset, recorded=2)])["context.weight_loss"] is loss


def test_trap_weight_loss_advised_is_no_weight_loss() -> None:
    assert facts_of([condition(codes.WEIGHT_LOSS_ADVISED, onset=9)])["context.weight_loss"] is None


@pytest.mark.parametrize(
    ("before", "after", "unit", "loss"),
    [
        (80, 76, "kg", True),
        (80, 76.1, "kg", False),
        (200, 190, "[lb_av]", True),
        (200, 190.1, "[lb_av]", False),
        (180, 171, "lb", True),
        (80, 85, "kg", False),
    ],
)
def test_five_percent_is_a_loss(before: float, after: float, unit: str, loss: bool) -> None:
    given = [lab(codes.WEIGHT, before, unit, 200), lab(codes.WEIGHT, after, unit, 10)]
    assert facts_of(given)["context.weight_loss"] is loss


@settings(deadline=None)
@given(st.integers(500, 4000), st.sampled_from(["kg", "[lb_av]"]))
def test_five_percent_exactly_is_a_loss_at_any_weight(tenths: int, unit: str) -> None:
    """Over weights whose twentieth is a whole tenth, so that the loss is exactly 5 %."""
    before = tenths // 20 * 20 / 10
    given_weights = [lab(codes.WEIGHT, before, unit, 90), lab(codes.WEIGHT, round(before * 0.95, 1), unit, 3)]
    assert facts_of(given_weights, wanted=["context.weight_loss"])["context.weight_loss"] is True


def test_five_percent_is_a_loss_in_either_unit_and_in_both() -> None:
    """80 kg to 76 kg, one of them written in pounds to a tenth."""
    for earlier, later in (("kg", "kg"), ("kg", "[lb_av]"), ("[lb_av]", "kg"), ("[lb_av]", "[lb_av]")):
        weights = {"kg": (80.0, 76.0), "[lb_av]": (176.4, 167.6)}
        given = [
            lab(codes.WEIGHT, weights[earlier][0], earlier, 90),
            lab(codes.WEIGHT, weights[later][1], later, 3),
        ]
        assert facts_of(given)["context.weight_loss"] is True


@pytest.mark.parametrize(
    ("apart", "loss"), [(29, None), (30, True), (31, True), (364, True), (365, True), (366, None)]
)
def test_weights_are_30_to_365_days_apart(apart: int, loss: bool | None) -> None:
    assert facts_of([kilograms(80, apart + 5), kilograms(74, 5)])["context.weight_loss"] is loss


@pytest.mark.parametrize(("days", "loss"), [(180, True), (181, None)])
def test_the_newest_weight_is_180_days_old_at_most(days: int, loss: bool | None) -> None:
    assert facts_of([kilograms(80, 300), kilograms(74, days)])["context.weight_loss"] is loss


def test_the_heaviest_weight_of_the_year_counts() -> None:
    facts = facts_of([kilograms(78, 340), kilograms(84, 200), kilograms(79, 60), kilograms(78, 5)])
    assert facts["context.weight_loss"] is True
    assert facts.get("context.weight_loss").note == "84 kg to 78 kg"


@pytest.mark.parametrize(
    "weights",
    [
        [(80, 100), (81, 20), (60, 5)],  # the newest
        [(110, 60), (80, 50), (79, 5)],  # an older one
        [(80, 100), (106, 60), (79, 50), (78, 5)],
    ],
)
def test_a_quarter_within_30_days_is_a_wrong_entry(weights: list[tuple[float, int]]) -> None:
    assert facts_of([kilograms(*weight) for weight in weights])["context.weight_loss"] is None


def test_a_quarter_in_30_days_or_more_is_a_loss() -> None:
    assert facts_of([kilograms(80, 35), kilograms(59, 5)])["context.weight_loss"] is True


def test_of_several_weights_on_the_newest_day_the_lowest_counts() -> None:
    given = [kilograms(80, 100), kilograms(75.9, 5), kilograms(77, 5)]
    assert facts_of(given)["context.weight_loss"] is True
    assert facts_of(given[::-1])["context.weight_loss"] is True


@pytest.mark.parametrize(
    "unusable",
    [
        lab(codes.WEIGHT, 74, None, 5),
        lab(codes.WEIGHT, 74, "kg", "2026-11"),
        lab(codes.WEIGHT, 74, "kg", 5, comparator="<"),
        lab(codes.WEIGHT, 74, "kg", 5, status="entered-in-error"),
        lab(codes.WEIGHT, 7400, "kg", 5),
    ],
)
def test_one_weight_alone_says_nothing(unusable: Json) -> None:
    assert facts_of([kilograms(80, 100), unusable])["context.weight_loss"] is None


def test_a_denial_holds_unless_the_weights_say_otherwise() -> None:
    denied = observation(codes.WEIGHT_LOSS, 5, **NO)
    assert facts_of([denied])["context.weight_loss"] is False
    assert facts_of([denied, kilograms(80, 100), kilograms(74, 5)])["context.weight_loss"] is True


# -- other symptoms ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fact", "code"), [("context.fatigue", codes.FATIGUE), ("context.night_sweats", codes.NIGHT_SWEATS)]
)
@pytest.mark.parametrize(("days", "expected"), [(180, True), (181, None)])
def test_general_symptoms_count_for_180_days(fact: str, code: str, days: int, expected: bool | None) -> None:
    assert facts_of([condition(code, onset=days, recorded=days)])[fact] is expected
    assert facts_of([condition(code, onset=400, recorded=days)])[fact] is expected
    assert facts_of([observation(code, 5, **NO)])[fact] is False
    assert facts_of([])[fact] is None


def smoking(code: str, days: int) -> Json:
    value = {"coding": [{"system": "http://snomed.info/sct", "code": code}]}
    return observation(codes.SMOKING_STATUS, days, valueCodeableConcept=value)


@pytest.mark.parametrize(
    ("given", "smoker"),
    [
        ([smoking("77176002", 400)], True),
        ([smoking("8517006", 400)], False),
        ([smoking("77176002", 400), smoking("8517006", 100)], False),
        ([smoking("8517006", 400), smoking("77176002", 100)], True),
        ([smoking("266927001", 100)], None),
        ([condition(codes.SMOKER, onset=4000)], True),
        ([condition(codes.SMOKER, onset=4000, clinical="resolved")], None),
        ([observation(codes.SMOKING_STATUS, 5, valueString="20 a day")], None),
        ([], None),
    ],
)
def test_the_latest_smoking_status_counts(given: list[Json], smoker: bool | None) -> None:
    assert facts_of(given)["context.smoker"] is smoker


def test_decision_14_prose_never_counts() -> None:
    said = {**condition(), "code": {"text": "smokes 20 a day, groin pain, on dialysis"}}
    facts = facts_of([said, observation(codes.SMOKING_STATUS, 5, valueString="smoker")])
    assert facts["context.smoker"] is None
    assert facts["pain.groin_thigh.current"] is None
    assert facts["context.immunosuppressed"] is False


@pytest.mark.parametrize(
    ("value", "expected"),
    [({"valueBoolean": True}, True), ({"valueBoolean": False}, False), ({"valueString": "see report"}, None)],
)
def test_hla_b27_never_grows_old_and_comes_through_the_site_map(value: Json, expected: bool | None) -> None:
    site = {"hla-b27": [("https://lab.example/codes", "B27")]}
    facts = facts_of([observation("https://lab.example/codes|B27", 5000, **value)], site=site)
    assert facts["context.hla_b27"] is expected
