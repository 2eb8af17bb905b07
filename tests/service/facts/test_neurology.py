import datetime as dt
from typing import Any

import pytest

from rules.engine import Span
from tests.service.facts import codes
from tests.service.facts.build import (
    Json,
    ago,
    answers,
    condition,
    encounter,
    facts_of,
    lab,
    observation,
    prescription,
    procedure,
    service_request,
)

SIGNS = {
    "neuro.leg_weakness": (codes.MUSCLE_WEAKNESS, 90, "leg_weakness"),
    "neuro.sensory_loss": (codes.LEG_NUMBNESS, 90, "leg_numbness"),
    "neuro.gait_disturbance": (codes.ABNORMAL_GAIT, 90, "walking"),
    "neuro.saddle_anaesthesia": (codes.SADDLE_ANAESTHESIA, 90, "saddle_numbness"),
    "neuro.urinary_retention": (codes.URINARY_RETENTION, 30, "bladder"),
    "neuro.faecal_incontinence": (codes.FAECAL_INCONTINENCE, 30, "bowel"),
}
WINDOWS = [(fact, code, window) for fact, (code, window, _) in SIGNS.items()]
YES: Json = {"valueBoolean": True}
NO: Json = {"valueBoolean": False}
RESIDUAL = {"post-void-residual": [("https://lab.example/codes", "PVR")]}


def coded(code: str) -> Json:
    return {"valueCodeableConcept": {"coding": [{"system": "http://snomed.info/sct", "code": code}]}}


# -- windows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fact", "code", "window"), WINDOWS)
def test_decision_2_a_sign_is_new_by_its_onset(fact: str, code: str, window: int) -> None:
    for days, new in ((window - 1, True), (window, True), (window + 1, False)):
        facts = facts_of([condition(code, onset=days, recorded=1)])
        assert facts[fact] is new
        assert facts["neuro.any_new"] is (True if new else None)


def test_a_sign_is_of_the_day_it_began() -> None:
    """Imaging after it has seen what it means, whenever it was written down (S3)."""
    facts = facts_of([condition(codes.MUSCLE_WEAKNESS, onset=20, recorded=3)])
    assert facts.get("neuro.any_new").date == dt.date.fromisoformat(ago(20))
    assert facts.get("neuro.leg_weakness").date == dt.date.fromisoformat(ago(20))
    assert facts["neuro.checked_days"] == 3


@pytest.mark.parametrize(("fact", "code", "window"), WINDOWS)
def test_a_sign_without_onset_counts_from_its_record(fact: str, code: str, window: int) -> None:
    assert facts_of([condition(code, recorded=window)])[fact] is True
    assert facts_of([condition(code, recorded=window + 1)])[fact] is False
    assert facts_of([observation(code, window)])[fact] is True
    assert facts_of([observation(code, window + 1)])[fact] is False


@pytest.mark.parametrize(("fact", "code", "window"), WINDOWS)
def test_a_sign_without_any_date_may_be_new(fact: str, code: str, window: int) -> None:
    facts = facts_of([condition(code)])
    assert facts[fact] is None
    assert facts.get(fact).sources
    assert facts["neuro.any_new"] is None


@pytest.mark.parametrize(("fact", "code", "window"), WINDOWS)
def test_decision_25_a_partial_date_decides_only_long_windows(fact: str, code: str, window: int) -> None:
    facts = facts_of([condition(code, onset="2026-10")])
    assert facts[fact] is (True if window == 90 else None)
    assert facts_of([condition(code, onset="2026")])[fact] is (False if window == 90 else None)
    assert facts_of([condition(code, onset="2024")])[fact] is False


@pytest.mark.parametrize("fact", SIGNS)
def test_a_sign_that_is_not_on_record_is_unknown(fact: str) -> None:
    assert facts_of([])[fact] is None


