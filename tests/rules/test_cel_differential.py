"""Native criteria against two other CEL engines, over random criteria and random facts."""

import itertools
import random

import pytest
from celpy.celparser import CELParser

from rules.engine.errors import ExpressionError
from tests.rules.bundles import bundled
from tests.rules.generators import PARAMS, Writer, random_facts, vocabulary
from tests.rules.native import Native, native
from tests.rules.oracles import HAS_CEL_EXPR, CelExpr, cel_python, nested

SEED = 20261125
CRITERIA = 250
FACT_SETS = 20_000


def criteria(rng: random.Random, count: int, *macros: str) -> list[tuple[str, Native]]:
    """Random criteria, compiled. Those that read no fact are refused, and thrown away here."""
    words = vocabulary()
    found: list[tuple[str, Native]] = []
    refusals: set[str] = set()
    while len(found) < count:
        text = Writer(rng, macros or ("exists", "all", "exists_one")).criterion()
        try:
            found.append((text, native(text, words, PARAMS)))
        except ExpressionError as error:
            refusals.add(error.code)
    assert refusals <= {"R019"}
    return found


def test_native_equals_cel_python() -> None:
    """Without exists_one: cel-python raises from inside it, past any `||` that could absorb the error."""
    rng = random.Random(SEED)
    words = vocabulary()
    answers: set[bool | None] = set()
    for text, run in criteria(rng, 400, "exists", "all"):
        ask = cel_python(text)
        for _ in range(2):
            facts = random_facts(words, rng)
            answer = run(facts.values)
            answers.add(answer)
            assert answer == ask(nested(facts, PARAMS)), (text, nested(facts, PARAMS))
    assert answers == {True, False, None}


@pytest.mark.parametrize("body", ["s.open", "s.days >= 14", "s.modality == 'mri' && s.size > 0.5"])
def test_exists_one_on_its_own_equals_cel_python(body: str) -> None:
    rng = random.Random(SEED)
    words = vocabulary()
    text = f"imaging.studies.exists_one(s, {body})"
    run, ask = native(text, words), cel_python(text)
    for _ in range(60):
        facts = random_facts(words, rng, unknown=0.1)
        assert run(facts.values) == ask(nested(facts, PARAMS))


needs_cel_expr = pytest.mark.skipif(not HAS_CEL_EXPR, reason="cel-expr-python (dev extra) is not installed")


@needs_cel_expr
def test_native_equals_cel_expr_over_twenty_thousand_fact_sets() -> None:
    rng = random.Random(SEED + 1)
    words = vocabulary()
    other = CelExpr(words.namespaces)
    counts: dict[bool | None, int] = {True: 0, False: 0, None: 0}
    for text, run in criteria(rng, CRITERIA):
        program = other.compile(text)
        for _ in range(FACT_SETS // CRITERIA):
            facts = random_facts(words, rng)
            answer = run(facts.values)
            counts[answer] += 1
            assert answer == other.ask(program, other.activation(nested(facts, PARAMS))), (text, facts.values)
    assert sum(counts.values()) == FACT_SETS
    assert min(counts.values()) > 1_000  # the three answers are all really exercised


Leaf = tuple[str, Native, dict[str, int | float]]


def bundled_leaves() -> list[Leaf]:
    """CEL, compiled form and parameters of every criterion of the bundled rules."""
    found = [
        (
            leaf.cel,
            program.leaves[leaf.index],
            {name: spec.value for name, spec in program.rule.params.items()},
        )
        for program in bundled().programs.values()
        for leaf in program.rule.leaves
    ]
    assert found
    return found


def test_bundled_criteria_equal_cel_python() -> None:
    rng = random.Random(SEED + 2)
    for text, run, params in bundled_leaves():
        ask = cel_python(text)
        for _ in range(3):
            facts = random_facts(bundled().vocabulary, rng)
            assert run(facts.values) == ask(nested(facts, params)), (text, nested(facts, params))


@needs_cel_expr
def test_bundled_criteria_equal_cel_expr_over_twenty_thousand_fact_sets() -> None:
    """Each fact set is put to eight criteria in turn, so every criterion sees hundreds."""
    rng = random.Random(SEED + 3)
    words = bundled().vocabulary
    other = CelExpr(words.namespaces)
    leaves = [(run, params, other.compile(text)) for text, run, params in bundled_leaves()]
    turn = itertools.cycle(leaves)
    answers: set[bool | None] = set()
    for _ in range(FACT_SETS):
        facts = random_facts(words, rng)
        tree = nested(facts, {})
        for run, params, program in itertools.islice(turn, 8):
            tree["params"] = params
            answer = run(facts.values)
            answers.add(answer)
            assert answer == other.ask(program, other.activation(tree))
    assert answers == {True, False, None}


def test_the_parser_is_one_for_the_process_and_survives_other_users() -> None:
    """cel-python keeps one parser whose tree class the first user fixes; ours must read what either runner
    left there.
    """
    kept = CELParser.CEL_PARSER
    try:
        from celpy.evaluation import TranspilerTree

        CELParser.CEL_PARSER = None
        CELParser(tree_class=TranspilerTree)
        assert native("cancer.any && pain.days >= 14", vocabulary())([None] * len(vocabulary())) is None
    finally:
        CELParser.CEL_PARSER = kept
