"""What the store keeps, as typed rows. Times are seconds since 1970 UTC; JSON members are text.

None of them holds a name, free text, a token or an identifier of a person: patient, clinician and encounter
are keyed hashes (service.memory.patients), and ids that a client makes up are kept as they are only when they
are UUIDs.
"""

import hashlib
import re

import msgspec

__all__ = [
    "AnswerRow",
    "BundleRow",
    "CallRow",
    "CardRow",
    "FeedbackRow",
    "SwitchRow",
    "UnmappedRow",
    "opaque",
]

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")


def opaque(identifier: str) -> str:
    """A hookInstance or card id in the form it is kept: one that is no UUID may hold anything,
    so its hash.
    """
    if _UUID.match(identifier):
        return identifier.lower()
    return f"sha256:{hashlib.sha256(identifier.encode(errors='surrogatepass')).hexdigest()[:32]}"


class BundleRow(msgspec.Struct, frozen=True):
    """A rule bundle that decided. `rules` is JSON: rule id and version by place, so that a call's outcomes
    take one letter each.
    """

    digest: str
    version: str
    rules: str
    at: float


class CallRow(msgspec.Struct, frozen=True):
    """One hook call.

    `outcomes` has one letter for each rule of the bundle (OUTCOME_LETTERS, "." for rules the hook does not
    run). JSON: `moved` rule -> reason code of what was suppressed, folded, lowered or failed; `facts` of
    fired rules name -> [value, date]; `missing` the unknown facts of rules that could not tell; `cut` what
    was left out of the data; `spent` milliseconds by step.
    """

    at: float
    instance: str
    hook: str
    client: str
    bundle: str
    patient: str
    clinician: str
    encounter: str
    cards: int
    outcomes: str
    moved: str
    facts: str
    missing: str
    cut: str
    spent: str
    total_ms: float


class CardRow(msgspec.Struct, frozen=True):
    """One rule on one card that was sent; `role` is lead or folded."""

    card: str
    rule: str
    patient: str
    at: float
    instance: str
    hook: str
    client: str
    bundle: str
    clinician: str
    encounter: str
    version: str
    urgency: str
    role: str
    mode: str
    fingerprint: str


class FeedbackRow(msgspec.Struct, frozen=True):
    """What a clinician did with a card. `id` is the same for the same entry sent again. `sent` is the
    client's time, `at` ours. `commented` tells that there was a comment, which is not kept.
    """

    id: str
    card: str
    at: float
    client: str
    outcome: str
    reason_system: str
    reason: str
    accepted: int
    commented: int
    sent: float | None


class AnswerRow(msgspec.Struct, frozen=True):
    """The last word on a rule for a patient: what S6 looks at. `reason` is the code of an override's."""

    rule: str
    at: float
    outcome: str
    urgency: str
    clinician: str
    fingerprint: str
    reason: str = ""


class UnmappedRow(msgspec.Struct, frozen=True):
    """How often, on the day that begins at `at`, a code came that is in no value set, beside one that is.
    `system` is the short name of a published terminology.
    """

    at: float
    system: str
    code: str
    seen: int


class SwitchRow(msgspec.Struct, frozen=True):
    """A kill switch thrown or taken back. `kind` is service, module, rule or client; `target` empty for the
    service.
    """

    at: float
    kind: str
    target: str
    off: int
    who: str
    why: str