# -- forms of a finding --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (condition(codes.SADDLE_ANAESTHESIA, onset=3), True),
        (encounter(3, reason=[codes.SADDLE_ANAESTHESIA]), True),
        (observation(codes.SADDLE_ANAESTHESIA, 3), True),
        (observation(codes.SADDLE_ANAESTHESIA, 3, **YES), True),
        (observation(codes.SADDLE_ANAESTHESIA, 3, **NO), False),
        (observation(codes.SADDLE_ANAESTHESIA, 3, **coded("52101004")), True),
        (observation(codes.SADDLE_ANAESTHESIA, 3, **coded("2667000")), False),
        (observation(codes.SADDLE_ANAESTHESIA, 3, **coded("373067005")), False),
        (observation(codes.SADDLE_ANAESTHESIA, 3, **coded("261665006")), None),
        (observation(codes.SADDLE_ANAESTHESIA, 3, valueString="none"), None),
        (observation(codes.SADDLE_ANAESTHESIA, 3, dataAbsentReason={"text": "asked"}), None),
        (observation("http://loinc.org|75325-1", 3, **coded("449813001")), True),
        (
            observation(
                "http://loinc.org|10158-7",
                3,
                component=[
                    {"code": {"coding": [{"system": "http://snomed.info/sct", "code": "449813001"}]}, **NO}
                ],
            ),
            False,
        ),
        (answers(3, saddle_numbness=YES), True),
        (answers(3, saddle_numbness=NO), False),
        (answers(3, saddle_numbness={"valueCoding": {"code": "373066001"}}), True),
        (answers(3, saddle_numbness={"valueCoding": {"code": "373067005"}}), False),
        (answers(3, saddle_numbness={"valueCoding": {"code": "maybe"}}), None),
        (answers(3, saddle_numbness=None), None),
    ],
)
def test_a_sign_may_be_stated_in_any_form(given: Json, expected: bool | None) -> None:
    assert facts_of([given])["neuro.saddle_anaesthesia"] is expected


@pytest.mark.parametrize(("fact", "question"), [(fact, name) for fact, (_, _, name) in SIGNS.items()])
def test_every_sign_has_a_question(fact: str, question: str) -> None:
    assert facts_of([answers(3, **{question: YES})])[fact] is True
    assert facts_of([answers(3, **{question: NO})])[fact] is False


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled", "unknown"])
def test_an_observation_that_does_not_stand_is_nothing(status: str) -> None:
    facts = facts_of([observation(codes.SADDLE_ANAESTHESIA, 3, status=status)])
    assert facts["neuro.saddle_anaesthesia"] is None
    assert facts["neuro.checked_days"] is None


@pytest.mark.parametrize(
    "given", [service_request(codes.ABNORMAL_GAIT, 3), procedure(codes.ABNORMAL_GAIT, 3)]
)
def test_an_order_named_after_a_sign_is_no_sign(given: Json) -> None:
    assert facts_of([given])["neuro.gait_disturbance"] is None


# -- absence -------------------------------------------------------------------------------------------


def test_a_later_absence_overrules_an_observation_and_an_answer() -> None:
    gone = observation(codes.SADDLE_ANAESTHESIA, 5, **NO)
    assert facts_of([observation(codes.SADDLE_ANAESTHESIA, 9), gone])["neuro.saddle_anaesthesia"] is False
    assert facts_of([answers(9, saddle_numbness=YES), gone])["neuro.saddle_anaesthesia"] is False
    assert facts_of([observation(codes.SADDLE_ANAESTHESIA, 4), gone])["neuro.saddle_anaesthesia"] is True


def test_on_the_same_day_presence_wins() -> None:
    given = [observation(codes.SADDLE_ANAESTHESIA, 5, **NO), answers(5, saddle_numbness=YES)]
    assert facts_of(given)["neuro.saddle_anaesthesia"] is True


def test_a_condition_stands_until_it_is_ended_itself() -> None:
    gone = observation(codes.SADDLE_ANAESTHESIA, 5, **NO)
    assert facts_of([condition(codes.SADDLE_ANAESTHESIA, onset=9), gone])["neuro.saddle_anaesthesia"] is True
    ended = condition(codes.SADDLE_ANAESTHESIA, onset=9, clinical="resolved")
    assert facts_of([ended])["neuro.saddle_anaesthesia"] is False


@pytest.mark.parametrize(("fact", "code", "window"), WINDOWS)
def test_an_absence_of_long_ago_says_nothing_about_today(fact: str, code: str, window: int) -> None:
    assert facts_of([observation(code, window, **NO)])[fact] is False
    assert facts_of([observation(code, window + 1, **NO)])[fact] is None
    assert facts_of([observation(code, None, **NO)])[fact] is None


