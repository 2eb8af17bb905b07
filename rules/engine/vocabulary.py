"""The fact vocabulary (facts.yaml): every fact a rule may read, with its type, meaning, and what its absence
says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path as FilePath
from typing import Any, Literal

import msgspec

from rules.engine.documents import Document, read_document, schema_problems
from rules.engine.errors import BundleError, FactError, Problem
from rules.engine.schemas import schema
from rules.engine.types import Type, parse_type

__all__ = ["FactSpec", "FieldSpec", "Vocabulary"]

Kind = Literal["", "days", "quantity"]
Absence = Literal["unknown", "false", "none"]

# The CEL grammar's own words, and the namespace of rule parameters: no segment of a fact's name may be one.
_RESERVED = frozenset(
    {"as", "break", "const", "continue", "else", "false", "for", "function", "if", "import", "in"}
)
_RESERVED |= {
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "params",
    "return",
    "true",
    "var",
    "void",
    "while",
}

_PLAIN: Mapping[str, type] = {"bool": bool, "int": int, "string": str, "list": list}


class FieldSpec(msgspec.Struct, frozen=True):
    """One field of a record type. A record may leave any field out; it is then unknown."""

    type: Type
    kind: Kind = ""
    values: tuple[str, ...] = ()


class FactSpec(msgspec.Struct, frozen=True):
    """One declared fact. `slot` is its index in `FactSet.values`."""

    name: str
    slot: int
    type: Type
    says: str
    label: str
    kind: Kind = ""
    unit: str = ""
    absence: Absence = "unknown"
    window_days: int | None = None
    values: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    origin: str = ""
    engine: bool = False

    @property
    def absent_value(self) -> Any:
        """What the fact is when its data were read and nothing was found; None for unknown."""
        if self.absence == "unknown":
            return None
        if self.absence == "false":
            return False
        return [] if self.type.name == "list" else "none"


class Vocabulary:
    """All facts by name and by slot, and the record types their lists hold."""

    def __init__(self, facts: tuple[FactSpec, ...], records: Mapping[str, Mapping[str, FieldSpec]]) -> None:
        self.facts = facts
        self.records = records
        self.slots: Mapping[str, int] = {spec.name: spec.slot for spec in facts}
        # The class of value that needs no check, by slot: none for floats, which must be finite, and closed
        # lists.
        self.plain: tuple[type | None, ...] = tuple(
            _PLAIN.get(spec.type.name) if not spec.values else None for spec in facts
        )
        self.namespaces = frozenset(spec.name.split(".")[0] for spec in facts)

    def __len__(self) -> int:
        return len(self.facts)

    def __contains__(self, name: object) -> bool:
        return name in self.slots

    def __iter__(self) -> Iterator[FactSpec]:
        return iter(self.facts)

    def spec(self, name: str) -> FactSpec:
        """The declaration of a fact; FactError when there is none."""
        slot = self.slots.get(name)
        if slot is None:
            raise FactError(f"no fact is called {name}")
        return self.facts[slot]

    @classmethod
    def load(cls, path: FilePath) -> Vocabulary:
        """Read facts.yaml; BundleError with every problem in it."""
        document = read_document(path, path.name)
        vocabulary, problems = parse_vocabulary(document)
        if problems:
            raise BundleError(problems)
        return vocabulary


def parse_vocabulary(document: Document) -> tuple[Vocabulary, list[Problem]]:
    """The vocabulary of a document: the facts that can be understood, and what is wrong with the others."""
    problems = document.problems or schema_problems(document, schema("facts"))
    if problems:
        return Vocabulary((), {}), list(problems)
    data: dict[str, Any] = document.data
    records: dict[str, Mapping[str, FieldSpec]] = {}
    for name, fields in data.get("records", {}).items():
        records[name] = {
            key: _field(raw, ("records", name, key), document, problems) for key, raw in fields.items()
        }
    specs: list[FactSpec] = []
    for index, raw in enumerate(data["facts"]):
        spec = _fact(raw, len(specs), records)
        faults = list(_faults(spec, raw, specs))
        problems += [document.problem("R003", fault, ("facts", index)) for fault in faults]
        if not faults and spec is not None:
            specs.append(spec)
    return Vocabulary(tuple(specs), records), problems


def _field(raw: Any, path: tuple[str | int, ...], document: Document, problems: list[Problem]) -> FieldSpec:
    entry = raw if isinstance(raw, dict) else {"type": raw}
    field_type = parse_type(entry["type"])
    if field_type is None:
        problems.append(document.problem("R003", f"no type is called {entry['type']}", path))
        field_type = Type("string")
    return FieldSpec(field_type, entry.get("kind", ""), tuple(entry.get("values", ())))


def _fact(raw: Mapping[str, Any], slot: int, records: Mapping[str, object]) -> FactSpec | None:
    fact_type = parse_type(raw["type"], records)
    if fact_type is None:
        return None
    return FactSpec(
        name=raw["name"],
        slot=slot,
        type=fact_type,
        says=raw["says"],
        label=raw.get("label", raw["says"]),
        kind=raw.get("kind", ""),
        unit=raw.get("unit", ""),
        absence=raw.get("absence", "unknown"),
        window_days=raw.get("window_days"),
        values=tuple(raw.get("values", ())),
        needs=tuple(raw.get("needs", ())),
        origin=raw.get("from", ""),
        engine=raw.get("engine", False),
    )


def _faults(spec: FactSpec | None, raw: Mapping[str, Any], earlier: list[FactSpec]) -> Iterator[str]:
    name = raw["name"]
    if spec is None:
        yield f"{name}: no type is called {raw['type']}"
        return
    reserved = _RESERVED.intersection(name.split("."))
    if reserved:
        yield f"{name}: '{min(reserved)}' is a word CEL keeps for itself"
    for other in earlier:
        if other.name == name:
            yield f"{name} is declared twice"
        elif other.name.startswith(f"{name}.") or name.startswith(f"{other.name}."):
            yield f"{name} and {other.name}: a fact cannot also be a namespace"
    if spec.kind == "days" and spec.type.name != "int":
        yield f"{name}: kind days needs type int"
    if spec.kind == "quantity" and spec.type.name != "float":
        yield f"{name}: kind quantity needs type float"
    if spec.values and spec.type.name != "string":
        yield f"{name}: a closed list of values needs type string"
    yield from _absence_faults(spec)


def _absence_faults(spec: FactSpec) -> Iterator[str]:
    if spec.absence == "false" and spec.type.name != "bool":
        yield f"{spec.name}: absence false needs type bool"
    if spec.absence == "none" and spec.type.name != "list" and "none" not in spec.values:
        yield f"{spec.name}: absence none needs a list, or a string with 'none' among its values"
