"""The site overlay: what it may set, how mistakes are shown, and that the digest knows it."""

from pathlib import Path

import pytest

from rules.engine.bundle import check, load
from rules.engine.documents import read_text
from rules.engine.errors import BundleError
from rules.engine.overlay import Overlay, RuleSettings, UpperLimit, parse_overlay
from tests.rules.bundles import CANCER, RULE, bundle, write

SITE = """\
schema_version: 1
site: Example Hospital
rules:
  cancer-back:
    mode: pilot
    until: "2026-12-31"
    locations: [Location/ward-3, Organization/clinic]
    max_indicator: info
    params: {min_days: 21}
    card:
      warning: {lead: "At our site: {fact:pain.back.days}."}
  quiet: {mode: "off"}
modules:
  critical: {mode: off, reason: The MSCC pathway has its own alert}
contacts: {mscc: "020 555 0100"}
codes:
  lab-crp: [{system: "urn:lab", code: CRP1, display: CRP}]
palliative_sources: [Encounter, Flag]
upper_limits: {crp: 10, }
questionnaire: {"q1": night-pain}
units: {crp: {mg/litre: mg/L}}
quiet_days: {record-wrong: 90}
"""


def overlay(text: str = SITE) -> Overlay:
    found, problems = parse_overlay(read_text(text, "site.yaml"))
    assert problems == []
    return found


def problems_of(root: Path, old: str, new: str) -> list[str]:
    assert old in SITE
    found = check(write(root), overlay=overlay(SITE.replace(old, new)))
    return [str(problem) for problem in found if problem.severity == "error"]


def test_everything_a_site_can_set(tmp_path: Path) -> None:
    loaded = bundle(tmp_path, overlay=overlay())
    rule = loaded.rules["cancer-back"]
    assert (rule.mode, rule.max_indicator, rule.params["min_days"].value) == ("pilot", "info", 21)
    assert rule.params["min_days"].default == 14
    assert rule.leaves[2].says == "Back pain for at least 21 days"
    assert rule.card["warning"].lead == "At our site: {fact:pain.back.days}."
    assert rule.card["warning"].summary == "Back pain and cancer"
    assert loaded.codes.sets("urn:lab", "CRP1") == {"lab-crp"}
    assert loaded.units.convert("crp", 5.0, "mg/litre") == 5.0
    assert loaded.overlay.palliative_sources == ("Encounter", "Flag")
    assert loaded.overlay.upper_limits == {"crp": UpperLimit(10.0, 10.0)}
    assert loaded.overlay.questionnaire == {"q1": "night-pain"}
    assert list(loaded.overlay.settings("cancer-back").locations) == [
        "Location/ward-3",
        "Organization/clinic",
    ]
    assert (loaded.overlay.quiet_after("record-wrong"), loaded.overlay.quiet_after("other")) == (90, 30)
    assert loaded.overlay.longest_quiet == 90
    assert loaded.warnings == ()


def test_upper_limits_by_sex() -> None:
    assert overlay(SITE.replace("crp: 10", "crp: {female: 9, male: 11}")).upper_limits["crp"] == UpperLimit(
        9.0, 11.0
    )


def test_switches_are_reasons_people_can_read(tmp_path: Path) -> None:
    loaded = bundle(tmp_path, overlay=overlay())
    off = loaded.schedule("patient-view").off
    assert off["quiet"].outcome == "excluded"
    assert off["quiet"].reason is not None
    assert off["quiet"].reason.code == "MODE"
    assert off["cord"].reason is not None
    assert off["cord"].reason.text == (
        "The critical rules are switched off at this site: The MSCC pathway has its own alert"
    )


def test_a_setting_can_switch_a_module_off(tmp_path: Path) -> None:
    plain = bundle(tmp_path)
    without = load(tmp_path, overlay=Overlay().without_module("critical", "set by the service"))
    assert "cord" not in plain.schedule("patient-view").off
    assert "cord" in without.schedule("patient-view").off
    assert without.digest != plain.digest