# -- sides ---------------------------------------------------------------------------------------------


def site(code: str) -> Json:
    return {"bodySite": [{"coding": [{"system": "http://snomed.info/sct", "code": code}]}]}


@pytest.mark.parametrize(
    ("given", "both"),
    [
        ([condition(codes.PARAPARESIS, onset=5)], True),
        ([condition(codes.MUSCLE_WEAKNESS, onset=5, **site("51440002"))], True),
        ([condition(codes.MUSCLE_WEAKNESS, onset=5, **site("7771000"))], False),
        ([condition(codes.MUSCLE_WEAKNESS, onset=5)], None),
        ([condition(codes.FOOT_DROP_LEFT, onset=5), condition(codes.FOOT_DROP_RIGHT, onset=9)], True),
        ([condition(codes.FOOT_DROP_LEFT, onset=5), condition(codes.FOOT_DROP_RIGHT, onset=95)], False),
        ([condition(codes.PARAPARESIS, onset=95)], False),
        ([answers(5, leg_weakness_both=YES)], True),
        ([condition(codes.MUSCLE_WEAKNESS, onset=5), answers(5, leg_weakness_both=NO)], False),
        ([], None),
    ],
)
def test_weakness_is_bilateral_by_site_code_or_answer(given: list[Json], both: bool | None) -> None:
    assert facts_of(given)["neuro.leg_weakness_bilateral"] is both


def test_an_answer_of_weakness_in_both_legs_is_a_new_sign() -> None:
    assert facts_of([answers(5, leg_weakness_both=YES)])["neuro.any_new"] is True


# -- bladder and bowel ---------------------------------------------------------------------------------


def test_drug_induced_retention_is_no_sign() -> None:
    facts = facts_of([condition(codes.DRUG_INDUCED_RETENTION, onset=5)])
    assert facts["neuro.urinary_retention"] is None
    assert facts["neuro.any_new"] is None


def test_a_retention_coded_as_drug_induced_beside_is_no_sign() -> None:
    facts = facts_of([condition(codes.URINARY_RETENTION, codes.DRUG_INDUCED_RETENTION, onset=5)])
    assert facts["neuro.urinary_retention"] is None


def test_urinary_incontinence_alone_is_no_new_sign() -> None:
    facts = facts_of([condition(codes.URINARY_INCONTINENCE, onset=5)])
    assert facts["neuro.urinary_incontinence"] is True
    assert facts["neuro.any_new"] is None


@pytest.mark.parametrize(("days", "new"), [(30, True), (31, False)])
def test_urinary_incontinence_is_new_for_30_days(days: int, new: bool) -> None:
    assert facts_of([condition(codes.URINARY_INCONTINENCE, onset=days)])["neuro.urinary_incontinence"] is new


def test_decision_12_stress_incontinence_is_no_red_flag() -> None:
    facts = facts_of([condition(codes.STRESS_INCONTINENCE, onset=5)])
    assert facts["neuro.urinary_incontinence"] is None
    assert facts["neuro.any_new"] is None


def test_decisions_4_and_36_an_unspecific_leg_symptom_is_no_sign() -> None:
    assert facts_of([condition(codes.UNSPECIFIC_LEG_SYMPTOM, onset=5)])["neuro.any_new"] is None


# -- coded compression ---------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [codes.CORD_COMPRESSION, codes.CAUDA_EQUINA])
@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"onset": 89}, True),
        ({"onset": 90}, True),
        ({"onset": 91}, False),
        ({"onset": 5, "verification": "provisional"}, True),
        ({"onset": 5, "verification": "refuted"}, False),
        ({"onset": 5, "clinical": "resolved"}, False),
        ({"onset": 5, "clinical": None, "abatementDateTime": ago(2)}, False),
        ({}, None),
    ],
)
def test_a_coded_compression_is_new_for_90_days(
    code: str, members: dict[str, Any], expected: bool | None
) -> None:
    facts = facts_of([condition(code, **members)])
    assert facts["neuro.cord_or_cauda_coded"] is expected
    assert facts["neuro.any_new"] is (True if expected else None)


def test_no_compression_on_record_is_none() -> None:
    assert facts_of([])["neuro.cord_or_cauda_coded"] is False


