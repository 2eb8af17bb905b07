"""Runs the tests of the rules, and tells which criteria they have seen true, false and unknown."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import msgspec

from rules.engine.bundle import Bundle
from rules.engine.cases import Case, TestFile, case_facts
from rules.engine.catalogue import RuleFile
from rules.engine.decision import Decision
from rules.engine.evaluate import evaluate
from rules.engine.facts import FactSet
from rules.engine.program import Program

__all__ = ["CaseResult", "LeafCoverage", "Policy", "RuleReport", "run_case", "run_tests"]

# The policy that decides about suppression lives outside the rules. It is given the Decision, in which one
# rule was evaluated, and the
# `context` of the case, and moves the outcome as it would in a real call.
Policy = Callable[[Decision, Mapping[str, Any]], None]

_WORDS = {True: "true", False: "false", None: "unknown"}


class CaseResult(msgspec.Struct, frozen=True):
    """What became of one case. `unchecked` marks a suppressed case that ran without a policy: the rule fires,
    and no more is known.
    """

    rule: str
    name: str
    kind: str
    path: str
    line: int
    expected: str
    got: str
    passed: bool
    unchecked: bool = False


class LeafCoverage(msgspec.Struct, frozen=True):
    """Which values one criterion took over all cases; `unseen` are those it can take and never took."""

    rule: str
    says: str
    cel: str
    path: str
    line: int
    seen: tuple[str, ...]
    unseen: tuple[str, ...]


class RuleReport(msgspec.Struct, frozen=True):
    rule: str
    results: tuple[CaseResult, ...]
    coverage: tuple[LeafCoverage, ...]

    @property
    def passed(self) -> bool:
        return all(result.passed for result in self.results)

    @property
    def covered(self) -> bool:
        return not any(leaf.unseen for leaf in self.coverage)


def run_tests(
    bundle: Bundle, *, policy: Policy | None = None, only: Collection[str] | None = None
) -> list[RuleReport]:
    """Run every case of every rule, or of those in `only`, in order of rule id."""
    return [
        _report(bundle, program, bundle.files[rule_id], policy)
        for rule_id, program in bundle.programs.items()
        if only is None or rule_id in only
    ]


def _report(bundle: Bundle, program: Program, file: RuleFile, policy: Policy | None) -> RuleReport:
    tests = file.tests
    if tests is None or file.tests_document is None:
        return RuleReport(program.rule.id, (), tuple(_coverage(program, [], file.document.name)))
    path = file.tests_document.name
    sets = [case_facts(bundle.vocabulary, case.facts) for case in tests.cases]
    seen = list(_coverage(program, sets, file.document.name))
    results = [
        run_case(bundle, program, tests, case, facts, path, policy)
        for case, facts in zip(tests.cases, sets, strict=True)
    ]
    return RuleReport(program.rule.id, tuple(results), tuple(seen))


def run_case(
    bundle: Bundle,
    program: Program,
    tests: TestFile,
    case: Case,
    facts: FactSet,
    path: str,
    policy: Policy | None,
) -> CaseResult:
    """Evaluate one rule over one case's facts. Facts the engine provides between its phases are taken as the
    case gives them.
    """
    rule = program.rule
    decision = evaluate(
        bundle,
        facts,
        hook=case.hook or rule.hooks[0],
        now=datetime.datetime.combine(tests.now, datetime.time(12), datetime.UTC),
        phase_two=lambda decision, beside: {},
        only={rule.id},
    )
    if policy is None:
        expected, got = _without_policy(case), str(decision[rule.id].outcome)
    else:
        policy(decision, case.context)
        expected, got = _expected(case), _got(decision, rule.id, case)
    unchecked = policy is None and bool(case.by or case.urgency)
    return CaseResult(
        rule.id, case.name, case.kind, path, case.line, expected, got, got == expected, unchecked
    )


def _without_policy(case: Case) -> str:
    """Suppression acts on rules that fire."""
    return "fired" if case.expect == "suppressed" else case.expect


def _expected(case: Case) -> str:
    return " ".join(part for part in (case.expect, f"by {case.by}" if case.by else "", case.urgency) if part)


def _got(decision: Decision, rule_id: str, case: Case) -> str:
    outcome = decision[rule_id]
    if outcome.outcome == "error" and outcome.reason is not None:
        return f"error: {outcome.reason.text}"
    by = f"by {outcome.reason.code}" if outcome.outcome == "suppressed" and outcome.reason else ""
    return " ".join(part for part in (outcome.outcome, by, outcome.urgency if case.urgency else "") if part)


def _coverage(program: Program, sets: Collection[FactSet], path: str) -> Iterator[LeafCoverage]:
    for leaf in program.rule.leaves:
        seen = {_WORDS[program.leaves[leaf.index](facts.values)] for facts in sets}
        nullable = program.expressions[leaf.index].code.nullable
        can_be = [word for value, word in _WORDS.items() if value is not None or nullable]
        yield LeafCoverage(
            rule=program.rule.id,
            says=leaf.says,
            cel=leaf.cel,
            path=path,
            line=leaf.line,
            seen=tuple(word for word in can_be if word in seen),
            unseen=tuple(word for word in can_be if word not in seen),
        )
