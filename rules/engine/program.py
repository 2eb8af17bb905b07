"""Rules to executable programs: one generated module holds every rule and every leaf of a bundle."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from rules.engine.cel import Expression, compile_expression
from rules.engine.criteria import emit_criterion
from rules.engine.emit import Module
from rules.engine.errors import ExpressionError
from rules.engine.kleene import RUNTIME
from rules.engine.outcome import Outcome, OutcomeKind, Reason
from rules.engine.rule import Rule, severity
from rules.engine.vocabulary import Vocabulary

__all__ = ["LeafFault", "Program", "Unit", "build_programs", "compile_leaves", "compile_rule"]

Values = list[Any]

# What a generated rule function returns; from _EXCLUDED on, the population criterion that is not met.
_NOT_FIRED, _FIRED, _UNKNOWN, _EXCLUDED = range(4)


class Unit(msgspec.Struct, frozen=True):
    """A rule with the compiled expressions of its leaves, by leaf index."""

    rule: Rule
    expressions: Mapping[int, Expression]


class LeafFault(msgspec.Struct, frozen=True):
    """A leaf that does not compile: its line in rule.yaml, and why."""

    line: int
    code: str
    message: str


class Program(msgspec.Struct, frozen=True):
    """A rule ready to run. `run` gives an index into `outcomes`; `leaves` give the raw value of each leaf;
    both read FactSet.values.
    """

    rule: Rule
    run: Callable[[Values], int]
    outcomes: tuple[Outcome, ...]
    leaves: Mapping[int, Callable[[Values], bool | None]]
    expressions: Mapping[int, Expression]

    @property
    def facts(self) -> tuple[str, ...]:
        """Facts the criteria read, each once, in order of reading."""
        return tuple(
            dict.fromkeys(name for expression in self.expressions.values() for name in expression.facts)
        )

    def outcome(self, kind: OutcomeKind, reason: Reason | None = None) -> Outcome:
        return _outcome(self.rule, kind, reason)


def compile_leaves(rule: Rule, vocabulary: Vocabulary, module: Module) -> tuple[Unit | None, list[LeafFault]]:
    """Compile each leaf of a rule; all faults, and no unit when there is one."""
    params = {name: spec.value for name, spec in rule.params.items()}
    expressions: dict[int, Expression] = {}
    faults: list[LeafFault] = []
    for leaf in rule.leaves:
        try:
            expressions[leaf.index] = compile_expression(leaf.cel, vocabulary, params, module)
        except ExpressionError as error:
            place = f" (column {error.column})" if error.code != "R017" else ""
            faults.append(LeafFault(leaf.line + error.line - 1, error.code, f"{error.message}{place}"))
    return (None if faults else Unit(rule, expressions)), faults


def build_programs(units: Iterable[Unit], module: Module) -> dict[str, Program]:
    """Run the generated module once and pick up its functions, by rule id."""
    units = list(units)
    source = [line for index, unit in enumerate(units) for line in _functions(index, unit, module)]
    namespace: dict[str, Any] = {**RUNTIME, **module.constants}
    exec(compile("\n".join([*module.functions, *source]), "<rules>", "exec"), namespace)
    return {unit.rule.id: _program(index, unit, namespace) for index, unit in enumerate(units)}


def compile_rule(rule: Rule, vocabulary: Vocabulary) -> Program:
    """One rule on its own, for tools that try out changed rules; ExpressionError for the first leaf that does
    not compile.
    """
    module = Module()
    unit, faults = compile_leaves(rule, vocabulary, module)
    if unit is None:
        raise ExpressionError(faults[0].code, faults[0].message)
    return build_programs([unit], module)[rule.id]


def _functions(index: int, unit: Unit, module: Module) -> list[str]:
    lines: list[str] = []
    for number, expression in unit.expressions.items():
        lines += [f"def leaf_{index}_{number}(v):", f"    return {expression.code.source}"]
    codes = {leaf: expression.code for leaf, expression in unit.expressions.items()}
    lines.append(f"def rule_{index}(v):")
    for number, criterion in enumerate(unit.rule.population.children):
        met = emit_criterion(criterion, codes, module)
        lines.append(f"    if {met.source} is not True: return {_EXCLUDED + number}")
    fired = emit_criterion(unit.rule.when, codes, module)
    lines += [
        f"    fired = {fired.source}",
        f"    return {_FIRED} if fired else {_UNKNOWN} if fired is None else {_NOT_FIRED}",
    ]
    return lines


def _program(index: int, unit: Unit, namespace: Mapping[str, Any]) -> Program:
    leaves = {number: namespace[f"leaf_{index}_{number}"] for number in unit.expressions}
    return Program(unit.rule, namespace[f"rule_{index}"], _outcomes(unit.rule), leaves, unit.expressions)


def _outcomes(rule: Rule) -> tuple[Outcome, ...]:
    """Every outcome evaluation can end in, made once: outcomes are immutable, so all calls share them."""
    kinds: Sequence[OutcomeKind] = ("not-fired", "fired", "not-enough-data")
    excluded = [Reason("POPULATION", f"Not about this patient: {c.says}") for c in rule.population.children]
    return (*(_outcome(rule, kind) for kind in kinds), *(_outcome(rule, "excluded", why) for why in excluded))


def _outcome(rule: Rule, kind: OutcomeKind, reason: Reason | None = None) -> Outcome:
    if severity(rule.max_indicator) <= severity(rule.urgency):
        return Outcome(rule.id, rule.version, rule.urgency, rule.urgency, kind, reason)
    lowered = Reason("SITE", f"This site shows the rule as {rule.max_indicator} at most")
    return Outcome(rule.id, rule.version, rule.max_indicator, rule.urgency, kind, reason, lowered=lowered)