def test_the_empty_overlay_changes_nothing() -> None:
    assert Overlay().settings("any") == RuleSettings()
    assert Overlay().data == {}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("cancer-back:", "cancer-knee:", "site.yaml:4: R050: no rule is called cancer-knee"),
        ("min_days: 21", "max_days: 21", "site.yaml:9: R051: cancer-back has no parameter max_days"),
        ("min_days: 21", "min_days: 43", "site.yaml:9: R052: min_days must lie between 7 and 42"),
        ("min_days: 21", "min_days: 21.5", "site.yaml:9: R052: min_days must be a whole number"),
        ("lab-crp:", "lab-none:", "site.yaml:17: R053: no value set is called lab-none"),
        ("upper_limits: {crp", "upper_limits: {crpp", "site.yaml:19: R056: no analyte is called crpp"),
        ("units: {crp", "units: {crpp", "site.yaml:21: R056: no analyte is called crpp"),
        (
            "At our site",
            "Low risk at our site",
            "site.yaml:11: R031: cancer-back: cards never carry 'low risk'",
        ),
        (
            "{fact:pain",
            "{fact:pains",
            "site.yaml:11: R030: cancer-back: nothing fills {fact:pains.back.days}",
        ),
    ],
)
def test_mistakes_have_the_sites_own_lines(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert problems_of(tmp_path, old, new) == [expected]


def test_codes_and_spellings_that_cannot_work(tmp_path: Path) -> None:
    (unit,) = problems_of(tmp_path / "a", "mg/litre: mg/L", "mg/litre: stone")
    assert "no unit 'stone'" in unit
    (code,) = problems_of(tmp_path / "b", "code: CRP1", 'code: " "')
    assert "cannot be a code" in code


def test_contacts_nobody_names_are_a_warning(tmp_path: Path) -> None:
    found = check(write(tmp_path), overlay=overlay(SITE.replace("contacts: {mscc:", "contacts: {mscd:")))
    assert [(one.line, one.code, one.severity) for one in found if one.path == "site.yaml"] == [
        (15, "R054", "warning"),
        (15, "R055", "warning"),
    ]


def test_a_lower_indicator_needs_no_card_text_of_its_own(tmp_path: Path) -> None:
    settings = {"cancer-back": RuleSettings(max_indicator="info")}
    info = CANCER[CANCER.index("  info:\n") : CANCER.index("suggest:")]
    unread = CANCER[CANCER.index("suppression:") :].split("\n")[0]
    edits = ((RULE, info, ""), (RULE, unread, unread.replace("S3, ", "")))
    found = check(write(tmp_path, *edits), overlay=Overlay(rules=settings))
    assert not any("no card text" in problem.message for problem in found)


def test_bad_files_raise_with_lines(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text("schema_version: 1\nsite: X\nmodules:\n  critical: {mode: off}\nthresholds: {}\n")
    with pytest.raises(BundleError) as caught:
        Overlay.load(file)
    assert [str(problem) for problem in caught.value.problems] == [
        "site.yaml:4: R002: modules.critical: 'reason' is a required property",
        "site.yaml:5: R002: thresholds: no such key here",
    ]


def test_good_files_load(tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(SITE)
    assert Overlay.load(file).site == "Example Hospital"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ("mode: silent", "6: R059: warning: quiet is silent without an end; give its last day as until"),
        ("mode: silent\n    until: '2026-02-30'", "8: R059: there is no day 2026-02-30"),
        (
            "mode: pilot\n    until: '2026-12-31'",
            "6: R060: warning: the pilot of quiet includes nobody; "
            "give one of percent, users, clients, locations",
        ),
        ("mode: pilot\n    until: '2026-12-31'\n    percent: 1", ""),
        ("mode: pilot\n    until: '2026-12-31'\n    locations: [Location/a.b-1]", ""),
        (
            "mode: live\n    locations: [Location/w3]",
            "8: R061: warning: locations says who is in a pilot, and quiet is live",
        ),
        (
            "mode: silent\n    until: '2026-12-31'\n    percent: 10",
            "9: R061: warning: percent says who is in a pilot, and quiet is silent",
        ),
    ],
)
def test_trials_have_an_end_and_pilots_someone_in_them(tmp_path: Path, lines: str, expected: str) -> None:
    text = f"schema_version: 1\nsite: X\ncontacts: {{mscc: '1'}}\n\nrules:\n  quiet:\n    {lines}\n"
    found = [str(one) for one in check(write(tmp_path), overlay=overlay(text)) if one.path == "site.yaml"]
    assert found == ([f"site.yaml:{expected}"] if expected else [])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Location/ward-3", "ward-3"),
        ("Location/ward-3", "Practitioner/ward-3"),
        ("Location/ward-3", "https://ehr.example.org/Location/ward-3"),
        ("record-wrong: 90", "record-wrong: 0"),
        ("record-wrong: 90", "record-wrong: 91"),
        ("record-wrong: 90", "record-wrong: 30.5"),
    ],
)
def test_places_and_days_that_are_none_are_refused(old: str, new: str) -> None:
    _, problems = parse_overlay(read_text(SITE.replace(old, new), "site.yaml"))
    assert [problem.code for problem in problems] == ["R002"]
