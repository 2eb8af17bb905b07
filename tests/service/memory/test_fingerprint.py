"""What counts as new since a card was answered: worse values, new signs, new events; never time alone."""

import datetime as dt
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.engine import FactSet, Span
from service.memory.fingerprint import MATERIAL, SETTLING_DAYS, Fingerprint, Watch
from tests.rules.bundles import bundled
from tests.service.decisions import BACK, TODAY, facts
from tests.service.memory.samples import NEW_BACK

WATCH = Watch(bundled())
STATED: dict[str, Any] = {**BACK, "cancer.any": True, "cancer.sites": ["colorectal"], "pain.back.days": 21}
RAISED: dict[str, Any] = {**STATED, "labs.crp.value": 60.0}


def taken(given_facts: FactSet, rule: str = NEW_BACK) -> Fingerprint:
    return WATCH.fingerprint(bundled().rules[rule], given_facts)


def adds(earlier: dict[str, Any], later: dict[str, Any]) -> bool:
    return taken(facts(later)).adds_to(taken(facts(earlier)))


@pytest.mark.parametrize(
    "later",
    [
        STATED,
        {**STATED, "pain.back.days": 30},
        {**STATED, "person.age": 64},
        {**STATED, "labs.crp.on_file": True},
        {**STATED, "labs.crp.value": 3.0},
        {**STATED, "orders.draft": ["imaging-xray-spine"]},
        {**STATED, "neuro.leg_weakness": False, "neuro.checked_days": 0},
        {**STATED, "labs.haemoglobin.value": 100.0},
    ],
)
def test_time_normal_results_and_what_the_rule_does_not_look_at_add_nothing(later: dict[str, Any]) -> None:
    assert not adds(STATED, later)


@pytest.mark.parametrize(
    "later",
    [
        {**STATED, "labs.crp.value": 60.0},
        {**STATED, "labs.esr.value": 90.0},
        {**STATED, "neuro.leg_weakness": True},
        {**STATED, "exam.hip_flexion_restricted": True},
        {**STATED, "cancer.sites": ["colorectal", "lung"]},
        {**STATED, "cancer.active": True},
    ],
)
def test_a_raised_result_a_sign_and_a_new_site_add_something(later: dict[str, Any]) -> None:
    assert adds(STATED, later)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(60.0, False), (65.9, False), (66.0, True), (90.0, True), (55.0, False), (4.0, False)],
)
def test_a_raised_result_counts_again_when_it_is_materially_worse(value: float, expected: bool) -> None:
    assert pytest.approx(0.10) == MATERIAL
    assert adds(RAISED, {**RAISED, "labs.crp.value": value}) is expected


def test_for_haemoglobin_lower_is_worse() -> None:
    rule = "anaemia-persistent-pain-50"
    low = taken(facts({**BACK, "person.sex": "male", "labs.haemoglobin.value": 110.0}), rule)
    lower = taken(facts({**BACK, "person.sex": "male", "labs.haemoglobin.value": 95.0}), rule)
    assert lower.adds_to(low)
    assert not low.adds_to(lower)


def test_an_imprecise_value_counts_by_its_best_guess() -> None:
    span = Span(100.0, float("inf"), 100.0)
    found = taken(facts({**STATED, "labs.crp.value": span}))
    assert found.values == {"labs.crp.value": 100.0}
    assert Fingerprint.decode(found.encode()) == found


@pytest.mark.parametrize(
    ("days_ago", "expected"), [(20 - SETTLING_DAYS, False), (20 - SETTLING_DAYS - 1, True)]
)
def test_the_same_sign_on_a_later_day_is_a_new_event(days_ago: int, expected: bool) -> None:
    stated = {**STATED, "neuro.leg_weakness": True}
    earlier = taken(facts(stated, {"neuro.leg_weakness": 20}))
    assert taken(facts(stated, {"neuro.leg_weakness": days_ago})).adds_to(earlier) is expected


def test_days_of_events_are_kept_as_ordinals() -> None:
    found = taken(facts({**STATED, "neuro.leg_weakness": True}, {"neuro.leg_weakness": 20}))
    assert found.days == {"neuro.leg_weakness": (TODAY - dt.timedelta(days=20)).toordinal()}


@pytest.mark.parametrize("text", ["", "[]", '{"marks":1}', "null"])
def test_text_that_is_no_fingerprint_is_refused(text: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        Fingerprint.decode(text)


marks = st.lists(st.sampled_from(["a", "b", "c#1", "c#2"]), unique=True).map(tuple)
values = st.dictionaries(st.sampled_from(["x", "labs.wbc.value"]), st.floats(0.1, 1e6))
days = st.dictionaries(st.sampled_from(["neuro.x", "exam.y"]), st.integers(700_000, 740_000))
fingerprints = st.builds(Fingerprint, marks, values, days)


@given(fingerprints)
def test_nothing_adds_to_itself_and_the_text_form_loses_nothing(found: Fingerprint) -> None:
    assert not found.adds_to(found)
    assert Fingerprint.decode(found.encode()) == found


@given(fingerprints, st.sampled_from(["d", "neuro.new"]))
def test_one_more_mark_always_adds(found: Fingerprint, mark: str) -> None:
    assert msgspec.structs.replace(found, marks=(*found.marks, mark)).adds_to(found)
