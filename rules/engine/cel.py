"""CEL criteria to native Python.

An expression is type-checked against the fact vocabulary and the rule's parameters, and turned into the
source of a Python expression over `v` (`FactSet.values`) whose value is True, False, or None for unknown.
cel-python's interpreter takes a millisecond for what that code does in a fraction of a microsecond, and its
compiled runner gives wrong answers under threads.

The language is the part of CEL on which all engines agree: names and types are fixed when the bundle loads,
ints and doubles never mix, and nothing is converted silently. One thing differs on purpose: a double divided
by zero is unknown here, not infinite.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import re2

from rules.engine import emit, syntax
from rules.engine.emit import Code, Module
from rules.engine.errors import ExpressionError
from rules.engine.kleene import divided
from rules.engine.syntax import COMPARISONS, Expr
from rules.engine.types import BOOL, FLOAT, INT, STRING, Type, list_of
from rules.engine.vocabulary import Vocabulary

__all__ = ["Expression", "Param", "compile_expression"]

UNKNOWN_FACT, UNKNOWN_PARAM, WRONG_TYPE, MIXED, SHADOWED = "R012", "R013", "R014", "R015", "R016"
NOT_BOOL, NOT_A_VALUE, CONSTANT = "R017", "R018", "R019"

Param = int | float


class Expression(msgspec.Struct, frozen=True):
    """A compiled criterion: the Python source of its value, and the facts and parameters it reads, in order
    of reading.
    """

    cel: str
    code: Code
    facts: tuple[str, ...]
    params: tuple[str, ...]


def compile_expression(
    text: str, vocabulary: Vocabulary, params: Mapping[str, Param], module: Module
) -> Expression:
    """The compiled form of one criterion; ExpressionError with its place when it cannot be one."""
    walk = _Walk(text, vocabulary, params, module)
    code = walk.emit(syntax.parse(text), {})
    if code.type != BOOL:
        raise ExpressionError(NOT_BOOL, f"a criterion must be true or false, and this is {code.type}")
    if not walk.facts:
        raise ExpressionError(CONSTANT, "reads no fact, so it is always the same")
    return Expression(text, code, tuple(walk.facts), tuple(walk.params_read))


class _Variable(msgspec.Struct, frozen=True):
    """The variable of a macro: the Python name it has in the generated function, and the type of the list's
    elements.
    """

    source: str
    type: Type


_Scope = Mapping[str, _Variable]


class _Walk:
    """One expression on its way to source. Facts and parameters read are kept in order, as keys."""

    def __init__(
        self, text: str, vocabulary: Vocabulary, params: Mapping[str, Param], module: Module
    ) -> None:
        self.text = text
        self.vocabulary = vocabulary
        self.params = params
        self.module = module
        self.facts: dict[str, None] = {}
        self.params_read: dict[str, None] = {}

    def emit(self, node: Expr, scope: _Scope) -> Code:
        return _EMIT[type(node)](self, node, scope)

    def error(self, code: str, node: Expr, message: str) -> ExpressionError:
        before = self.text[: node.start]
        return ExpressionError(code, message, before.count("\n") + 1, len(before) - before.rfind("\n"))

    # names

    def name(self, node: syntax.Name, scope: _Scope) -> Code:
        first = node.parts[0]
        if first in scope:
            return self.variable(node, scope[first])
        name = ".".join(node.parts)
        if first == "params":
            return self.param(node, name.removeprefix("params."))
        if name not in self.vocabulary:
            close = difflib.get_close_matches(name, self.vocabulary.slots, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise self.error(UNKNOWN_FACT, node, f"no fact is called {name}{hint}")
        spec = self.vocabulary.spec(name)
        self.facts[name] = None
        return Code(f"v[{spec.slot}]", spec.type, True, _span_kind(spec.kind), None, spec.values)

    def param(self, node: syntax.Name, name: str) -> Code:
        if name not in self.params:
            raise self.error(UNKNOWN_PARAM, node, f"this rule has no parameter {name}")
        self.params_read[name] = None
        return emit.constant(self.params[name])

    def variable(self, node: syntax.Name, variable: _Variable) -> Code:
        if len(node.parts) == 1:
            return Code(variable.source, variable.type)
        fields = self.vocabulary.records.get(variable.type.record, {})
        if len(node.parts) != 2 or node.parts[1] not in fields:
            raise self.error(UNKNOWN_FACT, node, f"{variable.type} has no field {'.'.join(node.parts[1:])}")
        field = fields[node.parts[1]]
        source = f"{variable.source}.get({node.parts[1]!r})"
        return Code(source, field.type, True, _span_kind(field.kind), None, field.values)

    def has(self, node: syntax.Has, scope: _Scope) -> Code:
        code = self.emit(node.name, scope)
        if not code.nullable:
            raise self.error(WRONG_TYPE, node, "has() asks whether a fact or a field is known")
        return Code(f"({code.source} is not None)", BOOL)

    def literal(self, node: syntax.Literal, scope: _Scope) -> Code:
        return emit.constant(node.value)

    # logic

    def boolean(self, node: Expr, scope: _Scope, what: str) -> Code:
        code = self.emit(node, scope)
        if code.type != BOOL:
            raise self.error(WRONG_TYPE, node, f"{what} needs true or false, and this is {code.type}")
        return code

    def negation(self, node: syntax.Not, scope: _Scope) -> Code:
        return emit.negation(self.boolean(node.operand, scope, "!"), self.module)

    def logic(self, node: syntax.Logic, scope: _Scope) -> Code:
        codes = [self.boolean(operand, scope, node.op) for operand in node.operands]
        join = emit.conjunction if node.op == "&&" else emit.disjunction
        return join(codes, self.module)

    def choice(self, node: syntax.Choice, scope: _Scope) -> Code:
        condition = self.boolean(node.condition, scope, "the condition of ?:")
        a, b = self.emit(node.then, scope), self.emit(node.otherwise, scope)
        self.same_type(node, a, b, "?:")
        return emit.choice(condition, a, b, self.module)

    # comparison and arithmetic

    def same_type(self, node: Expr, a: Code, b: Code, what: str) -> None:
        if a.type == b.type:
            return
        if a.type.numeric and b.type.numeric:
            whole = next((code.constant for code in (a, b) if type(code.constant) is int), None)
            hint = f"write {whole}.0" if whole is not None else "the two must be of one kind, 50 or 50.0"
            raise self.error(MIXED, node, f"{what} mixes int and double, which CEL refuses: {hint}")
        raise self.error(WRONG_TYPE, node, f"{what} between {a.type} and {b.type}")

    def compare(self, node: syntax.Compare, scope: _Scope) -> Code:
        a, b = self.emit(node.left, scope), self.emit(node.right, scope)
        self.same_type(node, a, b, COMPARISONS[node.op])
        equality = node.op in ("eq", "ne")
        if not (a.type.numeric or (equality and a.type in (BOOL, STRING))):
            raise self.error(WRONG_TYPE, node, f"{COMPARISONS[node.op]} does not work on {a.type}")
        self.known_value(node, a, b)
        self.known_value(node, b, a)
        return emit.comparison(node.op, a, b, self.module)

    def known_value(self, node: Expr, fact: Code, literal: Code) -> None:
        if fact.values and isinstance(literal.constant, str) and literal.constant not in fact.values:
            allowed = ", ".join(fact.values)
            raise self.error(
                NOT_A_VALUE, node, f"{literal.constant!r} is never the value here; it can be {allowed}"
            )

    def number(self, node: Expr, scope: _Scope, what: str) -> Code:
        code = self.emit(node, scope)
        if not code.type.numeric:
            raise self.error(WRONG_TYPE, node, f"{what} needs a number, and this is {code.type}")
        return code

    def minus(self, node: syntax.Minus, scope: _Scope) -> Code:
        code = self.number(node.operand, scope, "-")
        zero = emit.constant(0 if code.type == INT else 0.0)
        return self.folded("-", zero, code)

    def arithmetic(self, node: syntax.Arithmetic, scope: _Scope) -> Code:
        a, b = self.number(node.left, scope, node.op), self.number(node.right, scope, node.op)
        self.same_type(node, a, b, node.op)
        if node.op == "/" and b.constant == 0:
            raise self.error(WRONG_TYPE, node, "division by zero")
        if node.op == "/" and a.type == INT and (a.kind or b.kind):
            raise self.error(
                WRONG_TYPE,
                node,
                "days that may be imprecise cannot be divided: multiply the threshold instead",
            )
        return self.folded(node.op, a, b)

    def folded(self, op: str, a: Code, b: Code) -> Code:
        """The operation, worked out now when both sides are fixed: `params.weeks * 7` is a threshold like any
        other.
        """
        if isinstance(a.constant, Param) and isinstance(b.constant, Param):
            return emit.constant(
                _FOLD["int /" if op == "/" and a.type == INT else op](a.constant, b.constant)
            )
        return emit.arithmetic(op, a, b, self.module)

    # lists and text

    def membership(self, node: syntax.Membership, scope: _Scope) -> Code:
        item = self.emit(node.item, scope)
        if item.kind or item.type not in (INT, FLOAT, STRING, BOOL):
            what = "a number that may be imprecise" if item.kind else str(item.type)
            raise self.error(WRONG_TYPE, node.item, f"'in' does not work on {what}")
        if isinstance(node.container, syntax.ListLiteral):
            return self.in_literal(node, item, node.container, scope)
        container = self.emit(node.container, scope)
        if container.type != list_of(item.type):
            raise self.error(WRONG_TYPE, node, f"'in' between {item.type} and {container.type}")
        return emit.guarded([item, container], "({0} in {1})", BOOL, self.module)

    def in_literal(self, node: Expr, item: Code, container: syntax.ListLiteral, scope: _Scope) -> Code:
        members = []
        for entry in container.items:
            member = self.emit(entry, scope)
            if member.constant is None:
                raise self.error(WRONG_TYPE, entry, "a list after 'in' holds literals and parameters only")
            self.same_type(entry, item, member, "'in'")
            self.known_value(entry, item, member)
            members.append(member.constant)
        if not members:
            raise self.error(WRONG_TYPE, node, "'in' an empty list is never true")
        return emit.guarded(
            [item], f"({{0}} in {self.module.constant(frozenset(members))})", BOOL, self.module
        )

    def bare_list(self, node: syntax.ListLiteral, scope: _Scope) -> Code:
        raise self.error(syntax.SUBSET, node, "a list can only be written after 'in'")

    def size(self, node: syntax.Size, scope: _Scope) -> Code:
        code = self.emit(node.operand, scope)
        if code.type.name not in ("list", "string"):
            raise self.error(WRONG_TYPE, node, f"size() of {code.type}")
        return emit.guarded([code], "len({0})", INT, self.module)

    def text_test(self, node: syntax.TextTest, scope: _Scope) -> Code:
        target, argument = self.emit(node.target, scope), self.emit(node.argument, scope)
        if target.type != STRING or argument.type != STRING:
            raise self.error(
                WRONG_TYPE, node, f"{node.op}() works on strings, not on {target.type} and {argument.type}"
            )
        if node.op == "matches":
            return self.matches(node, target, argument)
        template = {"startsWith": "{0}.startswith({1})", "endsWith": "{0}.endswith({1})"}.get(
            node.op, "({1} in {0})"
        )
        return emit.guarded([target, argument], template, BOOL, self.module)

    def matches(self, node: syntax.TextTest, target: Code, pattern: Code) -> Code:
        if not isinstance(pattern.constant, str):
            raise self.error(WRONG_TYPE, node.argument, "the pattern of matches() must be written out")
        try:
            search = re2.compile(
                pattern.constant
            ).search  # RE2 at run time too: linear in the text, whatever the record holds
        except re2.error:
            raise self.error(WRONG_TYPE, node.argument, "not a regular expression RE2 accepts") from None
        return emit.guarded(
            [target], f"({self.module.constant(search)}({{0}}) is not None)", BOOL, self.module
        )

    def quantifier(self, node: syntax.Quantifier, scope: _Scope) -> Code:
        container = self.emit(node.container, scope)
        if container.type.element is None:
            raise self.error(WRONG_TYPE, node, f"{node.op}() works on lists, not on {container.type}")
        name = node.variable
        if name in scope or name == "params" or name in self.vocabulary.namespaces:
            raise self.error(
                SHADOWED,
                node,
                f"the variable {name} hides another name, and engines then disagree: rename it",
            )
        variable = _Variable(self.module.fresh("x"), container.type.element)
        body = self.boolean(node.body, {**scope, name: variable}, f"the body of {node.op}()")
        outer = [used.source for used in scope.values()]
        return emit.loop(node.op, container, variable.source, body, outer, self.module)


def _span_kind(declared: str) -> str:
    return "interval" if declared == "quantity" else declared


_FOLD: Mapping[str, Callable[[Param, Param], Param]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "int /": lambda a, b: divided(int(a), int(b)) or 0,
}

_EMIT: Mapping[type[Expr], Callable[[_Walk, Any, _Scope], Code]] = {
    syntax.Literal: _Walk.literal,
    syntax.Name: _Walk.name,
    syntax.Has: _Walk.has,
    syntax.Not: _Walk.negation,
    syntax.Minus: _Walk.minus,
    syntax.Logic: _Walk.logic,
    syntax.Compare: _Walk.compare,
    syntax.Arithmetic: _Walk.arithmetic,
    syntax.Membership: _Walk.membership,
    syntax.ListLiteral: _Walk.bare_list,
    syntax.Choice: _Walk.choice,
    syntax.Size: _Walk.size,
    syntax.TextTest: _Walk.text_test,
    syntax.Quantifier: _Walk.quantifier,
}
