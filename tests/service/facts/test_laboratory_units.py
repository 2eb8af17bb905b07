from typing import Any

import pytest
from hypothesis import given as generated
from hypothesis import settings
from hypothesis import strategies as st

from rules.engine import Span
from tests.service.facts import codes
from tests.service.facts.build import (
    Json,
    concept,
    facts_of,
    lab,
    observation,
    units,
)


def crp(value: float, days: int | str | None = 1, unit: str | None = "mg/L", **members: Any) -> Json:
    return lab(codes.CRP, value, unit, days, **members)


# -- units and comparators -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (60, "mg/L", 60.0),
        (6, "mg/dL", 60.0),
        (571.43, "nmol/L", 60.0),
        (60, "ug/mL", 60.0),
        (6, "MG/DL", 60.0),
    ],
)
def test_trap_crp_comes_in_several_units(value: float, unit: str, expected: float) -> None:
    assert facts_of([crp(value, 5, unit)])["labs.crp.value"] == pytest.approx(expected, abs=0.01)
    assert facts_of([lab(codes.HS_CRP, value, unit, 5)])["labs.crp.value"] == pytest.approx(
        expected, abs=0.01
    )


def test_the_printed_unit_counts_where_the_coded_one_is_unknown() -> None:
    quantity = {"value": 6, "code": "local-17", "unit": "mg/dL"}
    assert facts_of([observation(codes.CRP, 5, valueQuantity=quantity)])["labs.crp.value"] == 60.0
    coded = {"value": 6, "code": "mg/dL", "unit": "milligrams"}
    assert facts_of([observation(codes.CRP, 5, valueQuantity=coded)])["labs.crp.value"] == 60.0


@pytest.mark.parametrize(
    ("comparator", "expected"),
    [
        (">", Span(60.0, float("inf"), 60.0, low_open=True)),
        (">=", Span(60.0, float("inf"), 60.0)),
        ("<", Span(0.0, 60.0, 60.0, high_open=True)),
        ("<=", Span(0.0, 60.0, 60.0)),
        ("", 60.0),
    ],
)
def test_decision_24_a_comparator_is_an_interval(comparator: str, expected: float | Span) -> None:
    assert facts_of([crp(6, 5, "mg/dL", comparator=comparator)])["labs.crp.value"] == expected


def test_a_component_is_a_result_of_its_own_with_the_day_and_status_of_its_panel() -> None:
    part = {"code": concept(codes.CRP), "valueQuantity": {"value": 60, "code": "mg/L"}}
    panel = observation("http://loinc.org|24323-8", 5, component=[part, {}])
    facts = facts_of([panel])
    assert facts["labs.crp.value"] == 60.0
    assert facts["labs.crp.days"] == 5
    cancelled = {**panel, "status": "cancelled"}
    assert facts_of([cancelled])["labs.crp.on_file"] is False


@settings(deadline=None)
@generated(
    st.sampled_from(
        [
            (analyte, unit)
            for analyte, code in (("crp", codes.CRP), ("psa", codes.PSA))
            for unit in units().analytes[analyte].units
        ]
    ),
    st.floats(0.5, 50, allow_nan=False),
    st.sampled_from([str.upper, str.lower, lambda text: f" {text} ", lambda text: f"{text}{{note}}"]),
)
def test_decision_23_every_spelling_of_a_unit_gives_the_same_value(
    pair: tuple[str, str], amount: float, spell: Any
) -> None:
    analyte, unit = pair
    code = {"crp": codes.CRP, "psa": codes.PSA}[analyte]
    factor = units().convert(analyte, 1.0, unit)
    if factor is None or not factor:
        return
    value = amount / factor
    fact = f"labs.{analyte}.value"
    expected = facts_of([lab(code, value, unit, 1)], wanted=[fact])[fact]
    assert expected == pytest.approx(amount, rel=1e-3)
    assert facts_of([lab(code, value, spell(unit), 1)], wanted=[fact])[fact] == expected


# -- ESR and calcium -----------------------------------------------------------------------------------


