"""Cards and Decisions in a terminal: every outcome in words, text as text, nothing that steers it."""

import copy
import io
from typing import Any

import pytest
from rich.console import Console, RenderableType

from service.render import card, chip, decision, printable

NIGHT: dict[str, Any] = {"kind": "leaf", "says": "Night pain", "value": "unknown", "facts": ["pain.night"]}
SOURCE = {"resource": "Observation/1", "code": "", "key": "labs"}
FACTS = [
    {
        "name": "labs.crp.value",
        "says": "CRP",
        "known": True,
        "value": 60.0,
        "words": "60 mg/L",
        "date": "2026-11-20",
        "note": "converted from mg/dL",
        "sources": [SOURCE, SOURCE],
    },
    {
        "name": "person.age",
        "says": "Age",
        "known": True,
        "value": 60,
        "words": "60 years",
        "date": None,
        "note": "",
        "sources": [],
    },
]


def rule(outcome: str, **changes: Any) -> dict[str, Any]:
    when = {
        "kind": "all",
        "says": "",
        "value": "unknown",
        "children": [
            {"kind": "leaf", "says": "CRP high", "value": "true", "facts": ["labs.crp.value"]},
            {
                "kind": "at_least",
                "n": 2,
                "says": "Signs",
                "value": "true",
                "assumed": "taken as met",
                "children": [NIGHT],
            },
            {"kind": "none", "says": "", "value": "true", "children": [{**NIGHT, "value": "false"}]},
        ],
    }
    population = {
        "kind": "all",
        "says": "",
        "value": "true",
        "children": [{"kind": "leaf", "says": "Adult", "value": "true", "facts": ["person.age"]}],
    }
    return {
        "rule": f"rule-{outcome}",
        "version": "1.0.0",
        "title": "A [red]rule[/red]",
        "outcome": outcome,
        "urgency": "warning",
        "base_urgency": "warning",
        "reason": None,
        "lowered": None,
        "lead": None,
        "folded": [],
        "tree": {"kind": "all", "says": "", "value": "true", "children": [population, when]},
        "near_miss": False,
        "would_fire_if": [],
        "missing": [],
        **changes,
    }


def explained(*rules: dict[str, Any], **changes: Any) -> dict[str, Any]:
    data = {
        "prefetch": {"labs": {"state": "given", "reason": "", "partial": ""}},
        "problems": [],
        "unreadable": [],
        "otherPatient": {},
        "uncoded": {"counts": {}, "says": "uncoded: 0 entries not read"},
    }
    return {
        "hook": "patient-view",
        "now": "2026-11-25T09:00:00+00:00",
        "coverage": {"covered": True, "code": "", "reason": ""},
        "bundle": {"version": "2026.11.0", "digest": "sha256:0123456789abcdef0123"},
        "facts": FACTS,
        "rules": list(rules),
        "data": data,
        **changes,
    }


def printed(thing: RenderableType, **options: Any) -> str:
    console = Console(file=io.StringIO(), width=120, **options)
    console.print(thing)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def test_a_fired_rule_has_its_criteria_with_values_days_and_sources() -> None:
    text = printed(decision(explained(rule("fired"))))
    assert " FIRED  rule-fired  A [red]rule[/red]" in text
    assert "✓ Adult" in text
    assert "person.age: 60 years\n" in text
    assert "labs.crp.value: 60 mg/L (2026-11-20, Observation/1); converted from mg/dL" in text
    assert "✓ Signs: at least 2 of" in text
    assert "taken as met" in text
    assert "? Night pain" in text
    assert "pain.night: not recorded" in text
    assert "✓ None of" in text
    assert "✗ Night pain" in text
    assert "Rules 2026.11.0, sha256:0123456789ab…; patient-view at 2026-11-25T09:00:00+00:00" in text


def test_fired_rules_come_first_and_others_in_one_line() -> None:
    reason = {"code": "S1", "text": "Palliative status: hospice", "sources": [SOURCE]}
    error = {"code": "ERROR", "text": "TypeError", "sources": []}
    rules = (rule("error", reason=error, tree=None), rule("suppressed", reason=reason), rule("fired"))
    text = printed(decision(explained(*rules)))
    assert text.index("rule-fired") < text.index("rule-suppressed") < text.index("rule-error")
    assert "S1: Palliative status: hospice (Observation/1)" in text
    assert "ERROR: TypeError" in text
    assert text.count("criteria") == 1


