"""CEL text to a small expression tree.

The grammar and the parser are cel-python's. Its parse tree has a dozen levels for one comparison, so it is
folded here into the nodes that rules may use; everything else CEL has is refused with its place, before any
type is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import lark
import msgspec
from celpy.celparser import CELParseError, CELParser

from rules.engine.errors import ExpressionError

__all__ = [
    "COMPARISONS",
    "Arithmetic",
    "Choice",
    "Compare",
    "Expr",
    "Has",
    "ListLiteral",
    "Literal",
    "Logic",
    "Membership",
    "Minus",
    "Name",
    "Not",
    "Quantifier",
    "Size",
    "TextTest",
    "children",
    "parse",
]

MAX_LENGTH = 2000
MAX_DEPTH = 40
SYNTAX, SUBSET = "R010", "R011"

COMPARISONS = {"lt": "<", "le": "<=", "gt": ">", "ge": ">=", "eq": "==", "ne": "!="}
_ARITHMETIC = {"addition_add": "+", "addition_sub": "-", "multiplication_mul": "*", "multiplication_div": "/"}
_QUANTIFIERS = frozenset({"exists", "all", "exists_one"})
_TEXT_TESTS = frozenset({"startsWith", "endsWith", "contains", "matches"})
_REFUSED = {
    "member_index": "an index",
    "member_object": "a message",
    "map_lit": "a map",
    "dot_ident": "a leading dot",
    "dot_ident_arg": "a leading dot",
    "multiplication_mod": "the % operator",
}


class Expr(msgspec.Struct, kw_only=True):
    """Any expression. `start` and `end` are offsets into the text it was parsed from."""

    start: int = 0
    end: int = 0


class Literal(Expr):
    value: bool | int | float | str


class Name(Expr):
    """A dotted name: a fact, a parameter, a macro's variable or a field of it."""

    parts: tuple[str, ...]


class Has(Expr):
    name: Name


class Not(Expr):
    operand: Expr


class Minus(Expr):
    operand: Expr


class Logic(Expr):
    """`&&` or `||` over two or more operands."""

    op: str
    operands: list[Expr]


class Compare(Expr):
    op: str
    left: Expr
    right: Expr


class Arithmetic(Expr):
    op: str
    left: Expr
    right: Expr


class Membership(Expr):
    item: Expr
    container: Expr


class ListLiteral(Expr):
    items: list[Expr]


class Choice(Expr):
    condition: Expr
    then: Expr
    otherwise: Expr


class Size(Expr):
    operand: Expr


class TextTest(Expr):
    """`startsWith`, `endsWith`, `contains` or `matches`."""

    op: str
    target: Expr
    argument: Expr


class Quantifier(Expr):
    """`exists`, `all` or `exists_one` over a list."""

    op: str
    container: Expr
    variable: str
    body: Expr


def children(node: Expr) -> Iterator[Expr]:
    """The direct sub-expressions of a node, left to right."""
    for field in node.__struct_fields__:
        value = getattr(node, field)
        if isinstance(value, Expr):
            yield value
        elif isinstance(value, list):
            yield from value


