"""CEL criteria: what compiles, what it means for known, unknown and imprecise facts, and what is refused
where.
"""

import itertools
from typing import Any

import pytest

from rules.engine.cel import compile_expression
from rules.engine.emit import Module
from rules.engine.errors import ExpressionError
from rules.engine.facts import FactSet, Span
from tests.rules.generators import PARAMS, vocabulary
from tests.rules.native import native

WORDS = vocabulary()
INFINITY = float("inf")


def ask(text: str, **facts: Any) -> bool | None:
    """The criterion over facts given as keywords, `__` for the dot."""
    found = FactSet(WORDS)
    for name, value in facts.items():
        found.set(name.replace("__", "."), value)
    return native(text, WORDS, PARAMS)(found.values)


@pytest.mark.parametrize(("a", "b"), list(itertools.product([True, False, None], repeat=2)))
def test_logic_is_kleenes(a: bool | None, b: bool | None) -> None:
    both = False if False in (a, b) else None if None in (a, b) else True
    either = True if True in (a, b) else None if None in (a, b) else False
    assert ask("cancer.any && pain.current", cancer__any=a, pain__current=b) is both
    assert ask("cancer.any || pain.current", cancer__any=a, pain__current=b) is either
    assert ask("!cancer.any", cancer__any=a) is (None if a is None else not a)


@pytest.mark.parametrize(("days", "answer"), [(13, False), (14, True), (15, True), (None, None)])
def test_a_threshold_and_its_neighbours(days: int | None, answer: bool | None) -> None:
    assert ask("pain.days >= params.days", pain__days=days) is answer
    assert ask("params.days <= pain.days", pain__days=days) is answer


@pytest.mark.parametrize(
    ("text", "facts", "answer"),
    [
        ("care.status == 'hospice'", {"care__status": "hospice"}, True),
        ('care.status != "hospice"', {"care__status": "hospice"}, False),
        ("care.status in ['hospice', 'palliative']", {"care__status": "none"}, False),
        ("care.status in ['hospice']", {}, None),
        ("person.age in [59, params.days * 2, 60]", {"person__age": 28}, True),
        ("'lung' in cancer.sites", {"cancer__sites": ["lung"]}, True),
        ("'lung' in cancer.sites", {"cancer__sites": []}, False),
        ("size(cancer.sites) == 1 && cancer.sites.size() < 2", {"cancer__sites": ["lung"]}, True),
        ("size(care.status) == 7", {"care__status": "hospice"}, True),
        ("cancer.any == pain.current", {"cancer__any": True, "pain__current": False}, False),
        ("cancer.any == true", {"cancer__any": True}, True),
        ("care.status.startsWith('ho')", {"care__status": "hospice"}, True),
        ("care.status.endsWith('ho')", {"care__status": "hospice"}, False),
        ("care.status.contains('spi')", {"care__status": "hospice"}, True),
        (r"care.status.matches(r'^h\w+e$')", {"care__status": "hospice"}, True),
        ("care.status.matches('^x')", {}, None),
        ("has(pain.days)", {}, False),
        ("has(pain.days) && pain.days > 1", {"pain__days": 2}, True),
        ("cancer.any ? pain.days > 14 : pain.days > 42", {"cancer__any": False, "pain__days": 20}, False),
        ("cancer.any ? pain.days > 14 : pain.days > 42", {"pain__days": 99}, None),
        ("has(cancer.any) ? cancer.any : pain.current", {"pain__current": True}, True),
        ("(cancer.any ? 14 : 42) < pain.days", {"cancer__any": True, "pain__days": 20}, True),
        ("person.age / 7 == -2", {"person__age": -15}, True),
        ("person.age / 7 == 2", {"person__age": 15}, True),
        ("params.days / person.age == 1", {"person__age": 0}, None),
        ("params.high / labs.crp > 1.0", {"labs__crp": 0.0}, None),
        ("params.high / labs.crp > 1.0", {"labs__crp": 5.0}, True),
        ("-person.age < -params.days / 2", {"person__age": 8}, True),
        ("labs.crp + 1.0 - 0.5 >= params.high * 2.0", {"labs__crp": 99.5}, True),
        ("params.high / 2.0 < labs.crp", {"labs__crp": 25.5}, True),
        ("0x10 == person.age", {"person__age": 16}, True),
        (
            "care.status == \"\\150ospice\" || care.status == '\\x68o\\u0073pice'",
            {"care__status": "hospice"},
            True,
        ),
        (r"""'a\n\'\"\\' in cancer.sites""", {"cancer__sites": ["a\n'\"\\"]}, True),
        ("(" * 60 + "cancer.any" + ")" * 60, {"cancer__any": True}, True),  # parentheses alone are not depth
        ('"""none""" == care.status', {"care__status": "none"}, True),
    ],
)
def test_expressions(text: str, facts: dict[str, Any], answer: bool | None) -> None:
    assert ask(text, **facts) is answer


