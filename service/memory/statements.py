"""The SQL of the store, in the part of the language that SQLite and PostgreSQL share. "?" marks
a parameter.
"""

import msgspec

from service.memory.rows import BundleRow, CallRow, CardRow, FeedbackRow, SwitchRow, UnmappedRow

__all__ = [
    "ADD_ANSWER",
    "ADD_BUNDLE",
    "ADD_CALL",
    "ADD_CARD",
    "ADD_FEEDBACK",
    "ADD_SWITCH",
    "ADD_UNMAPPED",
    "ANSWERS",
    "BUNDLES",
    "CALLS",
    "CALLS_OF",
    "CARDS_OF",
    "CARD_RULES",
    "COUNT_CALLS",
    "FEEDBACK",
    "FEEDBACK_OF",
    "HAS_FEEDBACK",
    "LAYOUT",
    "REPEAT_FEEDBACK",
    "REPORT_CALLS",
    "REPORT_CARDS",
    "REPORT_FEEDBACK",
    "REPORT_MISSING",
    "REPORT_SPENT",
    "REPORT_STATES",
    "REPORT_UNMAPPED",
    "SEEN",
    "SET_STATE",
    "SHOWN_AT",
    "SHOWN_IN",
    "SHOWN_TO",
    "SWITCHES",
    "UNSETTLED",
]


def _columns(kind: type[msgspec.Struct], table: str = "") -> str:
    return ", ".join(table + name for name in kind.__struct_fields__)


def _insert(table: str, kind: type[msgspec.Struct], *more: str) -> str:
    names = (*kind.__struct_fields__, *more)
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' for _ in names)})"


LAYOUT = "SELECT level, oldest FROM layout"

ADD_BUNDLE = f"{_insert('bundles', BundleRow)} ON CONFLICT (digest) DO NOTHING"
ADD_CALL = _insert("calls", CallRow)
# A call that is repeated with the same hookInstance gives cards with the same ids again; what they rest on
# may have changed since.
ADD_CARD = (
    f"{_insert('cards', CardRow)} ON CONFLICT (card, rule, patient) DO UPDATE SET"
    " at = excluded.at, urgency = excluded.urgency, role = excluded.role, fingerprint = excluded.fingerprint"
)
ADD_FEEDBACK = _insert("feedback", FeedbackRow, "state")
ADD_SWITCH = _insert("switches", SwitchRow)
ADD_UNMAPPED = (
    f"{_insert('unmapped', UnmappedRow)} ON CONFLICT (at, system, code)"
    " DO UPDATE SET seen = unmapped.seen + excluded.seen"
)

HAS_FEEDBACK = "SELECT 1 FROM feedback WHERE id = ?"
REPEAT_FEEDBACK = "UPDATE feedback SET repeats = repeats + 1 WHERE id = ?"
SET_STATE = "UPDATE feedback SET state = ? WHERE id = ?"
UNSETTLED = "SELECT id, card, client, at, outcome, reason FROM feedback WHERE state = 'unknown' AND at >= ?"
CARD_RULES = "SELECT patient, rule, urgency, clinician, fingerprint FROM cards WHERE card = ? AND client = ?"
ADD_ANSWER = (
    "INSERT INTO answers (card, rule, outcome, patient, at, urgency, clinician, fingerprint)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (card, rule, outcome) DO UPDATE SET"
    " at = excluded.at, urgency = excluded.urgency, fingerprint = excluded.fingerprint"
)

# The reason stands with the feedback that gave the answer, the latest on its card.
ANSWERS = (
    "SELECT a.rule, a.at, a.outcome, a.urgency, a.clinician, a.fingerprint, COALESCE((SELECT f.reason"
    " FROM feedback f WHERE f.card = a.card AND f.outcome = a.outcome AND f.state = 'known'"
    " ORDER BY f.at DESC, f.id DESC LIMIT 1), '')"
    " FROM answers a WHERE a.patient IN ({marks}) AND a.at >= ?"
)
SHOWN_AT = "SELECT rule, fingerprint FROM cards WHERE encounter = ? AND hook = ? AND at >= ? ORDER BY at"
SHOWN_TO = "SELECT COUNT(DISTINCT card) FROM cards WHERE clinician = ? AND at >= ?"
SHOWN_IN = "SELECT COUNT(DISTINCT card) FROM cards WHERE encounter = ?"
SWITCHES = f"SELECT {_columns(SwitchRow)} FROM switches ORDER BY id"
BUNDLES = f"SELECT {_columns(BundleRow)} FROM bundles"
CALLS = f"SELECT id, {_columns(CallRow)} FROM calls WHERE at >= ? AND at < ? AND id > ? ORDER BY id LIMIT ?"
COUNT_CALLS = "SELECT COUNT(*) FROM calls WHERE at >= ? AND at < ?"
CALLS_OF = f"SELECT id, {_columns(CallRow)} FROM calls WHERE instance = ? ORDER BY id"
CARDS_OF = f"SELECT {_columns(CardRow)} FROM cards WHERE instance = ? ORDER BY at, card, role DESC, rule"
FEEDBACK_OF = (
    f"SELECT {_columns(FeedbackRow)}, state, repeats FROM feedback WHERE card IN ({{marks}}) ORDER BY at, id"
)

# One row an entry; {joined} is how the database joins texts with commas.
FEEDBACK = (
    f"SELECT {_columns(FeedbackRow, 'f.')}, f.state, f.repeats, {{joined}}"
    " FROM feedback f LEFT JOIN cards c ON c.card = f.card AND c.client = f.client"
    " WHERE f.at >= ? AND f.at < ? GROUP BY f.id ORDER BY f.at, f.id"
)

# The report's queries take a span of time; Store.summary fills in {day}. Outcomes repeat a lot, so that
# grouping leaves few rows.
REPORT_CALLS = (
    "SELECT bundle, client, {day}, outcomes, moved, COUNT(*), SUM(cards)"
    " FROM calls WHERE at >= ? AND at < ? GROUP BY 1, 2, 3, 4, 5"
)
REPORT_CARDS = (
    "SELECT rule, client, COUNT(*), COUNT(DISTINCT patient) FROM cards WHERE at >= ? AND at < ? GROUP BY 1, 2"
)
REPORT_FEEDBACK = (
    "SELECT c.rule, c.client, f.outcome, f.reason, COUNT(DISTINCT f.card), COUNT(DISTINCT c.clinician)"
    " FROM feedback f JOIN cards c ON c.card = f.card AND c.client = f.client"
    " WHERE f.state = 'known' AND c.at >= ? AND c.at < ? GROUP BY 1, 2, 3, 4"
)
REPORT_STATES = "SELECT state, COUNT(*), SUM(repeats) FROM feedback WHERE at >= ? AND at < ? GROUP BY 1"
REPORT_MISSING = "SELECT missing, COUNT(*) FROM calls WHERE at >= ? AND at < ? AND missing <> '[]' GROUP BY 1"
SEEN = (
    "SELECT client, hook, COUNT(*), MAX(at) FROM calls WHERE at >= ? AND at < ? GROUP BY 1, 2 ORDER BY 1, 2"
)
REPORT_UNMAPPED = "SELECT system, code, SUM(seen) FROM unmapped WHERE at >= ? AND at < ? GROUP BY 1, 2"
REPORT_SPENT = "SELECT client, total_ms FROM calls WHERE at >= ? AND at < ?"