def test_a_lowered_rule_says_why() -> None:
    lowered = {"code": "S3", "text": "Imaging was done", "sources": []}
    text = printed(decision(explained(rule("fired", urgency="info", lowered=lowered))))
    assert "lowered from warning to info: S3: Imaging was done" in text


def test_silence_says_what_was_nearest() -> None:
    far = rule("not-fired", would_fire_if=["one", "two"])
    wish = "CRP 50 or more: now 12 mg/L"
    near = rule("not-enough-data", would_fire_if=[wish], missing=["person.age", "x.y"])
    others = [rule("not-fired", rule=f"far-{n}", would_fire_if=["a", "b", "c"]) for n in range(3)]
    text = printed(decision(explained(*others, far, near, rule("excluded"))))
    assert text.index("rule-not-enough-data") < text.index("rule-not-fired") < text.index("far-0")
    assert "far-1" not in text
    assert f"would fire if\n    {wish}" in text
    assert "not recorded: Age; x.y" in text
    assert "rule-excluded" not in text


def test_rules_one_criterion_away_come_first_and_say_so() -> None:
    single = rule("not-fired", rule="single", would_fire_if=["one"])
    near = rule("not-fired", rule="near", near_miss=True, would_fire_if=["one", "two"])
    text = printed(decision(explained(single, near)))
    assert text.index("near") < text.index("single")
    assert text.count("one criterion away: would fire if\n    one\n    two") == 1


def test_a_patient_who_is_not_covered() -> None:
    coverage = {"covered": False, "code": "under-18", "reason": "The patient is under 18."}
    text = printed(decision(explained(rule("excluded"), coverage=coverage)))
    assert "Not covered (under-18): The patient is under 18." in text
    assert "Nearest" not in text


def test_the_whole_shows_every_rule() -> None:
    failed = rule("error", tree=None)
    text = printed(decision(explained(failed, rule("excluded"), rule("fired")), whole=True))
    assert [text.count(f"rule-{name}") for name in ("error", "excluded", "fired")] == [1, 1, 1]
    assert text.count("criteria") == 2


def test_data_that_could_not_be_used() -> None:
    data = {
        "prefetch": {
            "labs": {"state": "failed", "reason": "busy", "partial": ""},
            "imaging": {"state": "given", "reason": "", "partial": "pages"},
            "orders": {"state": "failed", "reason": "something-new", "partial": ""},
        },
        "problems": [{}, {}],
        "unreadable": [{"analyte": "crp", "value": "88", "reason": "no unit"}],
        "otherPatient": {"Condition": 2, "Observation": 1},
        "uncoded": {"counts": {"Condition": 4}, "says": "uncoded: 4 entries not read"},
    }
    lines = printed(decision(explained(rule("fired"), data=data))).splitlines()
    assert lines[-8:-1] == [
        "Could not be read: crp 88 (no unit)",
        "Could not be had: labs (the FHIR server was busy)",
        "Partly read: imaging (only the first page was sent)",
        "Could not be had: orders (something-new)",
        "Malformed resources left out: 2",
        "Resources of another patient left out: 3",
        "uncoded: 4 entries not read",
    ]


def test_a_card() -> None:
    given = {
        "indicator": "critical",
        "summary": "Call [now]",
        "detail": "**Now.**\n\n- One\n- Two \\[x\\]",
        "suggestions": [{"label": "Order MRI"}],
        "links": [{"label": "Basis", "url": "https://cds.example.org/rules/x"}],
    }
    text = printed(card(given))
    assert "CRITICAL" in text.splitlines()[0]
    for part in (
        "Call [now]",
        "Now.",
        "• Two [x]",
        "[ ] Order MRI",
        "Basis: https://cds.example.org/rules/x",
    ):
        assert part in text


def test_a_card_with_nothing_but_a_summary() -> None:
    assert "Look" in printed(card({"indicator": "info", "summary": "Look"}))


@pytest.mark.parametrize(
    "outcome", ["fired", "folded", "suppressed", "error", "not-enough-data", "not-fired", "excluded"]
)
def test_every_outcome_has_a_colour_and_its_word(outcome: str) -> None:
    assert printed(chip(outcome)).strip() == outcome.upper()
    assert "\x1b[" in printed(chip(outcome), force_terminal=True)


def test_control_characters_are_left_out_everywhere() -> None:
    given = {"a\x1b": ["x\x07\ny", {"b": "\x9b31m\u202e"}], "n": 1, "none": None}
    kept = copy.deepcopy(given)
    assert printable(given) == {"a": ["x\ny", {"b": "31m"}], "n": 1, "none": None}
    assert given == kept
