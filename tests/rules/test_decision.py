"""The Decision: moves that keep it consistent, what would fire a rule, and its plain form."""

import datetime
import json
from pathlib import Path

import pytest

from rules.engine.decision import Decision
from rules.engine.errors import DecisionError
from rules.engine.evaluate import evaluate
from rules.engine.facts import FactSet, Source, Span
from rules.engine.outcome import Reason
from tests.rules.bundles import bundle, bundled
from tests.rules.test_evaluate import FIRING, NOW, PAIN, decide

WHY = Reason("S4", "MRI of the spine is already ordered", (Source("ServiceRequest/1"),))
BOTH = {**FIRING, "labs.crp.value": 120.0, "care.palliative": "none"}


def both(root: Path) -> Decision:
    """A decision in which cord and cancer-back fire, and quiet does not."""
    return decide(bundle(root), BOTH)


def test_fired_is_in_order_of_urgency(tmp_path: Path) -> None:
    assert [outcome.rule for outcome in both(tmp_path).fired()] == ["cord", "cancer-back"]


def test_suppress(tmp_path: Path) -> None:
    decision = both(tmp_path)
    decision.suppress("cancer-back", WHY)
    outcome = decision["cancer-back"]
    assert (outcome.outcome, outcome.reason) == ("suppressed", WHY)
    assert [fired.rule for fired in decision.fired()] == ["cord"]


def test_fold_and_what_a_folded_rule_led(tmp_path: Path) -> None:
    decision = both(tmp_path)
    why = Reason("SUPERSEDED", "Shown with the more urgent finding")
    decision.fold("cancer-back", "cord", why)
    assert (decision["cancer-back"].outcome, decision["cancer-back"].lead) == ("folded", "cord")
    assert decision["cord"].folded == ("cancer-back",)
    assert [outcome.rule for outcome in decision.fired()] == ["cord"]


def test_a_lead_that_is_folded_takes_its_rules_along() -> None:
    loaded = bundled()
    facts = FactSet(loaded.vocabulary)
    for spec in loaded.vocabulary:
        if spec.type.name == "bool":
            facts.set(
                spec.name, not spec.name.endswith("_explained") and spec.name != "care.known_and_managed"
            )
    for name in ("pain.back.days", "pain.hip.days", "pain.axial.days"):
        facts.set(name, 100)
    decision = evaluate(loaded, facts, hook="patient-view", now=NOW)
    first, second, third = (outcome.rule for outcome in decision.fired()[:3])
    decision.fold(third, second, Reason("SUPERSEDED", "x"))
    decision.fold(second, first, Reason("S10", "x"))
    assert decision[first].folded == (second, third)
    assert decision[second].folded == ()
    assert {decision[second].lead, decision[third].lead} == {first}


def test_lower(tmp_path: Path) -> None:
    decision = both(tmp_path)
    decision.lower("cancer-back", "info", WHY)
    outcome = decision["cancer-back"]
    assert (outcome.urgency, outcome.base_urgency, outcome.lowered) == ("info", "warning", WHY)
    assert outcome.outcome == "fired"


def test_moves_that_would_contradict_are_refused(tmp_path: Path) -> None:
    decision = both(tmp_path)
    with pytest.raises(DecisionError, match="quiet is not-fired"):
        decision.suppress("quiet", WHY)
    with pytest.raises(DecisionError, match="no outcome for rule nobody at patient-view"):
        decision.suppress("nobody", WHY)
    with pytest.raises(DecisionError, match="cannot be raised from warning to critical"):
        decision.lower("cancer-back", "critical", WHY)
    with pytest.raises(DecisionError, match="into itself"):
        decision.fold("cord", "cord", WHY)
    decision.fold("cancer-back", "cord", WHY)
    with pytest.raises(DecisionError, match="cord leads cancer-back"):
        decision.suppress("cord", WHY)
    with pytest.raises(DecisionError, match="cancer-back is folded"):
        decision.fold("cord", "cancer-back", WHY)


def test_shared_outcomes_are_not_changed_by_a_move(tmp_path: Path) -> None:
    loaded = bundle(tmp_path)
    first = decide(loaded, BOTH)
    first.suppress("cancer-back", WHY)
    assert decide(loaded, BOTH)["cancer-back"].outcome == "fired"


def test_trees_show_values_and_assumptions(tmp_path: Path) -> None:
    decision = decide(bundle(tmp_path), {**FIRING, "pain.back.days": None})
    root = decision.tree("cancer-back")
    population, when = root.children
    assert (root.value, population.value, when.value) == (True, True, True)
    days = when.children[1]
    assert (days.value, days.assumed, days.unknown_says) == (
        True,
        True,
        "Onset not recorded; taken as long enough",
    )
    assert days.cel == "pain.back.days >= params.min_days"
    assert [fact.name for fact in days.facts] == ["pain.back.days"]
    assert when.children[2].children[1].value is None
    assert decision.tree("cancer-back") is root


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({}, []),
        ({"pain.back.days": 9}, ["Back pain for at least 14 days: now 9 days"]),
        ({"cancer.any": None}, ["Cancer now or before: now not recorded"]),
        ({"pain.night": False}, ["Night pain: now no"]),
        (
            {"pain.back.current": None, "cancer.any": False},
            ["Back pain is current: now not recorded", "Cancer now or before: now no"],
        ),
    ],
)
def test_would_fire_if(tmp_path: Path, changes: dict[str, object], sentences: list[str]) -> None:
    assert decide(bundle(tmp_path), {**FIRING, **changes}).would_fire_if("cancer-back") == sentences


