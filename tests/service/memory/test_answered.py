"""S6: how long an answered rule stays quiet, what breaks the quiet, and that doubt shows the card."""

import datetime as dt
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest

from rules.engine import Decision, Overlay
from service.memory.answered import CRITICAL_QUIET, silence_answered
from service.memory.fingerprint import Watch
from service.memory.rows import AnswerRow
from tests.rules.bundles import bundled
from tests.service.decisions import BACK, TODAY, decided, facts
from tests.service.memory.samples import NEW_BACK

CAUDA = "cauda-equina-red-flags"
NOW = dt.datetime.combine(TODAY, dt.time(12), dt.UTC)
WATCH = Watch(bundled())
STATED: dict[str, Any] = {**BACK, "cancer.any": True, "neuro.saddle_anaesthesia": True}
MINUTE = dt.timedelta(minutes=1)
QUIET = dt.timedelta(days=30)


def answer(rule: str = NEW_BACK, age: dt.timedelta = MINUTE, **changes: Any) -> AnswerRow:
    fingerprint = WATCH.fingerprint(bundled().rules[rule], facts(STATED)).encode()
    members = {
        "rule": rule,
        "at": (NOW - age).timestamp(),
        "outcome": "overridden",
        "urgency": bundled().rules[rule].urgency,
        "clinician": "k.u1",
        "fingerprint": fingerprint,
    }
    return AnswerRow(**{**members, **changes})


def outcome(
    *answers: AnswerRow,
    rule: str = NEW_BACK,
    clinician: str = "",
    more: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    decision = decided([rule], facts({**STATED, **more}))
    silence_answered(decision, answers, WATCH, NOW, clinician)
    return decision[rule].outcome


def test_an_answered_rule_is_suppressed_and_says_when() -> None:
    decision: Decision = decided([NEW_BACK], facts(STATED))
    silence_answered(decision, [answer(age=8 * dt.timedelta(days=1))], WATCH, NOW)
    reason = decision[NEW_BACK].reason
    assert reason is not None
    assert (reason.code, reason.text) == ("S6", "Answered on 2026-11-17 (overridden); nothing is new since")


@pytest.mark.parametrize(
    ("rule", "age", "expected"),
    [
        (NEW_BACK, QUIET, "suppressed"),
        (NEW_BACK, QUIET + MINUTE, "fired"),
        (CAUDA, CRITICAL_QUIET, "suppressed"),
        (CAUDA, CRITICAL_QUIET + MINUTE, "fired"),
        (NEW_BACK, -4 * MINUTE, "suppressed"),
        (NEW_BACK, -6 * MINUTE, "fired"),
    ],
)
def test_the_quiet_time(rule: str, age: dt.timedelta, expected: str) -> None:
    assert outcome(answer(rule, age), rule=rule) == expected


DAYS = {"record-wrong": 90, "reassess-later": 7}
"""What a site may set."""


@pytest.mark.parametrize(
    ("rule", "reason", "days", "more"),
    [
        (NEW_BACK, "record-wrong", 90, {}),
        (NEW_BACK, "reassess-later", 7, {}),
        (NEW_BACK, "patient-refuses", 30, {}),
        (NEW_BACK, "", 30, {}),
        # An acceptance has no reason, and a critical rule a day only.
        (NEW_BACK, "record-wrong", 30, {"outcome": "accepted"}),
        (CAUDA, "record-wrong", 1, {}),
        (CAUDA, "reassess-later", 1, {}),
    ],
)
def test_the_quiet_time_of_a_reason_as_the_site_sets_it(
    rule: str, reason: str, days: int, more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundled(), "overlay", Overlay(quiet_days=DAYS))
    for over, expected in ((dt.timedelta(0), "suppressed"), (MINUTE, "fired")):
        decision = decided([rule], facts(STATED))
        given = answer(rule, dt.timedelta(days=days) + over, reason=reason, **more)
        silence_answered(decision, [given], WATCH, NOW)
        assert decision[rule].outcome == expected


def test_what_is_new_breaks_the_quiet() -> None:
    assert outcome(answer(), more={"labs.crp.value": 60.0}) == "fired"
    assert outcome(answer(), more={"neuro.leg_weakness": True}) == "fired"


def test_another_rule_is_not_meant() -> None:
    assert outcome(answer(CAUDA)) == "fired"


def test_a_rule_that_has_become_more_urgent_is_shown() -> None:
    assert outcome(answer(urgency="info")) == "fired"
    assert outcome(answer(urgency="critical")) == "suppressed"


@pytest.mark.parametrize("changes", [{"fingerprint": "not json"}, {"urgency": "later"}])
def test_an_answer_that_cannot_be_read_silences_nothing(changes: dict[str, Any]) -> None:
    assert outcome(answer(**changes)) == "fired"


def test_only_the_newest_answer_counts() -> None:
    old = answer(age=3 * MINUTE)
    newest = answer(age=MINUTE, fingerprint='{"marks":[]}')
    assert outcome(newest, old) == "fired"


def test_per_clinician_only_ones_own_answers_count() -> None:
    assert outcome(answer(), clinician="k.u1") == "suppressed"
    assert outcome(answer(), clinician="k.u2") == "fired"


def test_a_rule_that_does_not_name_s6_is_not_silenced(monkeypatch: pytest.MonkeyPatch) -> None:
    rule = bundled().rules[NEW_BACK]
    monkeypatch.setattr(type(rule), "suppression", ("S1",))
    assert outcome(answer()) == "fired"


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("myeloma-screen-60-bone-pain", "suppressed"),
        ("combined-minor-red-flags", "fired"),
        ("suspected-axspa-route-to-rheum", "fired"),
    ],
)
def test_minor_advice_that_the_answered_card_covers_stays_quiet_with_it(rule: str, expected: str) -> None:
    decision = decided([NEW_BACK, rule], facts(STATED))
    silence_answered(decision, [answer()], WATCH, NOW)
    assert (decision[NEW_BACK].outcome, decision[rule].outcome) == ("suppressed", expected)