STUDIES = [{"modality": "mri", "days": 10, "regions": ["hip"]}, {"modality": "ct", "regions": []}]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("imaging.studies.exists(s, s.modality == 'mri')", True),
        ("imaging.studies.exists(s, s.days >= 5)", True),
        ("imaging.studies.exists(s, s.days >= 50)", None),
        ("imaging.studies.all(s, s.days >= 5)", None),
        ("imaging.studies.all(s, s.days >= 50)", False),
        ("imaging.studies.all(s, has(s.modality))", True),
        ("imaging.studies.exists_one(s, s.modality == 'ct')", True),
        ("imaging.studies.exists_one(s, has(s.modality))", False),
        ("imaging.studies.exists_one(s, s.days >= 5)", None),
        ("imaging.studies.exists(s, 'hip' in s.regions && s.days <= params.days)", True),
        ("imaging.studies.exists(s, s.regions.exists(r, r == 'hip' && s.modality == 'mri'))", True),
        ("cancer.sites.exists(s, s == 'lung' && cancer.any)", None),
    ],
)
def test_macros_over_lists(text: str, answer: bool | None) -> None:
    assert ask(text, imaging__studies=STUDIES, cancer__sites=["lung"]) is answer
    assert ask(text) is None


@pytest.mark.parametrize(("op", "empty"), [("exists", False), ("all", True), ("exists_one", False)])
def test_macros_over_no_elements(op: str, empty: bool) -> None:
    assert ask(f"imaging.studies.{op}(s, s.days > 1)", imaging__studies=[]) is empty


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        (Span(100, INFINITY, 100, low_open=True), True),
        (Span(0, 5, 5, high_open=True), False),
        (Span(45, INFINITY, 45, low_open=True), None),
        (Span(50, INFINITY, 50), True),
    ],
)
def test_a_comparator_is_an_interval(value: Span, answer: bool | None) -> None:
    """Decision 24."""
    assert ask("labs.crp >= params.high", labs__crp=value) is answer
    assert ask("!(labs.crp < params.high)", labs__crp=value) is answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("pain.days >= 59", None),  # below 60 days the whole span must agree
        ("pain.days >= 20", True),
        ("pain.days < 20", False),
        ("pain.days >= 60", True),  # from 60 days on the middle, 75, decides
        ("pain.days > params.long", False),
        ("params.long > pain.days", True),
        ("pain.days == 75", True),
        ("pain.days != 59", None),
        ("pain.days != 19", True),
        ("pain.days >= pain.hip.days", None),  # two facts: interval
        ("pain.days - 10 >= 100", None),  # arithmetic: interval whatever the threshold
        ("pain.days * 2 >= 40 && 5 + pain.days > 24 && -pain.days <= -20", True),
        ("(cancer.any ? pain.days : 3) >= 90", None),
    ],
)
def test_imprecise_days_follow_decision_25(text: str, answer: bool | None) -> None:
    assert ask(text, pain__days=Span(20, 130, 75), pain__hip__days=100, cancer__any=True) is answer


