"""One rule tried out with other text, without a file: the same checks as lint, and a bundle that runs it.

The text comes from a page, so it may be anything: it is bounded before it is parsed.
"""

from __future__ import annotations

import datetime
import hashlib

import msgspec
import yaml

from rules.engine.bundle import Bundle
from rules.engine.catalogue import RuleFile, read_rule
from rules.engine.content import Content
from rules.engine.documents import Document, read_text
from rules.engine.emit import Module
from rules.engine.errors import Problem, RulesError
from rules.engine.lint import rule_problems
from rules.engine.program import build_programs

__all__ = ["LONGEST_RULE", "Trial", "try_rule"]

LONGEST_RULE = 64 * 1024
"""Longest text of a rule, in characters; the longest bundled one has less than a tenth of it."""

_DEEPEST = 40


class Trial(msgspec.Struct, frozen=True):
    """What became of the text. `bundle` is None when an error stands among `problems`."""

    bundle: Bundle | None
    problems: tuple[Problem, ...]


def try_rule(bundle: Bundle, rule_id: str, text: str, now: datetime.date | None = None) -> Trial:
    """The bundle with `text` as the rule.yaml of a rule it has, under the overlay it was loaded with.

    RulesError when there is no such rule. A bad text raises nothing: its problems are returned.
    """
    if rule_id not in bundle.files:
        raise RulesError(f"no rule is called {rule_id}")
    before = bundle.files[rule_id]
    name = before.document.name
    fault = _unbearable(text)
    if fault:
        return Trial(None, (Problem(name, 1, "R001", fault),))
    module = Module()
    file = read_rule(rule_id, read_text(text, name), bundle.overlay, bundle.vocabulary, module)
    file.tests, file.tests_document = before.tests, before.tests_document
    problems = tuple(_problems(bundle, file, now))
    if file.unit is None or any(problem.severity == "error" for problem in problems):
        return Trial(None, problems)
    digest = hashlib.sha256(f"{bundle.digest}\n{text}".encode()).hexdigest()
    program = build_programs([file.unit], module)[file.unit.rule.id]
    return Trial(bundle.with_rule(file, program, f"sha256:{digest}"), problems)


def _problems(bundle: Bundle, file: RuleFile, now: datetime.date | None) -> list[Problem]:
    """What lint says now and did not say of the bundle as it is, and all it says of this rule."""
    content = Content(
        vocabulary=bundle.vocabulary,
        evidence=bundle.evidence,
        orders=bundle.orders,
        orders_document=Document("orders.yaml"),
        sets=frozenset(bundle.codes.titles),
        analytes=frozenset(bundle.units.analytes),
        overlay=bundle.overlay,
        now=now,
    )
    others = [other for other in bundle.files.values() if other.folder != file.folder]
    found = rule_problems([file, *others], content)
    return sorted({one for one in found if one.severity == "error" or one.path == file.document.name})


def _unbearable(text: str) -> str:
    """Why a text is not even parsed: YAML aliases and deep nesting let a few bytes grow without bound."""
    if len(text) > LONGEST_RULE:
        return f"a rule has at most {LONGEST_RULE} characters"
    depth = 0
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.AliasEvent):
                return "YAML aliases are not used in rules"
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > _DEEPEST:
                return f"nested deeper than {_DEEPEST} levels"
    except UnicodeEncodeError:
        return "not valid YAML: a character that YAML does not allow"
    except yaml.YAMLError:
        return ""  # read_text says what is wrong, with the line
    return ""
