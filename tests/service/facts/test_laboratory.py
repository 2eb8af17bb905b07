from typing import Any

import pytest

from rules.engine import Span
from service.facts.laboratory import unreadable
from tests.service.facts import codes
from tests.service.facts.build import (
    AVAILABLE,
    Json,
    ago,
    concept,
    derivation_of,
    encounter,
    facts_of,
    lab,
    observation,
    service_request,
)

# stem, code, a value, its unit, the window of the value in days
ANALYTES = [
    ("crp", codes.CRP, 60.0, "mg/L", 90),
    ("esr", codes.ESR, 60.0, "mm/h", 90),
    ("haemoglobin", codes.HAEMOGLOBIN, 105.0, "g/L", 180),
    ("calcium_corrected", codes.CALCIUM_CORRECTED, 2.9, "mmol/L", 90),
    ("calcium_ionised", codes.CALCIUM_IONISED, 1.4, "mmol/L", 30),
    ("alp", codes.ALP, 250.0, "U/L", 180),
    ("psa", codes.PSA, 12.0, "ng/mL", 365),
    ("wbc", codes.WBC, 3.1, "10*9/L", 90),
    ("creatinine", codes.CREATININE, 180.0, "umol/L", 90),
    ("ldh", codes.LDH, 500.0, "U/L", 90),
    ("m_protein", codes.M_PROTEIN, 12.0, "g/L", 365),
    ("free_light_chain_ratio", codes.LIGHT_CHAIN_RATIO, 4.0, "1", 365),
]


def crp(value: float, days: int | str | None = 1, unit: str | None = "mg/L", **members: Any) -> Json:
    return lab(codes.CRP, value, unit, days, **members)


# -- windows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stem", "code", "value", "unit", "window"), ANALYTES)
def test_a_result_counts_to_the_last_day_of_its_window(
    stem: str, code: str, value: float, unit: str, window: int
) -> None:
    for days, expected in ((0, value), (window - 1, value), (window, value), (window + 1, None)):
        facts = facts_of([lab(code, value, unit, days)])
        assert facts[f"labs.{stem}.value"] == expected
        assert facts[f"labs.{stem}.days"] == (days if expected is not None else None)


@pytest.mark.parametrize(("stem", "code", "value", "unit", "window"), ANALYTES)
def test_a_result_is_on_file_for_90_days(stem: str, code: str, value: float, unit: str, window: int) -> None:
    for days, on_file in ((90, True), (91, False)):
        assert facts_of([lab(code, value, unit, days)])[f"labs.{stem}.on_file"] is on_file


@pytest.mark.parametrize(("stem", "code", "value", "unit", "window"), ANALYTES)
def test_no_result_is_not_on_file(stem: str, code: str, value: float, unit: str, window: int) -> None:
    facts = facts_of([])
    assert facts[f"labs.{stem}.value"] is None
    assert facts[f"labs.{stem}.on_file"] is False
    unread = facts_of([], available=AVAILABLE - {"observations"})
    assert unread[f"labs.{stem}.on_file"] is None


def test_a_result_carries_its_date_and_source() -> None:
    fact = facts_of({"labs": [crp(60, 7, id="o1")]}).get("labs.crp.value")
    assert fact.date is not None
    assert fact.date.isoformat() == ago(7)
    (source,) = fact.sources
    assert (source.resource, source.code, source.key) == ("Observation/o1", codes.CRP, "labs")


@pytest.mark.parametrize(
    "timing",
    [
        {"when": 7},
        {"when": None, "effectivePeriod": {"start": ago(9), "end": ago(7)}},
        {"when": None, "effectiveInstant": f"{ago(7)}T08:00:00Z"},
        {"when": None, "issued": f"{ago(7)}T08:00:00Z"},
        {"when": 7, "issued": f"{ago(2)}T08:00:00Z"},
    ],
)
def test_the_day_is_that_of_collection_else_of_issue(timing: dict[str, Any]) -> None:
    assert facts_of([lab(codes.CRP, 60, "mg/L", **timing)])["labs.crp.days"] == 7


def test_a_result_without_a_date_does_not_count() -> None:
    facts = facts_of([crp(60, None)])
    assert facts["labs.crp.value"] is None
    assert facts["labs.crp.on_file"] is False


def test_decision_25_a_result_of_a_month() -> None:
    facts = facts_of([crp(60, "2026-10"), lab(codes.CALCIUM_IONISED, 1.4, "mmol/L", "2026-10")])
    assert facts["labs.crp.value"] == 60.0
    assert facts["labs.crp.days"] == Span(25, 55, 41)
    assert facts["labs.calcium_ionised.value"] is None


# -- which result counts -------------------------------------------------------------------------------


def test_decision_24_the_latest_readable_result_counts() -> None:
    assert facts_of([crp(60, 40), crp(12, 5), crp(90, 80)])["labs.crp.value"] == 12.0
    assert facts_of([crp(60, 40), crp(12, 5, None)])["labs.crp.value"] == 60.0


