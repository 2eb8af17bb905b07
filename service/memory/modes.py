"""Rules on trial: `silent` ones are decided and recorded only, `pilot` ones are shown to some.

Both must have an end (`until`), so that no rule stays on trial because nobody remembers it. Past its end a
rule stays as it is, and /readyz and a daily log line say so: switching a rule on or off is for people.
Source: users-and-ops.md 3.2, silent / pilot / live.
"""

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator

import msgspec

from rules.engine import Bundle, Decision, Reason, RuleSettings

__all__ = ["Origin", "in_pilot", "overdue", "silence_pilots", "trial_warnings"]

_TRIALS = ("silent", "pilot")


class Origin(msgspec.Struct, frozen=True):
    """Whose call it is, and from where: "Location/id" and "Organization/id" of its encounter."""

    client: str
    patient_id: str
    user_id: str = ""
    places: frozenset[str] = frozenset()


def silence_pilots(decision: Decision, origin: Callable[[], Origin]) -> None:
    """Suppress the fired pilot rules whose pilot this call is not part of. `origin` is asked only if there
    are any.
    """
    known: Origin | None = None
    for outcome in decision.fired():
        rule = decision.bundle.programs[outcome.rule].rule
        if rule.mode == "pilot":
            known = known or origin()
            if not in_pilot(rule.id, decision.bundle.overlay.settings(rule.id), known):
                decision.suppress(
                    rule.id, Reason("MODE", "This rule is in a pilot that does not include this call")
                )


def in_pilot(rule_id: str, settings: RuleSettings, origin: Origin) -> bool:
    """Whether a call belongs to the pilot of a rule: by client, user, location, or the share of patients.

    A patient is always in or always out of a share, and the patients of a smaller share are among those of a
    larger one.
    """
    if origin.client in settings.clients or (origin.user_id and origin.user_id in settings.users):
        return True
    if not origin.places.isdisjoint(settings.locations):
        return True
    told = f"{rule_id}\n{origin.client}\n{origin.patient_id}"
    digest = hashlib.sha256(told.encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big") % 100 < settings.percent


def overdue(bundle: Bundle, today: dt.date) -> Iterator[str]:
    """Rules on trial whose end has passed, by id."""
    for rule_id, rule in bundle.rules.items():
        until = bundle.overlay.settings(rule_id).until
        if rule.mode in _TRIALS and until and dt.date.fromisoformat(until) < today:
            yield rule_id


def trial_warnings(bundle: Bundle, today: dt.date) -> list[str]:
    """Rules on trial past their end, in sentences. What a site file lacks is among the bundle's warnings."""
    return [
        f"{rule_id} is {bundle.rules[rule_id].mode} past its end on {bundle.overlay.settings(rule_id).until}."
        for rule_id in overdue(bundle, today)
    ]
