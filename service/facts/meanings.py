"""What a concept of the record means, looked up once and remembered.

The same few thousand concepts come in every call. A Meaning holds all that reading a resource asks of its
code, so that what nobody needs is put aside after one look. Built over the value sets and units of one
bundle.

A coding in no value set beside one that is in some says that the sets may lack a code: an EHR that sends it
alone is not understood. Such concepts are kept apart and counted; all others pay nothing for it.
"""

from collections import Counter
from functools import lru_cache

import msgspec

from rules.engine.codes import CodeIndex
from rules.engine.units import Units
from service.datatypes import CodeableConcept, CodeableReference

__all__ = ["NOTHING", "OTHER_HOUR_ANALYTE", "Meaning", "Meanings", "meanings_of"]

# A reading at another hour was done, which counts, and cannot be compared, which is why it has no value.
OTHER_HOUR = "lab-esr-excluded"
OTHER_HOUR_ANALYTE = "esr-other"
_MEMO_LIMIT = 50_000
_LONGEST = 256


class Meaning(msgspec.Struct, frozen=True, gc=False):
    """Value sets of a concept, the analyte its number is of (empty for none), whether there is nothing more
    to it than a number, and whether it names imaging."""

    sets: frozenset[str]
    analyte: str = ""
    number_only: bool = False
    imaging: bool = False


NOTHING = Meaning(frozenset())


class _Beside(msgspec.Struct):
    """A concept with codings in no value set beside one that is in some, as (terminology, code), how often it
    came, and how much of that has been taken.
    """

    meaning: Meaning
    codes: tuple[tuple[str, str], ...]
    count: int = 1
    taken: int = 0


class Meanings:
    """Meanings by concept. Safe to share between calls; its memory is bounded."""

    __slots__ = ("_beside", "_codes", "_measured", "_memo", "_units")

    def __init__(self, codes: CodeIndex, units: Units) -> None:
        self._codes = codes
        self._units = units
        self._measured = frozenset(name for one in units.analytes.values() for name in one.sets) | {
            OTHER_HOUR
        }
        self._memo: dict[tuple[str | None, ...], Meaning] = {}
        self._beside: dict[tuple[str | None, ...], _Beside] = {}

    def of(self, concept: CodeableConcept | CodeableReference | None) -> Meaning:
        """The meaning of a concept; NOTHING when no coding of it is in any value set."""
        if concept is None:
            return NOTHING
        codings = concept.coding
        if not codings:
            return NOTHING
        if len(codings) == 1:
            coding = codings[0]
            key: tuple[str | None, ...] = (coding.system, coding.code)
        else:
            key = tuple([part for coding in codings for part in (coding.system, coding.code)])
        found = self._memo.get(key)
        return self._look_up(key) if found is None else found

    def take_unmapped(self) -> "Counter[tuple[str, str]]":
        """How often codes of published terminologies came that are in no value set, beside one that is, since
        this was last asked; by terminology and code. Codes of an EHR's own systems are not among them.

        For one thread, which need not be the one that reads.
        """
        found: Counter[tuple[str, str]] = Counter()
        for entry in list(self._beside.values()):
            fresh = entry.count - entry.taken
            entry.taken += fresh
            for code in entry.codes:
                found[code] += fresh
        return +found

    def _look_up(self, key: tuple[str | None, ...]) -> Meaning:
        known = self._beside.get(key)
        if known is not None:
            known.count += 1
            return known.meaning
        pairs = [(key[place], key[place + 1]) for place in range(0, len(key), 2) if key[place + 1]]
        sets = frozenset[str]().union(*(self._codes.sets(system, code) for system, code in pairs))
        analyte = "" if sets.isdisjoint(self._measured) else self._analyte(pairs, sets)
        imaging = any(name.startswith("imaging-") for name in sets)
        meaning = Meaning(sets, analyte, bool(sets) and sets <= self._measured, imaging) if sets else NOTHING
        if sum(len(part or "") for part in key) <= _LONGEST:
            beside = self._unmapped(pairs) if sets and len(pairs) > 1 else ()
            if beside and len(self._beside) < _MEMO_LIMIT:
                self._beside[key] = _Beside(meaning, beside)
                return meaning
            if len(self._memo) >= _MEMO_LIMIT:
                self._memo.clear()
            self._memo[key] = meaning
        return meaning

    def _unmapped(self, pairs: list[tuple[str | None, str | None]]) -> tuple[tuple[str, str], ...]:
        lacking = [(system, code) for system, code in pairs if not self._codes.sets(system, code)]
        named = (self._codes.standard(system or "", code or "") for system, code in lacking)
        return tuple(dict.fromkeys(one for one in named if one is not None))

    def _analyte(self, pairs: list[tuple[str | None, str | None]], sets: frozenset[str]) -> str:
        for system, code in pairs:
            analyte = self._units.analyte(system or "", code or "", sets)
            if analyte is not None:
                return analyte
        return OTHER_HOUR_ANALYTE if OTHER_HOUR in sets else ""


@lru_cache(maxsize=8)
def meanings_of(codes: CodeIndex, units: Units) -> Meanings:
    """The meanings over these tables, the same ones for every call."""
    return Meanings(codes, units)
