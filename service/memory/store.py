"""The store behind one interface: SQLite in a file or in memory, and PostgreSQL. The SQL is the same for
both.

Every method can raise StoreError, and a caller on the way of a hook call must go on without the store (design
rule 5). Writes come from one thread (service.memory.writer), reads from the event loop's thread or one beside
it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import msgspec

from service.errors import TocsinError
from service.memory import statements as sql
from service.memory.rows import AnswerRow, BundleRow, CallRow, CardRow, FeedbackRow, SwitchRow, UnmappedRow

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = [
    "LEVEL",
    "Batch",
    "Kept",
    "Pruned",
    "Store",
    "StoreError",
    "StoreFailed",
    "StoreRefused",
    "StoreTooNew",
]

LEVEL = 2
"""The level of the schema that this code writes. A store says which oldest level may still use it."""

_PAGE = 500


class StoreError(TocsinError):
    """The store cannot be used."""


class StoreFailed(StoreError):
    """It cannot be reached, is busy or full; trying again later may help."""


class StoreRefused(StoreError):
    """It does not take what was given to it; trying again does not help."""


class StoreTooNew(StoreError):
    """A later version of this program has changed the schema in a way this one cannot use."""


class Batch(msgspec.Struct):
    """What one transaction writes."""

    bundles: list[BundleRow] = []
    calls: list[CallRow] = []
    cards: list[CardRow] = []
    feedback: list[FeedbackRow] = []


class Kept(msgspec.Struct, frozen=True):
    """What became of the feedback of a batch, by id: known (answers a card), unknown, ambiguous (the card id
    was given to more than one patient), or repeated. `unsettled` are ids whose card may still be on its way.
    """

    states: dict[str, str]
    answered: tuple[tuple[str, str, str], ...] = ()
    unsettled: bool = False


class Pruned(msgspec.Struct, frozen=True):
    """Rows older than the retention time, by table."""

    calls: int
    cards: int
    feedback: int
    answers: int
    unmapped: int


class Store(ABC):
    """`transaction` and `reading` give a DB-API cursor, and turn driver errors into StoreError."""

    mark = "?"
    inline = True
    """Whether reads are so fast that the event loop makes them itself."""
    day = "CAST(at / 86400 AS INTEGER)"
    """The day of a row, counted from 1970 in UTC."""
    joined = "GROUP_CONCAT(DISTINCT c.rule)"

    @abstractmethod
    def open(self) -> None:
        """Connect, and bring an empty or older schema up to date. Raises StoreTooNew."""

    @abstractmethod
    def close(self) -> None:
        """Give up files and connections."""

    @abstractmethod
    def transaction(self) -> AbstractContextManager[Any]:
        """A cursor whose statements are committed together at the end, or not at all."""

    @abstractmethod
    def reading(self) -> AbstractContextManager[Any]:
        """A cursor for reading."""

    @abstractmethod
    def inspecting(self) -> "AbstractContextManager[Connection]":
        """An SQLAlchemy connection, to compare the schema."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Where the store is. It may hold a password and is never shown."""

    def _sql(self, text: str) -> str:
        return text if self.mark == "?" else text.replace("?", self.mark)

    # -- writing -----------------------------------------------------------------------------------

    def write(self, batch: Batch, settle_since: float | None = None) -> Kept:
        """Write a batch in one transaction. Feedback later than `settle_since` without a card is joined
        again.
        """
        with self.transaction() as cursor:
            for statement, rows in (
                (sql.ADD_BUNDLE, batch.bundles),
                (sql.ADD_CALL, batch.calls),
                (sql.ADD_CARD, batch.cards),
            ):
                if rows:
                    cursor.executemany(self._sql(statement), [msgspec.structs.astuple(row) for row in rows])
            states: dict[str, str] = {}
            answered: list[tuple[str, str, str]] = []
            for row in batch.feedback:
                states[row.id] = self._add_feedback(cursor, row, answered)
            waiting = self._settle(cursor, settle_since, answered) if settle_since is not None else False
        return Kept(states, tuple(answered), waiting or "unknown" in states.values())

    def _add_feedback(self, cursor: Any, row: FeedbackRow, answered: list[tuple[str, str, str]]) -> str:
        cursor.execute(self._sql(sql.HAS_FEEDBACK), (row.id,))
        if cursor.fetchone() is not None:
            cursor.execute(self._sql(sql.REPEAT_FEEDBACK), (row.id,))
            return "repeated"
        cursor.execute(self._sql(sql.ADD_FEEDBACK), (*msgspec.structs.astuple(row), "unknown"))
        return self._join(cursor, (row.id, row.card, row.client, row.at, row.outcome, row.reason), answered)

    def _settle(self, cursor: Any, since: float, answered: list[tuple[str, str, str]]) -> bool:
        """Join feedback that came before its card was written; whether some still waits."""
        cursor.execute(self._sql(sql.UNSETTLED), (since,))
        states = [self._join(cursor, row, answered) for row in cursor.fetchall()]
        return "unknown" in states

    def _join(self, cursor: Any, entry: Sequence[Any], answered: list[tuple[str, str, str]]) -> str:
        """Find the card an entry is about, and write down what it answers."""
        feedback_id, card, client, at, outcome, reason = entry
        cursor.execute(self._sql(sql.CARD_RULES), (card, client))
        found = cursor.fetchall()
        if not found:
            return "unknown"
        state = "known" if len({row[0] for row in found}) == 1 else "ambiguous"
        cursor.execute(self._sql(sql.SET_STATE), (state, feedback_id))
        if state == "known":
            for patient, rule, urgency, clinician, fingerprint in found:
                values = (card, rule, outcome, patient, at, urgency, clinician, fingerprint)
                cursor.execute(self._sql(sql.ADD_ANSWER), values)
                answered.append((rule, outcome, reason))
        return state

    def add_switch(self, row: SwitchRow) -> None:
        with self.transaction() as cursor:
            cursor.execute(self._sql(sql.ADD_SWITCH), msgspec.structs.astuple(row))

    def add_unmapped(self, rows: Sequence[UnmappedRow]) -> None:
        with self.transaction() as cursor:
            cursor.executemany(self._sql(sql.ADD_UNMAPPED), [msgspec.structs.astuple(row) for row in rows])

    def prune(self, before: float, *, dry_run: bool = False) -> Pruned:
        """Delete rows older than `before`. Kill switches stay: they are few, and the record of
        who and why.
        """
        with self.transaction() as cursor:
            counts = []
            for table in ("calls", "cards", "feedback", "answers", "unmapped"):
                if dry_run:
                    cursor.execute(self._sql(f"SELECT COUNT(*) FROM {table} WHERE at < ?"), (before,))
                    counts.append(int(cursor.fetchone()[0]))
                else:
                    cursor.execute(self._sql(f"DELETE FROM {table} WHERE at < ?"), (before,))
                    counts.append(int(cursor.rowcount))
        return Pruned(*counts)

    # -- reading -----------------------------------------------------------------------------------

    def answers(self, patients: Sequence[str], since: float) -> list[AnswerRow]:
        """What was answered for a patient, under any of its hashes, since a time."""
        marks = ", ".join("?" for _ in patients)
        with self.reading() as cursor:
            cursor.execute(self._sql(sql.ANSWERS.format(marks=marks)), (*patients, since))
            return [AnswerRow(*row) for row in cursor.fetchall()]

    def shown_at(self, hook: str, encounter: str, since: float) -> dict[str, str]:
        """Rule -> fingerprint of what was shown at a hook of an encounter since a time, the
        newest of each.
        """
        with self.reading() as cursor:
            cursor.execute(self._sql(sql.SHOWN_AT), (encounter, hook, since))
            return dict(cursor.fetchall())

    def shown_to(self, clinician: str, since: float) -> int:
        """How many cards a clinician was shown since a time."""
        with self.reading() as cursor:
            cursor.execute(self._sql(sql.SHOWN_TO), (clinician, since))
            return int(cursor.fetchone()[0])

    def shown_in(self, encounter: str) -> int:
        """How many cards were shown in an encounter."""
        with self.reading() as cursor:
            cursor.execute(self._sql(sql.SHOWN_IN), (encounter,))
            return int(cursor.fetchone()[0])

    def switches(self) -> list[SwitchRow]:
        """Every throw of a kill switch, oldest first: the last one of a target says how it stands."""
        with self.reading() as cursor:
            cursor.execute(self._sql(sql.SWITCHES))
            return [SwitchRow(*row) for row in cursor.fetchall()]

    def bundles(self) -> dict[str, BundleRow]:
        with self.reading() as cursor:
            cursor.execute(self._sql(sql.BUNDLES))
            return {row[0]: BundleRow(*row) for row in cursor.fetchall()}

    def calls(self, since: float, until: float) -> Iterator[tuple[int, CallRow]]:
        """Number and content of each call in a span of time, oldest first, in pages."""
        last = 0
        while True:
            with self.reading() as cursor:
                cursor.execute(self._sql(sql.CALLS), (since, until, last, _PAGE))
                page = cursor.fetchall()
            for row in page:
                yield row[0], CallRow(*row[1:])
            if len(page) < _PAGE:
                return
            last = page[-1][0]

    def count(self, since: float, until: float) -> int:
        """How many calls `calls` gives."""
        with self.reading() as cursor:
            cursor.execute(self._sql(sql.COUNT_CALLS), (since, until))
            return int(cursor.fetchone()[0])

    def calls_of(self, instance: str) -> list[CallRow]:
        """The calls with a hookInstance, oldest first."""
        with self.reading() as cursor:
            cursor.execute(self._sql(sql.CALLS_OF), (instance,))
            return [CallRow(*row[1:]) for row in cursor.fetchall()]

    def cards_of(self, instance: str) -> list[CardRow]:
        with self.reading() as cursor:
            cursor.execute(self._sql(sql.CARDS_OF), (instance,))
            return [CardRow(*row) for row in cursor.fetchall()]

    def feedback_of(self, cards: Sequence[str]) -> list[tuple[FeedbackRow, str, int]]:
        """Feedback on cards with its state and how often it was sent again."""
        if not cards:
            return []
        marks = ", ".join("?" for _ in cards)
        with self.reading() as cursor:
            cursor.execute(self._sql(sql.FEEDBACK_OF.format(marks=marks)), tuple(cards))
            return [(FeedbackRow(*row[:10]), row[10], row[11]) for row in cursor.fetchall()]

    def feedback(self, since: float, until: float) -> Iterator[tuple[FeedbackRow, str, int, str]]:
        """Feedback in a span of time, oldest first, with state, repetitions and the rules of its card, joined
        with commas.
        """
        with self.reading() as cursor:
            cursor.execute(self._sql(sql.FEEDBACK.format(joined=self.joined)), (since, until))
            rows = cursor.fetchall()
        return ((FeedbackRow(*row[:10]), row[10], row[11], row[12] or "") for row in rows)

    def summary(self, statement: str, since: float, until: float) -> list[tuple[Any, ...]]:
        """The rows of one of the report's grouped queries in service.memory.statements."""
        with self.reading() as cursor:
            cursor.execute(self._sql(statement.format(day=self.day)), (since, until))
            return list(cursor.fetchall())
