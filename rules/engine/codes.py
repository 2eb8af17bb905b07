"""Value sets: which sets a coding is in.

A code in a set is also in every set that `sets.csv` calls broader (a bone metastasis is a metastasis is a
cancer), whatever code system it came from. The choices behind the tables are in `rules/codes/README.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from rules.engine.codetables import Code, CodeSet, Tables, read_tables
from rules.engine.codings import PREFIX_TABLES, Codings
from rules.engine.errors import BundleError, Problem

__all__ = ["Code", "CodeIndex", "CodeSet"]

_SITE_MAP = "site code map"
_MEMO_LIMIT = 50_000  # distinct codings remembered; a busy server sees a few thousand
_LONGEST_CODE = 64  # longer texts are expressions or rubbish: answered, not remembered
_SHORTEST_STEM = 3  # no row of a prefix table is shorter


class _Meaning(msgspec.Struct, frozen=True, gc=False):
    sets: frozenset[str]
    tier: str | None


_NOTHING = _Meaning(frozenset(), None)


class CodeIndex:
    """The value sets of one bundle, with the codes a site added. Read only after it is built."""

    __slots__ = ("_above", "_below", "_codings", "_memo", "_rows", "_sets", "titles")

    def __init__(self, tables: Tables, local: Iterable[Code] = ()) -> None:
        self._codings = Codings(tables.systems)
        self._sets = tables.sets
        self.titles: dict[str, str] = {name: one.title for name, one in tables.sets.items()}
        self._above = {name: _above(name, tables.sets) for name in tables.sets}
        self._below = {
            name: tuple(low for low, above in self._above.items() if name in above) for name in tables.sets
        }
        self._rows: dict[str, dict[str, list[Code]]] = {}
        self._memo: dict[tuple[str | None, str | None], _Meaning] = {}
        for row in (*tables.codes, *local):
            if row.verified != "no":  # kept in the table for review; nobody has seen the code
                table, code = self._codings.place(row.system, row.code)
                self._rows.setdefault(table, {}).setdefault(code, []).append(row)

    @classmethod
    def load(
        cls,
        directory: Path,
        *,
        snomed_extension: bool = True,
        local: Mapping[str, Iterable[tuple[str, str]]] | None = None,
    ) -> CodeIndex:
        """Read the tables of `directory` (the bundled one is `rules/codes`).

        `snomed_extension=False` leaves out the SNOMED codes outside the IPS free set. `local` holds a site's
        own codes, set -> (system URI, code); any system may be named, and the codes match exactly. Raises
        BundleError with every problem found.
        """
        tables = read_tables(directory, snomed_extension=snomed_extension)
        own = [Code(name, system, code) for name, pairs in (local or {}).items() for system, code in pairs]
        index = cls(tables, own)
        problems = [problem for row in own for problem in index._local_problems(row)]
        if problems:
            raise BundleError(problems)
        return index

    def sets(self, system: str | None, code: str | None) -> frozenset[str]:
        """Names of the sets a coding is in, broader sets included.

        An exclusion set wins over a set reached only through a row above the code: Z85.828 (skin cancer that
        was not melanoma) is in `exclude-nmsc-in-situ-benign` and not in `history-of-cancer`, although Z85 is.
        A row, or a site, that names the very code keeps it; the caller then sees both sets and decides.
        """
        try:
            return self._memo[system, code].sets
        except KeyError:
            return self._meaning(system, code).sets

    def tier(self, system: str | None, code: str | None) -> str | None:
        """The grade of a code inside its set, from the most specific row; None when the rows have none.

        `palliative-hospice` and `terminal-illness`: hospice, terminal or palliative. `history-of-cancer`: the
        cancer set of the site the history is about.
        """
        try:
            return self._memo[system, code].tier
        except KeyError:
            return self._meaning(system, code).tier

    def certainty(self, system: str | None, code: str | None) -> str:
        """The certainty letter written behind an ICD-10-GM code (A excluded, G confirmed, V suspected, Z
        history), else empty. `sets` answers for the code without it.
        """
        return self._codings.certainty(system, code) if system and code else ""

    def standard(self, system: str, code: str) -> tuple[str, str] | None:
        """Short name of the terminology and spelling of a code, as `Codings.standard` has it."""
        return self._codings.standard(system, code)

    def strength(self, name: str) -> str:
        """strong, medium or weak: how far real records can be expected to hold the set's codes."""
        return self._sets[name].strength

    def codes_of(self, name: str) -> list[Code]:
        """Every matched row that puts a code in the set, rows of narrower sets included, in table order."""
        members = {name, *self._below[name]}
        tables = self._rows.values()
        return [row for table in tables for rows in table.values() for row in rows if row.set in members]

    def find(self, name: str, system: str) -> tuple[str, ...]:
        """Codes of the set in one system, for a FHIR token search; sorted, each once.

        A token search cannot ask for everything below a code, so a prefix row gives only its own code: a
        search by ICD must not rely on this list alone.
        """
        place = self._codings.place
        table, _ = place(system, "")
        return tuple(sorted({row.code for row in self.codes_of(name) if place(row.system, "")[0] == table}))

    def _local_problems(self, row: Code) -> Iterator[Problem]:
        if row.set not in self._sets:
            yield Problem(_SITE_MAP, 1, "C004", f"unknown set '{row.set}'")
        if not self._codings.place(row.system, row.code)[1]:
            yield Problem(
                _SITE_MAP, 1, "C006", f"set '{row.set}': '{row.code}' cannot be a code of {row.system}"
            )

    def _meaning(self, system: str | None, code: str | None) -> _Meaning:
        if not system or not code:
            return _NOTHING
        meaning = self._look_up(system, code)
        if len(code) <= _LONGEST_CODE and len(system) <= 4 * _LONGEST_CODE:
            if len(self._memo) >= _MEMO_LIMIT:
                self._memo.clear()
            self._memo[system, code] = meaning
        return meaning

    def _look_up(self, system: str, code: str) -> _Meaning:
        table, spelled = self._codings.place(system, code)
        hits = self._hits(table, spelled)
        if not hits:
            return _NOTHING
        kept = self._kept({row.set: named for row, named in hits})
        sets = frozenset(kept).union(*(self._above[name] for name in kept))
        tiers = [row.tier for row, _ in hits if row.tier and row.set in kept]
        return _Meaning(sets, tiers[-1] if tiers else None)

    def _hits(self, table: str, spelled: str) -> list[tuple[Code, bool]]:
        """Rows that cover the code, least specific first, each with whether it names the very code."""
        rows = self._rows.get(table, {})
        hits: list[tuple[Code, bool]] = []
        if table in PREFIX_TABLES:
            for length in range(_SHORTEST_STEM, len(spelled)):
                above = rows.get(spelled[:length], ())
                hits += [(row, False) for row in above if row.match == "prefix"]
        return hits + [(row, True) for row in rows.get(spelled, ())]

    def _kept(self, reached: Mapping[str, bool]) -> list[str]:
        overruled = {name for exclusion in reached for name in self._sets[exclusion].overrules}
        return [
            name
            for name, named in reached.items()
            if named or overruled.isdisjoint({name, *self._above[name]})
        ]


def _above(name: str, sets: Mapping[str, CodeSet]) -> frozenset[str]:
    """All sets above one, however far."""
    found: set[str] = set()
    waiting = list(sets[name].broader)
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += sets[one].broader
    return frozenset(found)
