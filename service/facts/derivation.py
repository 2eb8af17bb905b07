"""What every group of facts needs: the record, the facts being written, and the common three-valued
questions.
"""

from collections.abc import Callable, Iterable

from rules.engine.facts import FactSet
from service.facts.dates import Calendar, Day
from service.facts.entries import Evidence
from service.facts.record import Record

__all__ = [
    "Derivation",
    "Finding",
    "any_of",
    "confirmed",
    "dated",
    "earliest",
    "last_denial",
    "overruled",
]

Finding = tuple[bool | None, list[Evidence]]
_DayOf = Callable[[Evidence], Day | None]

# Conditions, and what a visit was for: the forms a diagnosis may have.
_CONDITIONS = frozenset({"problem", "encounter-diagnosis"})
_DIAGNOSTIC = _CONDITIONS | {"visit"}
# An order, a plan or a procedure named after a symptom does not say that the patient has it.
_NO_STATEMENT = frozenset({"request", "procedure", "plan"})


class Derivation:
    """Writes the facts somebody needs. `wanted` is the set of fact names the rules of this hook read."""

    __slots__ = ("available", "calendar", "facts", "record", "wanted")

    def __init__(
        self, record: Record, facts: FactSet, wanted: frozenset[str], available: frozenset[str]
    ) -> None:
        self.available = available
        self.record = record
        self.calendar: Calendar = record.calendar
        self.facts = facts
        self.wanted = wanted

    def wants(self, *names: str) -> bool:
        return not self.wanted.isdisjoint(names)

    def on_record(self, *sets: str, answers: Iterable[str] = ()) -> bool:
        """Whether anything at all is stated under the value sets, or answered for the facts."""
        record = self.record
        return not record.evidence.keys().isdisjoint(sets) or not record.answers.keys().isdisjoint(answers)

    def put(self, name: str, value: object, evidence: Iterable[Evidence] = (), *, note: str = "") -> None:
        """Write a fact with the latest date and all sources of its evidence. Facts nobody reads
        are left out.
        """
        if name not in self.wanted:
            return
        entries = list(evidence)
        if not entries:
            self.facts.set(name, value, note=note)
            return
        days = [day for day in map(dated, entries) if day is not None]
        latest = max(days) if days else None
        self.facts.set(
            name,
            value,
            date=latest.date if latest is not None else None,
            sources=[entry.source for entry in entries[:6]],
            note=note,
            dated=latest.dated if latest is not None else "",
        )

    def put_finding(self, name: str, found: Finding) -> None:
        """Write a finding, unless nothing at all was recorded: then the vocabulary's own absence stands."""
        value, evidence = found
        if value is not None or evidence:
            self.put(
                name, value, evidence, note="" if value is not None else "recorded, but not as yes or no"
            )

    def put_days(self, name: str, day: Day | None, evidence: Iterable[Evidence] = ()) -> None:
        if day is not None and name in self.wanted:
            entries = list(evidence)
            value = self.calendar.days_since(day)
            sources = [entry.source for entry in entries[:6]]
            self.facts.set(name, value, date=day.date, sources=sources, dated=day.dated)

    def finding(
        self,
        sets: tuple[str, ...],
        window: int,
        *,
        fact: str = "",
        new: bool = False,
        standing: bool = False,
        recorded: bool = False,
        unless: str = "",
    ) -> Finding:
        """A symptom or sign within `window` days, from any form it may be stated in.

        The window counts from its onset, as facts.yaml orders dates. `new` asks whether it is new, so that an
        older one is a no. `recorded` counts from when it was last recorded instead, and `standing` does so
        and takes a Condition that is still active as recorded today, as current pain does. True when one
        statement says so; a later statement of absence overrules earlier observations and answers, but not
        a Condition that still stands. False when stated absent, over, or not new. None, with the evidence,
        when a statement is undecided; None without evidence when nothing is on record that says anything
        about the window: neither an absence nor a symptom of years ago does. `unless` is a value set that
        takes an entry out.
        """
        if not self.on_record(*sets, answers=(fact,)):
            return None, []
        day_of = _onset if new else _recorded if recorded or standing else dated
        entries = [
            entry
            for entry in (*self.record.of(*sets), *self.record.answers.get(fact, ()))
            if entry.kind not in _NO_STATEMENT
            and unless not in entry.sets
            and ((new and entry.present) or not self._stale(entry, window, day_of, standing))
        ]
        denied = last_denial(entries)
        yes: list[Evidence] = []
        unclear: list[Evidence] = []
        no: list[Evidence] = []
        for entry in entries:
            verdict = self._verdict(entry, window, day_of, standing, denied)
            (yes if verdict else unclear if verdict is None else no).append(entry)
        if yes:
            return True, yes
        if unclear or not no:
            return None, unclear
        return False, no

    def _stale(self, entry: Evidence, window: int, day_of: _DayOf, standing: bool) -> bool:
        if standing and entry.active:
            return False
        # That something is absent or over was said on the day of the record, whenever it had begun.
        day = day_of(entry) if entry.present and not _over(entry) else _recorded(entry)
        return self.calendar.within(day, window) is False

    def _verdict(
        self, entry: Evidence, window: int, day_of: _DayOf, standing: bool, denied: Day | None
    ) -> bool | None:
        if entry.present is None:
            return None
        if not entry.present:
            # When nobody knows when it was absent, nobody knows that it is absent now.
            return None if self.calendar.within(_recorded(entry), window) is None else False
        if _over(entry) or overruled(entry, denied):
            return False
        if standing and entry.active:
            return True
        return self.calendar.within(day_of(entry), window)

    def diagnosis(
        self,
        *sets: str,
        window: int | None = None,
        even_over: bool = False,
    ) -> Finding:
        """A confirmed diagnosis, now (or, with `even_over`, at any time); if a `window` is given, one whose
        onset lies in the last so many days.

        None, with evidence, when only a partial date stands between yes and no.
        """
        yes: list[Evidence] = []
        unclear: list[Evidence] = []
        for entry in self.record.of(*sets):
            if not confirmed(entry) or (not even_over and _over(entry)):
                continue
            inside = True if window is None else self.calendar.within(dated(entry), window)
            if inside:
                yes.append(entry)
            elif inside is None:
                unclear.append(entry)
        if yes:
            return True, yes
        return (None, unclear) if unclear else (False, [])

    def put_diagnosis(self, name: str, found: Finding) -> None:
        value, evidence = found
        if evidence:
            self.put(name, value, evidence)