@pytest.mark.parametrize(
    ("stem", "code", "unit", "values", "worst"),
    [
        ("crp", codes.CRP, "mg/L", (12, 60, 30), 60.0),
        ("haemoglobin", codes.HAEMOGLOBIN, "g/L", (120, 100, 110), 100.0),
        ("wbc", codes.WBC, "10*9/L", (5, 3, 4), 3.0),
        ("free_light_chain_ratio", codes.LIGHT_CHAIN_RATIO, "1", (1.0, 0.1, 1.4), 0.1),
        ("free_light_chain_ratio", codes.LIGHT_CHAIN_RATIO, "1", (0.4, 4.0, 1.0), 4.0),
    ],
)
def test_decision_24_of_several_on_one_day_the_worst_counts(
    stem: str, code: str, unit: str, values: tuple[float, ...], worst: float
) -> None:
    given = [lab(code, value, unit, 5) for value in values]
    assert facts_of([*given, lab(code, 200, unit, 9)])[f"labs.{stem}.value"] == worst
    assert facts_of(given[::-1])[f"labs.{stem}.value"] == worst


@pytest.mark.parametrize("status", ["corrected", "amended"])
def test_a_corrected_result_replaces_the_other_of_its_day(status: str) -> None:
    given = [crp(88, 5), crp(8.8, 5, status=status)]
    assert facts_of(given)["labs.crp.value"] == 8.8


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error", "unknown"])
def test_a_result_that_does_not_stand_is_not_on_file(status: str) -> None:
    facts = facts_of([crp(60, 5, status=status)])
    assert facts["labs.crp.value"] is None
    assert facts["labs.crp.on_file"] is False


@pytest.mark.parametrize("status", ["preliminary", "registered"])
def test_decision_22_a_pending_result_is_on_file_without_a_value(status: str) -> None:
    facts = facts_of([crp(60, 5, status=status)])
    assert facts["labs.crp.value"] is None
    assert facts["labs.crp.on_file"] is True
    waiting = observation(codes.CRP, 5, status="registered", dataAbsentReason={"text": "pending"})
    assert facts_of([waiting])["labs.crp.on_file"] is True


def test_decision_22_a_pending_result_beside_an_old_one_is_on_file() -> None:
    given = [
        lab(codes.HAEMOGLOBIN, 105, "g/L", 150),
        observation(codes.HAEMOGLOBIN, 1, status="registered"),
    ]
    facts = facts_of(given)
    assert facts["labs.haemoglobin.value"] == 105.0
    assert facts["labs.haemoglobin.on_file"] is True


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("labs.calcium_corrected.reported", codes.CALCIUM_CORRECTED),
        ("labs.calcium_ionised.value", codes.CALCIUM_IONISED),
    ],
)
def test_a_preliminary_calcium_counts_for_the_critical_rule(name: str, code: str) -> None:
    facts = facts_of([lab(code, 2.9, "mmol/L", 1, status="preliminary")])
    assert facts[name] == 2.9


def test_a_preliminary_calcium_neither_fires_nor_hides_for_the_other_rules() -> None:
    final = lab(codes.CALCIUM_CORRECTED, 2.8, "mmol/L", 2)
    waiting = lab(codes.CALCIUM_CORRECTED, 2.3, "mmol/L", 1, status="preliminary")
    assert facts_of([final, waiting])["labs.calcium_corrected.value"] == 2.8
    assert facts_of([waiting])["labs.calcium_corrected.value"] is None


def test_a_preliminary_albumin_corrects_for_the_critical_rule_only() -> None:
    given = [
        lab(codes.CALCIUM, 3.1, "mmol/L", 1, status="preliminary"),
        lab(codes.ALBUMIN, 35, "g/L", 1, status="preliminary"),
    ]
    facts = facts_of(given)
    assert facts["labs.calcium_corrected.reported"] == 3.2
    assert facts["labs.calcium_corrected.value"] is None


def test_a_total_calcium_without_albumin_is_a_range() -> None:
    facts = facts_of([lab(codes.CALCIUM, 14, "mg/dL", 1)])
    value = facts.get("labs.calcium_corrected.value")
    assert isinstance(value.value, Span)
    assert (value.value.low, value.value.high) == (3.093, 3.993)
    assert value.note == "14 mg/dL (total, no albumin)"


def test_a_total_calcium_above_a_limit_stays_above_it() -> None:
    given = [lab(codes.CALCIUM, 3.5, "mmol/L", 2, comparator=">"), lab(codes.ALBUMIN, 35, "g/L", 0)]
    older = lab(codes.CALCIUM_CORRECTED, 2.4, "mmol/L", 3)
    for more in ([], [older]):
        value = facts_of([*given, *more])["labs.calcium_corrected.reported"]
        assert isinstance(value, Span)
        assert value.low == 3.6


def test_the_calcium_of_the_critical_rule_needs_no_other_fact() -> None:
    wanted = frozenset({"labs.calcium_corrected.reported", "labs.calcium_corrected.reported_days"})
    facts = facts_of([lab(codes.CALCIUM_CORRECTED, 3.2, "mmol/L", 3)], wanted=wanted)
    assert (facts["labs.calcium_corrected.reported"], facts["labs.calcium_corrected.reported_days"]) == (
        3.2,
        3,
    )


