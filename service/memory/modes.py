"""Rules on trial: `silent` ones are decided and recorded only, `pilot` ones are shown to some.

Both must have an end (`until`), so that no rule stays on trial because nobody remembers it. Past its end a
rule stays as it is, and /readyz and a daily log line say so: switching a rule on or off is for people.
Source: users-and-ops.md 3.2, silent / pilot / live.
"""

import datetime as dt
import hashlib
from collections.abc import Iterator

from rules.engine import Bundle, Decision, Reason, RuleSettings

__all__ = ["in_pilot", "overdue", "silence_pilots", "trial_warnings"]

_TRIALS = ("silent", "pilot")


def silence_pilots(decision: Decision, client: str, patient_id: str, user_id: str) -> None:
    """Suppress the fired pilot rules whose pilot this call is not part of."""
    for outcome in decision.fired():
        rule = decision.bundle.programs[outcome.rule].rule
        if rule.mode == "pilot":
            settings = decision.bundle.overlay.settings(rule.id)
            if not in_pilot(rule.id, settings, client, patient_id, user_id):
                decision.suppress(
                    rule.id, Reason("MODE", "This rule is in a pilot that does not include this call")
                )


def in_pilot(rule_id: str, settings: RuleSettings, client: str, patient_id: str, user_id: str) -> bool:
    """Whether a call belongs to the pilot of a rule: by client, by user, or by the share of patients.

    A patient is always in or always out, and the patients of a smaller share are among those of a larger one.
    """
    if client in settings.clients or (user_id and user_id in settings.users):
        return True
    digest = hashlib.sha256(f"{rule_id}\n{client}\n{patient_id}".encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big") % 100 < settings.percent


def overdue(bundle: Bundle, today: dt.date) -> Iterator[str]:
    """Rules on trial whose end has passed, by id."""
    for rule_id, rule in bundle.rules.items():
        end = _end(bundle.overlay.settings(rule_id))
        if rule.mode in _TRIALS and end is not None and end < today:
            yield rule_id


def _end(settings: RuleSettings) -> dt.date | None:
    """The last day of a trial; None when there is none, or it is a day that does not exist."""
    try:
        return dt.date.fromisoformat(settings.until)
    except ValueError:
        return None


def trial_warnings(bundle: Bundle, today: dt.date) -> list[str]:
    """What is out of order with rules on trial, in sentences."""
    late = set(overdue(bundle, today))
    found = []
    for rule_id, rule in bundle.rules.items():
        settings = bundle.overlay.settings(rule_id)
        if rule.mode not in _TRIALS:
            continue
        if rule_id in late:
            found.append(f"{rule_id} is {rule.mode} past its end on {settings.until}.")
        elif _end(settings) is None:
            found.append(f"{rule_id} is {rule.mode} without an end: set `until` in the site file.")
        if rule.mode == "pilot" and not (settings.percent or settings.users or settings.clients):
            found.append(f"{rule_id} is in a pilot that includes nobody.")
    return found
