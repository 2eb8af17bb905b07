"""Random facts and random, well-typed criteria over a small vocabulary that has every type."""

import random
from collections.abc import Callable, Sequence
from typing import Any

from rules.engine.documents import read_text
from rules.engine.facts import FactSet, FactSpec, Vocabulary
from rules.engine.vocabulary import parse_vocabulary

PARAMS: dict[str, int | float] = {"days": 14, "long": 90, "high": 50.0}

_FACTS = """
schema_version: 1
records:
  imaging: {modality: string, regions: list<string>, days: int, open: bool, size: float}
facts:
  - {name: cancer.any, type: bool, says: Cancer}
  - {name: cancer.bone.known, type: bool, says: Bone metastases}
  - {name: pain.current, type: bool, says: Pain}
  - {name: pain.days, type: int, kind: days, says: Days of pain}
  - {name: pain.hip.days, type: int, kind: days, says: Days of hip pain}
  - {name: person.age, type: int, says: Age}
  - {name: labs.crp, type: float, kind: quantity, says: CRP}
  - {name: labs.esr, type: float, kind: quantity, says: ESR}
  - {name: care.status, type: string, says: Palliative status, values: [none, palliative, hospice]}
  - {name: cancer.sites, type: list<string>, says: Sites}
  - {name: imaging.studies, type: list<imaging>, says: Studies}
"""

WORDS = ["none", "palliative", "hospice", "lung", "spine", "hip", "mri", "ct"]
INTS = [-3, 0, 1, 13, 14, 15, 59, 60, 61, 90]
FLOATS = [-1.5, 0.0, 0.5, 2.0, 49.9, 50.0, 50.1]
COMPARATORS = ["<", "<=", ">", ">=", "==", "!="]


def vocabulary() -> Vocabulary:
    parsed, problems = parse_vocabulary(read_text(_FACTS, "facts.yaml"))
    assert problems == []
    return parsed


def random_facts(vocabulary: Vocabulary, rng: random.Random, unknown: float = 0.3) -> FactSet:
    """Facts of any vocabulary, each unknown with the given probability."""
    facts = FactSet(vocabulary)
    for spec in vocabulary:
        if rng.random() >= unknown:
            facts.set(spec.name, random_value(spec, vocabulary, rng))
    return facts


def random_value(spec: FactSpec, vocabulary: Vocabulary, rng: random.Random) -> Any:
    if spec.type.element is None:
        return _scalar(spec.type.name, rng, spec.values)
    fields = vocabulary.records.get(spec.type.element.record)
    if fields is None:
        return [_scalar(spec.type.element.name, rng) for _ in range(rng.randrange(4))]
    return [_record(fields, rng) for _ in range(rng.randrange(4))]


def _record(fields: Any, rng: random.Random) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, field in fields.items():
        if rng.random() < 0.8:
            inner = field.type.element
            several = [_scalar(inner.name, rng) for _ in range(rng.randrange(3))] if inner else []
            found[name] = several if inner else _scalar(field.type.name, rng)
    return found


def _scalar(kind: str, rng: random.Random, values: tuple[str, ...] = ()) -> Any:
    if kind == "bool":
        return rng.random() < 0.5
    if kind == "string":
        return rng.choice(values or WORDS)
    return rng.choice(INTS) if kind == "int" else rng.choice(FLOATS)


class Writer:
    """Writes one random criterion. `element` is the macro variable in scope, when inside a macro."""

    def __init__(self, rng: random.Random, macros: Sequence[str] = ("exists", "all", "exists_one")) -> None:
        self.rng = rng
        self.macros = macros
        self.variables = 0

    def criterion(self, depth: int = 3, element: str = "") -> str:
        pick = self.rng.random()
        if depth <= 0 or pick < 0.25:
            return self.atom(element)
        if pick < 0.7:
            op = self.rng.choice([" && ", " || "])
            return (
                "("
                + op.join(self.criterion(depth - 1, element) for _ in range(self.rng.choice([2, 2, 3])))
                + ")"
            )
        if pick < 0.8:
            return f"!({self.criterion(depth - 1, element)})"
        if pick < 0.87:
            parts = [self.criterion(depth - 1, element) for _ in range(3)]
            return f"({parts[0]} ? {parts[1]} : {parts[2]})"
        return self.comparison(depth, element) if element else self.macro(depth)

    def macro(self, depth: int) -> str:
        self.variables += 1
        name = f"e{self.variables}"
        op = self.rng.choice(self.macros)
        if self.rng.random() < 0.3:
            return f'cancer.sites.{op}({name}, {name} == "lung" || {self.atom("")})'
        return f"imaging.studies.{op}({name}, {self.criterion(depth - 1, name)})"

    def atom(self, element: str) -> str:
        bools = ["cancer.any", "cancer.bone.known", "pain.current"] + (
            [f"{element}.open"] * 3 if element else []
        )
        strings = ["care.status"] if not element else [f"{element}.modality"]
        lists = ["cancer.sites"] if not element else [f"{element}.regions"]
        texts: list[Callable[[], str]] = [
            lambda: self.rng.choice(bools),
            lambda: f"has({self.rng.choice([*bools, 'labs.crp', 'pain.days'])})",
            lambda: f"{strings[0]} {self.rng.choice(['==', '!='])} {self.word(element)}",
            lambda: f"{strings[0]} in [{self.word(element)}, {self.word(element)}]",
            lambda: f"{self.word('x')} in {lists[0]}",
            lambda: f"size({lists[0]}) {self.rng.choice(COMPARATORS)} {self.rng.randrange(3)}",
            lambda: f"{strings[0]}.{self.rng.choice(['startsWith', 'endsWith', 'contains'])}('e')",
            lambda: f"{strings[0]}.matches('^[a-m].*e$')",
            lambda: self.comparison(1, element),
        ]
        return self.rng.choice([*texts, texts[-1], texts[-1]])()

    def word(self, element: str) -> str:
        return f"'{self.rng.choice(WORDS if element else WORDS[:3])}'"

    def comparison(self, depth: int, element: str) -> str:
        whole = self.rng.random() < 0.6
        left, right = self.number(whole, depth, element), self.number(whole, 0, element)
        if self.rng.random() < 0.5:
            left, right = right, left
        return f"{left} {self.rng.choice(COMPARATORS)} {right}"

    def number(self, whole: bool, depth: int, element: str) -> str:
        if depth > 0 and self.rng.random() < 0.3:
            left, right = self.number(whole, depth - 1, element), self.number(whole, 0, element)
            return f"({left} {self.rng.choice('+-*')} {right})"
        if whole:
            names = [
                "pain.days",
                "pain.hip.days",
                "person.age",
                "params.days",
                "params.long",
                "size(cancer.sites)",
            ]
            literal = str(self.rng.choice(INTS))
        else:
            names = ["labs.crp", "labs.esr", "params.high", "(labs.crp / 2.0)"]
            literal = repr(self.rng.choice(FLOATS))
        names += [f"{element}.{'days' if whole else 'size'}"] * 3 if element else []
        if whole and self.rng.random() < 0.1:
            return "(person.age / params.days)"
        return literal if self.rng.random() < 0.3 else self.rng.choice(names)
