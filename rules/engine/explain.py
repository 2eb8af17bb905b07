"""Why a rule did what it did: its criteria as a tree, and what would have had to be different.

Everything is built from the leaves the rule itself ran, over the same facts, so it cannot tell another story
than the outcome.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from rules.engine.criteria import Criterion, GroupOp, Leaf
from rules.engine.facts import Fact, FactSet
from rules.engine.kleene import at_least
from rules.engine.program import Program
from rules.engine.text import said

__all__ = ["Node", "build_tree", "missing_facts", "near_miss", "would_fire_if"]


class Node(msgspec.Struct, frozen=True):
    """One criterion over the facts of a call.

    `kind` is "leaf" or the group's op. `value` is True, False or None for unknown, after `if_unknown`;
    `assumed` tells that an unknown was taken for the value, and `unknown_says` then says why that is right.
    `says` may be empty for a group. `facts` are those a leaf read.
    """

    kind: str
    says: str
    value: bool | None
    line: int
    cel: str = ""
    n: int = 0
    assumed: bool = False
    unknown_says: str = ""
    facts: tuple[Fact, ...] = ()
    children: tuple[Node, ...] = ()


LEAF = "leaf"


def build_tree(program: Program, facts: FactSet) -> Node:
    """The rule's criteria with their values: a root `all` over the population and `when`."""
    rule = program.rule
    population = _node(rule.population, program, facts)
    when = _node(rule.when, program, facts)
    return Node(
        "all",
        rule.title,
        _combined("all", 0, (population, when)),
        population.line,
        children=(population, when),
    )


def _node(criterion: Criterion, program: Program, facts: FactSet) -> Node:
    if isinstance(criterion, Leaf):
        value = program.leaves[criterion.index](facts.values)
        read = tuple(facts.get(name) for name in program.expressions[criterion.index].facts)
        node = Node(LEAF, criterion.says, value, criterion.line, cel=criterion.cel, facts=read)
    else:
        children = tuple(_node(child, program, facts) for child in criterion.children)
        value = _combined(criterion.op, criterion.n, children)
        node = Node(criterion.op, criterion.says, value, criterion.line, n=criterion.n, children=children)
    if value is not None or criterion.if_unknown is None:
        return node
    return msgspec.structs.replace(
        node, value=criterion.if_unknown, assumed=True, unknown_says=criterion.unknown_says
    )


def _combined(op: GroupOp, n: int, children: Sequence[Node]) -> bool | None:
    values = tuple(child.value for child in children)
    if op == "all":
        return False if False in values else None if None in values else True
    if op == "at_least":
        return at_least(n, values)
    found = at_least(1, values)
    return found if op == "any" or found is None else not found


def would_fire_if(tree: Node, facts: FactSet) -> list[str]:
    """The fewest criteria that would have to change for the rule to fire, as sentences with the values there
    are now.
    """
    return list(_lacking(tree, True, facts))


def _lacking(node: Node, wanted: bool, facts: FactSet) -> tuple[str, ...]:
    """Sentences for the cheapest way to make a node true, or false; empty when it already is."""
    if node.value is wanted:
        return ()
    if node.kind == LEAF:
        return (_sentence(node, wanted, facts),)
    # A none-group is true when each child is false; otherwise children work in the direction of the group.
    towards = not wanted if node.kind == "none" else wanted
    ways = [_lacking(child, towards, facts) for child in node.children]
    ways.sort(key=len)  # stable: of equally short ways the first written
    return tuple(sentence for way in ways[: _needed(node, wanted)] for sentence in way)


def _needed(node: Node, wanted: bool) -> int:
    """How many children must change direction for the group to do so."""
    every = len(node.children)
    n = {"any": 1, "at_least": node.n}.get(node.kind, every)
    return n if wanted else every - n + 1


def _sentence(node: Node, wanted: bool, facts: FactSet) -> str:
    specs = [(facts.vocabulary.spec(fact.name), fact.value) for fact in node.facts]
    values = [said(spec, value) for spec, value in specs]
    if len(specs) > 1:
        values = [f"{spec.label} {value}" for (spec, _), value in zip(specs, values, strict=True)]
    return f"{'' if wanted else 'Not so: '}{node.says}: now {', '.join(values)}"


def near_miss(tree: Node) -> bool:
    """Whether exactly one top-level criterion is not true, in a rule whose population is met."""
    _, when = tree.children
    criteria = when.children if when.kind == "all" else (when,)
    return sum(child.value is not True for child in criteria) == 1


def missing_facts(tree: Node) -> tuple[str, ...]:
    """Names of the facts a rule read and found unknown, each once."""
    return tuple(dict.fromkeys(fact.name for leaf in _leaves(tree) for fact in leaf.facts if not fact.known))


def _leaves(node: Node) -> Iterator[Node]:
    if node.kind == LEAF:
        yield node
    for child in node.children:
        yield from _leaves(child)
