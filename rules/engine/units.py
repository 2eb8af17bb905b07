"""Units of measured values: from what a laboratory sends to the one unit a rule compares in.

A table per analyte (`rules/units.yaml`) holds the units, their factors and the spellings met in real data. A
unit that is missing or not in the table makes the value unknown; so does a result no living person has, which
means the unit was wrong. Nothing is guessed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from rules.engine.documents import Document, read_document
from rules.engine.errors import BundleError, Problem

__all__ = ["NO_UNIT", "OUT_OF_RANGE", "UNKNOWN_UNIT", "Analyte", "Scale", "Units"]

NO_UNIT = "no unit"
UNKNOWN_UNIT = "unit not in the table"
OUT_OF_RANGE = "value outside the plausible range"

_DECIMALS = 9
_MEMO_LIMIT = 10_000  # distinct (analyte, spelling) pairs remembered
_LONGEST_UNIT = 64
_ANNOTATION = re.compile(r"\{[^{}]*\}")
_LETTERS = str.maketrans({"\u00b5": "u", "\u03bc": "u", "\u00d7": "x", "\u2219": "."})

Factor = Annotated[float, msgspec.Meta(gt=0)]


class Scale(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """(value - `subtract`) * `factor` is the value in the canonical unit, rounded to so many `decimals`."""

    factor: Factor
    subtract: float = 0.0
    decimals: int = _DECIMALS


class Analyte(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One quantity: its canonical unit, the sets and codes that carry it, and its units.

    `codes` maps "system|code" to the analyte that code carries, or to None when it carries no value; it goes
    before `sets`. `plausible` is in the canonical unit, both ends included.
    """

    says: str
    canonical: str
    sets: tuple[str, ...]
    plausible: tuple[float, float]
    units: dict[str, Factor | Scale]
    analyte_units: dict[str, Factor | Scale] = {}
    spellings: dict[str, str] = {}
    codes: dict[str, str | None] = {}
    case: Literal["folded", "kept"] = "folded"

    def scales(self) -> dict[str, Scale]:
        """Scale of each unit of the table."""
        both = {**self.units, **self.analyte_units}
        return {unit: one if isinstance(one, Scale) else Scale(one) for unit, one in both.items()}


class Units:
    """The unit table of one bundle, with the spellings a site added. Read only after it is built."""

    __slots__ = ("_by_code", "_by_set", "_memo", "_scales", "analytes")

    def __init__(self, analytes: Mapping[str, Analyte]) -> None:
        self.analytes = dict(analytes)
        self._scales = {name: _spelled(one) for name, one in analytes.items()}
        self._by_set = {name: key for key, one in analytes.items() for name in one.sets}
        self._by_code = {code: key for one in analytes.values() for code, key in one.codes.items()}
        self._memo: dict[tuple[str, str | None], Scale | None] = {}

    @classmethod
    def load(cls, path: Path, *, spellings: Mapping[str, Mapping[str, str]] | None = None) -> Units:
        """Read the table at `path`.

        `spellings` holds a site's own, analyte -> spelling -> unit of the table: a site can say what a
        spelling means, not what a unit is worth. Raises BundleError with every problem found.
        """
        document = read_document(path, path.name)
        problems = list(document.problems)
        analytes = _analytes(document, problems) if not problems else {}
        problems += _table_problems(document, analytes)
        problems += _site_problems(analytes, spellings or {}) if not problems else []
        if problems:
            raise BundleError(problems)
        units = cls(analytes)
        for name, own in (spellings or {}).items():
            units._add(name, own)
        return units

    def convert(self, analyte: str, value: float, unit: str | None) -> float | None:
        """`value` in the canonical unit of `analyte`; None when it cannot be read (`why` says why).

        Raises KeyError for an analyte that is not in the table.
        """
        try:
            scale = self._memo[analyte, unit]
        except KeyError:
            scale = self._scale(analyte, unit)
        if scale is None:
            return None
        # Rounded so that 100.4 [degF] is 38.0 Cel and not a hair beside the threshold.
        converted = round((value - scale.subtract) * scale.factor, scale.decimals)
        low, high = self.analytes[analyte].plausible
        return converted if low <= converted <= high else None

    def why(self, analyte: str, value: float, unit: str | None) -> str:
        """Why `convert` gives None: NO_UNIT, UNKNOWN_UNIT or OUT_OF_RANGE; empty when it gives a value."""
        if self.convert(analyte, value, unit) is not None:
            return ""
        if self._scale(analyte, unit) is not None:
            return OUT_OF_RANGE
        return UNKNOWN_UNIT if unit and unit.strip() else NO_UNIT

    def canonical(self, analyte: str) -> str:
        """The unit facts and rules use, in UCUM. Raises KeyError for an unknown analyte."""
        return self.analytes[analyte].canonical

    def analyte(self, system: str, code: str, sets: Iterable[str]) -> str | None:
        """The analyte a coded result carries; None when its value is of no analyte the rules read.

        `sets` are the value sets of the coding; `system` is the canonical URI. A code listed by name goes
        first: a free kappa chain is not a ratio, an electrophoresis panel has no value.
        """
        try:
            return self._by_code[f"{system}|{code}"]
        except KeyError:
            return next((self._by_set[name] for name in sorted(sets) if name in self._by_set), None)

    def _scale(self, analyte: str, unit: str | None) -> Scale | None:
        folded = self.analytes[analyte].case == "folded"
        scale = self._scales[analyte].get(_plain(unit or "", folded=folded))
        if not unit or len(unit) <= _LONGEST_UNIT:
            if len(self._memo) >= _MEMO_LIMIT:
                self._memo.clear()
            self._memo[analyte, unit] = scale
        return scale

    def _add(self, analyte: str, spellings: Mapping[str, str]) -> None:
        one = self.analytes[analyte]
        folded = one.case == "folded"
        table = self._scales[analyte]
        for spelling, unit in spellings.items():
            table[_plain(spelling, folded=folded)] = table[_plain(unit, folded=folded)]


