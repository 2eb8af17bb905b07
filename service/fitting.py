"""Whether rules from elsewhere fit this code: it derives the facts, and looks value sets and analytes up by
name.

A fact that no code derives would stay at what its absence means, which may be "no"; a value set that is
missing would match nothing. Either would be silence without an error, so such rules are not loaded.
"""

import csv
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec

from rules.engine import Bundle, FactSpec, Problem, Vocabulary, bundled_root
from rules.engine.units import Units

__all__ = ["unfit"]


class Needs(msgspec.Struct, frozen=True):
    """What this version of the code goes by, taken from the rules it was released with."""

    facts: dict[str, tuple[object, ...]]
    records: dict[str, dict[str, str]]
    sets: frozenset[str]
    analytes: dict[str, str]


def unfit(bundle: Bundle) -> Iterator[Problem]:
    """What is missing, or means something else, in a bundle that this code is to run. X001 facts, X002 value
    sets, X003 analytes.
    """
    needs = _needs(bundled_root())
    facts = {spec.name: _meaning(spec) for spec in bundle.vocabulary}
    for name in sorted(facts.keys() - needs.facts.keys()):
        yield Problem("facts.yaml", 1, "X001", f"{name}: this version of Tocsin does not derive it")
    for name, meaning in needs.facts.items():
        if name not in facts:
            yield Problem("facts.yaml", 1, "X001", f"{name}: this version of Tocsin derives it")
        elif facts[name] != meaning:
            yield Problem("facts.yaml", 1, "X001", f"{name}: this version of Tocsin derives it otherwise")
    if _records(bundle.vocabulary) != needs.records:
        yield Problem("facts.yaml", 1, "X001", "records: this version of Tocsin makes others")
    for name in sorted(needs.sets - bundle.codes.titles.keys()):
        yield Problem("codes/sets.csv", 1, "X002", f"{name}: this version of Tocsin asks for it")
    units = {name: analyte.canonical for name, analyte in bundle.units.analytes.items()}
    for name, unit in needs.analytes.items():
        if units.get(name) != unit:
            yield Problem("units.yaml", 1, "X003", f"{name}: this version of Tocsin needs it in {unit}")


@cache
def _needs(root: Path) -> Needs:
    vocabulary = Vocabulary.load(root / "facts.yaml")
    with (root / "codes/sets.csv").open(encoding="utf-8", newline="") as opened:
        sets = frozenset(row["set"] for row in csv.DictReader(opened))
    analytes = Units.load(root / "units.yaml").analytes
    return Needs(
        {spec.name: _meaning(spec) for spec in vocabulary},
        _records(vocabulary),
        sets,
        {name: analyte.canonical for name, analyte in analytes.items()},
    )


def _meaning(spec: FactSpec) -> tuple[object, ...]:
    """What of a fact's declaration the code goes by: words may change, this may not."""
    read = (spec.absence, spec.window_days, spec.needs, spec.engine)
    return str(spec.type), spec.kind, spec.unit, spec.values, *read


def _records(vocabulary: Vocabulary) -> dict[str, dict[str, str]]:
    return {
        name: {field: f"{spec.type} {' '.join(spec.values)}" for field, spec in fields.items()}
        for name, fields in vocabulary.records.items()
    }
