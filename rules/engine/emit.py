"""Python source for three-valued operations: the building blocks of the CEL compiler and of the rule code
generator.

Every piece of source is an expression whose value is the operation's result, or None for unknown. Operands
that can be unknown are bound to a fresh name by `:=`, so each is computed once, left to right, and no further
than needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from rules.engine.syntax import COMPARISONS
from rules.engine.types import BOOL, FLOAT, INT, STRING, Type

__all__ = [
    "DAYS_DECIDED_BY_MID",
    "Code",
    "Module",
    "arithmetic",
    "choice",
    "comparison",
    "conjunction",
    "constant",
    "count_met",
    "disjunction",
    "guarded",
    "loop",
    "negation",
    "resolved",
]

# Decision 25: an imprecise date leaves a threshold below 60 days undecided; from there on the middle of the
# span decides.
DAYS_DECIDED_BY_MID = 60

Constant = bool | int | float | str
_SPAN_OPERATORS = {"+": "span_add", "-": "span_sub", "*": "span_mul"}


class Code(msgspec.Struct, frozen=True):
    """Source of one sub-expression with its static type.

    `nullable` when the value can be None. `kind` is "" for exact values, "days" for a days fact read as it
    is, and "interval" for any other number that may be a Span. `constant` holds a value fixed at load time.
    `values` is the closed list of a string fact.
    """

    source: str
    type: Type
    nullable: bool = False
    kind: str = ""
    constant: Constant | None = None
    values: tuple[str, ...] = ()


class Module:
    """The module being generated: helper functions, constants by name, and a supply of fresh names."""

    def __init__(self) -> None:
        self.functions: list[str] = []
        self.constants: dict[str, Any] = {}
        self._count = 0

    def fresh(self, prefix: str = "t") -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def constant(self, value: Any) -> str:
        name = self.fresh("K")
        self.constants[name] = value
        return name


_TYPES: dict[type, Type] = {bool: BOOL, int: INT, float: FLOAT, str: STRING}


def constant(value: Constant) -> Code:
    return Code(
        f"({value!r})" if value.__class__ in (int, float) else repr(value),
        _TYPES[type(value)],
        constant=value,
    )


def negation(code: Code, module: Module) -> Code:
    if not code.nullable:
        return Code(f"(not {code.source})", BOOL)
    t = module.fresh()
    return Code(f"(None if ({t} := {code.source}) is None else not {t})", BOOL, True)


def conjunction(codes: Sequence[Code], module: Module) -> Code:
    """True when all are, False when any is, else unknown."""
    if not any(code.nullable for code in codes):
        return Code("(" + " and ".join(code.source for code in codes) + ")", BOOL)
    tests, unsure = [], []
    for code in codes:
        if code.nullable:
            t = module.fresh()
            tests.append(f"({t} := {code.source}) is False")
            unsure.append(t)
        else:
            tests.append(f"not {code.source}")
    return Code(f"(False if {' or '.join(tests)} else {' and '.join(unsure)})", BOOL, True)


def disjunction(codes: Sequence[Code], module: Module) -> Code:
    """True when any is, False when none is, else unknown."""
    if not any(code.nullable for code in codes):
        return Code("(" + " or ".join(code.source for code in codes) + ")", BOOL)
    tests, unsure = [], []
    for code in codes:
        if code.nullable:
            t = module.fresh()
            tests.append(f"({t} := {code.source})")
            unsure.append(f"{t} is None")
        else:
            tests.append(code.source)
    return Code(f"(True if {' or '.join(tests)} else None if {' or '.join(unsure)} else False)", BOOL, True)


def count_met(n: int, codes: Sequence[Code]) -> Code:
    """True when at least `n` are, False when they cannot be, else unknown."""
    values = ", ".join(code.source for code in codes)
    return Code(f"at_least({n}, ({values},))", BOOL, any(code.nullable for code in codes))


def resolved(code: Code, if_unknown: bool, module: Module) -> Code:
    """The same, with unknown taken for `if_unknown`."""
    if not code.nullable:
        return code
    if not if_unknown:
        return Code(f"({code.source} is True)", BOOL)
    t = module.fresh()
    return Code(f"(True if ({t} := {code.source}) is None else {t})", BOOL)


def guarded(operands: Sequence[Code], template: str, result: Type, module: Module, *, kind: str = "") -> Code:
    """`template` filled with the operands' names ({0}, {1}), or None when any operand is unknown."""
    if not any(code.nullable or code.kind for code in operands):
        return Code(template.format(*(code.source for code in operands)), result, kind=kind)
    names, tests = [], []
    for code in operands:
        if code.constant is not None:
            names.append(code.source)
            continue
        t = module.fresh()
        names.append(t)
        tests.append(f"({t} := {code.source}) is None")
    return Code(f"(None if {' or '.join(tests)} else {template.format(*names)})", result, True, kind)