def _plain(unit: str, *, folded: bool) -> str:
    """The form units are compared in: no blanks, one micro sign, no annotation beside a unit, one case."""
    text = "".join(unit.split())
    text = (text.casefold() if folded else text).translate(_LETTERS)
    return _ANNOTATION.sub("", text) or text


def _spelled(analyte: Analyte) -> dict[str, Scale]:
    folded = analyte.case == "folded"
    scales = analyte.scales()
    table = {_plain(unit, folded=folded): scale for unit, scale in scales.items()}
    for spelling, unit in analyte.spellings.items():
        table[_plain(spelling, folded=folded)] = scales[unit]
    return table


def _analytes(document: Document, problems: list[Problem]) -> dict[str, Analyte]:
    """The entries of the file that have the right shape; the others become problems."""
    data = document.data if isinstance(document.data, dict) else {}
    entries = data.get("analytes")
    if data.get("schema_version") != 1 or not isinstance(entries, dict):
        problems.append(document.problem("U001", "schema_version 1 and a mapping of analytes are needed"))
        return {}
    analytes = {}
    for name, body in entries.items():
        try:
            analytes[name] = msgspec.convert(body, Analyte)
        except msgspec.ValidationError as error:
            problems.append(document.problem("U001", f"{name}: {error}", ("analytes", name)))
    return analytes


def _table_problems(document: Document, analytes: Mapping[str, Analyte]) -> list[Problem]:
    problems = []
    for name, one in analytes.items():
        path = ("analytes", name)
        scales = one.scales()
        if scales.get(one.canonical) != Scale(1.0):
            problems.append(document.problem("U002", f"{name}: {one.canonical} must have the factor 1", path))
        if not all(map(math.isfinite, one.plausible)) or one.plausible[0] >= one.plausible[1]:
            problems.append(document.problem("U003", f"{name}: plausible must be [low, high]", path))
        problems += [
            document.problem("U004", f"{name}: no unit '{unit}' in the table", (*path, "spellings", text))
            for text, unit in one.spellings.items()
            if unit not in scales
        ]
        problems += [
            document.problem("U005", f"{name}: '{text}' has two meanings", path)
            for text in _ambiguous(one, scales)
        ]
        problems += [
            document.problem("U006", f"{name}: unknown analyte '{key}'", (*path, "codes", code))
            for code, key in one.codes.items()
            if key is not None and key not in analytes
        ]
    return problems


def _ambiguous(analyte: Analyte, scales: Mapping[str, Scale]) -> list[str]:
    """Spellings that become equal when compared and yet stand for different scales."""
    folded = analyte.case == "folded"
    seen: dict[str, Scale] = {}
    clashes = []
    pairs = [*((unit, unit) for unit in scales), *analyte.spellings.items()]
    for text, unit in pairs:
        if unit in scales and seen.setdefault(_plain(text, folded=folded), scales[unit]) != scales[unit]:
            clashes.append(text)
    return clashes


def _site_problems(
    analytes: Mapping[str, Analyte], spellings: Mapping[str, Mapping[str, str]]
) -> list[Problem]:
    problems = []
    for name, own in spellings.items():
        one = analytes.get(name)
        if one is None:
            problems.append(Problem("site unit spellings", 1, "U006", f"unknown analyte '{name}'"))
            continue
        known, folded = _spelled(one), one.case == "folded"
        for text, unit in own.items():
            scale = known.get(_plain(unit, folded=folded))
            if scale is None:
                message = f"{name}: no unit '{unit}' in the table"
                problems.append(Problem("site unit spellings", 1, "U004", message))
            elif known.get(_plain(text, folded=folded), scale) != scale:
                message = f"{name}: '{text}' already has another meaning"
                problems.append(Problem("site unit spellings", 1, "U005", message))
    return problems
