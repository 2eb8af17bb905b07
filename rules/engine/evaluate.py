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

# Called between the phases with the Decision so far; gives the engine facts (`fired.any`, ...) the second
# phase reads.
# The service's policy may suppress and lower rules here, and usually does: one fact counts before
# suppression, one after.
PhaseTwo = Callable[[Decision], Mapping[str, bool]]


def fired_facts(decision: Decision) -> dict[str, bool]:
    """The engine facts as the Decision stands, without any policy."""
    fired = decision.fired()
    serious = any(outcome.urgency != "info" for outcome in fired)
    return {"fired.any": bool(fired), "fired.critical_or_warning": serious}


def evaluate(
    bundle: Bundle,
    facts: FactSet,
    *,
    hook: str,
    now: datetime.datetime,
    scope: Reason | None = None,
    phase_two: PhaseTwo = fired_facts,
    only: Collection[str] | None = None,
) -> Decision:
    """Run the rules of a hook over the facts.

    With `scope` nothing is run and every rule is excluded for that reason: the call is not about anyone the
    rules cover. `only` limits the rules to those ids. A rule that fails is an `error` of its own and never
    "not fired"; the others go on.
    """
    schedule = bundle.schedule(hook)
    if only is not None:
        schedule = _limited(schedule, only)
    if scope is not None:
        programs = (*schedule.first, *schedule.second)
        outcomes = {program.rule.id: program.outcome("excluded", scope) for program in programs}
        return Decision(bundle, facts, hook, now, {**schedule.off, **outcomes})
    decision = Decision(bundle, facts, hook, now, dict(schedule.off))
    _run(schedule.first, decision)
    if schedule.second:
        for name, value in phase_two(decision).items():
            if name in bundle.vocabulary:
                facts.set(name, value)
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
    )
