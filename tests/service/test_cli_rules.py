"""`tocsin rules`: what it prints, and that what is wrong in a rule stops it with file and line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rules.engine import Bundle, Overlay, bundled_root
from rules.engine.parts import read_parts
from service import cli_rules, workbench
from tests.service.terminal import tocsin

ESR = "esr-crp-markedly-raised-persistent-pain"
RULE = f"catalogue/{ESR}/rule.yaml"
Terminal = pytest.CaptureFixture[str]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The bundled rules in a folder of their own."""
    return shutil.copytree(bundled_root(), tmp_path / "rules", ignore=shutil.ignore_patterns("engine"))


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def use(text: str) -> None:
        file = tmp_path / "site.yaml"
        file.write_text(f"schema_version: 1\nsite: Test\n{text}")
        monkeypatch.setenv("TOCSIN_SITE", str(file))

    return use


def edit(root: Path, name: str, old: str, new: str) -> int:
    """Change one text of a file; the line it is in."""
    text = (root / name).read_text("utf-8")
    assert text.count(old) == 1
    (root / name).write_text(text.replace(old, new), encoding="utf-8")
    return text[: text.index(old)].count("\n") + 1


def test_list_has_a_line_for_each_rule(capsys: Terminal) -> None:
    code, out, err = tocsin(capsys, "rules", "list")
    lines = out.splitlines()
    assert (code, len(lines), err) == (0, 41, "")
    row = next(line for line in lines if line.startswith("cauda-equina-red-flags "))
    assert row.split() == [
        "cauda-equina-red-flags",
        "critical",
        "patient-view,order-select,order-sign",
        "live",
        "1.0.0",
        "2027-06-30",
    ]


def test_list_as_json(capsys: Terminal) -> None:
    code, out, _ = tocsin(capsys, "rules", "list", "--json")
    rows = {row["id"]: row for row in json.loads(out)}
    assert code == 0
    assert (rows[ESR]["urgency"], rows[ESR]["mode"], rows[ESR]["off"]) == ("warning", "live", "")


