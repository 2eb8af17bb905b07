"""S6: a rule that was answered for this patient stays quiet for a while, unless something is new or worse.

Source: rules.yaml suppression_codes S6: accepted or overridden at most 30 days ago with unchanged facts;
critical rules 24 hours only. A site can set other times for rules that are not critical, by the reason of the
override (`quiet_days` of its file). Whatever is in doubt is shown: an answer from the future, one at a lower
urgency than the rule has now, one whose fingerprint cannot be read, or a store that cannot be asked.
"""

import datetime as dt
from collections.abc import Mapping, Sequence

import msgspec

from rules.engine import Decision, Outcome, Reason, Rule, Urgency, severity
from service.memory.fingerprint import Fingerprint, Watch
from service.memory.rows import AnswerRow

__all__ = ["CRITICAL_QUIET", "silence_answered"]

CRITICAL_QUIET = dt.timedelta(hours=24)
# Clocks of replicas differ a little; an answer from further ahead means that a clock was set back.
_SKEW = dt.timedelta(minutes=5)
_URGENCIES: Mapping[str, Urgency] = {"critical": "critical", "warning": "warning", "info": "info"}


def silence_answered(
    decision: Decision, answers: Sequence[AnswerRow], watch: Watch, now: dt.datetime, clinician: str = ""
) -> None:
    """Suppress the fired rules that `answers` already settle. With `clinician`, only that one's answers
    count.

    Call it after the other suppressions and before folding.
    """
    newest: dict[str, AnswerRow] = {}
    for answer in sorted(answers, key=lambda answer: answer.at):
        if not clinician or answer.clinician == clinician:
            newest[answer.rule] = answer
    quiet: list[Rule] = []
    for outcome in decision.fired() if newest else ():
        rule = decision.bundle.programs[outcome.rule].rule
        found = newest.get(outcome.rule)
        if (
            found is not None
            and "S6" in rule.suppression
            and _settles(found, outcome, now, _quiet(decision, rule, found))
            and _nothing_new(decision, rule, found, watch)
        ):
            decision.suppress(rule.id, Reason("S6", f"{_said(found)}; nothing is new since"))
            quiet.append(rule)
    _follow(decision, quiet)


def _quiet(decision: Decision, rule: Rule, answer: AnswerRow) -> dt.timedelta:
    if rule.urgency == "critical":
        return CRITICAL_QUIET
    reason = answer.reason if answer.outcome == "overridden" else ""
    return dt.timedelta(days=decision.bundle.overlay.quiet_after(reason))


def _settles(answer: AnswerRow, outcome: Outcome, now: dt.datetime, quiet: dt.timedelta) -> bool:
    age = now - dt.datetime.fromtimestamp(answer.at, dt.UTC)
    then = _URGENCIES.get(answer.urgency)
    if then is None or not -_SKEW <= age <= quiet:
        return False
    return severity(outcome.urgency) >= severity(then)


def _nothing_new(decision: Decision, rule: Rule, answer: AnswerRow, watch: Watch) -> bool:
    try:
        earlier = Fingerprint.decode(answer.fingerprint)
    except msgspec.DecodeError:
        return False
    return not watch.fingerprint(rule, decision.facts).adds_to(earlier)


def _said(answer: AnswerRow) -> str:
    day = dt.datetime.fromtimestamp(answer.at, dt.UTC).date().isoformat()
    return f"Answered on {day} ({answer.outcome})"


def _follow(decision: Decision, quiet: Sequence[Rule]) -> None:
    """Keep advice of the lowest urgency as quiet as the answered card it would have been folded into: else
    the passing of days alone would bring it up in that card's place.
    """
    for outcome in decision.fired() if quiet else ():
        over = next((rule for rule in quiet if outcome.rule in rule.supersedes), None)
        if over is not None and outcome.urgency == "info":
            decision.suppress(outcome.rule, Reason("S6", f"Part of an answered card: {over.title}"))
