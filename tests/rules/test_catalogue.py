"""The bundled rules: clean, every case passes under the service's suppression, every criterion covered."""

import pytest

from rules.engine import bundled_root, run_tests
from rules.engine.cases import case_facts
from rules.engine.testing import run_case
from service.cli_rules import rule_problems
from service.policy import case_policy
from tests.rules.bundles import bundled

CASES = [
    pytest.param(rule_id, index, id=f"{rule_id}: {case.name}")
    for rule_id, file in bundled().files.items()
    for index, case in enumerate(file.tests.cases if file.tests else ())
]


@pytest.mark.parametrize(("rule_id", "index"), CASES)
def test_a_case_ends_as_it_says(rule_id: str, index: int) -> None:
    bundle = bundled()
    file = bundle.files[rule_id]
    assert file.tests is not None
    case = file.tests.cases[index]
    facts = case_facts(bundle.vocabulary, case.facts)
    result = run_case(
        bundle, bundle.programs[rule_id], file.tests, case, facts, file.document.name, case_policy
    )
    assert result.got == result.expected


def test_every_criterion_is_seen_true_false_and_unknown() -> None:
    reports = run_tests(bundled(), policy=case_policy)
    unseen = [(leaf.path, leaf.line, leaf.unseen) for one in reports for leaf in one.coverage if leaf.unseen]
    assert unseen == []


def test_no_case_is_left_unchecked() -> None:
    reports = run_tests(bundled(), policy=case_policy)
    assert all(one.results for one in reports)
    assert len(reports) == len(bundled().programs)
    assert [result.name for one in reports for result in one.results if result.unchecked] == []


def test_the_bundle_lints_clean() -> None:
    found = rule_problems(bundled_root())
    assert [str(problem) for problem in found if problem.severity == "error"] == []


def test_the_catalogue_is_whole() -> None:
    bundle = bundled()
    folders = {path.name for path in (bundled_root() / "catalogue").iterdir() if path.is_dir()}
    assert bundle.programs.keys() == folders
    assert len(folders) == 40


def test_every_rule_says_what_changed_with_each_version() -> None:
    assert [rule.id for rule in bundled().rules.values() if not rule.history] == []
