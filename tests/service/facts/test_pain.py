from typing import Any

import pytest

from rules.engine import Span
from tests.service.facts import codes
from tests.service.facts.build import (
    AVAILABLE,
    Json,
    ago,
    condition,
    encounter,
    facts_of,
    lab,
    observation,
    patient,
    service_request,
)

BACK_PAIN = {
    "icd-10-cm": "http://hl7.org/fhir/sid/icd-10-cm|M54.50",
    "icd-10": "http://hl7.org/fhir/sid/icd-10|M54.5",
    "icd-10-gm": "http://fhir.de/CodeSystem/bfarm/icd-10-gm|M54.5 G",
    "snomed": codes.LOW_BACK_PAIN,
}
YES: Json = {"valueBoolean": True}
NO: Json = {"valueBoolean": False}


def score(value: float, days: int, **members: Any) -> Json:
    return lab(codes.PAIN_SCORE, value, "{score}", days, **members)


def coded(code: str) -> Json:
    return {"valueCodeableConcept": {"coding": [{"system": "http://snomed.info/sct", "code": code}]}}


# -- current -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", BACK_PAIN.values(), ids=BACK_PAIN.keys())
def test_back_pain_is_known_in_every_code_system(code: str) -> None:
    facts = facts_of([condition(code, onset=42)])
    assert facts["pain.back.current"] is True
    assert facts["pain.back.days"] == 42


@pytest.mark.parametrize(
    ("code", "fact"),
    [
        (codes.THORACIC_PAIN, "pain.back.current"),
        (codes.THORACIC_PAIN, "pain.thoracic.current"),
        (codes.LOW_BACK_PAIN, "pain.lumbar.current"),
        (codes.SCIATICA, "pain.back.current"),
        (codes.SCIATICA, "pain.radicular.current"),
        (codes.HIP_PAIN, "pain.hip.current"),
        (codes.GROIN_PAIN, "pain.hip.current"),
        (codes.GROIN_PAIN, "pain.groin_thigh.current"),
        (codes.PELVIC_PAIN, "pain.pelvic.current"),
        (codes.BONE_PAIN, "pain.bone.current"),
        (codes.CANCER_PAIN, "pain.axial.current"),
    ],
)
def test_each_region_has_its_codes(code: str, fact: str) -> None:
    facts = facts_of([condition(code, onset=10)])
    assert facts[fact] is True
    assert facts["pain.axial.current"] is True


def test_cancer_pain_is_pain_without_a_region() -> None:
    facts = facts_of([condition(codes.CANCER_PAIN, onset=20)])
    assert facts["pain.back.current"] is None
    assert facts["pain.axial.days"] == 20


def test_decision_3_lumbago_with_sciatica_is_the_same_in_both_code_systems() -> None:
    for code in (codes.LUMBAGO_WITH_SCIATICA, codes.LUMBAGO_WITH_SCIATICA_ICD):
        facts = facts_of([condition(code, onset=20)])
        assert facts["pain.back.current"] is True
        assert facts["pain.radicular.current"] is True


@pytest.mark.parametrize(("days", "current"), [(89, True), (90, True), (91, False)])
def test_pain_without_a_status_is_current_for_90_days(days: int, current: bool) -> None:
    diagnosis = condition(codes.LOW_BACK_PAIN, recorded=days, clinical=None, category="encounter-diagnosis")
    visit = encounter(days, reason=[codes.HIP_PAIN])
    said = observation(codes.PELVIC_PAIN, days)
    facts = facts_of([diagnosis, visit, said])
    assert facts["pain.back.current"] is current
    assert facts["pain.hip.current"] is current
    assert facts["pain.pelvic.current"] is current
    assert facts["pain.axial.current"] is current


@pytest.mark.parametrize("clinical", ["active", "recurrence", "relapse"])
def test_active_pain_is_current_however_old(clinical: str) -> None:
    facts = facts_of([condition(codes.LOW_BACK_PAIN, onset=2000, clinical=clinical)])
    assert facts["pain.back.current"] is True
    assert facts["pain.back.days"] == 2000


@pytest.mark.parametrize(
    "over",
    [
        {"clinical": "resolved"},
        {"clinical": "inactive"},
        {"clinical": "remission"},
        {"clinical": None, "abatementDateTime": ago(2)},
        {"clinical": None, "abatementPeriod": {"start": ago(9), "end": ago(2)}},
        {"clinical": None, "abatementBoolean": True},
    ],
)
def test_pain_that_is_over_is_not_current(over: dict[str, Any]) -> None:
    facts = facts_of([condition(codes.LOW_BACK_PAIN, onset=20, recorded=20, **over)])
    assert facts["pain.back.current"] is False
    assert facts["pain.back.days"] is None
    assert facts["pain.axial.current"] is False


