"""Rules in words."""

from pathlib import Path

import pytest

from rules.engine.describe import list_rules, rule_sheet
from rules.engine.errors import RulesError
from rules.engine.overlay import Overlay, RuleSettings
from tests.rules.bundles import bundle


def test_the_list_has_every_rule_with_its_state(tmp_path: Path) -> None:
    overlay = Overlay(rules={"quiet": RuleSettings(mode="off"), "cord": RuleSettings(mode="silent")})
    rows = list_rules(bundle(tmp_path, overlay=overlay))
    assert [(row.id, row.urgency, row.mode, row.off) for row in rows] == [
        ("cancer-back", "warning", "live", ""),
        ("cord", "critical", "silent", ""),
        ("quiet", "info", "off", "Switched off at this site"),
    ]


def test_a_sheet_says_the_rule_in_words(tmp_path: Path) -> None:
    overlay = Overlay(rules={"cancer-back": RuleSettings(params={"min_days": 21})})
    sheet = rule_sheet(bundle(tmp_path, overlay=overlay), "cancer-back")
    assert [line.text for line in sheet.population] == ["Back pain is current"]
    assert [(line.depth, line.text) for line in sheet.criteria] == [
        (0, "All of:"),
        (1, "Cancer now or before"),
        (1, "Back pain for at least 21 days (if unknown: met)"),
        (1, "A sign of disease: any of:"),
        (2, "Night pain"),
        (2, "CRP 50 or more"),
    ]
    assert sheet.parameters == (
        "Shortest duration of back pain: 21 days (between 7 and 42, bundled value 14)",
    )
    assert [source.id for source in sheet.evidence] == ["E-ONE"]
    assert sheet.rule.purpose == "Finds back pain of 21 days with cancer."


def test_counts_and_exclusions_in_words(tmp_path: Path) -> None:
    sheet = rule_sheet(bundle(tmp_path), "cord")
    assert [line.text for line in sheet.criteria if not line.cel] == ["All of:", "At least 2 of:", "None of:"]


def test_no_such_rule(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match="no rule is called nobody"):
        rule_sheet(bundle(tmp_path), "nobody")
