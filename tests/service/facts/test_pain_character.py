import datetime as dt
import itertools
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
)

YES: Json = {"valueBoolean": True}
NO: Json = {"valueBoolean": False}


def score(value: float, days: int, **members: Any) -> Json:
    return lab(codes.PAIN_SCORE, value, "{score}", days, **members)


# -- character -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "value"), [(30, 8.0), (31, None)])
def test_the_score_is_the_latest_of_30_days(days: int, value: float | None) -> None:
    assert facts_of([score(8, days), score(2, 60)])["pain.score"] == value


def test_of_two_scores_on_one_day_the_worse_counts() -> None:
    assert facts_of([score(8, 3), score(4, 3), score(9, 5)])["pain.score"] == 8.0


def test_a_score_may_be_an_integer_without_a_unit() -> None:
    assert facts_of([observation(codes.PAIN_SCORE, 2, valueInteger=7)])["pain.score"] == 7.0


@pytest.mark.parametrize(("value", "suspicious"), [(6.9, None), (7, True), (7.1, True)])
def test_a_score_of_seven_is_suspicious(value: float, suspicious: bool | None) -> None:
    assert facts_of([score(value, 3)])["pain.suspicious_character"] is suspicious


@pytest.mark.parametrize(
    ("comparator", "value", "suspicious"), [(">", 7, True), (">", 5, None), ("<", 5, None), ("<", 9, None)]
)
def test_a_score_with_a_comparator_is_an_interval(
    comparator: str, value: float, suspicious: bool | None
) -> None:
    facts = facts_of([score(value, 3, comparator=comparator)])
    assert isinstance(facts["pain.score"], Span)
    assert facts["pain.suspicious_character"] is suspicious


@pytest.mark.parametrize(("days", "night"), [(89, True), (90, True), (91, None)])
def test_night_pain_counts_for_90_days(days: int, night: bool | None) -> None:
    facts = facts_of([observation(codes.NIGHT_PAIN, days)])
    assert facts["pain.night"] is night
    assert facts["pain.suspicious_character"] is night


@pytest.mark.parametrize(
    ("clinical", "days", "night"),
    [
        ("active", 100, True),
        ("active", None, True),
        ("resolved", 100, None),
        (None, 100, None),
        (None, 80, True),
    ],
)
def test_night_pain_on_the_problem_list_stands_until_it_is_ended(
    clinical: str | None, days: int | None, night: bool | None
) -> None:
    facts = facts_of([condition(codes.NIGHT_PAIN, onset=days, clinical=clinical)])
    assert facts["pain.night"] is night


@pytest.mark.parametrize(
    ("question", "fact"),
    [
        ("straining", "pain.straining"),
        ("spinal_tenderness", "pain.tenderness"),
        ("worsening", "pain.progressive"),
    ],
)
def test_the_questionnaire_says_what_has_no_code(question: str, fact: str) -> None:
    yes, no = (facts_of([answers(3, **{question: value})]) for value in (YES, NO))
    assert yes[fact] is True
    assert yes["pain.suspicious_character"] is True
    assert no[fact] is False
    assert no["pain.suspicious_character"] is None


def test_trap_what_icd_cannot_express_comes_from_snomed_or_the_questionnaire() -> None:
    assert facts_of([condition(codes.NIGHT_PAIN, onset=3)])["pain.night"] is True
    asked = facts_of([answers(3, night_pain=YES, saddle_numbness=YES, weight_bearing=NO, hip_flexion=YES)])
    assert asked["pain.night"] is True
    assert asked["neuro.saddle_anaesthesia"] is True
    assert asked["exam.cannot_bear_weight"] is False
    assert asked["exam.hip_flexion_restricted"] is True


def test_what_is_suspicious_about_the_pain_is_noted() -> None:
    given = [condition(codes.THORACIC_PAIN, onset=20), condition(codes.NIGHT_PAIN, onset=10)]
    fact = facts_of(given).get("pain.suspicious_character")
    assert (fact.value, fact.note) == (True, "thoracic, at night")


def test_a_pain_without_any_suspicious_trait_is_not_suspicious() -> None:
    asked = answers(3, night_pain=NO, straining=NO, spinal_tenderness=NO, worsening=NO)
    thoracic = condition(codes.THORACIC_PAIN, onset=100, clinical="resolved")
    assert facts_of([asked, thoracic, score(3, 3)])["pain.suspicious_character"] is False


@pytest.mark.parametrize(("recorded", "worse"), [(90, True), (91, None)])
def test_what_a_pain_is_like_counts_by_its_last_record(recorded: int, worse: bool | None) -> None:
    site = {"pain-worsening": [("https://ehr.example/codes", "WORSE")]}
    given = [condition("https://ehr.example/codes|WORSE", onset=400, recorded=recorded)]
    assert facts_of(given, site=site)["pain.progressive"] is worse