@pytest.mark.parametrize("abatement", [{"abatementDateTime": ago(-20)}, {"abatementBoolean": False}])
def test_pain_expected_to_end_is_current(abatement: dict[str, Any]) -> None:
    assert facts_of([condition(codes.LOW_BACK_PAIN, onset=20, **abatement)])["pain.back.current"] is True


def test_no_pain_on_record_is_unknown() -> None:
    facts = facts_of([patient()])
    assert facts["pain.back.current"] is None
    assert facts["pain.axial.current"] is None


def test_old_pain_says_nothing_while_the_problem_list_could_not_be_read() -> None:
    old = [encounter(200, reason=[codes.LOW_BACK_PAIN])]
    assert facts_of(old)["pain.axial.current"] is False
    assert facts_of(old, available=AVAILABLE - {"conditions"})["pain.axial.current"] is None


def test_undated_pain_without_a_status_is_unknown() -> None:
    facts = facts_of([condition(codes.LOW_BACK_PAIN, clinical=None)])
    assert facts["pain.back.current"] is None
    assert facts["pain.back.days"] is None
    assert facts.get("pain.back.current").sources


def test_active_pain_without_a_date_is_current_since_nobody_knows_when() -> None:
    facts = facts_of([condition(codes.LOW_BACK_PAIN)])
    assert facts["pain.back.current"] is True
    assert facts["pain.back.days"] is None
    assert facts["pain.axial.days"] is None


@pytest.mark.parametrize("verification", ["refuted", "entered-in-error"])
def test_refuted_pain_is_not_on_record(verification: str) -> None:
    facts = facts_of([condition(codes.LOW_BACK_PAIN, onset=9, verification=verification)])
    assert facts["pain.back.current"] is None


WHO = "http://hl7.org/fhir/sid/icd-10|"


@pytest.mark.parametrize(
    ("code", "site", "hip"),
    [
        ("http://hl7.org/fhir/sid/icd-10|M25.5", "24136001", True),
        ("http://snomed.info/sct|57676002", "287679003", True),
        ("http://hl7.org/fhir/sid/icd-10|M25.5", "72696002", None),
        ("http://snomed.info/sct|254837009", "24136001", None),
    ],
)
def test_trap_a_joint_pain_is_hip_pain_where_the_body_site_says_so(
    code: str, site: str, hip: bool | None
) -> None:
    body_site = [{"coding": [{"system": "http://snomed.info/sct", "code": site}]}]
    assert facts_of([condition(code, onset=20, bodySite=body_site)])["pain.hip.current"] is hip


@pytest.mark.parametrize(("code", "hip"), [("M25.5", None), ("M25.55", True), ("M25.51", None)])
def test_trap_joint_pain_of_who_is_of_the_hip_only_with_the_site(code: str, hip: bool | None) -> None:
    assert facts_of([condition(WHO + code, onset=9)])["pain.hip.current"] is hip


@pytest.mark.parametrize("code", ["R10.2", "R10.20", "R10.22", "R10.24", "R102"])
def test_trap_pelvic_pain_before_and_after_its_code_was_split(code: str) -> None:
    given = [condition(f"http://hl7.org/fhir/sid/icd-10-cm|{code}", onset=9)]
    assert facts_of(given)["pain.pelvic.current"] is True


# -- degenerative codes --------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "current"), [(90, True), (91, None)])
def test_a_degenerative_code_for_a_visit_is_back_pain_for_90_days(days: int, current: bool | None) -> None:
    visit = encounter(days, reason=[codes.SPONDYLOSIS])
    diagnosis = condition(codes.SPONDYLOSIS, recorded=days, category="encounter-diagnosis")
    assert facts_of([visit])["pain.back.current"] is current
    assert facts_of([diagnosis])["pain.back.current"] is current


def test_a_degenerative_code_on_the_problem_list_is_no_pain() -> None:
    facts = facts_of([condition(codes.SPONDYLOSIS, onset=20, recorded=20)])
    assert facts["pain.back.current"] is None
    assert facts["pain.axial.current"] is None


# -- forms of a symptom --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        condition(codes.LOW_BACK_PAIN, onset=5),
        encounter(5, reason=[codes.LOW_BACK_PAIN]),
        observation(codes.LOW_BACK_PAIN, 5),
        observation(codes.LOW_BACK_PAIN, 5, **YES),
        observation("http://loinc.org|75325-1", 5, **coded("279039007")),
        observation(
            "http://loinc.org|10158-7",
            5,
            component=[
                {"code": {"coding": [{"system": "http://snomed.info/sct", "code": "279039007"}]}, **YES}
            ],
        ),
    ],
    ids=["Condition", "reason", "Observation", "boolean", "value", "component"],
)
def test_pain_may_be_stated_in_any_form(given: Json) -> None:
    facts = facts_of([given])
    assert facts["pain.back.current"] is True
    assert facts["pain.back.days"] == 5


@pytest.mark.parametrize("value", [NO, coded("2667000"), coded("373067005")])
def test_pain_stated_absent_is_not_current(value: Json) -> None:
    assert facts_of([observation(codes.LOW_BACK_PAIN, 5, **value)])["pain.back.current"] is False


