"""Feedback on cards, as CDS Hooks defines it and as clients really send it, in one form.

Tolerated: the member `overrideReasons` (Epic), also as an array; a reason without system (CDS Hooks Sandbox);
a reason in Epic's extension members; a card id that is no UUID; an entry without the wrapping array or
object; a missing or unreadable time. Source: CDS Hooks 2.0.1, Feedback (FBK-02 to FBK-07); conformance notes
4.2.
"""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from hooks.errors import FeedbackInvalid
from hooks.hook import Discreet

__all__ = ["EPIC_REASON", "Feedback", "FeedbackBatch", "FeedbackProblem", "parse"]

EPIC_REASON = "com.epic.cdshooks.feedback.overrideReason.reasonCategory"
"""Epic's extension member for a reason built at the site; used as `reason_system` of such a reason."""

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)\Z")
_LONGEST_ID = 256


class Feedback(msgspec.Struct, frozen=True):
    """What a clinician did with one card.

    `accepted` are ids of suggestions. `comment` is free text that can hold health data. `timestamp` is in
    UTC, and None when the time was missing or not RFC 3339; `timestamp_raw` is the text as sent.
    """

    card: str
    outcome: Literal["accepted", "overridden"]
    accepted: tuple[str, ...] = ()
    reason_system: str | None = None
    reason_code: str | None = None
    comment: str | None = None
    timestamp: dt.datetime | None = None
    timestamp_raw: str = ""

    def __repr__(self) -> str:
        return (
            f"Feedback(card={self.card!r}, outcome={self.outcome!r}, reason_code={self.reason_code!r}, ...)"
        )

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("card", self.card), ("outcome", self.outcome), ("reason_code", self.reason_code)]


class FeedbackProblem(msgspec.Struct, frozen=True):
    """An entry that was left out: its place in the body, and the member at fault."""

    index: int
    member: str


class FeedbackBatch(Discreet, msgspec.Struct, frozen=True):
    """What one body held. Entries can repeat what was sent before, so storing them must be idempotent."""

    entries: tuple[Feedback, ...]
    problems: tuple[FeedbackProblem, ...]


class _Fault(Exception):
    """The member that makes an entry unusable. It never leaves this module."""


def parse(body: bytes) -> FeedbackBatch:
    """Read a feedback body; a malformed entry is reported and costs none of the others.

    Raises FeedbackInvalid when the body is not JSON or can hold no entries.
    """
    entries: list[Feedback] = []
    problems: list[FeedbackProblem] = []
    for index, given in enumerate(_given(body)):
        try:
            entries.append(_entry(given))
        except _Fault as fault:
            problems.append(FeedbackProblem(index, str(fault)))
    return FeedbackBatch(tuple(entries), tuple(problems))


def _given(body: bytes) -> list[Any]:
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FeedbackInvalid from error
    if isinstance(decoded, dict):
        decoded = decoded.get("feedback", decoded if "card" in decoded else None)
    if isinstance(decoded, dict):
        return [decoded]
    if not isinstance(decoded, list):
        raise FeedbackInvalid
    return decoded


def _entry(given: Any) -> Feedback:
    if not isinstance(given, dict):
        raise _Fault("feedback")
    outcome = given.get("outcome")
    if outcome not in ("accepted", "overridden"):
        raise _Fault("outcome")
    accepted = _accepted(given.get("acceptedSuggestions"))
    if outcome == "accepted" and accepted is None:
        raise _Fault("acceptedSuggestions")
    override = _override(given)
    system, code = _reason(override)
    raw = _text(given.get("outcomeTimestamp")) or ""
    return Feedback(
        card=_id(given.get("card"), "card"),
        outcome=outcome,
        accepted=accepted or (),
        reason_system=system,
        reason_code=code,
        comment=_text(override.get("userComment")),
        timestamp=_timestamp(raw),
        timestamp_raw=raw,
    )


def _accepted(given: Any) -> tuple[str, ...] | None:
    if given is None:
        return None
    if not isinstance(given, list):
        raise _Fault("acceptedSuggestions")
    return tuple(
        _id(suggestion.get("id") if isinstance(suggestion, dict) else None, "acceptedSuggestions.id")
        for suggestion in given
    )


def _override(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The override reason object, whichever of the two member names it came under."""
    for name in ("overrideReason", "overrideReasons"):
        found = given.get(name)
        if isinstance(found, list):
            found = next((element for element in found if isinstance(element, dict)), None)
        if isinstance(found, dict):
            return found
    return {}


def _reason(override: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """System and code of the reason; a site's own reason in Epic comes as a number in an extension."""
    coding = override.get("reason")
    if isinstance(coding, dict) and (code := _text(coding.get("code"))) is not None:
        return _text(coding.get("system")), code
    extension = override.get("extension")
    category = extension.get(EPIC_REASON) if isinstance(extension, dict) else None
    code = _text(str(category) if isinstance(category, int) else category)
    return (EPIC_REASON, code) if code is not None else (None, None)


def _id(given: Any, member: str) -> str:
    text = _text(given)
    if text is None or len(text) > _LONGEST_ID or not text.isprintable():
        raise _Fault(member)
    return text


def _text(given: Any) -> str | None:
    return given.strip() or None if isinstance(given, str) else None


def _timestamp(raw: str) -> dt.datetime | None:
    if not _RFC_3339.match(raw):
        return None
    try:
        return dt.datetime.fromisoformat(raw.upper()).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        # A day or hour that does not exist, a leap second, or the edge of the calendar.
        return None
