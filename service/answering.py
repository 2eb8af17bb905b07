"""One hook call from typed request to cards: record, facts, decision, policy, cards. No I/O and no clock.

Everything that was seen, left out or cut on the way is kept beside the Decision, so that an explanation and a
log line show the same call. Source: CDS Hooks 2.0.1.
"""

import datetime as dt
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from hooks import Card, Context, Response
from rules.engine import Decision, Reason, evaluate
from service.cards import Writer
from service.decode import Problem
from service.facts.dates import Calendar
from service.facts.derivation import Derivation
from service.facts.extract import extract
from service.facts.laboratory import unreadable
from service.facts.reading import read, read_drafts
from service.facts.record import Record
from service.facts.results import Result
from service.knowledge import Knowledge
from service.outcomes import Outcome
from service.policy import Coverage, between_phases, coverage, fold, suppress
from service.prefetch import Gathered
from service.resources import Resource

__all__ = ["POLICY_FACTS", "Answer", "Call", "Considered", "conclude", "consider", "decide", "explanation"]

# Facts that coverage, suppression and every card read, whatever the rules of the hook read.
POLICY_FACTS = frozenset(
    {
        "person.age",
        "person.sex",
        "person.deceased",
        "person.pregnant",
        "pain.axial.current",
        "pain.back.current",
        "pain.hip.current",
        "pain.pelvic.current",
        "pain.bone.current",
        "pain.lumbar.current",
        "pain.radicular.current",
        "pain.thoracic.current",
        "pain.progressive",
        "neuro.any_new",
        "care.palliative",
        "care.known_and_managed",
        "care.cancer_referral_active",
        "cancer.suspected",
        "imaging.studies",
        "orders.active",
        "orders.draft",
    }
)

# Users of a patient's app. A card speaks to clinicians, of cancer and of what to rule out.
_LAYPEOPLE = ("Patient/", "RelatedPerson/")
_NOT_FOR_LAYPEOPLE = Reason("AUDIENCE", "The user is the patient or a relative; cards are for clinicians")

# What a prefetch key holds, in the words of a card.
_DATA = {
    "patient": "personal data",
    "conditions": "problem list",
    "encounters": "visits",
    "labs": "laboratory results",
    "findings": "findings",
    "procedures": "procedures",
    "medications": "medicines",
    "imaging": "imaging reports",
    "studies": "imaging studies",
    "orders": "orders",
    "questionnaires": "questionnaires",
    "careplans": "care plans",
    "flags": "flags",
}


class Call(msgspec.Struct, frozen=True):
    """What the hook said: `hook` is the one the rules run for, `instance` its hookInstance, `now` an aware
    time, `fhir_server` the base the data is said to come from.
    """

    hook: str
    instance: str
    context: Context[Resource]
    now: dt.datetime
    public_url: str = ""
    fhir_server: str = ""


class Answer(msgspec.Struct, frozen=True):
    """The answer to a call with all that explains it. `unread` counts the results that its cards say could
    not be read; `milliseconds` are by step.
    """

    call: Call
    decision: Decision
    cards: tuple[Card, ...]
    coverage: Coverage
    outcomes: Mapping[str, Outcome]
    problems: Sequence[Problem]
    derivation: Derivation
    unread: int
    dropped: Mapping[str, int]
    uncoded: Mapping[str, int]
    milliseconds: Mapping[str, float]

    @property
    def response(self) -> Response:
        return Response(cards=self.cards)


class Considered(msgspec.Struct, frozen=True):
    """A call whose rules have run and been suppressed as far as its data decides; nothing is folded yet.

    `started`, `extracted` and `decided` are readings of a clock in seconds.
    """

    call: Call
    gathered: Gathered
    record: Record
    derivation: Derivation
    decision: Decision
    started: float
    extracted: float
    decided: float


def consider(knowledge: Knowledge, call: Call, gathered: Gathered) -> Considered:
    """Decide over gathered data. Raises only what is a fault of this code: rules fail one by
    one, data never.
    """
    started = time.perf_counter()
    record = _record(knowledge, call, gathered)
    derivation = _facts(knowledge, call, record, gathered)
    extracted = time.perf_counter()
    decision = _decision(knowledge, call, derivation)
    return Considered(call, gathered, record, derivation, decision, started, extracted, time.perf_counter())


