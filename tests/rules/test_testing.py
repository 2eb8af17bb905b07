"""The runner of tests.yaml, its coverage, and the mutation check."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rules.engine import mutation
from rules.engine.bundle import bundled_root, load
from rules.engine.cases import case_facts
from rules.engine.decision import Decision
from rules.engine.facts import Span
from rules.engine.mutation import mutants, survivors
from rules.engine.outcome import Reason
from rules.engine.testing import run_tests
from tests.rules.bundles import CANCER_TESTS, RULE, TESTS, bundle, bundled, write


def policy(decision: Decision, context: Mapping[str, Any]) -> None:
    for outcome in decision.fired():
        if decision.facts["care.palliative"] == "hospice":
            decision.suppress(outcome.rule, Reason("S1", "Hospice care"))
        elif context.get("lower"):
            decision.lower(outcome.rule, "info", Reason("S3", "MRI on file"))


def test_cases_pass_and_cover_every_criterion(tmp_path: Path) -> None:
    report = run_tests(bundle(tmp_path), only={"cancer-back"})[0]
    assert report.passed
    assert report.covered
    assert len(report.results) == 11
    assert [result.name for result in report.results if result.unchecked] == ["hospice"]


def test_with_a_policy_suppression_is_checked(tmp_path: Path) -> None:
    (report,) = run_tests(bundle(tmp_path), policy=policy, only={"cancer-back"})
    last = report.results[-1]
    assert (last.passed, last.unchecked, last.expected, last.got) == (
        True,
        False,
        "suppressed by S1",
        "suppressed by S1",
    )


def test_the_urgency_after_policy_is_checked(tmp_path: Path) -> None:
    wanted = (
        TESTS,
        "expect: fired\n  - name: fourteen",
        "expect: fired\n    urgency: info\n  - name: fourteen",
    )
    (report,) = run_tests(bundle(tmp_path, wanted), policy=policy, only={"cancer-back"})
    assert (report.results[0].passed, report.results[0].got) == (False, "fired warning")
    context = "expect: fired\n    urgency: info\n    context: {lower: true}\n  - name: fourteen"
    (report,) = run_tests(bundle(tmp_path, (*wanted[:2], context)), policy=policy, only={"cancer-back"})
    assert (report.results[0].passed, report.results[0].got) == (True, "fired info")


def test_a_wrong_expectation_fails_with_its_place(tmp_path: Path) -> None:
    wrong = (TESTS, "expect: excluded", "expect: not-fired")
    (report,) = run_tests(bundle(tmp_path, wrong), only={"cancer-back"})
    failed = [result for result in report.results if not result.passed]
    assert not report.passed
    assert [(one.path, one.got, one.expected) for one in failed] == [(TESTS, "excluded", "not-fired")] * 2
    assert failed[0].line == CANCER_TESTS[: CANCER_TESTS.index("- name: no pain\n")].count("\n") + 1


def test_an_error_in_a_rule_is_a_failed_case(tmp_path: Path) -> None:
    def broken(decision: Decision, context: Mapping[str, Any]) -> None:
        for rule_id in list(decision.outcomes):
            program = decision.bundle.programs[rule_id]
            decision.outcomes[rule_id] = program.outcome("error", Reason("ERROR", "TypeError"))

    (report,) = run_tests(bundle(tmp_path), policy=broken, only={"quiet"})
    assert report.results[0].got == "error: TypeError"


def test_coverage_names_what_was_never_seen(tmp_path: Path) -> None:
    (report,) = run_tests(bundle(tmp_path), only={"cord"})
    unseen = {leaf.says: leaf.unseen for leaf in report.coverage}
    assert not report.covered
    assert unseen["Cancer now or before"] == ("false", "unknown")
    assert unseen["CRP over 100"] == ()
    assert next(leaf.line for leaf in report.coverage if leaf.says == "CRP over 100") == 24


def test_criteria_that_cannot_be_unknown_need_not_be_seen_so(tmp_path: Path) -> None:
    known = ("catalogue/cancer-back/rule.yaml", "cel: pain.night}", 'cel: "has(pain.night)"}')
    (report,) = run_tests(bundle(tmp_path, known), only={"cancer-back"})
    leaf = next(leaf for leaf in report.coverage if leaf.says == "Night pain")
    assert leaf.seen + leaf.unseen == ("true", "false")


def test_facts_as_written(tmp_path: Path) -> None:
    vocabulary = bundle(tmp_path).vocabulary
    written = {
        "pain.back.days": {"low": 10, "high": 40},
        "labs.crp.value": ">100",
        "cancer.any": None,
        "imaging.studies": [{"modality": "mri", "days": 3}],
    }
    facts = case_facts(vocabulary, written)
    assert facts["pain.back.days"] == Span(10, 40, 25)
    assert facts["labs.crp.value"] == Span(100.0, float("inf"), 100.0, low_open=True)
    assert facts["cancer.any"] is None
    assert facts["care.palliative"] == "none"
    assert facts["pain.night"] is None
    assert case_facts(vocabulary, {})["cancer.any"] is False
    assert case_facts(vocabulary, {"labs.crp.value": "<=5"})["labs.crp.value"] == Span(0.0, 5.0, 5.0)
    assert case_facts(vocabulary, {"labs.crp.value": "< 5"})["labs.crp.value"] == Span(
        0.0, 5.0, 5.0, high_open=True
    )


def test_mutants_change_one_thing_each(tmp_path: Path) -> None:
    rule = bundle(tmp_path).rules["cord"]
    changes = [mutant.change for mutant in mutants(rule)]
    assert len(changes) == len(set(changes))
    assert "criterion dropped: Back pain is current" in changes
    assert "> becomes >= in: labs.crp.value > 100.0" in changes
    assert "> becomes <= in: labs.crp.value > 100.0" in changes
    assert "&& becomes || in: imaging.studies.exists(s, s.modality == 'mri' && s.days <= 7)" in changes
    assert "at_least 2 becomes 1" in changes
    assert "at_least 2 becomes 3" in changes
    assert "all becomes any" in changes
    assert all(mutant.rule != rule for mutant in mutants(rule))


def test_good_cases_notice_every_change(tmp_path: Path) -> None:
    assert survivors(bundle(tmp_path), {"cancer-back", "quiet"}) == []


def test_a_missing_boundary_case_lets_a_mutant_live(tmp_path: Path) -> None:
    start, end = CANCER_TESTS.index("  - name: fourteen days"), CANCER_TESTS.index("  - name: thirteen days")
    found = survivors(bundle(tmp_path, (TESTS, CANCER_TESTS[start:end], "")), {"cancer-back"})
    assert (
        "catalogue/cancer-back/rule.yaml:25: survives: >= becomes > in: pain.back.days >= params.min_days"
        in map(str, found)
    )


def test_a_rule_without_tests_lets_all_live(tmp_path: Path) -> None:
    loaded = bundle(tmp_path)
    loaded.files["quiet"].tests = None
    loaded.files["quiet"].tests_document = None
    assert len(survivors(loaded, {"quiet"})) == len(list(mutants(loaded.rules["quiet"])))
    (report,) = run_tests(loaded, only={"quiet"})
    assert report.results == ()
    assert not report.covered


def test_the_command_exits_by_what_survives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded = bundle(tmp_path)
    monkeypatch.setattr(mutation, "load", lambda: loaded)
    assert mutation.main(["--rule", "quiet"]) == 0
    assert capsys.readouterr().out.endswith(" changes, 0 survive\n")
    assert mutation.main([]) == 1
    assert "catalogue/cord/rule.yaml:" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        mutation.main(["--rule", "nobody"])


def test_the_command_tells_what_is_wrong_with_rules_that_do_not_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = write(tmp_path, (RULE, "id: cancer-back", "id: cancer-bach"))
    monkeypatch.setattr(mutation, "load", lambda: load(broken))
    assert mutation.main([]) == 1
    assert "catalogue/cancer-back/rule.yaml:1: " in capsys.readouterr().err


@pytest.mark.parametrize("rule_id", sorted(path.name for path in (bundled_root() / "catalogue").iterdir()))
def test_the_bundled_rules_pass_their_own_cases(rule_id: str) -> None:
    (report,) = run_tests(bundled(), only={rule_id})
    assert report.results
    assert report.coverage
    assert [result for result in report.results if not result.passed] == []
    assert [leaf for leaf in report.coverage if leaf.unseen] == []