def test_a_later_denial_overrules_an_observation_and_not_a_condition() -> None:
    denied = observation(codes.LOW_BACK_PAIN, 5, **NO)
    assert facts_of([observation(codes.LOW_BACK_PAIN, 30), denied])["pain.back.current"] is False
    assert facts_of([observation(codes.LOW_BACK_PAIN, 2), denied])["pain.back.current"] is True
    assert facts_of([condition(codes.LOW_BACK_PAIN, onset=30), denied])["pain.back.current"] is True


def test_an_order_named_after_pain_is_no_pain() -> None:
    assert facts_of([service_request(codes.LOW_BACK_PAIN, 2)])["pain.back.current"] is None


def test_the_reason_of_a_draft_is_pain_today() -> None:
    reason = [{"coding": [{"system": "http://snomed.info/sct", "code": "279039007"}]}]
    facts = facts_of([], drafts=[service_request(codes.MRI_LUMBAR, status="draft", reasonCode=reason)])
    assert facts["pain.back.current"] is True
    assert facts["pain.back.days"] == 0


# -- duration ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gap", "days"), [(179, 20 + 179), (180, 20 + 180), (181, 20)])
def test_an_episode_reaches_back_over_gaps_of_180_days(gap: int, days: int) -> None:
    earlier = encounter(20 + gap, reason=[codes.LOW_BACK_PAIN])
    facts = facts_of([encounter(20, reason=[codes.LOW_BACK_PAIN]), earlier])
    assert facts["pain.back.days"] == days


def test_an_episode_follows_a_chain_of_visits() -> None:
    visits = [encounter(days, reason=[codes.LOW_BACK_PAIN]) for days in (10, 150, 300, 700)]
    assert facts_of(visits)["pain.back.days"] == 300


def test_an_episode_that_ended_counts_from_its_end() -> None:
    over = condition(codes.LOW_BACK_PAIN, onset=800, clinical="resolved", abatementDateTime=ago(150))
    assert facts_of([over, encounter(10, reason=[codes.LOW_BACK_PAIN])])["pain.back.days"] == 800


def test_chronic_back_pain_does_not_age_a_new_hip_pain() -> None:
    facts = facts_of([condition(codes.LOW_BACK_PAIN, onset=1500), condition(codes.HIP_PAIN, onset=12)])
    assert facts["pain.back.days"] == 1500
    assert facts["pain.hip.days"] == 12
    assert facts["pain.axial.days"] == 1500
    assert facts["pain.axial.newest_days"] == 12


@pytest.mark.parametrize(
    ("members", "days"),
    [
        ({"onset": 30, "recorded": 10}, 30),
        ({"recorded": 10}, 10),
        ({"onsetPeriod": {"start": ago(25)}}, 25),
        ({"onset": "not a date", "recorded": 10}, 10),
    ],
)
def test_duration_counts_from_onset_else_from_the_record(members: dict[str, Any], days: int) -> None:
    assert facts_of([condition(codes.LOW_BACK_PAIN, **members)])["pain.back.days"] == days


def test_decision_25_onset_in_a_month_is_a_span() -> None:
    assert facts_of([condition(codes.LOW_BACK_PAIN, onset="2026-10")])["pain.back.days"] == Span(25, 55, 41)


def test_onset_at_an_age_is_a_year_long_span() -> None:
    given = [
        patient(birthDate="1960-05-17"),
        condition(codes.LOW_BACK_PAIN, onsetAge={"value": 65, "code": "a"}),
    ]
    days = facts_of(given)["pain.back.days"]
    assert isinstance(days, Span)
    assert days.high - days.low == 365
    assert days.low <= 365 < days.high


@pytest.mark.parametrize(
    "age",
    [{"value": 6, "code": "mo"}, {"value": 1e308, "code": "a"}, {"value": -3}, {"code": "a"}, {"value": 90}],
)
def test_an_onset_age_that_says_nothing_leaves_the_recorded_date(age: Json) -> None:
    given = [patient(), condition(codes.LOW_BACK_PAIN, recorded=9, onsetAge=age)]
    assert facts_of(given)["pain.back.days"] == 9


def test_onset_at_an_age_needs_a_birth_date() -> None:
    given = [patient(birthDate=None), condition(codes.LOW_BACK_PAIN, onsetAge={"value": 65})]
    assert facts_of(given)["pain.back.days"] is None


@pytest.mark.parametrize(
    ("birth", "age"), [("1985-11-25", 40), ("1985-10-01", 41), (None, None), ("2026-11", None)]
)
def test_age_at_onset_counts_from_the_back_episode(birth: str | None, age: int | None) -> None:
    given = [patient(birthDate=birth), condition(codes.LOW_BACK_PAIN, onset=20)]
    assert facts_of(given)["pain.onset_age"] == age