def test_list_shows_what_the_site_and_the_settings_switch_off(
    capsys: Terminal, site: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    site(f"rules: {{{ESR}: {{mode: silent}}, failed-conservative-care: {{mode: 'off'}}}}\n")
    monkeypatch.setenv("TOCSIN_CRITICAL_RULES", "off")
    code, out, err = tocsin(capsys, "rules", "list")
    modes = {line.split()[0]: line.split()[3] for line in out.splitlines()}
    assert code == 0
    assert modes[ESR] == "silent"
    assert modes["failed-conservative-care"] == "off"
    assert modes["mscc-cancer-neuro-signs"] == "off"
    assert "TOCSIN_CRITICAL_RULES is off" in err


def test_show_prints_the_file(capsys: Terminal) -> None:
    code, out, _ = tocsin(capsys, "rules", "show", ESR)
    assert code == 0
    assert out == (bundled_root() / RULE).read_text("utf-8")


def test_show_colours_the_file_in_a_terminal(capsys: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    code, out, _ = tocsin(capsys, "rules", "show", ESR)
    assert code == 0
    assert "\x1b[" in out


def test_explain_says_the_rule_in_words(
    capsys: Terminal, site: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    site(f"rules: {{{ESR}: {{params: {{esr_high: 60.0}}}}}}\n")
    code, out, _ = tocsin(capsys, "rules", "explain", ESR)
    assert code == 0
    for part in (
        "Finds people whose back",
        "Back, hip, pelvic or bone pain is current",
        "ESR of 60 mm/h or more within 90 days",
        "60 mm/h (between 40 and 100, bundled value 50)",
        "S4: the key order is active or being entered",
        "abstract or text read",
        "fewer than half of the people with cancer have a raised value",
    ):
        assert part in out


@pytest.mark.parametrize("command", ["show", "explain", "test", "coverage"])
def test_a_rule_that_is_not_there(capsys: Terminal, command: str) -> None:
    code, out, err = tocsin(capsys, "rules", command, "nobody")
    assert (code, out) == (2, "")
    assert "No rule is called nobody" in err


def test_lint_of_the_bundled_rules_is_clean(capsys: Terminal) -> None:
    code, out, _ = tocsin(capsys, "rules", "lint")
    assert code == 0
    assert out.splitlines()[-1].startswith("40 rules: 0 errors")


def test_a_misspelt_fact_stops_lint_with_its_line(capsys: Terminal, copied: Path) -> None:
    line = edit(copied, RULE, "cel: labs.esr.value >=", "cel: labs.esr.valeu >=")
    code, out, _ = tocsin(capsys, "rules", "lint", str(copied))
    assert code == 1
    (said,) = [text for text in out.splitlines() if "labs.esr.valeu" in text]
    assert said.startswith(f"{copied / RULE}:{line}: R01")


def test_a_wrong_type_stops_lint_with_its_line(capsys: Terminal, copied: Path) -> None:
    line = edit(copied, RULE, "cel: labs.crp.value >= params.crp_high", "cel: 'labs.crp.value == \"high\"'")
    code, out, _ = tocsin(capsys, "rules", "lint", str(copied))
    assert code == 1
    assert f"{copied / RULE}:{line}: R01" in out


def test_a_missing_test_stops_lint_with_its_file(capsys: Terminal, copied: Path) -> None:
    (copied / f"catalogue/{ESR}/tests.yaml").unlink()
    code, out, _ = tocsin(capsys, "rules", "lint", str(copied))
    assert code == 1
    assert f"{copied / RULE}:1: R035: the rule has no tests.yaml beside it" in out
    assert out.splitlines()[-1] == "40 rules: 1 errors, 0 warnings"


def test_lint_reports_everything_at_once(capsys: Terminal, copied: Path) -> None:
    edit(copied, RULE, "cel: labs.esr.value >=", "cel: labs.esr.valeu >=")
    edit(copied, "catalogue/failed-conservative-care/rule.yaml", "urgency: info", "urgency: loud")
    (copied / "catalogue/weight-loss-persistent-pain/tests.yaml").unlink()
    _, out, _ = tocsin(capsys, "rules", "lint", str(copied))
    for name in (ESR, "failed-conservative-care", "weight-loss-persistent-pain"):
        assert f"catalogue/{name}/rule.yaml:" in out


def test_lint_tries_the_orders_against_fhir(capsys: Terminal, copied: Path) -> None:
    text = (copied / "orders.yaml").read_text("utf-8")
    (copied / "orders.yaml").write_text(text.replace("status: draft", "status: [draft]", 1), encoding="utf-8")
    code, out, _ = tocsin(capsys, "rules", "lint", str(copied))
    assert code == 1
    assert f"{copied / 'orders.yaml'}:1: O001:" in out


def test_a_review_that_is_due_is_a_warning_and_does_not_fail(capsys: Terminal, copied: Path) -> None:
    line = edit(copied, RULE, "review_by: 2027-06-30", "review_by: 2020-01-01")
    code, out, _ = tocsin(capsys, "rules", "lint", str(copied))
    assert code == 0
    assert f"{copied / RULE}:{line}: R034: warning: review was due" in out
    assert out.splitlines()[-1] == "40 rules: 0 errors, 1 warnings"


def test_test_runs_the_cases_of_one_rule(capsys: Terminal) -> None:
    code, out, _ = tocsin(capsys, "rules", "test", ESR)
    assert code == 0
    first, last = out.splitlines()
    assert first.startswith(f"ok    {ESR}  37 cases, 6/6 criteria covered")
    assert last == "1 rules, 37 cases, 0 failed; 6 of 6 criteria seen true, false and unknown"


@pytest.fixture
def one_case(copied: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tests.yaml of one rule, cut down to a single case that expects the wrong suppression."""
    tests = copied / f"catalogue/{ESR}/tests.yaml"
    tests.write_text(
        "now: 2026-11-25\n"
        "cases:\n"
        "  - name: Aged 17\n"
        "    kind: suppressed\n"
        "    facts: {pain.axial.current: true, pain.axial.days: 56, person.age: 17, labs.esr.value: 66.0}\n"
        "    expect: suppressed\n"
        "    by: S1\n"
    )
    monkeypatch.setattr(cli_rules, "load", lambda root: Bundle(read_parts(copied, Overlay(), True, None)))
    return tests


def test_a_failing_case_is_told_with_its_place(capsys: Terminal, one_case: Path) -> None:
    code, out, _ = tocsin(capsys, "rules", "test", ESR, "failed-conservative-care")
    assert code == 1
    assert f"FAIL  {ESR}  1 cases, 0/6 criteria covered" in out
    assert f"catalogue/{ESR}/tests.yaml:3: Aged 17: expected suppressed by S1, got suppressed by S9" in out
    assert "ok    failed-conservative-care" in out
    assert "cases, 1 failed; 3 of 9 criteria seen true, false and unknown" in out


def test_coverage_names_the_values_no_case_shows(capsys: Terminal, one_case: Path) -> None:
    code, out, _ = tocsin(capsys, "rules", "coverage", ESR)
    assert code == 1
    counts, *missing = out.splitlines()[1:]
    assert counts.split() == [ESR, "6", "3", "2", "1"]
    line = edit(one_case.parents[2], RULE, "cel: context.esr_explained", "")
    assert f"{RULE}:{line}: never true or unknown: A disease from before the sample explains the ESR" in out
    assert missing[-1] == "6 criteria, 6 with a value that no case shows"


def test_coverage_of_the_bundled_rules_is_complete(capsys: Terminal) -> None:
    code, out, _ = tocsin(capsys, "rules", "coverage")
    assert code == 0
    assert out.splitlines()[-1].endswith(" criteria, 0 with a value that no case shows")
    assert len(out.splitlines()) == 42


def test_a_site_file_that_cannot_be_used_ends_the_command(
    capsys: Terminal, site: Callable[[str], None]
) -> None:
    site("rules: {nobody: {mode: silent}}\n")
    code, out, _ = tocsin(capsys, "rules", "list")
    assert code == workbench.CONTENT_WRONG
    assert "site.yaml:3: R050: no rule is called nobody" in out