def test_imprecise_values_divide_to_ranges() -> None:
    assert ask("labs.crp / 2.0 >= 50.0", labs__crp=Span(100, INFINITY, 100)) is True
    assert ask("100.0 / labs.crp >= 50.0", labs__crp=Span(0, 5, 5)) is None


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("cancer.any &&", "R010", "not valid CEL"),
        ("cancer.any && (", "R010", "not valid CEL near"),
        ("cancer.any == 'a\\q'", "R010", "escape"),
        ("!" * 60 + "cancer.any", "R011", "nested"),
        ("cancer.any || " * 200 + "cancer.any", "R011", "characters"),
        ("cancer.sites[0] == 'lung'", "R011", "an index"),
        ("care.status == null", "R011", "null"),
        ("person.age % 2 == 0", "R011", "the % operator"),
        ("person.age == 2u", "R011", "literal"),
        ("person.age == 9223372036854775808", "R011", "64 bits"),
        ("{'a': 1} == person.age", "R011", "a map"),
        (".cancer.any", "R011", "leading dot"),
        ("Thing{a: 1} == cancer.any", "R011", "a message"),
        ("duration('1s') > pain.days", "R011", "duration() with 1"),
        ("cancer.sites.map(s, s) == cancer.sites", "R011", "map() with 2"),
        ("has(person.age > 1)", "R011", "has()"),
        ("cancer.sites.exists(a.b, true)", "R011", "plain name"),
        ("size(cancer.sites).x == 1", "R011", "field"),
        ("['lung'] == cancer.sites", "R011", "after 'in'"),
        ("cancer.anny", "R012", "did you mean cancer.any?"),
        ("zebra.stripes", "R012", "no fact is called zebra.stripes"),
        ("imaging.studies.exists(s, s.colour == 'red')", "R012", "imaging has no field colour"),
        ("pain.days > params.weeks", "R013", "no parameter weeks"),
        ("cancer.any > 1", "R014", "between bool and int"),
        ("cancer.any > cancer.any", "R014", "does not work on bool"),
        ("care.status < 'x'", "R014", "does not work on string"),
        ("cancer.sites == cancer.sites", "R014", "does not work on list<string>"),
        ("person.age && cancer.any", "R014", "&& needs true or false"),
        ("!person.age", "R014", "! needs true or false"),
        ("-cancer.any == 1", "R014", "- needs a number"),
        ("cancer.any + 1 > 1", "R014", "+ needs a number"),
        ("care.status in [person.age]", "R014", "literals"),
        ("care.status in []", "R014", "empty list"),
        ("person.age in cancer.sites", "R014", "between int and list<string>"),
        ("pain.days in [14]", "R014", "imprecise"),
        ("cancer.sites in ['x']", "R014", "list<string>"),
        ("size(person.age) == 1", "R014", "size() of int"),
        ("person.age.startsWith('x')", "R014", "works on strings"),
        ("care.status.matches('(')", "R014", "RE2"),
        ("care.status.matches(care.status)", "R014", "written out"),
        ("person.age.exists(x, true)", "R014", "works on lists"),
        ("has(params.days) && cancer.any", "R014", "has() asks"),
        ("pain.days / 7 > 2", "R014", "imprecise"),
        ("person.age / 0 == 1", "R014", "division by zero"),
        ("cancer.any ? 1 : 'x'", "R014", "between int and string"),
        ("labs.crp >= 50", "R015", "write 50.0"),
        ("labs.crp >= pain.days", "R015", "mixes int and double"),
        ("pain.days >= 14.0", "R015", "50 or 50.0"),
        ("labs.crp + 1 > 2.0", "R015", "write 1.0"),
        ("person.age in [1.5]", "R015", "mixes"),
        ("imaging.studies.exists(pain, pain.days > 1)", "R016", "hides another name"),
        ("imaging.studies.exists(params, true)", "R016", "hides"),
        ("imaging.studies.exists(s, s.regions.exists(s, s == 'a'))", "R016", "hides"),
        ("pain.days", "R017", "this is int"),
        ("pain.days + 1", "R017", "this is int"),
        ("care.status == 'hospise'", "R018", "it can be none, palliative, hospice"),
        ("care.status in ['hospice', 'gone']", "R018", "'gone'"),
        ("1 < 2", "R019", "reads no fact"),
        ("params.days > 3", "R019", "reads no fact"),
    ],
)
def test_refusals(text: str, code: str, words: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        native(text, WORDS, PARAMS)
    assert caught.value.code == code
    assert words in caught.value.message


def test_errors_carry_their_place() -> None:
    with pytest.raises(ExpressionError) as caught:
        native("cancer.any &&\n  labs.crp >= 50", WORDS)
    assert (caught.value.line, caught.value.column) == (2, 3)


def test_what_an_expression_reads_is_known() -> None:
    expression = compile_expression(
        "pain.days >= params.days && (cancer.any || pain.days > 1)", WORDS, PARAMS, Module()
    )
    assert expression.facts == ("pain.days", "cancer.any")
    assert expression.params == ("days",)
    assert expression.code.nullable
    assert not compile_expression("has(cancer.any) || has(pain.days)", WORDS, PARAMS, Module()).code.nullable