def parse(text: str) -> Expr:
    """The expression tree of `text`. ExpressionError R010 for broken syntax, R011 for CEL that rules may not
    use.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(SUBSET, f"longer than {MAX_LENGTH} characters: split it into several criteria")
    try:
        tree = CELParser().parse(text)
    except CELParseError as error:
        raise ExpressionError(
            SYNTAX, _syntax_message(text, error), error.line or 1, error.column or 1
        ) from None
    return _Folder(text).fold(tree, 0)


def _syntax_message(text: str, error: CELParseError) -> str:
    line, column = error.line or 1, error.column or 1
    rest = text.split("\n")[line - 1][column - 1 :]
    return f"not valid CEL near {rest[:20]!r}"


class _Folder:
    def __init__(self, text: str) -> None:
        self.text = text

    def fold(self, tree: Any, depth: int) -> Expr:
        while _is_wrapper(tree):
            tree = tree.children[0]
        if depth > MAX_DEPTH:
            raise self.error(tree, "too deeply nested: split it into several criteria")
        if tree.data in _REFUSED:
            raise self.error(tree, f"rules may not use {_REFUSED[tree.data]}")
        node: Expr = getattr(self, f"_{tree.data}")(tree, depth + 1)
        node.start = getattr(tree.meta, "start_pos", 0)
        node.end = getattr(tree.meta, "end_pos", len(self.text))
        return node

    def error(self, tree: lark.Tree[Any], message: str, code: str = SUBSET) -> ExpressionError:
        return ExpressionError(code, message, getattr(tree.meta, "line", 1), getattr(tree.meta, "column", 1))

    def _expr(self, tree: lark.Tree[Any], depth: int) -> Expr:
        condition, then, otherwise = (self.fold(child, depth) for child in tree.children)
        return Choice(condition=condition, then=then, otherwise=otherwise)

    def _conditionalor(self, tree: lark.Tree[Any], depth: int) -> Expr:
        return self._logic("||", tree, depth)

    def _conditionaland(self, tree: lark.Tree[Any], depth: int) -> Expr:
        return self._logic("&&", tree, depth)

    def _logic(self, op: str, tree: Any, depth: int) -> Expr:
        right: list[Expr] = []
        kind = tree.data
        while tree.data == kind and len(tree.children) == 2:  # left-deep chains fold into one node
            right.append(self.fold(tree.children[1], depth))
            tree = tree.children[0]
        return Logic(op=op, operands=[self.fold(tree, depth), *reversed(right)])

    def _relation(self, tree: lark.Tree[Any], depth: int) -> Expr:
        head: Any
        head, right = tree.children
        op = head.data.removeprefix("relation_")
        a, b = self.fold(head.children[0], depth), self.fold(right, depth)
        if op == "in":
            return Membership(item=a, container=b)
        return Compare(op=op, left=a, right=b)

    def _addition(self, tree: lark.Tree[Any], depth: int) -> Expr:
        head: Any
        head, right = tree.children
        if head.data in _REFUSED:
            raise self.error(head, f"rules may not use {_REFUSED[head.data]}")
        a, b = self.fold(head.children[0], depth), self.fold(right, depth)
        return Arithmetic(op=_ARITHMETIC[head.data], left=a, right=b)

    _multiplication = _addition

    def _unary(self, tree: lark.Tree[Any], depth: int) -> Expr:
        sign: Any
        sign, operand = tree.children
        inner = self.fold(operand, depth)
        return Not(operand=inner) if sign.data == "unary_not" else Minus(operand=inner)

    def _ident(self, tree: lark.Tree[Any], depth: int) -> Expr:
        return Name(parts=(str(tree.children[0]),))

    def _member_dot(self, tree: lark.Tree[Any], depth: int) -> Expr:
        target = self.fold(tree.children[0], depth)
        if not isinstance(target, Name):
            raise self.error(tree, "a field can only be read from a name")
        return Name(parts=(*target.parts, str(tree.children[1])))

    def _list_lit(self, tree: lark.Tree[Any], depth: int) -> Expr:
        return ListLiteral(items=[self.fold(item, depth) for item in _arguments(tree, 0)])

    def _literal(self, tree: lark.Tree[Any], depth: int) -> Expr:
        token: Any = tree.children[0]
        if token.type == "INT_LIT":
            return Literal(value=self._int(tree, str(token)))
        if token.type == "FLOAT_LIT":
            return Literal(value=float(token))
        if token.type == "BOOL_LIT":
            return Literal(value=token == "true")
        if token.type in ("STRING_LIT", "MLSTRING_LIT"):
            return Literal(value=self._string(tree, str(token)))
        raise self.error(
            tree, f"rules may not use {'null' if token.type == 'NULL_LIT' else 'this kind of literal'}"
        )

    def _int(self, tree: lark.Tree[Any], digits: str) -> int:
        value = int(digits, 16 if "0x" in digits else 10)
        if not -(2**63) <= value < 2**63:
            raise self.error(tree, "an int literal must fit 64 bits")
        return value

    def _string(self, tree: lark.Tree[Any], token: str) -> str:
        raw = token[0] in "rR"
        body = token[1:] if raw else token
        quote = 3 if body[:3] in ('"""', "'''") and len(body) >= 6 else 1
        body = body[quote:-quote]
        if raw:
            return body
        if "\\" in _ESCAPE.sub("", body):
            raise self.error(tree, "a backslash in this string starts no CEL escape", SYNTAX)
        return _ESCAPE.sub(_unescaped, body)

    def _ident_arg(self, tree: lark.Tree[Any], depth: int) -> Expr:
        function = str(tree.children[0])
        arguments = [self.fold(item, depth) for item in _arguments(tree, 1)]
        if function == "has" and len(arguments) == 1 and isinstance(arguments[0], Name):
            return Has(name=arguments[0])
        if function == "size" and len(arguments) == 1:
            return Size(operand=arguments[0])
        raise self.error(tree, f"no function {function}() with {len(arguments)} argument(s) for rules")

    def _member_dot_arg(self, tree: lark.Tree[Any], depth: int) -> Expr:
        target, function = self.fold(tree.children[0], depth), str(tree.children[1])
        arguments = [self.fold(item, depth) for item in _arguments(tree, 2)]
        if function == "size" and not arguments:
            return Size(operand=target)
        if function in _TEXT_TESTS and len(arguments) == 1:
            return TextTest(op=function, target=target, argument=arguments[0])
        if function in _QUANTIFIERS and len(arguments) == 2:
            variable = arguments[0]
            if not isinstance(variable, Name) or len(variable.parts) != 1:
                raise self.error(tree, f"the first argument of {function}() must be a plain name")
            return Quantifier(op=function, container=target, variable=variable.parts[0], body=arguments[1])
        raise self.error(tree, f"no method {function}() with {len(arguments)} argument(s) for rules")


_WRAPPERS = frozenset(
    {
        "expr",
        "conditionalor",
        "conditionaland",
        "relation",
        "addition",
        "multiplication",
        "unary",
        "member",
        "primary",
        "paren_expr",
    }
)


def _is_wrapper(tree: Any) -> bool:
    return tree.data in _WRAPPERS and len(tree.children) == 1


def _arguments(tree: lark.Tree[Any], index: int) -> list[Any]:
    found: Any = tree.children[index] if len(tree.children) > index else None
    return [] if found is None else list(found.children)


_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\\"'`?])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U(000[0-9a-fA-F]{5}|0010[0-9a-fA-F]{4})|([0-3][0-7]{2}))"
)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def _unescaped(match: re.Match[str]) -> str:
    letter, x, u, long, octal = match.groups()
    if letter is not None:
        return _SIMPLE.get(letter, letter)
    return chr(int(octal, 8)) if octal else chr(int(x or u or long, 16))
