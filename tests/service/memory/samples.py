"""Answers, rows and feedback for tests of the memory, with distinctive text where a person's
data would be.
"""

from typing import Any

import msgspec
import orjson

from hooks.feedback import FeedbackBatch
from hooks.feedback import parse as parse_feedback
from service.answering import Answer
from service.memory.patients import Pseudonyms
from service.memory.rows import BundleRow, CallRow, CardRow, FeedbackRow
from tests.service.calls import INSTANCE, decided_on
from tests.service.facts import codes
from tests.service.facts.build import NOW, Json, condition, lab, patient

__all__ = [
    "AT",
    "CARD",
    "CLIENT",
    "KEY",
    "NEW_BACK",
    "PSEUDONYMS",
    "answer_on",
    "batch_of",
    "bundle_row",
    "call_row",
    "card_row",
    "feedback_on",
    "feedback_row",
    "record",
]

CLIENT = "general-hospital"
KEY = b"a key that is only for tests"
PSEUDONYMS = Pseudonyms([KEY])
NEW_BACK = "cancer-history-new-back-pain"
AT = NOW.timestamp()
CARD = "3f2c1d4e-0000-4000-8000-00000000000a"


def record(*more: Json, crp: float | None = None, onset: int = 21) -> list[Json]:
    """A patient like that of vignette N19: an old cancer, three weeks of back pain, perhaps a CRP in mg/L."""
    found = [
        patient(gender="male", name=[{"family": "PLANTED-NAME"}]),
        condition("http://hl7.org/fhir/sid/icd-10-cm|Z85.038", onset=2200),
        condition(codes.LOW_BACK_PAIN, onset=onset, note=[{"text": "PLANTED-NOTE"}]),
        *more,
    ]
    if crp is not None:
        found.append(lab(codes.CRP, crp, "mg/L", 0))
    return found


def answer_on(*resources: Json, instance: str = INSTANCE, **options: Any) -> Answer:
    """The answer of the bundled rules to a call, with nothing remembered."""
    found = decided_on(*resources, **options)
    if instance == INSTANCE:
        return found
    return msgspec.structs.replace(found, call=msgspec.structs.replace(found.call, instance=instance))


def bundle_row(digest: str = "sha256:b") -> BundleRow:
    return BundleRow(digest, "2026.11.0", '[["r1","1.0.0"],["r2","1.1.0"]]', AT)


def call_row(**changes: Any) -> CallRow:
    members: dict[str, Any] = {
        "at": AT,
        "instance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "hook": "patient-view",
        "client": CLIENT,
        "bundle": "sha256:b",
        "patient": "k.p1",
        "clinician": "k.u1",
        "encounter": "",
        "cards": 1,
        "outcomes": "Fn",
        "moved": "{}",
        "facts": '{"cancer.any":[true,null]}',
        "missing": "[]",
        "cut": "{}",
        "spent": '{"total":1.5}',
        "total_ms": 1.5,
    }
    return CallRow(**{**members, **changes})


def card_row(**changes: Any) -> CardRow:
    members: dict[str, Any] = {
        "card": CARD,
        "rule": "r1",
        "patient": "k.p1",
        "at": AT,
        "instance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
        "hook": "patient-view",
        "client": CLIENT,
        "bundle": "sha256:b",
        "clinician": "k.u1",
        "encounter": "",
        "version": "1.0.0",
        "urgency": "warning",
        "role": "lead",
        "mode": "live",
        "fingerprint": "{}",
    }
    return CardRow(**{**members, **changes})


def feedback_row(**changes: Any) -> FeedbackRow:
    members: dict[str, Any] = {
        "id": "f1",
        "card": CARD,
        "at": AT + 60,
        "client": CLIENT,
        "outcome": "overridden",
        "reason_system": "",
        "reason": "patient-refuses",
        "accepted": 0,
        "commented": 0,
        "sent": None,
    }
    return FeedbackRow(**{**members, **changes})


def feedback_on(
    *cards: str,
    comment: str = "seen by the ward",
    at: str = "2026-11-25T10:01:00Z",
    reason: str = "patient-refuses",
) -> bytes:
    """A body of feedback that dismisses cards."""
    entries = [
        {
            "card": card,
            "outcome": "overridden",
            "overrideReason": {"reason": {"code": reason}, "userComment": comment},
            "outcomeTimestamp": at,
        }
        for card in cards
    ]
    return orjson.dumps({"feedback": entries})


def batch_of(*cards: str, **options: str) -> FeedbackBatch:
    return parse_feedback(feedback_on(*cards, **options))
