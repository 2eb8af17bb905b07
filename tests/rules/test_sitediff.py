"""The differences a site's overlay makes, in words."""

from pathlib import Path

from rules.engine.sitediff import Difference, site_diff
from tests.rules.bundles import bundle
from tests.rules.test_overlay import SITE, overlay


def test_no_overlay_no_difference(tmp_path: Path) -> None:
    assert site_diff(bundle(tmp_path)) == []


def test_every_setting_is_listed(tmp_path: Path) -> None:
    assert site_diff(bundle(tmp_path, overlay=overlay())) == [
        Difference("cancer-back: mode", "live", "pilot"),
        Difference("cancer-back: highest indicator", "warning", "info"),
        Difference("cancer-back: min_days", "14 days", "21 days"),
        Difference("cancer-back: warning card", "bundled words", "own lead"),
        Difference("quiet: mode", "live", "off"),
        Difference("critical rules", "on", "off: The MSCC pathway has its own alert"),
        Difference("contact mscc", "none", "020 555 0100"),
        Difference("value set lab-crp", "bundled codes", "and urn:lab|CRP1"),
        Difference(
            "palliative sources", "Encounter, Procedure, Condition, ServiceRequest", "Encounter, Flag"
        ),
        Difference("upper limit of crp", "the laboratory's range only", "10 mg/L"),
        Difference("question q1", "not read", "read as night-pain"),
        Difference("quiet after 'record-wrong'", "30 days", "90 days"),
        Difference("unit of crp", "'mg/litre' not read", "read as mg/L"),
    ]


def test_limits_by_sex(tmp_path: Path) -> None:
    by_sex = overlay(SITE.replace("crp: 10", "crp: {female: 9, male: 11}"))
    found = {one.what: one.site for one in site_diff(bundle(tmp_path, overlay=by_sex))}
    assert found["upper limit of crp"] == "9 mg/L (women), 11 mg/L (men)"