def comparison(op: str, a: Code, b: Code, module: Module) -> Code:
    """`a op b` for operands of one type; `op` is lt, le, gt, ge, eq or ne."""
    sign = COMPARISONS[op]
    if _decided_by_mid(a, b):
        left, right = _mid("{0}", a), _mid("{1}", b)
        return guarded([a, b], f"({left} {sign} {right})", BOOL, module)
    plain = f"{{0}} {sign} {{1}}"
    spans = [f"{{{i}}}.__class__ is Span" for i, code in enumerate((a, b)) if code.kind]
    if spans:
        plain = f"span_{op}({{0}}, {{1}}) if {' or '.join(spans)} else {plain}"
    return guarded([a, b], f"({plain})", BOOL, module)


def _mid(name: str, code: Code) -> str:
    return f"({name}.mid if {name}.__class__ is Span else {name})" if code.kind else name


def _decided_by_mid(a: Code, b: Code) -> bool:
    for days, threshold in ((a, b.constant), (b, a.constant)):
        if days.kind == "days" and isinstance(threshold, int) and threshold >= DAYS_DECIDED_BY_MID:
            return True
    return False


def arithmetic(op: str, a: Code, b: Code, module: Module) -> Code:
    """`a op b` for numbers of one type; `op` is + - * or /. Ints that may be spans cannot be divided (the
    caller refuses them).
    """
    spans = [f"{{{i}}}.__class__ is Span" for i, code in enumerate((a, b)) if code.kind]
    kind = "interval" if spans else ""
    if op == "/":
        function = "divided" if a.type == INT else "ratio"
        code = guarded([a, b], f"{function}({{0}}, {{1}})", a.type, module, kind=kind)
        return Code(code.source, code.type, True, kind)
    plain = f"{{0}} {op} {{1}}"
    if spans:
        plain = f"{_SPAN_OPERATORS[op]}({{0}}, {{1}}) if {' or '.join(spans)} else {plain}"
    return guarded([a, b], f"({plain})", a.type, module, kind=kind)


def choice(condition: Code, a: Code, b: Code, module: Module) -> Code:
    """`condition ? a : b`, unknown when the condition is; the branch not taken is not computed."""
    nullable = condition.nullable or a.nullable or b.nullable
    kind = "interval" if a.kind or b.kind else ""
    if not condition.nullable:
        return Code(f"({a.source} if {condition.source} else {b.source})", a.type, nullable, kind)
    t = module.fresh()
    source = f"(None if ({t} := {condition.source}) is None else {a.source} if {t} else {b.source})"
    return Code(source, a.type, nullable, kind)


_LOOPS = {
    "exists": """\
    result = False
    for {x} in items:
        found = {body}
        if found:
            return True
        if found is None:
            result = None
    return result""",
    "all": """\
    result = True
    for {x} in items:
        found = {body}
        if found is None:
            result = None
        elif not found:
            return False
    return result""",
    "exists_one": """\
    count = 0
    for {x} in items:
        found = {body}
        if found is None:
            return None
        count += found
    return count == 1""",
}


def loop(op: str, items: Code, variable: str, body: Code, outer: Sequence[str], module: Module) -> Code:
    """`exists`, `all` or `exists_one` over a list, as a function of its own in the module.

    The first two absorb an unknown element when another one decides; `exists_one` does not, as in CEL.
    """
    name = module.fresh("loop")
    head = f"def {name}({', '.join(('items', 'v', *outer))}):"
    module.functions.append(f"{head}\n{_LOOPS[op].format(x=variable, body=body.source)}\n")
    code = guarded([items], f"{name}({', '.join(('{0}', 'v', *outer))})", BOOL, module)
    return Code(code.source, BOOL, code.nullable or body.nullable)
