"""Evaluation: each outcome, phases, faults, and agreement of tree and outcome over random facts."""

import datetime
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from rules.engine.bundle import Bundle, load
from rules.engine.decision import Decision
from rules.engine.errors import DecisionError
from rules.engine.evaluate import evaluate, fired_facts
from rules.engine.facts import FactSet, Span
from rules.engine.outcome import Reason
from rules.engine.overlay import Overlay, RuleSettings
from tests.rules.bundles import bundle, bundled, write
from tests.rules.generators import random_facts

NOW = datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.UTC)

PAIN: Mapping[str, Any] = {"pain.back.current": True, "pain.back.days": 20}
FIRING: Mapping[str, Any] = {**PAIN, "cancer.any": True, "pain.night": True}


def decide(loaded: Bundle, given: Mapping[str, Any], hook: str = "patient-view", **options: Any) -> Decision:
    facts = FactSet(loaded.vocabulary)
    for name, value in given.items():
        facts.set(name, value)
    return evaluate(loaded, facts, hook=hook, now=NOW, **options)


def test_fired(tmp_path: Path) -> None:
    decision = decide(bundle(tmp_path), FIRING)
    outcome = decision["cancer-back"]
    assert (outcome.outcome, outcome.urgency, outcome.version, outcome.reason) == (
        "fired",
        "warning",
        "1.0.0",
        None,
    )
    assert (decision.hook, decision.now, decision.bundle.version) == ("patient-view", NOW, "2026.11.0")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"pain.back.days": 13}, "not-fired"),
        ({"pain.back.days": None}, "fired"),  # if_unknown: met
        ({"pain.back.days": Span(10, 40, 25)}, "fired"),
        ({"pain.back.days": Span(1, 13, 7)}, "not-fired"),
        ({"cancer.any": None}, "not-enough-data"),
        ({"pain.night": None}, "not-enough-data"),
        ({"pain.night": False, "labs.crp.value": 62.0}, "fired"),
        ({"pain.night": None, "labs.crp.value": Span(0, 5, 5)}, "not-enough-data"),
        ({"pain.night": False, "labs.crp.value": Span(0, 5, 5)}, "not-fired"),
        ({"pain.back.current": False}, "excluded"),
        ({"pain.back.current": None}, "excluded"),
    ],
)
def test_outcomes(tmp_path: Path, changes: Mapping[str, Any], expected: str) -> None:
    assert decide(bundle(tmp_path), {**FIRING, **changes})["cancer-back"].outcome == expected


def test_excluded_says_who_the_rule_is_about(tmp_path: Path) -> None:
    reason = decide(bundle(tmp_path), {})["cancer-back"].reason
    assert reason == Reason("POPULATION", "Not about this patient: Back pain is current")


def test_the_second_phase_sees_what_the_first_did(tmp_path: Path) -> None:
    loaded = bundle(tmp_path)
    assert decide(loaded, FIRING)["quiet"].outcome == "not-fired"
    assert decide(loaded, PAIN)["quiet"].outcome == "fired"


def test_the_caller_may_decide_between_the_phases(tmp_path: Path) -> None:
    def policy(decision: Decision, beside: Decision) -> Mapping[str, Sequence[str]]:
        decision.suppress("cancer-back", Reason("S4", "MRI is ordered"))
        return {"fired.any": [], "fired.unknown_to_this_vocabulary": ["cancer-back"]}

    decision = decide(bundle(tmp_path), FIRING, phase_two=policy)
    assert decision["cancer-back"].outcome == "suppressed"
    assert decision["quiet"].outcome == "fired"


def test_engine_facts_without_policy(tmp_path: Path) -> None:
    loaded = bundle(tmp_path)
    nobody = decide(loaded, {})
    firing, painful = decide(loaded, FIRING), decide(loaded, PAIN)
    assert fired_facts(firing, nobody)["fired.critical_or_warning"] == ["cancer-back"]
    assert fired_facts(nobody, firing)["fired.critical_or_warning"] == ["cancer-back"]
    assert fired_facts(painful, nobody)["fired.any"]
    assert fired_facts(painful, nobody)["fired.critical_or_warning"] == []
    assert fired_facts(nobody, nobody) == {"fired.any": [], "fired.critical_or_warning": []}


def test_only_limits_the_rules(tmp_path: Path) -> None:
    assert set(decide(bundle(tmp_path), FIRING, only={"cord"}).outcomes) == {"cord"}


def test_a_failing_rule_is_an_error_and_the_others_go_on(tmp_path: Path) -> None:
    loaded = bundle(tmp_path)
    facts = FactSet(loaded.vocabulary)
    for name, value in FIRING.items():
        facts.set(name, value)
    facts.values[loaded.vocabulary.slots["labs.crp.value"]] = "62"  # past the checks of `set`
    facts.set("pain.night", False)
    decision = evaluate(loaded, facts, hook="patient-view", now=NOW)
    assert decision["cancer-back"].outcome == "error"
    assert decision["cancer-back"].reason == Reason("ERROR", "The rule could not be evaluated (TypeError)")
    assert decision["quiet"].outcome == "fired"
    with pytest.raises(DecisionError, match="cannot be explained"):
        decision.tree("cancer-back")
    exported = {rule["rule"]: rule for rule in decision.to_json()["rules"]}
    assert exported["cancer-back"]["tree"] is None


def test_a_site_can_lower_and_switch_off(tmp_path: Path) -> None:
    settings = {"cancer-back": RuleSettings(max_indicator="info"), "cord": RuleSettings(mode="off")}
    loaded = load(write(tmp_path), overlay=Overlay(rules=settings))
    decision = decide(loaded, FIRING)
    outcome = decision["cancer-back"]
    assert (outcome.urgency, outcome.base_urgency) == ("info", "warning")
    assert outcome.lowered == Reason("SITE", "This site shows the rule as info at most")
    assert decision["cord"].reason == Reason("MODE", "Switched off at this site")


def test_outcome_and_tree_agree_for_all_bundled_rules_over_random_facts() -> None:
    """The tree is built apart from the rule's own code; they must tell one story."""
    loaded = bundled()
    rng = random.Random(7)
    seen: set[str] = set()
    for round_ in range(150):
        facts = random_facts(loaded.vocabulary, rng, unknown=rng.choice([0.05, 0.3, 0.6]))
        _put_pain(facts, rng)
        decision = evaluate(
            loaded, facts, hook=("patient-view", "order-select", "order-sign")[round_ % 3], now=NOW
        )
        for rule_id, outcome in decision.outcomes.items():
            population, when = decision.tree(rule_id).children
            expected = {True: "fired", False: "not-fired", None: "not-enough-data"}[when.value]
            assert outcome.outcome == (expected if population.value is True else "excluded")
            seen.add(outcome.outcome)
            assert bool(decision.would_fire_if(rule_id)) == (outcome.outcome != "fired")
    assert seen == {"fired", "not-fired", "not-enough-data", "excluded"}


def _put_pain(facts: FactSet, rng: random.Random) -> None:
    """Most random patients have no pain and are excluded everywhere; give most of them some, and spans here
    and there.
    """
    for region in ("axial", "back", "hip"):
        if rng.random() < 0.8:
            facts.set(f"pain.{region}.current", True)
    if rng.random() < 0.3:
        low = rng.randrange(80)
        facts.set("pain.back.days", Span(low, low + 30, low + 15))
        facts.set("labs.crp.value", Span(float(low), float("inf"), float(low), low_open=True))
