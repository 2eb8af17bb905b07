"""What can be wrong with a rule beyond its schema and its expressions.

Each check is a generator over one rule file and the content around it, or over all files together. R001 to
R004 come from reading files, R010 to R019 from the CEL compiler, R029 to R032 from the card texts (cardlint),
R05x from the site overlay (sitelint).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from rules.engine.cardlint import CARD_CHECKS
from rules.engine.cases import case_facts
from rules.engine.catalogue import RuleFile
from rules.engine.content import Content
from rules.engine.criteria import Criterion, Group
from rules.engine.documents import Path
from rules.engine.errors import FactError, Problem
from rules.engine.rule import Rule

__all__ = ["rule_problems"]


def rule_problems(files: Sequence[RuleFile], content: Content) -> list[Problem]:
    """Everything wrong in the rule folders."""
    found = [problem for file in files for problem in file.problems]
    for file in files:
        if file.rule is not None:
            for check in (*CHECKS, *CARD_CHECKS):
                found += check(file, file.rule, content)
    pairs = [(file, file.rule) for file in files if file.rule is not None]
    # A rule whose file is broken is still a rule: superseding it is no second problem.
    names = {file.folder for file in files} | {rule.id for _, rule in pairs}
    return [*found, *_shared_topics(pairs), *_unknown_superseded(pairs, names), *_supersedes_cycles(pairs)]


def _folder_name(file: RuleFile, rule: Rule, content: Content) -> Iterator[Problem]:
    if rule.id != file.folder:
        yield file.document.problem("R020", f"id {rule.id} is not the folder's name {file.folder}", ("id",))


def _unused_params(file: RuleFile, rule: Rule, content: Content) -> Iterator[Problem]:
    if file.unit is not None:
        read = {name for expression in file.unit.expressions.values() for name in expression.params}
        for name in rule.params:
            if name not in read:
                yield file.document.problem("R022", f"no criterion reads parameter {name}", ("params", name))


def _idle_unknowns(file: RuleFile, rule: Rule, content: Content) -> Iterator[Problem]:
    if file.unit is not None:
        for leaf in rule.leaves:
            if leaf.if_unknown is not None and not file.unit.expressions[leaf.index].code.nullable:
                yield Problem(
                    file.document.name, leaf.line, "R042", "if_unknown on a criterion that is always known"
                )


def _param_bounds(file: RuleFile, rule: Rule, content: Content) -> Iterator[Problem]:
    for name, spec in rule.params.items():
        path: Path = ("params", name)
        if spec.min > spec.max or not spec.min <= spec.default <= spec.max:
            yield file.document.problem("R023", f"{name}: the value must lie between min and max", path)
        raw = file.document.data["params"][name]
        if raw["type"] == "int" and any(raw[key] != int(raw[key]) for key in ("value", "min", "max")):
            yield file.document.problem("R023", f"{name}: an int parameter needs whole numbers", path)


def _evidence_ids(file: RuleFile, rule: Rule, content: Content) -> Iterator[Problem]:
    for index, name in enumerate(rule.evidence):
        if name not in content.evidence:
            yield file.document.problem("R026", f"no evidence is called {name}", ("evidence", index))


def _order_ids(file: RuleFile, rule: Rule, content: Content) -> Iterator[Problem]:
    for index, name in enumerate(rule.suggest):
        if name not in content.orders:
            yield file.document.problem("R027", f"no order is called {name}", ("suggest", index))
            continue
        for fact in content.orders[name].results:
            if fact not in content.vocabulary:
                message = f"the order {name} names a fact that does not exist: {fact}"
                yield file.document.problem("R027", message, ("suggest", index))


def _value_sets(file: RuleFile, rule: Rule, content: Content) -> Iterator[Problem]:
    for index, name in enumerate(rule.key_orders):
        if content.sets and name not in content.sets:
            yield file.document.problem("R028", f"no value set is called {name}", ("key_orders", index))


def _shown_facts(file: RuleFile, rule: Rule, content: Content) -> Iterator[Problem]:
    for key, names in (("show", rule.show), ("ask", rule.ask)):
        for index, name in enumerate(names):
            if name not in content.vocabulary:
                yield file.document.problem("R033", f"no fact is called {name}", (key, index))


def _dates(file: RuleFile, rule: Rule, content: Content) -> Iterator[Problem]:
    for key, text in (("review_by", rule.review_by), ("released", rule.released)):
        try:
            day = datetime.date.fromisoformat(text)
        except ValueError:
            yield file.document.problem("R034", f"{text} is no day", (key,))
            continue
        if key == "review_by" and content.now is not None and day < content.now:
            line = file.document.key_line((key,))
            yield Problem(file.document.name, line, "R034", f"review was due on {text}", "warning")


def _history(file: RuleFile, rule: Rule, content: Content) -> Iterator[Problem]:
    """The newest version of a history is the rule's own, and every version stands once, newest first."""
    if not rule.history:
        return
    newest = rule.history[0]
    if (newest.version, newest.date) != (rule.version, rule.released):
        told = f"the history starts with {newest.version} of {newest.date}, not with version and released"
        yield file.document.problem("R043", told, ("history", 0))
    numbers = [tuple(map(int, change.version.split("."))) for change in rule.history]
    for index, (later, earlier) in enumerate(pairwise(zip(numbers, rule.history, strict=True)), 1):
        if later[0] <= earlier[0] or later[1].date < earlier[1].date:
            yield file.document.problem("R043", "the newest version comes first", ("history", index))


def _tests_exist(file: RuleFile, rule: Rule, content: Content) -> Iterator[Problem]:
    if file.tests_document is None:
        yield file.document.problem("R035", "the rule has no tests.yaml beside it")


