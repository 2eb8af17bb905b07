"""Decisions as plain data, for /decisions/explain, the store, and the terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rules.engine.explain import LEAF, Node
from rules.engine.facts import Fact, FactSet, Source
from rules.engine.outcome import Outcome, Reason
from rules.engine.spans import Span
from rules.engine.text import said

if TYPE_CHECKING:
    from rules.engine.decision import Decision

__all__ = ["decision_json", "fact_json", "node_json"]


def decision_json(decision: Decision) -> dict[str, Any]:
    """Keys: bundle, now, hook, facts, rules. Only JSON types inside. A rule that failed has no tree."""
    bundle, facts = decision.bundle, decision.facts
    near = frozenset(decision.near_misses())
    needed = bundle.needed(decision.hook)
    shown = [fact for fact in facts.all_facts() if fact.known or fact.note or fact.name in needed]
    return {
        "bundle": {"version": bundle.version, "digest": bundle.digest},
        "now": decision.now.isoformat(),
        "hook": decision.hook,
        "facts": [fact_json(fact, facts) for fact in shown],
        "rules": [_rule_json(decision, outcome, near) for outcome in decision.outcomes.values()],
    }


def _rule_json(decision: Decision, outcome: Outcome, near: frozenset[str]) -> dict[str, Any]:
    failed = outcome.outcome == "error"
    return {
        "rule": outcome.rule,
        "version": outcome.version,
        "title": decision.bundle.programs[outcome.rule].rule.title,
        "outcome": outcome.outcome,
        "urgency": outcome.urgency,
        "base_urgency": outcome.base_urgency,
        "reason": _reason_json(outcome.reason),
        "lowered": _reason_json(outcome.lowered),
        "lead": outcome.lead,
        "folded": list(outcome.folded),
        "tree": None if failed else node_json(decision.tree(outcome.rule)),
        "near_miss": outcome.rule in near,
        "would_fire_if": [] if failed else decision.would_fire_if(outcome.rule),
        "missing": [] if failed else list(decision.missing(outcome.rule)),
    }


def _reason_json(reason: Reason | None) -> dict[str, Any] | None:
    if reason is None:
        return None
    return {
        "code": reason.code,
        "text": reason.text,
        "sources": [_source_json(one) for one in reason.sources],
    }


def _source_json(source: Source) -> dict[str, str]:
    return {"resource": source.resource, "code": source.code, "key": source.key}


def node_json(node: Node) -> dict[str, Any]:
    """A criterion. `value` is "true", "false" or "unknown": null would read as a missing member."""
    found: dict[str, Any] = {"kind": node.kind, "says": node.says, "value": _VALUES[node.value]}
    if node.assumed:
        found["assumed"] = node.unknown_says or "unknown, taken as such"
    if node.kind == LEAF:
        return {**found, "cel": node.cel, "facts": [fact.name for fact in node.facts]}
    if node.n:
        found["n"] = node.n
    return {**found, "children": [node_json(child) for child in node.children]}


_VALUES = {True: "true", False: "false", None: "unknown"}


def fact_json(fact: Fact, facts: FactSet) -> dict[str, Any]:
    """A fact with its value as data and in words."""
    spec = facts.vocabulary.spec(fact.name)
    return {
        "name": fact.name,
        "says": spec.says,
        "known": fact.known,
        "value": _plain(fact.value),
        "words": said(spec, fact.value),
        "date": fact.dated or None,
        "note": fact.note,
        "sources": [_source_json(source) for source in fact.sources],
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Span):
        ends = {"low": _finite(value.low), "high": _finite(value.high), "mid": value.mid}
        return {**ends, "low_open": value.low_open, "high_open": value.high_open}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return value


def _finite(end: float) -> float | None:
    return end if math.isfinite(end) else None
