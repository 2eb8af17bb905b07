"""Does some case notice when a rule changes? Changes every rule a little, one way at a time, and runs its
tests.

`python -m rules.engine.mutation [--rule ID ...]` prints the changes no case notices, and exits with 1 when
there are any.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator

import msgspec

from rules.engine import syntax
from rules.engine.bundle import Bundle, load
from rules.engine.cases import case_facts
from rules.engine.criteria import Criterion, Group, Leaf
from rules.engine.errors import BundleError
from rules.engine.facts import FactSet
from rules.engine.program import Program, compile_rule
from rules.engine.rule import Rule
from rules.engine.syntax import COMPARISONS, Expr

__all__ = ["Mutant", "Survivor", "mutants", "survivors"]

# Each comparator becomes its neighbour, which only a boundary case notices, and its opposite.
_FLIPS = {
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "==": ("!=",),
    "!=": ("==",),
}
_SWAPS = {"all": "any", "any": "all"}


class Mutant(msgspec.Struct, frozen=True):
    """A changed rule, with the line of the change in rule.yaml and what it is."""

    rule: Rule
    line: int
    change: str


class Survivor(msgspec.Struct, frozen=True):
    """A change that no case of the rule's tests.yaml noticed."""

    rule: str
    path: str
    line: int
    change: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: survives: {self.change}"


def mutants(rule: Rule) -> Iterator[Mutant]:
    """Every single change of the rule's criteria: comparators, connectives, negations, dropped criteria,
    counts, unknowns.
    """
    for index, child in enumerate(rule.population.children):
        changes = [((copy,), line, change) for copy, line, change in _changed(child)]
        for put, line, change in [((), child.line, _dropped(child)), *changes]:
            population = _with_children(rule.population, index, put)
            yield Mutant(msgspec.structs.replace(rule, population=population), line, change)
    for criterion, line, change in _changed(rule.when):
        yield Mutant(msgspec.structs.replace(rule, when=criterion), line, change)


_Change = tuple[Criterion, int, str]


def _changed(criterion: Criterion) -> Iterator[_Change]:
    """Changed copies of a criterion, each with one change."""
    if criterion.if_unknown is not None:
        yield msgspec.structs.replace(criterion, if_unknown=None), criterion.line, "if_unknown dropped"
    if isinstance(criterion, Leaf):
        for cel, change in _changed_text(criterion.cel):
            yield msgspec.structs.replace(criterion, cel=cel), criterion.line, change
        return
    yield from _changed_group(criterion)
    for index, child in enumerate(criterion.children):
        for copy, line, change in _changed(child):
            yield _with_children(criterion, index, (copy,)), line, change


def _changed_group(group: Group) -> Iterator[_Change]:
    """The group without one of its criteria, with the other connective, or with another count."""
    count = len(group.children)
    if count > max(group.n, 1):
        for index, child in enumerate(group.children):
            yield _with_children(group, index, ()), child.line, _dropped(child)
    if group.op in _SWAPS and count > 1:
        other = _SWAPS[group.op]
        yield msgspec.structs.replace(group, op=other), group.line, f"{group.op} becomes {other}"
    for n in (group.n - 1, group.n + 1) if group.op == "at_least" else ():
        if 1 <= n <= count:
            yield msgspec.structs.replace(group, n=n), group.line, f"at_least {group.n} becomes {n}"


def _with_children(group: Group, index: int, put: tuple[Criterion, ...]) -> Group:
    children = (*group.children[:index], *put, *group.children[index + 1 :])
    return msgspec.structs.replace(group, children=children)


def _dropped(child: Criterion) -> str:
    return f"criterion dropped: {child.says or f'the group of line {child.line}'}"


def _changed_text(cel: str) -> Iterator[tuple[str, str]]:
    for node in _all_nodes(syntax.parse(cel)):
        if isinstance(node, syntax.Compare):
            sign = COMPARISONS[node.op]
            for flip in _FLIPS[sign]:
                yield _replaced(cel, node.left, sign, flip), f"{sign} becomes {flip} in: {cel}"
        elif isinstance(node, syntax.Logic):
            other = "||" if node.op == "&&" else "&&"
            for operand in node.operands[:-1]:
                yield _replaced(cel, operand, node.op, other), f"{node.op} becomes {other} in: {cel}"
        elif isinstance(node, syntax.Not):
            yield cel[: node.start] + cel[node.start + 1 :], f"! dropped in: {cel}"


def _all_nodes(node: Expr) -> Iterator[Expr]:
    yield node
    for child in syntax.children(node):
        yield from _all_nodes(child)


def _replaced(cel: str, left: Expr, sign: str, other: str) -> str:
    at = cel.index(sign, left.end)
    return cel[:at] + other + cel[at + len(sign) :]


def survivors(bundle: Bundle, only: Collection[str] | None = None) -> list[Survivor]:
    """Changes no case notices, by rule. Suppressed cases count as cases in which the rule fires."""
    return [
        Survivor(rule_id, bundle.files[rule_id].document.name, mutant.line, mutant.change)
        for rule_id, program in bundle.programs.items()
        if only is None or rule_id in only
        for mutant in _unnoticed(bundle, program)
    ]


def _unnoticed(bundle: Bundle, program: Program) -> Iterator[Mutant]:
    tests = bundle.files[program.rule.id].tests
    cases = tests.cases if tests else ()
    expected = [
        (case_facts(bundle.vocabulary, case.facts), "fired" if case.expect == "suppressed" else case.expect)
        for case in cases
    ]
    for mutant in mutants(program.rule):
        if not _noticed(bundle, mutant, expected):
            yield mutant


def _noticed(bundle: Bundle, mutant: Mutant, expected: list[tuple[FactSet, str]]) -> bool:
    program = compile_rule(mutant.rule, bundle.vocabulary)
    return any(program.outcomes[program.run(facts.values)].outcome != kind for facts, kind in expected)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m rules.engine.mutation", description="Mutation check of the rule tests."
    )
    parser.add_argument(
        "--rule", action="append", metavar="ID", help="only this rule; may be given several times"
    )
    only = parser.parse_args(arguments).rule
    try:
        bundle = load()
    except BundleError as error:
        print(error, file=sys.stderr)
        return 1
    unknown = sorted(set(only or ()) - bundle.programs.keys())
    if unknown:
        parser.error(f"no rule is called {unknown[0]}")
    found = survivors(bundle, only)
    count = sum(1 for rule in bundle.rules.values() if only is None or rule.id in only for _ in mutants(rule))
    print(*found, f"{count} changes, {len(found)} survive", sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
