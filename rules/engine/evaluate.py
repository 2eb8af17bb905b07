"""Facts and `now` to a Decision."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Collection, Mapping, Sequence

from rules.engine.bundle import Bundle, Schedule
from rules.engine.decision import Decision
from rules.engine.facts import FactSet
from rules.engine.outcome import Outcome, Reason
from rules.engine.program import Program

__all__ = ["PhaseTwo", "evaluate", "fired_facts"]

_MOST_TITLES = 2

# Called between the phases with the Decision so far, and with one of the rules of other hooks, which is shown
# to nobody; gives the rules behind the engine facts (`fired.any`, ...) that the second phase reads.
# The service's policy may suppress and lower rules here, and usually does: one fact counts before
# suppression, one after.
PhaseTwo = Callable[[Decision, Decision], Mapping[str, Sequence[str]]]


def fired_facts(decision: Decision, beside: Decision) -> dict[str, list[str]]:
    """The rules behind the engine facts as the Decisions stand, without any policy."""
    fired = [*decision.fired(), *beside.fired()]
    return {
        "fired.any": [outcome.rule for outcome in fired],
        "fired.critical_or_warning": [outcome.rule for outcome in fired if outcome.urgency != "info"],
    }


def evaluate(
    bundle: Bundle,
    facts: FactSet,
    *,
    hook: str,
    now: datetime.datetime,
    phase_two: PhaseTwo = fired_facts,
    only: Collection[str] | None = None,
) -> Decision:
    """Run the rules of a hook over the facts.

    `only` limits the rules to those ids. A rule that fails is an `error` of its own and never "not fired";
    the others go on.
    """
    schedule = bundle.schedule(hook)
    if only is not None:
        schedule = _limited(schedule, only)
    decision = Decision(bundle, facts, hook, now, dict(schedule.off))
    _run(schedule.first, decision)
    if schedule.second:
        beside = Decision(bundle, facts, hook, now, {})
        _run(schedule.beside, beside)
        for name, rules in phase_two(decision, beside).items():
            if name in bundle.vocabulary:
                facts.set(name, bool(rules), note=_titles(bundle, rules))
        _run(schedule.second, decision)
    return decision


def _run(programs: Sequence[Program], decision: Decision) -> None:
    values, outcomes = decision.facts.values, decision.outcomes
    for program in programs:
        try:
            outcome = program.outcomes[program.run(values)]
        except Exception as error:  # a fault in one rule must cost neither the others nor the answer
            outcome = _failed(program, error)
        outcomes[program.rule.id] = outcome


def _titles(bundle: Bundle, rules: Sequence[str]) -> str:
    """What an engine fact rests on, in words; the rest is counted."""
    named = [bundle.programs[rule].rule.title for rule in rules[:_MOST_TITLES]]
    more = len(rules) - len(named)
    return "; ".join(named) + (f"; {more} more" if more else "")


def _failed(program: Program, error: Exception) -> Outcome:
    """The error's type only: its text could hold a value from the record."""
    return program.outcome(
        "error", Reason("ERROR", f"The rule could not be evaluated ({type(error).__name__})")
    )


def _limited(schedule: Schedule, only: Collection[str]) -> Schedule:
    return Schedule(
        tuple(program for program in schedule.first if program.rule.id in only),
        tuple(program for program in schedule.second if program.rule.id in only),
        {rule_id: outcome for rule_id, outcome in schedule.off.items() if rule_id in only},
        schedule.beside,
    )
