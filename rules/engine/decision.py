"""The Decision: the one record of a call that cards, pages, logs and the back-test all look at."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import msgspec

from rules.engine import explain
from rules.engine.bundle import Bundle
from rules.engine.errors import DecisionError
from rules.engine.explain import Node
from rules.engine.export import decision_json
from rules.engine.facts import FactSet
from rules.engine.outcome import Outcome, Reason
from rules.engine.rule import Urgency, severity

__all__ = ["Decision"]


class Decision:
    """What the rules made of one call's facts.

    `outcomes` has one entry for each rule of the hook. Evaluation fills it; afterwards only the methods here
    change it, and only so that it stays consistent: a fired rule can be suppressed, lowered, or folded under
    another fired one.
    """

    __slots__ = ("_trees", "bundle", "facts", "hook", "now", "outcomes")

    def __init__(
        self, bundle: Bundle, facts: FactSet, hook: str, now: datetime.datetime, outcomes: dict[str, Outcome]
    ) -> None:
        self.bundle = bundle
        self.facts = facts
        self.hook = hook
        self.now = now
        self.outcomes = outcomes
        self._trees: dict[str, Node] = {}

    def __getitem__(self, rule_id: str) -> Outcome:
        """The outcome of a rule; DecisionError when the hook does not run it."""
        outcome = self.outcomes.get(rule_id)
        if outcome is None:
            raise DecisionError(f"no outcome for rule {rule_id} at {self.hook}")
        return outcome

    def fired(self) -> list[Outcome]:
        """Rules that fire and stand on their own, not suppressed or folded. Most urgent first, then by id."""
        found = [outcome for outcome in self.outcomes.values() if outcome.outcome == "fired"]
        return sorted(found, key=lambda outcome: (severity(outcome.urgency), outcome.rule))

    # moves

    def suppress(self, rule_id: str, reason: Reason) -> None:
        """Take a fired rule off the cards. One that leads others had to be suppressed before that."""
        outcome = self._fired(rule_id)
        if outcome.folded:
            raise DecisionError(f"{rule_id} leads {', '.join(outcome.folded)} and cannot be suppressed")
        self._put(outcome, outcome="suppressed", reason=reason)

    def lower(self, rule_id: str, urgency: Urgency, reason: Reason) -> None:
        """Show a fired rule at a lower urgency. Never raises it."""
        outcome = self._fired(rule_id)
        if severity(urgency) < severity(outcome.urgency):
            raise DecisionError(f"{rule_id} cannot be raised from {outcome.urgency} to {urgency}")
        self._put(outcome, urgency=urgency, lowered=reason)

    def fold(self, rule_id: str, lead_id: str, reason: Reason) -> None:
        """Show a fired rule under another fired one. What it led itself goes with it."""
        outcome, lead = self._fired(rule_id), self._fired(lead_id)
        if rule_id == lead_id:
            raise DecisionError(f"{rule_id} cannot be folded into itself")
        moved = (rule_id, *outcome.folded)
        self._put(outcome, outcome="folded", reason=reason, lead=lead_id, folded=())
        for below in outcome.folded:
            self._put(self[below], lead=lead_id)
        self._put(lead, folded=lead.folded + moved)

    def _fired(self, rule_id: str) -> Outcome:
        outcome = self[rule_id]
        if outcome.outcome != "fired":
            raise DecisionError(f"{rule_id} is {outcome.outcome}: only a fired rule can be moved")
        return outcome

    def _put(self, current: Outcome, **changes: Any) -> None:
        self.outcomes[current.rule] = msgspec.structs.replace(current, **changes)

    # explanation, built when asked for

    def tree(self, rule_id: str) -> Node:
        """The criteria of a rule with their values over this call's facts; DecisionError when it failed."""
        if self[rule_id].outcome == "error":
            raise DecisionError(f"{rule_id} could not be evaluated and cannot be explained")
        if rule_id not in self._trees:
            self._trees[rule_id] = explain.build_tree(self.bundle.programs[rule_id], self.facts)
        return self._trees[rule_id]

    def would_fire_if(self, rule_id: str) -> list[str]:
        """What would have to be different for the rule to fire, in sentences; empty when its criteria are
        met.
        """
        return explain.would_fire_if(self.tree(rule_id), self.facts)

    def missing(self, rule_id: str) -> tuple[str, ...]:
        """The facts the rule read and found unknown."""
        return explain.missing_facts(self.tree(rule_id))

    def near_misses(self) -> list[str]:
        """Rules about this patient that are one top-level criterion away from firing, by id."""
        return sorted(rule_id for rule_id in self._evaluated() if explain.near_miss(self.tree(rule_id)))

    def _evaluated(self) -> Iterator[str]:
        kinds = ("not-fired", "not-enough-data")
        return (rule_id for rule_id, outcome in self.outcomes.items() if outcome.outcome in kinds)

    def to_json(self) -> dict[str, Any]:
        """The whole Decision as plain data: facts with their sources, and each rule with outcome, tree and
        what is missing.
        """
        return decision_json(self)
