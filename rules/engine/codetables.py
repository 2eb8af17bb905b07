"""Reads the tables of `rules/codes` and reports everything wrong in them at once, with file and line."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from rules.engine.codings import PREFIX_TABLES, Codings, System
from rules.engine.errors import BundleError, Problem

__all__ = ["Code", "CodeSet", "Tables", "read_tables"]

CODE_COLUMNS = ("set", "system", "code", "match", "tier", "display", "verified", "source", "licence", "note")
SET_COLUMNS = ("set", "title", "strength", "broader", "overrules", "note")
SYSTEM_COLUMNS = ("uri", "system", "reads", "note")
PRODUCT_COLUMNS = ("set", "rxnorm", "ingredient", "display", "source", "licence")

SNOMED_EXTENSION = "snomed-extension.csv"
PRODUCTS = "rxnorm-products.csv"

_VERIFIED = frozenset({"yes", "component-only", "no"})
_STRENGTHS = frozenset({"strong", "medium", "weak"})


class Code(msgspec.Struct, frozen=True):
    """One code of one set.

    `match`: exact, prefix (this ICD or ATC code and everything below it) or ingredient (RxNorm). `tier`
    grades a code inside its set. `verified`: yes, component-only (the code exists with that component; its
    full name was not seen), no (kept for review, matched never) or site (from a site's own map).
    """

    set: str
    system: str
    code: str
    match: str = "exact"
    tier: str = ""
    display: str = ""
    verified: str = "site"
    source: str = ""
    licence: str = ""
    note: str = ""


class CodeSet(msgspec.Struct, frozen=True):
    """A value set: a code in it is also in each set of `broader`, and removes those of `overrules`."""

    name: str
    title: str
    strength: str
    broader: tuple[str, ...]
    overrules: tuple[str, ...]
    note: str


class Tables(msgspec.Struct, frozen=True):
    """The content of `rules/codes`; `Code.system` is the canonical URI of the code's system."""

    systems: tuple[System, ...]
    sets: Mapping[str, CodeSet]
    codes: tuple[Code, ...]


class _Row(msgspec.Struct, frozen=True):
    file: str
    line: int
    cells: dict[str, str]

    def problem(self, code: str, message: str) -> Problem:
        return Problem(self.file, self.line, code, message)


def read_tables(directory: Path, *, snomed_extension: bool = True) -> Tables:
    """Read every table of a directory.

    Without the SNOMED extension the codes outside the IPS free set are left out; the file may be absent.
    Raises BundleError with every problem found.
    """
    problems: list[Problem] = []
    systems = tuple(_systems(directory / "systems.csv", problems))
    sets = _sets(directory / "sets.csv", problems)
    reader = _CodeReader(Codings(systems), systems, sets, problems)
    codes: list[Code] = []
    for file in sorted(directory.glob("*.csv")):
        if file.name in {"systems.csv", "sets.csv"} or (
            file.name == SNOMED_EXTENSION and not snomed_extension
        ):
            continue
        codes += reader.products(file) if file.name == PRODUCTS else reader.codes(file)
    if problems:
        raise BundleError(problems)
    return Tables(systems, sets, tuple(codes))


def _rows(file: Path, columns: tuple[str, ...], problems: list[Problem]) -> Iterator[_Row]:
    name = f"codes/{file.name}"
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        problems.append(Problem(name, 1, "C001", "file cannot be read as UTF-8 text"))
        return
    reader = csv.reader(lines)
    if tuple(next(reader, ())) != columns:
        problems.append(Problem(name, 1, "C001", f"the columns must be {','.join(columns)}"))
        return
    for cells in reader:
        row = _Row(name, reader.line_num, dict(zip(columns, cells, strict=False)))
        if len(cells) == len(columns):
            yield row
        else:
            problems.append(row.problem("C001", f"{len(cells)} cells where {len(columns)} are expected"))


def _systems(file: Path, problems: list[Problem]) -> Iterator[System]:
    for row in _rows(file, SYSTEM_COLUMNS, problems):
        yield System(row.cells["uri"], row.cells["system"], row.cells["reads"])


def _sets(file: Path, problems: list[Problem]) -> dict[str, CodeSet]:
    rows = list(_rows(file, SET_COLUMNS, problems))
    names = {row.cells["set"] for row in rows}
    sets: dict[str, CodeSet] = {}
    for row in rows:
        cells = row.cells
        name, broader, overrules = cells["set"], cells["broader"].split(), cells["overrules"].split()
        if name in sets:
            problems.append(row.problem("C002", f"set '{name}' is listed twice"))
        if cells["strength"] not in _STRENGTHS:
            problems.append(row.problem("C003", f"strength must be one of {_choices(_STRENGTHS)}"))
        unknown = [other for other in (*broader, *overrules) if other not in names]
        problems += [row.problem("C004", f"unknown set '{other}'") for other in unknown]
        sets[name] = CodeSet(
            name, cells["title"], cells["strength"], tuple(broader), tuple(overrules), cells["note"]
        )
    return sets


class _CodeReader:
    """Reads code rows against the known systems and sets, collecting problems."""

    def __init__(
        self,
        codings: Codings,
        systems: Iterable[System],
        sets: Mapping[str, CodeSet],
        problems: list[Problem],
    ) -> None:
        self._codings = codings
        self._tables = {system.reads for system in systems}
        self._sets = sets
        self._problems = problems
        self._seen: set[tuple[str, str, str]] = set()

    def codes(self, file: Path) -> Iterator[Code]:
        for row in _rows(file, CODE_COLUMNS, self._problems):
            cells = row.cells
            complaints = list(self._complaints(cells["set"], cells["system"], cells["code"]))
            complaints += _value_complaints(cells)
            if complaints:
                self._problems += [row.problem(code, message) for code, message in complaints]
                continue
            yield Code(**{**cells, "system": self._codings.uri(cells["system"]) or cells["system"]})

    def products(self, file: Path) -> Iterator[Code]:
        for row in _rows(file, PRODUCT_COLUMNS, self._problems):
            cells = row.cells
            complaints = list(self._complaints(cells["set"], "rxnorm", cells["rxnorm"]))
            if complaints:
                self._problems += [row.problem(code, message) for code, message in complaints]
                continue
            yield Code(
                cells["set"],
                self._codings.uri("rxnorm") or "rxnorm",
                cells["rxnorm"],
                display=cells["display"],
                verified="yes",
                source=cells["source"],
                licence=cells["licence"],
                note=f"product of {cells['ingredient']}",
            )

    def _complaints(self, name: str, system: str, code: str) -> Iterator[tuple[str, str]]:
        if name not in self._sets:
            yield "C004", f"unknown set '{name}'"
        if system not in self._tables:
            yield "C005", f"unknown system '{system}'"
        spelled = self._codings.spell(system, code)
        if not spelled:
            yield "C006", f"'{code}' cannot be a code of {system}"
        if (name, system, spelled) in self._seen:
            yield "C002", f"{system} {code} is in set '{name}' twice"
        self._seen.add((name, system, spelled))


def _value_complaints(cells: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    system, match = cells["system"], cells["match"]
    allowed = {"exact"}
    if system in PREFIX_TABLES:
        allowed.add("prefix")
    if system == "rxnorm":
        allowed.add("ingredient")
    if match not in allowed:
        yield "C007", f"match '{match}' is not possible for {system}: use {_choices(allowed)}"
    if cells["verified"] not in _VERIFIED:
        yield "C003", f"verified must be one of {_choices(_VERIFIED)}"


def _choices(values: Iterable[str]) -> str:
    return ", ".join(sorted(values))
