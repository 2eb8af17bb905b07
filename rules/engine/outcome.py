"""What became of one rule in one call."""

from __future__ import annotations

from typing import Literal

import msgspec

from rules.engine.facts import Source
from rules.engine.rule import Urgency

__all__ = ["Outcome", "OutcomeKind", "Reason"]

OutcomeKind = Literal["fired", "not-fired", "excluded", "not-enough-data", "suppressed", "folded", "error"]


class Reason(msgspec.Struct, frozen=True):
    """Why a rule is not shown, or shown at another urgency.

    `code`: S1 to S10 (suppression), POPULATION, MODE, MODULE, SITE, SUPERSEDED or ERROR. `sources` are the
    records behind it. `lowers_to` is the urgency a suppression lowers the rule to; None where it silences it.
    """

    code: str
    text: str
    sources: tuple[Source, ...] = ()
    lowers_to: Urgency | None = None


class Outcome(msgspec.Struct, frozen=True):
    """The state of one rule. `urgency` is the current one, `base_urgency` that of the rule.

    `lead` names the rule a folded one is shown under, `folded` the rules shown under this one, `lowered` why
    the urgency is not the rule's own.
    """

    rule: str
    version: str
    urgency: Urgency
    base_urgency: Urgency
    outcome: OutcomeKind
    reason: Reason | None = None
    lead: str | None = None
    folded: tuple[str, ...] = ()
    lowered: Reason | None = None