def conclude(knowledge: Knowledge, considered: Considered) -> Answer:
    """Fold what still stands into cards, and write them."""
    began = time.perf_counter()
    call, gathered, decision = considered.call, considered.gathered, considered.decision
    derivation = considered.derivation
    shown = fold(decision)
    unread = unreadable(derivation, newest_only=True) if shown else ()
    missing = [_lacking(key, outcome) for key, outcome in gathered.outcomes.items() if outcome.says()]
    writer = Writer(
        decision,
        knowledge.templates,
        instance=call.instance,
        today=derivation.calendar.now.date(),
        unread=unread,
        missing=missing,
        context=call.context,
        public_url=call.public_url,
    )
    cards = tuple(writer.card(card) for card in shown)
    return Answer(
        call,
        decision,
        cards,
        coverage(decision.facts),
        gathered.outcomes,
        gathered.problems,
        derivation,
        len(unread),
        considered.record.dropped,
        considered.record.uncoded,
        {
            "facts": (considered.extracted - considered.started) * 1000,
            "rules": (considered.decided - considered.extracted) * 1000,
            "cards": (time.perf_counter() - began) * 1000,
        },
    )


def decide(knowledge: Knowledge, call: Call, gathered: Gathered) -> Answer:
    """`consider` and `conclude` with nothing remembered in between."""
    return conclude(knowledge, consider(knowledge, call, gathered))


def _record(knowledge: Knowledge, call: Call, gathered: Gathered) -> Record:
    record = Record(
        call.context.patient_id,
        calendar=Calendar(call.now, knowledge.zone),
        codes=knowledge.bundle.codes,
        units=knowledge.bundle.units,
        palliative_sources=frozenset(knowledge.bundle.overlay.palliative_sources),
        questions=knowledge.questions,
    )
    read(record, gathered.resources)
    read_drafts(record, call.context.drafts())
    return record


def _facts(knowledge: Knowledge, call: Call, record: Record, gathered: Gathered) -> Derivation:
    sex = record.patient.gender if record.patient is not None else None
    wanted = knowledge.bundle.needed(call.hook) | POLICY_FACTS
    return extract(
        record,
        knowledge.bundle.vocabulary,
        wanted,
        gathered.available,
        knowledge.upper_limits(sex or "unknown"),
    )


def _decision(knowledge: Knowledge, call: Call, derivation: Derivation) -> Decision:
    today = derivation.calendar.now.date()
    decision = evaluate(
        knowledge.bundle,
        derivation.facts,
        hook=call.hook,
        now=derivation.calendar.now,
        phase_two=lambda decision, beside: between_phases(decision, beside, today),
    )
    suppress(decision, today)
    if (call.context.user_id or "").startswith(_LAYPEOPLE):
        for outcome in decision.fired():
            decision.suppress(outcome.rule, _NOT_FOR_LAYPEOPLE)
    return decision


def explanation(answer: Answer) -> dict[str, Any]:
    """The whole Decision and how the data came, as plain data for `POST /decisions/explain`."""
    decision = answer.decision
    return {
        "hook": answer.call.hook,
        "hookInstance": answer.call.instance,
        "coverage": msgspec.to_builtins(answer.coverage),
        **decision.to_json(),
        "data": {
            "prefetch": {key: _ended(outcome) for key, outcome in answer.outcomes.items()},
            "problems": msgspec.to_builtins(answer.problems),
            "unreadable": [_unread(result) for result in unreadable(answer.derivation, newest_only=False)],
            "otherPatient": dict(Counter(answer.dropped)),
            "otherServers": _others(answer),
            "uncoded": {
                "counts": dict(answer.uncoded),
                "says": f"uncoded: {sum(answer.uncoded.values())} entries not read",
            },
        },
        "milliseconds": {step: round(spent, 3) for step, spent in answer.milliseconds.items()},
        "cards": msgspec.to_builtins(answer.cards),
    }


def _lacking(key: str, outcome: Outcome) -> str:
    """Data that could not be had, or not all of it, in the words of a card."""
    data = _DATA.get(key, key)
    return f"part of the {data}" if outcome.had else data


def _ended(outcome: Outcome) -> dict[str, Any]:
    """How a key ended, and in words why something is missing."""
    return {**msgspec.to_builtins(outcome), "says": outcome.says()}


def _others(answer: Answer) -> list[str]:
    """Servers other than the call's own that references to the patient name (decision 35)."""
    own = answer.call.fhir_server.rstrip("/")
    return sorted(answer.derivation.record.bases - {own})


def _unread(result: Result) -> dict[str, Any]:
    return {
        "analyte": result.analyte,
        "value": result.raw,
        "reason": result.reason,
        "date": result.day.date.isoformat() if result.day is not None else None,
        "resource": result.source.resource,
    }
