"""Generated rule code against the tree, over random criteria with every kind of group and unknown mapping."""

import random
from pathlib import Path

import msgspec
import pytest

from rules.engine.criteria import Criterion, Group, GroupOp, Leaf
from rules.engine.errors import ExpressionError
from rules.engine.explain import build_tree
from rules.engine.kleene import at_least, divided
from rules.engine.program import compile_rule
from rules.engine.rule import Rule
from tests.rules.bundles import bundle
from tests.rules.generators import random_facts, vocabulary

CELS = [
    "cancer.any",
    "pain.current",
    "has(labs.crp)",
    "labs.crp >= 50.0",
    "pain.days >= 14",
    "size(cancer.sites) > 0",
]


class _Writer:
    """Random criteria; leaves are numbered as the reader would."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.count = 0

    def criterion(self, depth: int) -> Criterion:
        if_unknown = self.rng.choice([None, None, True, False])
        if depth == 0 or self.rng.random() < 0.3:
            self.count += 1
            return Leaf(self.count - 1, f"leaf {self.count}", self.rng.choice(CELS), 1, if_unknown)
        ops: list[GroupOp] = ["all", "any", "none", "at_least"]
        op = self.rng.choice(ops)
        children = tuple(self.criterion(depth - 1) for _ in range(self.rng.randint(1, 3)))
        n = self.rng.randint(1, len(children)) if op == "at_least" else 0
        return Group(op, children, 1, n, "", if_unknown)


def template(root: Path) -> Rule:
    return bundle(root).rules["quiet"]


def test_rules_and_their_trees_agree_over_random_criteria(tmp_path: Path) -> None:
    rng = random.Random(11)
    words = vocabulary()
    plain = template(tmp_path)
    seen: set[str] = set()
    for _ in range(150):
        writer = _Writer(rng)
        population = Group("all", tuple(writer.criterion(1) for _ in range(rng.randint(1, 2))), 1)
        when = writer.criterion(3)
        program = compile_rule(
            msgspec.structs.replace(plain, population=population, when=when, params={}), words
        )
        for _ in range(20):
            facts = random_facts(words, rng, unknown=0.4)
            outcome = program.outcomes[program.run(facts.values)]
            first, second = build_tree(program, facts).children
            expected = {True: "fired", False: "not-fired", None: "not-enough-data"}[second.value]
            assert outcome.outcome == (expected if first.value is True else "excluded")
            seen.add(outcome.outcome)
    assert seen == {"fired", "not-fired", "not-enough-data", "excluded"}


def test_a_rule_that_does_not_compile_raises(tmp_path: Path) -> None:
    broken = msgspec.structs.replace(template(tmp_path), when=Leaf(0, "x", "cancer.every", 1))
    with pytest.raises(ExpressionError) as caught:
        compile_rule(broken, vocabulary())
    assert caught.value.code == "R012"


@pytest.mark.parametrize(
    ("n", "values", "answer"),
    [
        (1, (True, None), True),
        (2, (True, None), None),
        (2, (True, False), False),
        (2, (None, None, False), None),
        (3, (None, None, False), False),
        (2, (True, True, None), True),
    ],
)
def test_at_least(n: int, values: tuple[bool | None, ...], answer: bool | None) -> None:
    assert at_least(n, values) is answer


@pytest.mark.parametrize(
    ("a", "b", "answer"), [(7, 2, 3), (-7, 2, -3), (7, -2, -3), (-7, -2, 3), (1, 0, None)]
)
def test_int_division_truncates_towards_zero(a: int, b: int, answer: int | None) -> None:
    assert divided(a, b) == answer