def test_a_total_without_albumin_gives_way_to_any_better_result() -> None:
    given = [lab(codes.CALCIUM_CORRECTED, 3.2, "mmol/L", 3), lab(codes.CALCIUM, 2.4, "mmol/L", 1)]
    assert facts_of(given)["labs.calcium_corrected.value"] == 3.2


@pytest.mark.parametrize(
    ("value", "unit", "note"), [(62, "mg/L", ""), (6.2, "mg/dL", "6.2 mg/dL"), (62, "ug/mL", "")]
)
def test_a_converted_value_is_noted_as_it_was_recorded(value: float, unit: str, note: str) -> None:
    fact = facts_of([lab(codes.CRP, value, unit, 1)]).get("labs.crp.value")
    assert (fact.value, fact.note) == (62.0, note)


# -- what cannot be read -------------------------------------------------------------------------------


UNREADABLE = {
    "no unit": (crp(88, 5, None), "no unit"),
    "empty unit": (crp(88, 5, ""), "no unit"),
    "unknown unit": (crp(88, 5, "furlong"), "unit"),
    "out of range": (crp(88000, 5), ""),
    "text": (observation(codes.CRP, 5, valueString="88"), "text, not a number"),
    "code": (observation(codes.CRP, 5, valueCodeableConcept=concept(codes.YES)), "text, not a number"),
    "nothing": (observation(codes.CRP, 5), "no value"),
    "absent": (observation(codes.CRP, 5, dataAbsentReason={"text": "haemolysed"}), "no value"),
    "quantity without value": (observation(codes.CRP, 5, valueQuantity={"unit": "mg/L"}), "no value"),
    "comparator": (crp(88, 5, comparator="~"), "comparator not known"),
    "integer": (observation(codes.CRP, 5, valueInteger=88), "no unit"),
}


@pytest.mark.parametrize(("given", "reason"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_decision_16_a_result_that_cannot_be_read_is_unknown_and_listed(given: Json, reason: str) -> None:
    derivation = derivation_of([given])
    fact = derivation.facts.get("labs.crp.value")
    assert fact.value is None
    assert reason in fact.note
    assert fact.note
    assert derivation.facts["labs.crp.on_file"] is False
    (result,) = unreadable(derivation, newest_only=False)
    assert (result.analyte, result.reason) == ("crp", fact.note)
    # A card sends nobody to look for a number where none was written.
    assert len(unreadable(derivation, newest_only=True)) == (reason != "no value")


def test_trap_crp_without_a_unit_is_never_guessed_by_its_range() -> None:
    assert facts_of([crp(88, 5, None, high=5)])["labs.crp.value"] is None


@pytest.mark.parametrize(("days", "listed"), [(90, 1), (91, 0)])
def test_unreadable_results_are_listed_for_90_days(days: int, listed: int) -> None:
    assert len(unreadable(derivation_of([crp(88, days, None)]), newest_only=False)) == listed


def test_unreadable_results_that_were_made_good_may_be_left_out() -> None:
    given = [crp(88, 20, None), crp(12, 5), crp(90, 2, None)]
    derivation = derivation_of(given)
    assert [result.raw for result in unreadable(derivation, newest_only=True)] == ["90"]
    assert [result.raw for result in unreadable(derivation, newest_only=False)] == ["90", "88"]


def test_pending_results_and_other_hours_are_not_listed_as_unreadable() -> None:
    given = [observation(codes.CRP, 2, status="registered"), lab(codes.ESR_TWO_HOURS, 90, "mm/h", 2)]
    assert unreadable(derivation_of(given), newest_only=False) == []


# -- paraprotein ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "followed"),
    [
        ([encounter(20, kind=[codes.ONCOLOGY])], True),
        ([encounter(30, kind=[codes.ONCOLOGY])], True),
        ([encounter(31, kind=[codes.ONCOLOGY])], False),
        ([service_request(codes.ONCOLOGY_REFERRAL, 30)], True),
        ([service_request(codes.ONCOLOGY_REFERRAL, 31)], False),
        ([], False),
    ],
)
def test_a_paraprotein_is_followed_up_by_contact_or_referral_after_it(
    after: list[Json], followed: bool
) -> None:
    given = [lab(codes.M_PROTEIN, 12, "g/L", 30), lab(codes.LIGHT_CHAIN_RATIO, 3, "1", 60), *after]
    assert facts_of(given)["labs.paraprotein.followed_up"] is followed


def test_without_a_paraprotein_there_is_nothing_to_follow_up() -> None:
    assert facts_of([encounter(2, kind=[codes.ONCOLOGY])])["labs.paraprotein.followed_up"] is False
    unread = [observation(codes.M_PROTEIN, 30, valueString="band seen"), encounter(2, kind=[codes.ONCOLOGY])]
    assert facts_of(unread)["labs.paraprotein.followed_up"] is False
