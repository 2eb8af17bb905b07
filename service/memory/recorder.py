"""From an Answer to rows. All but the first step runs in the writer's thread, after the answer has gone out.

Kept of the data are the facts of fired rules: coded values, numbers and dates. No source, note or text goes
with them. A rule's outcome takes one letter, so that a call takes some hundred bytes and equal calls are
grouped by the database.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import orjson

from rules.engine import Bundle, Decision, Fact, OutcomeKind, Span
from service.answering import Answer
from service.cards import FINDINGS
from service.memory.fingerprint import Watch
from service.memory.patients import Pseudonyms
from service.memory.rows import BundleRow, CallRow, CardRow, opaque
from service.outcomes import Outcome

__all__ = ["NOT_RUN", "OUTCOME_LETTERS", "Passage", "Recorder", "expand"]

OUTCOME_LETTERS: Mapping[OutcomeKind, str] = {
    "not-fired": "n",
    "fired": "F",
    "excluded": "x",
    "not-enough-data": "u",
    "suppressed": "s",
    "folded": "f",
    "error": "e",
}
NOT_RUN = "."
_KINDS: Mapping[str, OutcomeKind] = {letter: kind for kind, letter in OUTCOME_LETTERS.items()}
_HELD = ("fired", "suppressed", "folded")


def expand(rules: str, outcomes: str) -> dict[str, OutcomeKind]:
    """Rule -> outcome, from a BundleRow's rules and a CallRow's outcomes. Rules that were not run are left
    out.
    """
    names = [name for name, _ in orjson.loads(rules)]
    return {name: _KINDS[letter] for name, letter in zip(names, outcomes, strict=True) if letter != NOT_RUN}


class Passage(msgspec.Struct, frozen=True):
    """What a record is made of. It leaves the patient's record behind: answers that waited with theirs, be it
    for a twentieth of a second, doubled the cost of a call, because their memory could not be used again.

    `cards` are ids and findings, `left_out` counts by name, and `outcomes` says how each prefetch key ended.
    """

    client: str
    hook: str
    instance: str
    at: float
    patient_id: str
    user_id: str | None
    encounter_id: str | None
    decision: Decision
    cards: Sequence[tuple[str, Sequence[Mapping[str, str]]]]
    outcomes: Mapping[str, Outcome]
    left_out: Mapping[str, int]
    milliseconds: Mapping[str, float]

    @classmethod
    def of(cls, answered: Answer, client: str) -> "Passage":
        call = answered.call
        return cls(
            client,
            call.hook,
            call.instance,
            call.now.timestamp(),
            call.context.patient_id,
            call.context.user_id,
            call.context.encounter_id,
            answered.decision,
            [(card.uuid, card.extension[FINDINGS]) for card in answered.cards],
            answered.outcomes,
            {
                "malformed": len(answered.problems),
                "unread": answered.unread,
                "other_patient": sum(answered.dropped.values()),
                "uncoded": sum(answered.uncoded.values()),
            },
            answered.milliseconds,
        )


class _Shape(msgspec.Struct, frozen=True):
    """What the records of one bundle have in common. `slots`: rule -> (fact, slot) of what it reads and
    shows.
    """

    row: BundleRow
    rules: tuple[str, ...]
    slots: Mapping[str, tuple[tuple[str, int], ...]]
    read: Mapping[str, tuple[tuple[str, int], ...]]
    watch: Watch


class Recorder:
    """Builds rows. Not shared between threads."""

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms = pseudonyms
        self._shapes: dict[str, _Shape] = {}

    def rows(self, passage: Passage) -> tuple[BundleRow, CallRow, list[CardRow]]:
        """The bundle, the call and its cards."""
        decision, client = passage.decision, passage.client
        shape = self._shapes.get(decision.bundle.digest)
        if shape is None:
            shape = self._shapes[decision.bundle.digest] = _shape(decision.bundle, passage.at)
        row = CallRow(
            at=passage.at,
            instance=opaque(passage.instance),
            hook=passage.hook,
            client=client,
            bundle=decision.bundle.digest,
            patient=self._pseudonyms.of(client, passage.patient_id),
            clinician=self._hash(client, passage.user_id),
            encounter=self._pseudonyms.of_encounter(client, passage.patient_id, passage.encounter_id),
            cards=len(passage.cards),
            outcomes=_letters(decision, shape),
            moved=_json(_moved(decision)),
            facts=_json(_facts(decision, shape)),
            missing=_json(_missing(decision, shape)),
            cut=_json(_cut(passage)),
            spent=_json({step: round(spent, 2) for step, spent in passage.milliseconds.items()}),
            total_ms=round(passage.milliseconds.get("total", 0.0), 2),
        )
        return shape.row, row, _cards(passage, row, shape)

    def _hash(self, client: str, identifier: str | None) -> str:
        return self._pseudonyms.of(client, identifier) if identifier else ""


def _shape(bundle: Bundle, at: float) -> _Shape:
    rules = tuple(bundle.programs)
    versions = [[name, bundle.programs[name].rule.version] for name in rules]

    def slots(names: Any) -> tuple[tuple[str, int], ...]:
        return tuple((name, bundle.vocabulary.spec(name).slot) for name in dict.fromkeys(names))

    return _Shape(
        BundleRow(bundle.digest, bundle.version, _json(versions), at),
        rules,
        {name: slots((*bundle.programs[name].facts, *bundle.programs[name].rule.show)) for name in rules},
        {name: slots(bundle.programs[name].facts) for name in rules},
        Watch(bundle),
    )


def _letters(decision: Decision, shape: _Shape) -> str:
    outcomes = decision.outcomes
    return "".join(
        [OUTCOME_LETTERS[outcomes[rule].outcome] if rule in outcomes else NOT_RUN for rule in shape.rules]
    )


def _moved(decision: Decision) -> dict[str, str]:
    """Rule -> why it is not shown at its own urgency. Rules about other patients are not among them."""
    moved = {}
    for outcome in decision.outcomes.values():
        reason = outcome.reason or outcome.lowered
        if reason is not None and outcome.outcome in ("fired", "suppressed", "folded", "error"):
            moved[outcome.rule] = reason.code
    return moved


def _facts(decision: Decision, shape: _Shape) -> dict[str, list[Any]]:
    facts: dict[str, list[Any]] = {}
    for rule, outcome in decision.outcomes.items():
        if outcome.outcome in _HELD:
            for name, slot in shape.slots[rule]:
                if decision.facts.values[slot] is not None and name not in facts:
                    facts[name] = _known(decision.facts.get(name))
    return facts


def _known(fact: Fact) -> list[Any]:
    value = fact.value
    if isinstance(value, Span):
        value = [value.low, value.mid, value.high]
    return [value, fact.date.isoformat() if fact.date is not None else None]


def _missing(decision: Decision, shape: _Shape) -> list[str]:
    values = decision.facts.values
    unknown = [
        name
        for rule, outcome in decision.outcomes.items()
        if outcome.outcome == "not-enough-data"
        for name, slot in shape.read[rule]
        if values[slot] is None
    ]
    return list(dict.fromkeys(unknown))


def _cut(passage: Passage) -> dict[str, Any]:
    """What of the data was left out: keys of our own templates and counts, only those that are not empty."""
    failed = [key for key, outcome in passage.outcomes.items() if not outcome.had]
    counts = {name: count for name, count in passage.left_out.items() if count}
    return {"failed": failed, **counts} if failed else counts


def _cards(passage: Passage, call: CallRow, shape: _Shape) -> list[CardRow]:
    """One row for each rule a card stands for. Rules that are only named on a card (S10) were not shown."""
    rows = []
    decision = passage.decision
    for card, findings in passage.cards:
        for finding in findings:
            outcome = decision[finding["rule"]]
            if outcome.reason is not None and outcome.reason.code == "S10":
                continue
            rule = decision.bundle.programs[outcome.rule].rule
            rows.append(
                CardRow(
                    card=card,
                    rule=rule.id,
                    patient=call.patient,
                    at=call.at,
                    instance=call.instance,
                    hook=call.hook,
                    client=call.client,
                    bundle=call.bundle,
                    clinician=call.clinician,
                    encounter=call.encounter,
                    version=rule.version,
                    urgency=outcome.urgency,
                    role=finding["role"],
                    mode=rule.mode,
                    fingerprint=shape.watch.fingerprint(rule, decision.facts).encode(),
                )
            )
    return rows


def _json(value: Any) -> str:
    # Spans of open length hold infinity, which JSON writes as null.
    return orjson.dumps(value).decode()