@pytest.mark.parametrize(
    ("changes", "sentences"),
    [
        ({"pain.night": False}, ["Night pain: now no"]),
        ({"care.palliative": "hospice"}, ["Not so: Hospice care: now hospice"]),
        ({"labs.crp.value": Span(90.0, 110.0, 100.0)}, ["CRP over 100: now 90 to 110 mg/L"]),
        (
            {"labs.crp.value": None, "pain.night": None},
            ["Night pain: now not recorded", "CRP over 100: now not recorded"],
        ),
    ],
)
def test_would_fire_if_counts_and_exclusions(
    tmp_path: Path, changes: dict[str, object], sentences: list[str]
) -> None:
    assert decide(bundle(tmp_path), {**BOTH, **changes}).would_fire_if("cord") == sentences


def test_sentences_name_each_of_several_facts(tmp_path: Path) -> None:
    joined = ("catalogue/cancer-back/rule.yaml", "cel: cancer.any}", 'cel: "cancer.any && pain.night"}')
    decision = decide(bundle(tmp_path, joined), {**FIRING, "pain.night": False, "labs.crp.value": 60.0})
    assert decision.would_fire_if("cancer-back") == ["Cancer now or before: now cancer yes, night pain no"]


def test_near_misses_are_one_top_level_criterion_away(tmp_path: Path) -> None:
    loaded = bundle(tmp_path)
    assert decide(loaded, {**FIRING, "cancer.any": False}).near_misses() == ["cancer-back"]
    assert decide(loaded, {**FIRING, "cancer.any": False, "pain.back.days": 3}).near_misses() == []
    assert decide(loaded, {}).near_misses() == []
    assert "quiet" in decide(loaded, BOTH).near_misses()


def test_missing_facts(tmp_path: Path) -> None:
    assert decide(bundle(tmp_path), PAIN).missing("cancer-back") == (
        "cancer.any",
        "pain.night",
        "labs.crp.value",
    )


def test_json_holds_everything_as_plain_data(tmp_path: Path) -> None:
    loaded = bundle(tmp_path)
    facts = FactSet(loaded.vocabulary)
    for name, value in BOTH.items():
        facts.set(name, value)
    source = Source("Observation/crp", "http://loinc.org|1988-5", "observations")
    span = Span(100.0, float("inf"), 100.0, low_open=True)
    facts.set("labs.crp.value", span, date=datetime.date(2026, 11, 1), sources=[source], note="comparator")
    facts.set("imaging.studies", [{"modality": "mri", "days": 3}])
    facts.set("pain.back.days", None, note="no onset")
    decision = evaluate(loaded, facts, hook="patient-view", now=NOW)
    decision.fold("cancer-back", "cord", Reason("SUPERSEDED", "x", (source,)))
    exported = json.loads(json.dumps(decision.to_json(), allow_nan=False))
    assert exported["bundle"] == {"version": loaded.version, "digest": loaded.digest}
    assert (exported["now"], exported["hook"]) == ("2026-11-25T12:00:00+00:00", "patient-view")
    crp = next(fact for fact in exported["facts"] if fact["name"] == "labs.crp.value")
    assert crp["value"] == {"low": 100.0, "high": None, "mid": 100.0, "low_open": True, "high_open": False}
    assert (crp["words"], crp["date"], crp["note"]) == ("over 100 mg/L", "2026-11-01", "comparator")
    assert crp["sources"] == [
        {"resource": "Observation/crp", "code": "http://loinc.org|1988-5", "key": "observations"}
    ]
    days = next(fact for fact in exported["facts"] if fact["name"] == "pain.back.days")
    assert (days["known"], days["words"], days["note"]) == (False, "not recorded", "no onset")
    rules = {rule["rule"]: rule for rule in exported["rules"]}
    assert (rules["cancer-back"]["outcome"], rules["cancer-back"]["lead"]) == ("folded", "cord")
    assert rules["cancer-back"]["reason"]["sources"][0]["resource"] == "Observation/crp"
    assert rules["cancer-back"]["missing"] == ["pain.back.days"]
    when = rules["cancer-back"]["tree"]["children"][1]
    assert when["children"][1] == {
        "kind": "leaf",
        "says": "Back pain for at least 14 days",
        "value": "true",
        "assumed": "Onset not recorded; taken as long enough",
        "cel": "pain.back.days >= params.min_days",
        "facts": ["pain.back.days"],
    }
    assert rules["cord"]["tree"]["children"][1]["children"][1]["n"] == 2
    assert rules["quiet"]["would_fire_if"] == ["No other rule fires: now yes"]
    assert {name: rule["near_miss"] for name, rule in rules.items()} == {
        "cancer-back": False,
        "cord": False,
        "quiet": True,
    }
