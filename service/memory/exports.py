"""Decisions and feedback as plain data, for people and programs: exports, `tocsin decisions show`, the admin
API.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from service.memory.recorder import expand
from service.memory.rows import BundleRow, CallRow, CardRow, FeedbackRow, opaque
from service.memory.store import Store

__all__ = ["FEEDBACK_COLUMNS", "FLAT_COLUMNS", "decisions_of", "each_decision", "each_feedback", "flat"]

Json = dict[str, Any]

FLAT_COLUMNS = (
    *(
        "time",
        "instance",
        "hook",
        "client",
        "bundle",
        "version",
        "patient",
        "clinician",
        "encounter",
        "cards",
    ),
    *("fired", "suppressed", "folded", "not_enough_data", "error", "reasons", "missing", "cut", "total_ms"),
)
FEEDBACK_COLUMNS = (
    *("time", "sent", "card", "client", "outcome", "reason_system", "reason", "accepted", "commented"),
    *("state", "repeats", "rules"),
)


def decisions_of(store: Store, instance: str) -> list[Json]:
    """The calls with a hookInstance as the client sent it, oldest first. Raises StoreError."""
    kept = opaque(instance)
    bundles = store.bundles()
    return [_decision(store, bundles, call) for call in store.calls_of(kept)]


def each_decision(store: Store, since: float, until: float) -> Iterator[Json]:
    """Every call in a span of time, oldest first. Raises StoreError."""
    bundles = store.bundles()
    for _, call in store.calls(since, until):
        yield _decision(store, bundles, call)


def each_feedback(store: Store, since: float, until: float) -> Iterator[Json]:
    """Every entry of feedback in a span of time with the rules of its card, oldest first.
    Raises StoreError.
    """
    for row, state, repeats, rules in store.feedback(since, until):
        yield {**_feedback(row, state, repeats), "rules": sorted(filter(None, (rules or "").split(",")))}


def flat(decision: Mapping[str, Any]) -> Json:
    """A decision in one row of FLAT_COLUMNS, lists joined with spaces."""
    by_outcome: dict[str, list[str]] = {}
    for rule, outcome in decision["rules"].items():
        by_outcome.setdefault(outcome.replace("-", "_"), []).append(rule)
    row: Json = {name: decision.get(name, "") for name in FLAT_COLUMNS}
    row |= {name: " ".join(by_outcome.get(name, ())) for name in FLAT_COLUMNS[10:15]}
    row["cards"] = len({card["card"] for card in decision["cards"]})
    row["reasons"] = " ".join(f"{rule}:{code}" for rule, code in decision["reasons"].items())
    row["missing"] = " ".join(decision["missing"])
    row["cut"] = " ".join(f"{what}:{_short(value)}" for what, value in decision["cut"].items())
    return row


def _short(value: Any) -> str:
    return "+".join(value) if isinstance(value, list) else str(value)


def _decision(store: Store, bundles: Mapping[str, BundleRow], call: CallRow) -> Json:
    bundle = bundles.get(call.bundle)
    cards = store.cards_of(call.instance) if call.cards else []
    answers = store.feedback_of([card.card for card in cards])
    return {
        "time": _time(call.at),
        "instance": call.instance,
        "hook": call.hook,
        "client": call.client,
        "bundle": call.bundle,
        "version": bundle.version if bundle is not None else "",
        "patient": call.patient,
        "clinician": call.clinician,
        "encounter": call.encounter,
        # A bundle that is not there any more leaves the letters without names.
        "rules": expand(bundle.rules, call.outcomes) if bundle is not None else {},
        "reasons": orjson.loads(call.moved),
        "facts": orjson.loads(call.facts),
        "missing": orjson.loads(call.missing),
        "cut": orjson.loads(call.cut),
        "milliseconds": orjson.loads(call.spent),
        "total_ms": call.total_ms,
        "cards": [_card(card) for card in cards if card.patient == call.patient],
        "feedback": [_feedback(*answer) for answer in answers],
    }


def _card(row: CardRow) -> Json:
    names = ("card", "rule", "version", "urgency", "role", "mode")
    return {name: getattr(row, name) for name in names}


def _feedback(row: FeedbackRow, state: str, repeats: int) -> Json:
    return {
        "time": _time(row.at),
        "sent": _time(row.sent) if row.sent is not None else None,
        "card": row.card,
        "client": row.client,
        "outcome": row.outcome,
        "reason_system": row.reason_system,
        "reason": row.reason,
        "accepted": row.accepted,
        "commented": bool(row.commented),
        "state": state,
        "repeats": repeats,
    }


def _time(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds")
