"""Criteria: plain sentences with CEL leaves, combined by all, any, none and at_least."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from rules.engine import emit
from rules.engine.documents import Document, Path
from rules.engine.emit import Code, Module
from rules.engine.text import fill

__all__ = ["Criterion", "Group", "GroupOp", "Leaf", "Reader", "emit_criterion", "leaves"]

GroupOp = Literal["all", "any", "none", "at_least"]


class Leaf(msgspec.Struct, frozen=True):
    """One sentence and its expression. `index` numbers the leaves of a rule from 0: population first, then
    `when`, top to bottom.

    `if_unknown` maps an unknown value to true or false; None leaves it unknown. `line` is that of the CEL
    text in rule.yaml.
    """

    index: int
    says: str
    cel: str
    line: int
    if_unknown: bool | None = None
    unknown_says: str = ""


class Group(msgspec.Struct, frozen=True):
    """Criteria taken together. `n` counts only for at_least."""

    op: GroupOp
    children: tuple[Criterion, ...]
    line: int
    n: int = 0
    says: str = ""
    if_unknown: bool | None = None
    unknown_says: str = ""


Criterion = Leaf | Group


class Reader:
    """Reads the criteria of one rule document, numbering leaves as it goes. Parameters are filled into the
    sentences.
    """

    def __init__(self, document: Document, params: Mapping[str, str]) -> None:
        self.document = document
        self.params = params
        self.count = 0

    def read(self, raw: Mapping[str, Any], path: Path) -> Criterion:
        if_unknown = {"met": True, "not-met": False}.get(raw.get("if_unknown", ""))
        says, unknown_says = (fill(raw.get(key, ""), self.params) for key in ("says", "unknown_says"))
        if "cel" in raw:
            self.count += 1
            line = self.document.line((*path, "cel"))
            return Leaf(self.count - 1, says, raw["cel"], line, if_unknown, unknown_says)
        op: GroupOp = next(name for name in _OPS if name in raw)
        key = "of" if op == "at_least" else op
        children = self.read_all(raw[key], (*path, key))
        line = self.document.key_line((*path, key))
        return Group(op, children, line, raw.get("at_least", 0), says, if_unknown, unknown_says)

    def read_all(self, raw: Sequence[Mapping[str, Any]], path: Path) -> tuple[Criterion, ...]:
        return tuple(self.read(child, (*path, index)) for index, child in enumerate(raw))


_OPS: tuple[GroupOp, ...] = ("all", "any", "none", "at_least")


def leaves(criterion: Criterion) -> Iterator[Leaf]:
    """The leaves below, in order of their index."""
    if isinstance(criterion, Leaf):
        yield criterion
    else:
        for child in criterion.children:
            yield from leaves(child)


def emit_criterion(criterion: Criterion, codes: Mapping[int, Code], module: Module) -> Code:
    """Source of the whole criterion; `codes` are those of the rule's leaves by index."""
    if isinstance(criterion, Leaf):
        code = codes[criterion.index]
    else:
        code = _emit_group(
            criterion, [emit_criterion(child, codes, module) for child in criterion.children], module
        )
    return code if criterion.if_unknown is None else emit.resolved(code, criterion.if_unknown, module)


def _emit_group(group: Group, codes: Sequence[Code], module: Module) -> Code:
    if group.op == "at_least":
        return emit.count_met(group.n, codes)
    if group.op == "all":
        return emit.conjunction(codes, module)
    found = emit.disjunction(codes, module)
    return emit.negation(found, module) if group.op == "none" else found
