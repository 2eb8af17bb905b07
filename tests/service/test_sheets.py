"""A rule as a page of words."""

from pathlib import Path

import pytest

from rules.engine import Overlay, RulesError
from service.sheets import CHECKED, SUPPRESSIONS, sheet
from tests.rules.bundles import bundle, bundled


def test_the_sheet_says_it_in_order(tmp_path: Path) -> None:
    text = sheet(bundle(tmp_path), "cancer-back", heading="##")
    assert text.startswith("## cancer-back\n\n**")
    titles = [line.strip("*") for line in text.splitlines() if line.startswith("**")][1:]
    assert titles == [
        "For",
        "Fires when",
        "Parameters",
        "Cards",
        "Suggested orders",
        "Silenced or lowered by",
        "Takes the place of",
        "Evidence",
        "Limits",
    ]
    for line in (
        "Finds back pain of 14 days with cancer.",
        "- All of:",
        "  - Back pain for at least 14 days (if unknown: met)",
        "    - Night pain",
        "- Shortest duration of back pain: 14 days (between 7 and 42)",
        "- warning: Back pain and cancer",
        "- Order MRI of the spine",
        f"- S3: {SUPPRESSIONS['S3']}",
        "- `quiet`",
        "- One A. A study of backs. 2020 (cohort; abstract or text read)",
        "  - a thing",
        "  - Limits: one clinic",
        "- Small numbers",
    ):
        assert line in text.splitlines()


def test_what_a_rule_does_not_have_has_no_heading(tmp_path: Path) -> None:
    text = sheet(bundle(tmp_path), "quiet")
    assert "**Parameters**" not in text
    assert "**Limits**" not in text


def test_a_rule_that_is_off_says_why(tmp_path: Path) -> None:
    overlay = Overlay().without_module("critical", "not cleared here")
    text = sheet(bundle(tmp_path, overlay=overlay), "cord")
    assert "switched off at this site: not cleared here." in text


def test_no_such_rule(tmp_path: Path) -> None:
    with pytest.raises(RulesError):
        sheet(bundle(tmp_path), "nobody")


def test_every_bundled_rule_has_words_for_its_codes_and_evidence() -> None:
    loaded = bundled()
    assert {code for rule in loaded.rules.values() for code in rule.suppression} <= SUPPRESSIONS.keys()
    assert {source.status for source in loaded.evidence.values()} <= CHECKED.keys()
    for rule_id in loaded.programs:
        assert sheet(loaded, rule_id).count("\n") > 20
