"""Rules for people: the list, and one rule in plain words with its evidence."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from rules.engine.bundle import Bundle
from rules.engine.criteria import Criterion, Leaf
from rules.engine.errors import RulesError
from rules.engine.registers import Evidence
from rules.engine.rule import Rule
from rules.engine.text import number, quantity

__all__ = ["RuleRow", "RuleSheet", "Sentence", "list_rules", "rule_sheet"]

_HEADINGS = {"all": "All of", "any": "Any of", "none": "None of"}


class RuleRow(msgspec.Struct, frozen=True):
    """One line of the rules list. `off` says why the rule does not run here; empty when it does."""

    id: str
    title: str
    urgency: str
    hooks: tuple[str, ...]
    mode: str
    version: str
    status: str
    review_by: str
    off: str = ""


class Sentence(msgspec.Struct, frozen=True):
    """A criterion in words, with its depth in the tree and, for a leaf, its expression."""

    depth: int
    text: str
    cel: str = ""


class RuleSheet(msgspec.Struct, frozen=True):
    """All there is to say about a rule. `parameters` are sentences with the value in force and its bounds."""

    row: RuleRow
    rule: Rule
    population: tuple[Sentence, ...]
    criteria: tuple[Sentence, ...]
    parameters: tuple[str, ...]
    evidence: tuple[Evidence, ...]


def list_rules(bundle: Bundle) -> list[RuleRow]:
    """Every rule, retired ones included, by id."""
    return [_row(bundle, rule) for _, rule in sorted(bundle.rules.items())]


def rule_sheet(bundle: Bundle, rule_id: str) -> RuleSheet:
    """One rule in words. RulesError when there is none of that id."""
    program = bundle.programs.get(rule_id)
    if program is None:
        raise RulesError(f"no rule is called {rule_id}")
    rule = program.rule
    return RuleSheet(
        row=_row(bundle, rule),
        rule=rule,
        population=tuple(line for child in rule.population.children for line in _sentences(child, 0)),
        criteria=tuple(_sentences(rule.when, 0)),
        parameters=tuple(_parameters(rule)),
        evidence=tuple(bundle.evidence[name] for name in rule.evidence),
    )


def _row(bundle: Bundle, rule: Rule) -> RuleRow:
    off = bundle.switched_off(rule)
    return RuleRow(
        id=rule.id,
        title=rule.title,
        urgency=rule.urgency,
        hooks=rule.hooks,
        mode=rule.mode,
        version=rule.version,
        status=rule.status,
        review_by=rule.review_by,
        off=off.text if off else "",
    )


def _sentences(criterion: Criterion, depth: int) -> Iterator[Sentence]:
    unknown = _unknown(criterion)
    if isinstance(criterion, Leaf):
        yield Sentence(depth, criterion.says + unknown, criterion.cel)
        return
    heading = _HEADINGS.get(criterion.op, f"At least {criterion.n} of")
    says = f"{criterion.says}: {heading.lower()}" if criterion.says else heading
    yield Sentence(depth, f"{says}:{unknown}")
    for child in criterion.children:
        yield from _sentences(child, depth + 1)


def _unknown(criterion: Criterion) -> str:
    if criterion.if_unknown is None:
        return ""
    return f" (if unknown: {'met' if criterion.if_unknown else 'not met'})"


def _parameters(rule: Rule) -> Iterator[str]:
    for spec in rule.params.values():
        bounds = f"between {number(spec.min)} and {number(spec.max)}"
        moved = "" if spec.value == spec.default else f", bundled value {number(spec.default)}"
        yield f"{spec.says}: {quantity(number(spec.value), spec.unit)} ({bounds}{moved})"