# -- getting worse -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "then", "worse"),
    [
        ((2, 42), (5, 0), True),
        ((2, 43), (5, 0), None),
        ((2, 42), (4.9, 0), False),
        ((2, 80), (5, 42), True),
        ((2, 80), (5, 43), None),
        ((8, 20), (3, 2), False),
    ],
)
def test_a_score_three_points_higher_within_42_days_is_progress(
    first: tuple[float, int], then: tuple[float, int], worse: bool | None
) -> None:
    assert facts_of([score(*then), score(*first)])["pain.progressive"] is worse


@pytest.mark.parametrize("order", list(itertools.permutations([score(3, 12), score(6, 4), score(4, 4)])))
def test_decision_24_of_the_scores_of_the_last_day_the_worst_counts(order: tuple[Json, ...]) -> None:
    assert facts_of(order)["pain.progressive"] is True


@pytest.mark.parametrize("order", list(itertools.permutations([score(2, 12), score(6, 12), score(5, 4)])))
def test_decision_24_of_the_scores_of_an_earlier_day_the_lowest_counts(order: tuple[Json, ...]) -> None:
    assert facts_of(order)["pain.progressive"] is True


@pytest.mark.parametrize("order", list(itertools.permutations([score(2, 4), score(6, 4)])))
def test_two_scores_of_one_day_are_no_rise(order: tuple[Json, ...]) -> None:
    assert facts_of(order)["pain.progressive"] is None


@pytest.mark.parametrize(
    ("days", "worse"), [((1, 9, 30), True), ((1, 9, 31), None), ((1, 9, 9), None), ((1, 9), None)]
)
def test_decision_27_three_days_with_a_pain_code_in_30_days(
    days: tuple[int, ...], worse: bool | None
) -> None:
    visits = [encounter(when, reason=[codes.LOW_BACK_PAIN]) for when in days]
    assert facts_of(visits)["pain.progressive"] is worse


def test_decision_27_a_visit_and_its_diagnosis_are_one_day() -> None:
    given = [
        encounter(1, reason=[codes.LOW_BACK_PAIN]),
        condition(codes.LOW_BACK_PAIN, recorded=1, category="encounter-diagnosis"),
        encounter(9, reason=[codes.LOW_BACK_PAIN]),
    ]
    assert facts_of(given)["pain.progressive"] is None


@pytest.mark.parametrize("category", ["problem-list-item", "encounter-diagnosis"])
def test_decision_27_one_pain_written_down_on_three_days_is_one_day(category: str) -> None:
    given = [
        condition(codes.LOW_BACK_PAIN, onset=20, recorded=days, category=category) for days in (20, 9, 1)
    ]
    assert facts_of(given)["pain.progressive"] is None


@pytest.mark.parametrize(("days", "worse"), [((27, 28, 29), True), ((29, 30, 31), None)])
def test_decision_27_three_onsets_count_though_recorded_on_one_day(
    days: tuple[int, ...], worse: bool | None
) -> None:
    given = [condition(codes.LOW_BACK_PAIN, onset=when, recorded=1) for when in days]
    fact = facts_of(given).get("pain.progressive")
    assert fact.value is worse
    assert fact.date == (dt.date.fromisoformat(ago(min(days))) if worse else None)


def test_decision_27_observations_are_no_visits() -> None:
    said = [observation(codes.LOW_BACK_PAIN, days) for days in (1, 9, 20)]
    assert facts_of(said)["pain.progressive"] is None


@pytest.mark.parametrize(("third", "worse"), [(codes.BONE_PAIN, True), (codes.FEVER, None)])
def test_decision_27_days_of_any_pain_add_up(third: str, worse: bool | None) -> None:
    visits = [
        encounter(days, reason=[code])
        for days, code in enumerate([codes.HIP_PAIN, codes.LOW_BACK_PAIN, third])
    ]
    assert facts_of(visits)["pain.progressive"] is worse


@pytest.mark.parametrize(
    ("weak", "strong", "worse"),
    [(40, 10, True), (60, 10, True), (61, 10, None), (10, 40, None), (10, 10, None)],
)
def test_two_opioid_steps_up_within_60_days_are_progress(weak: int, strong: int, worse: bool | None) -> None:
    given = [prescription(codes.TRAMADOL, weak), prescription(codes.MORPHINE, strong)]
    assert facts_of(given)["pain.progressive"] is worse


def test_one_opioid_is_no_step() -> None:
    assert facts_of([prescription(codes.MORPHINE, 10)])["pain.progressive"] is None
    assert (
        facts_of([prescription(codes.TRAMADOL, 10), prescription(codes.MORPHINE)])["pain.progressive"] is None
    )
