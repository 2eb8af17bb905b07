"""Placeholders and values in words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.engine.cardlint import banned
from rules.engine.spans import Span
from rules.engine.text import fill, number, placeholders, said, stray_braces
from rules.engine.types import BOOL, FLOAT, INT, STRING, list_of, record
from rules.engine.vocabulary import FactSpec

INFINITY = float("inf")
DAYS = FactSpec("a.days", 0, INT, "Days", "days", kind="days", unit="d")
AGE = FactSpec("a.age", 0, INT, "Age", "age", unit="a")
CRP = FactSpec("a.crp", 0, FLOAT, "CRP", "CRP", kind="quantity", unit="mg/L")
SCORE = FactSpec("a.score", 0, FLOAT, "Score", "score", unit="{score}")
FLAG = FactSpec("a.flag", 0, BOOL, "Flag", "flag")
SEX = FactSpec("a.sex", 0, STRING, "Sex", "sex", values=("not-known", "male"))
WORD = FactSpec("a.word", 0, STRING, "Word", "word")
SITES = FactSpec("a.sites", 0, list_of(STRING), "Sites", "sites")
STUDIES = FactSpec("a.studies", 0, list_of(record("imaging")), "Studies", "studies")


@pytest.mark.parametrize(
    ("spec", "value", "words"),
    [
        (DAYS, 9, "9 days"),
        (DAYS, 1, "1 day"),
        (DAYS, None, "not recorded"),
        (DAYS, Span(20, 50, 35), "20 to 50 days"),
        (AGE, 1, "1 year"),
        (AGE, 71, "71 years"),
        (CRP, 62.0, "62 mg/L"),
        (CRP, 62.35, "62.35 mg/L"),
        (CRP, Span(100, INFINITY, 100, low_open=True), "over 100 mg/L"),
        (CRP, Span(100, INFINITY, 100), "at least 100 mg/L"),
        (CRP, Span(0, 5, 5, high_open=True), "under 5 mg/L"),
        (CRP, Span(0, 5, 5), "at most 5 mg/L"),
        (SCORE, 7.0, "7"),
        (FLAG, True, "yes"),
        (FLAG, False, "no"),
        (SEX, "not-known", "not known"),
        (WORD, "T-cell", "T-cell"),
        (SITES, ["lung", "breast"], "lung, breast"),
        (SITES, [], "none"),
        (STUDIES, [{"modality": "mri", "days": 3}], "1 on record"),
    ],
)
def test_values_in_words(spec: FactSpec, value: Any, words: str) -> None:
    assert said(spec, value) == words


@pytest.mark.parametrize(
    ("text", "names", "stray"),
    [
        ("{min_days} days", ["min_days"], False),
        (
            "{fact:pain.back.days}, call {contact:mscc-team}",
            ["fact:pain.back.days", "contact:mscc-team"],
            False,
        ),
        ("{Upper}", [], True),
        ("a } b", [], True),
        ("{open", [], True),
        ("{}", [], True),
    ],
)
def test_placeholders(text: str, names: list[str], stray: bool) -> None:
    assert placeholders(text) == names
    assert stray_braces(text) is stray


@given(
    st.text(), st.dictionaries(st.from_regex(r"[a-z][a-z0-9_]*", fullmatch=True), st.text(alphabet="xyz "))
)
def test_filling_leaves_nothing_that_has_a_value(text: str, values: dict[str, str]) -> None:
    assert not set(placeholders(fill(text, values))) & values.keys()


def test_filling_leaves_the_others() -> None:
    assert fill("{a} {b}", {"a": "1"}) == "1 {b}"


@pytest.mark.parametrize(
    ("value", "text"), [(14, "14"), (50.0, "50"), (2.65, "2.65"), (0.5, "0.5"), (1000000, "1000000")]
)
def test_numbers(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("This rules out cancer", ["'rule out'"]),
        ("To rule-out infection", ["'rule out'"]),
        ("A lower risk than most", ["'low risk'"]),
        ("In 5 percent", ["a percentage"]),
        ("Give dexamethasone 16 mg", ["a drug dose"]),
        ("CRP 50 mg/L or more", []),
        ("Haemoglobin under 110 g/L", []),
        ("200 mL or more raises suspicion", []),
        ("Normal tests do not exclude cancer", []),
    ],
)
def test_banned_words(text: str, words: list[str]) -> None:
    assert banned(text) == words