def _case_kinds(file: RuleFile, rule: Rule, content: Content) -> Iterator[Problem]:
    """A rule shows that it fires, keeps silent, and cannot tell; both sides of its thresholds; and what
    suppresses it.
    """
    if file.tests is None or file.tests_document is None:
        return
    wanted = ["fires", "silent", "cannot-tell"]
    if rule.params:
        wanted.append("boundary")
    if _REMOVING.intersection(rule.suppression):
        wanted.append("suppressed")
    present = {case.kind for case in file.tests.cases}
    for kind in wanted:
        if kind not in present:
            yield file.tests_document.problem("R036", f"there is no case of kind {kind}", ("cases",))


_REMOVING = frozenset({"S1", "S2", "S3", "S4", "S5"})


def _cases(file: RuleFile, rule: Rule, content: Content) -> Iterator[Problem]:
    if file.tests is None or file.tests_document is None:
        return
    names: set[str] = set()
    for case in file.tests.cases:
        faults = [f"case name '{case.name}' is used twice"] if case.name in names else []
        names.add(case.name)
        if case.hook and case.hook not in rule.hooks:
            faults.append(f"the rule does not run at {case.hook}")
        if (case.expect == "suppressed") != bool(case.by):
            faults.append("'by' names the suppression of a suppressed case, and of no other")
        try:
            case_facts(content.vocabulary, case.facts)
        except FactError as error:
            faults.append(str(error))
        yield from (Problem(file.tests_document.name, case.line, "R037", fault) for fault in faults)


def _counts(file: RuleFile, rule: Rule, content: Content) -> Iterator[Problem]:
    for group in _groups((rule.population, rule.when)):
        if group.op == "at_least" and not 1 <= group.n <= len(group.children):
            count = len(group.children)
            yield Problem(
                file.document.name, group.line, "R038", f"at_least {group.n} of {count} is never a choice"
            )


def _groups(criteria: Sequence[Criterion]) -> Iterator[Group]:
    for criterion in criteria:
        if isinstance(criterion, Group):
            yield criterion
            yield from _groups(criterion.children)


def _critical_module(file: RuleFile, rule: Rule, content: Content) -> Iterator[Problem]:
    """Critical rules are switched off together, so all of them, and no other rule, are in that module."""
    if (rule.urgency == "critical") != (rule.module == "critical"):
        yield file.document.problem(
            "R039", f"a rule of urgency {rule.urgency} is in module {rule.module}", ("module",)
        )
    if rule.urgency == "critical" and rule.act_within != "now":
        yield file.document.problem("R039", "a critical rule has act_within: now", ("act_within",))


def _key_imaging(file: RuleFile, rule: Rule, content: Content) -> Iterator[Problem]:
    """S3 needs imaging to look for, and the terms must be those imaging facts use, where facts.yaml lists
    them.
    """
    if ("S3" in rule.suppression) != (rule.key_imaging is not None):
        yield file.document.problem("R041", "suppression S3 and key_imaging go together", ("suppression",))
    if ("S4" in rule.suppression) != bool(rule.key_orders):
        yield file.document.problem("R041", "suppression S4 and key_orders go together", ("suppression",))
    fields = content.vocabulary.records.get("imaging", {})
    if rule.key_imaging is None:
        return
    for key, field in (("regions", "regions"), ("modalities", "modality")):
        known = fields[field].values if field in fields else ()
        for name in getattr(rule.key_imaging, key):
            if known and name not in known:
                yield file.document.problem(
                    "R041", f"imaging facts have no {field} {name}", ("key_imaging", key)
                )


_Check = Callable[[RuleFile, Rule, Content], Iterator[Problem]]

CHECKS: tuple[_Check, ...] = (
    _folder_name,
    _unused_params,
    _idle_unknowns,
    _param_bounds,
    _evidence_ids,
    _order_ids,
    _value_sets,
    _shown_facts,
    _dates,
    _history,
    _tests_exist,
    _case_kinds,
    _cases,
    _counts,
    _critical_module,
    _key_imaging,
)

_Pairs = Sequence[tuple[RuleFile, Rule]]


def _shared_topics(pairs: _Pairs) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for file, rule in pairs:
        owner = first.setdefault(rule.topic, rule.id)
        if owner != rule.id:
            yield file.document.problem("R021", f"topic {rule.topic} belongs to {owner}", ("topic",))


def _unknown_superseded(pairs: _Pairs, names: set[str]) -> Iterator[Problem]:
    for file, rule in pairs:
        for index, name in enumerate(rule.supersedes):
            if name not in names or name == rule.id:
                message = "a rule cannot supersede itself" if name == rule.id else f"no rule is called {name}"
                yield file.document.problem("R024", message, ("supersedes", index))


def _supersedes_cycles(pairs: _Pairs) -> Iterator[Problem]:
    """A rule that supersedes itself through others would be folded into itself."""
    below = {rule.id: rule.supersedes for _, rule in pairs}
    for file, rule in pairs:
        way = _way_back(rule.id, below)
        if way:
            yield file.document.problem(
                "R025", f"supersedes itself through {' > '.join(way)}", ("supersedes",)
            )


def _way_back(start: str, below: dict[str, tuple[str, ...]]) -> list[str]:
    seen: set[str] = set()
    waiting = [[name] for name in below[start] if name != start]
    while waiting:
        way = waiting.pop()
        for name in below.get(way[-1], ()):
            if name == start:
                return way
            if name not in seen:
                seen.add(name)
                waiting.append([*way, name])
    return []