# -- any sign, and whether anybody looked --------------------------------------------------------------


def test_all_signs_stated_absent_is_no_new_sign() -> None:
    asked = {question: NO for _, _, question in SIGNS.values()}
    facts = facts_of([answers(4, **asked)])
    assert facts["neuro.any_new"] is False
    assert facts["neuro.checked_days"] == 4


def test_some_signs_stated_absent_leave_the_others_unknown() -> None:
    facts = facts_of([answers(4, saddle_numbness=NO, bladder=NO)])
    assert facts["neuro.any_new"] is None
    assert facts["neuro.checked_days"] == 4


def test_an_undecided_sign_leaves_the_answer_open() -> None:
    asked: dict[str, Any] = {question: NO for _, _, question in SIGNS.values()}
    asked["bowel"] = {"valueCoding": {"code": "maybe"}}
    assert facts_of([answers(4, **asked)])["neuro.any_new"] is None


def test_the_check_is_the_latest_sign_said_to_be_there_or_not() -> None:
    given = [
        observation(codes.SADDLE_ANAESTHESIA, 9, **NO),
        condition(codes.ABNORMAL_GAIT, onset=400, recorded=20),
    ]
    assert facts_of(given)["neuro.checked_days"] == 9
    assert facts_of([*given, answers(3, bowel=NO)])["neuro.checked_days"] == 3
    assert facts_of([*given, answers(3, bowel={"valueCoding": {"code": "maybe"}})])["neuro.checked_days"] == 9


def test_a_check_in_a_month_is_a_span() -> None:
    facts = facts_of([observation(codes.SADDLE_ANAESTHESIA, "2026-10", **NO)])
    assert facts["neuro.checked_days"] == Span(25, 55, 41)


# -- foot drop -----------------------------------------------------------------------------------------


DISC = condition(codes.DISC_DISORDER, onset=900)


@pytest.mark.parametrize(
    ("given", "explained"),
    [
        ([condition(codes.FOOT_DROP_LEFT, onset=5), DISC], True),
        ([condition(codes.FOOT_DROP, onset=5), DISC], True),
        ([condition(codes.FOOT_DROP_LEFT, onset=5)], False),
        ([condition(codes.FOOT_DROP_LEFT, onset=5), condition(codes.SPONDYLOSIS, onset=900)], False),
        ([condition(codes.FOOT_DROP_LEFT, onset=5), condition(codes.FOOT_DROP_RIGHT, onset=5), DISC], False),
        ([condition(codes.FOOT_DROP_LEFT, onset=5), condition(codes.MUSCLE_WEAKNESS, onset=5), DISC], False),
        ([condition(codes.FOOT_DROP_LEFT, onset=95), DISC], False),
        ([DISC], False),
    ],
)
def test_one_foot_drop_with_a_disc_disorder_is_explained(given: list[Json], explained: bool) -> None:
    assert facts_of(given)["neuro.foot_drop_explained"] is explained


# -- bladder scan --------------------------------------------------------------------------------------


def residual(value: float, days: int, unit: str | None = "mL") -> Json:
    return lab("https://lab.example/codes|PVR", value, unit, days)


@pytest.mark.parametrize(("days", "value"), [(6, 300.0), (7, 300.0), (8, None)])
def test_the_residual_volume_counts_for_a_week(days: int, value: float | None) -> None:
    assert facts_of([residual(300, days)], site=RESIDUAL)["neuro.post_void_residual"] == value


def test_the_latest_residual_volume_counts_and_the_largest_of_its_day() -> None:
    given = [residual(80, 2), residual(300, 2), residual(100, 2), residual(500, 4)]
    assert facts_of(given, site=RESIDUAL)["neuro.post_void_residual"] == 300.0
    assert facts_of(given[::-1], site=RESIDUAL)["neuro.post_void_residual"] == 300.0


def test_a_residual_volume_without_a_unit_is_unknown() -> None:
    assert facts_of([residual(300, 2, None)], site=RESIDUAL)["neuro.post_void_residual"] is None


def test_nothing_is_written_when_no_rule_asks() -> None:
    facts = facts_of(
        [condition(codes.CAUDA_EQUINA, onset=2), prescription(codes.MORPHINE, 2)], wanted=["person.age"]
    )
    assert facts["neuro.any_new"] is None