def test_trap_an_esr_of_another_hour_is_on_file_and_never_a_value() -> None:
    for code in (codes.ESR_TWO_HOURS, "http://loinc.org|43402-7"):
        facts = facts_of([lab(code, 90, "mm/h", 5)])
        assert facts["labs.esr.value"] is None
        assert facts["labs.esr.on_file"] is True
    assert facts_of([lab(codes.ESR_TWO_HOURS, 90, "mm/h", 91)])["labs.esr.on_file"] is False


ANY_ALBUMIN = Span(2.2, 3.1, 2.6)
"""2.6 mmol/L of calcium with an albumin nobody knows."""


def calcium(value: float, days: int, unit: str = "mmol/L", **members: Any) -> Json:
    return lab(codes.CALCIUM, value, unit, days, **members)


def albumin(value: float, days: int, **members: Any) -> Json:
    return lab(codes.ALBUMIN, value, "g/L", days, **members)


@pytest.mark.parametrize(("apart", "value"), [(0, 2.8), (29, 2.8), (30, 2.8), (31, ANY_ALBUMIN)])
@pytest.mark.parametrize("after", [True, False])
def test_calcium_is_corrected_with_an_albumin_within_30_days(
    apart: int, value: float | Span, after: bool
) -> None:
    days = 40 - apart if after else 40 + apart
    facts = facts_of([calcium(2.6, 40), albumin(30, days)])
    assert facts["labs.calcium_corrected.value"] == value
    assert facts["labs.calcium.on_file"] is True
    assert ("no albumin" in facts.get("labs.calcium_corrected.value").note) is (value == ANY_ALBUMIN)


def test_the_albumin_nearest_in_time_corrects_and_of_two_the_lower() -> None:
    assert (
        facts_of([calcium(2.6, 20), albumin(30, 18), albumin(20, 25)])["labs.calcium_corrected.value"] == 2.8
    )
    for given in ([albumin(30, 18), albumin(20, 22)], [albumin(20, 22), albumin(30, 18)]):
        assert facts_of([calcium(2.6, 20), *given])["labs.calcium_corrected.value"] == 3.0


@pytest.mark.parametrize(
    "unusable", [albumin(30, 20, status="preliminary"), albumin(30, 20, comparator="<"), albumin(900, 20)]
)
def test_an_albumin_that_is_no_final_number_corrects_nothing(unusable: Json) -> None:
    assert facts_of([calcium(2.6, 20), unusable])["labs.calcium_corrected.value"] == ANY_ALBUMIN


def test_the_laboratorys_own_correction_wins_on_its_day() -> None:
    own = lab(codes.CALCIUM_CORRECTED, 2.71, "mmol/L", 20)
    given = [calcium(2.6, 20), albumin(30, 20), own]
    assert facts_of(given)["labs.calcium_corrected.value"] == 2.71
    assert facts_of([*given, calcium(2.7, 10), albumin(35, 10)])["labs.calcium_corrected.value"] == 2.8


def test_trap_calcium_in_blood_is_total_calcium() -> None:
    given = [lab(codes.CALCIUM_IN_BLOOD, 10.42, "mg/dL", 5), albumin(40, 5)]
    facts = facts_of(given)
    assert facts["labs.calcium_corrected.value"] == pytest.approx(2.6, abs=0.001)
    assert facts["labs.calcium_ionised.value"] is None


def test_a_calcium_that_cannot_be_corrected_says_why() -> None:
    wrong_unit = facts_of([calcium(10.4, 5), albumin(40, 5)]).get("labs.calcium_corrected.value")
    assert wrong_unit.value is None
    assert wrong_unit.note


def test_a_preliminary_total_calcium_is_corrected_for_the_critical_rule() -> None:
    given = [calcium(3.1, 1, status="preliminary"), albumin(40, 1)]
    assert facts_of(given)["labs.calcium_corrected.reported"] == 3.1
    assert facts_of(given)["labs.calcium_corrected.value"] is None
