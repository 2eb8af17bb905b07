"""The types of facts, as written in facts.yaml, and as CEL names them."""

from __future__ import annotations

from collections.abc import Container

import msgspec

__all__ = ["BOOL", "FLOAT", "INT", "STRING", "Type", "list_of", "parse_type", "record"]

_LIST = "list<"
_CEL_NAMES = {"float": "double"}


class Type(msgspec.Struct, frozen=True):
    """`bool`, `int`, `float` (CEL double), `string`, `list` of an element type, or `record` with its declared
    name.
    """

    name: str
    element: Type | None = None
    record: str = ""

    def __str__(self) -> str:
        if self.element is not None:
            return f"list<{self.element}>"
        return self.record or _CEL_NAMES.get(self.name, self.name)

    @property
    def numeric(self) -> bool:
        return self.name in ("int", "float")


BOOL = Type("bool")
INT = Type("int")
FLOAT = Type("float")
STRING = Type("string")
_SCALARS = {t.name: t for t in (BOOL, INT, FLOAT, STRING)}


def list_of(element: Type) -> Type:
    return Type("list", element)


def record(name: str) -> Type:
    return Type("record", None, name)


def parse_type(text: str, records: Container[str] = ()) -> Type | None:
    """The type a facts.yaml entry names, or None when there is no such type. Lists of lists do not exist."""
    if text in _SCALARS:
        return _SCALARS[text]
    if text.startswith(_LIST) and text.endswith(">"):
        inner = text[len(_LIST) : -1]
        if inner in records:
            return list_of(record(inner))
        if inner in _SCALARS:
            return list_of(_SCALARS[inner])
    return None