def confirmed(entry: Evidence) -> bool:
    """Whether evidence states a diagnosis as fact: not suspected, not denied, in a form a
    diagnosis may have.
    """
    return entry.present is True and not entry.suspected and entry.kind in _DIAGNOSTIC


def dated(entry: Evidence) -> Day | None:
    """The day of what an entry states, in the order of facts.yaml.

    A Condition has its onset, else its record; what was done has its end.
    """
    return entry.start or entry.seen if entry.kind in _CONDITIONS else _recorded(entry)


def any_of(*values: bool | None) -> bool | None:
    """Kleene's or."""
    if any(value is True for value in values):
        return True
    return None if any(value is None for value in values) else False


def earliest(days: Iterable[Day | None]) -> Day | None:
    given = [day for day in days if day is not None]
    return min(given) if given else None


def last_denial(entries: Iterable[Evidence]) -> Day | None:
    """The latest day on which a finding was stated absent."""
    days = [entry.seen for entry in entries if entry.present is False and entry.seen is not None]
    return max(days) if days else None


def overruled(entry: Evidence, denied: Day | None) -> bool:
    """Whether a later statement of absence overrules an entry. A Condition stands until it is ended."""
    transient = entry.kind in ("observation", "answer")
    return transient and denied is not None and entry.seen is not None and entry.seen < denied


def _recorded(entry: Evidence) -> Day | None:
    return entry.seen or entry.start


def _onset(entry: Evidence) -> Day | None:
    return entry.start


def _over(entry: Evidence) -> bool:
    return entry.active is False or entry.end is not None
