"""Span arithmetic and comparison, held against brute force over sampled points."""

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.engine import spans
from rules.engine.spans import Number, Span

Point = float


@st.composite
def numbers(draw: st.DrawFn) -> Number:
    low = draw(st.integers(-8, 8))
    width = draw(st.integers(0, 4))
    if width == 0:
        return low
    return Span(low, low + width, low + width / 2, draw(st.booleans()), draw(st.booleans()))


def points(x: Number) -> list[Point]:
    """Points of the range: its ends when they belong to it, and points close to open ones."""
    if not isinstance(x, Span):
        return [float(x)]
    first = x.low + 0.001 if x.low_open else x.low
    last = x.high - 0.001 if x.high_open else x.high
    return [first, *(x.low + (x.high - x.low) * step / 8 for step in range(1, 8)), last]


def agreed(test: Callable[[Point, Point], bool], a: Number, b: Number) -> bool | None:
    answers = {test(x, y) for x, y in itertools.product(points(a), points(b))}
    return answers.pop() if len(answers) == 1 else None


@given(numbers(), numbers())
def test_less_is_decided_only_when_every_pair_agrees(a: Number, b: Number) -> None:
    assert spans.less(a, b) == agreed(lambda x, y: x < y, a, b)


@given(numbers(), numbers())
def test_less_or_equal_is_decided_only_when_every_pair_agrees(a: Number, b: Number) -> None:
    assert spans.less_or_equal(a, b) == agreed(lambda x, y: x <= y, a, b)


@given(numbers(), st.integers(-10, 14))
def test_equality_with_a_point_needs_a_point(a: Number, b: int) -> None:
    answer = spans.equals(a, b)
    if answer is not None:
        assert {x == b for x in points(a)} == {answer}
    else:
        assert isinstance(a, Span)
        assert a.low <= b <= a.high


@given(numbers(), numbers())
def test_equality_of_ranges_that_do_not_meet_is_false(a: Number, b: Number) -> None:
    if spans.equals(a, b) is False:
        assert not set(points(a)) & set(points(b))


@pytest.mark.parametrize(
    ("operation", "plain"),
    [
        (spans.plus, lambda x, y: x + y),
        (spans.minus, lambda x, y: x - y),
        (spans.times, lambda x, y: x * y),
        (spans.over, lambda x, y: x / y),
    ],
)
@given(a=numbers(), b=numbers())
def test_arithmetic_contains_every_pointwise_result(
    operation: Callable[[Number, Number], Number | None],
    plain: Callable[[Point, Point], Point],
    a: Number,
    b: Number,
) -> None:
    result = operation(a, b)
    if result is None:
        assert any(y == 0 for y in points(b)) or (isinstance(b, Span) and b.low <= 0 <= b.high)
        return
    low, high, _, _ = spans._ends(result)
    for x, y in itertools.product(points(a), points(b)):
        assert low - 1e-9 <= plain(x, y) <= high + 1e-9
    assert low - 1e-9 <= spans.known_mid(result) <= high + 1e-9


def test_comparators_of_laboratories() -> None:
    """Decision 24: `>100` meets 50 or more, `<5` does not, `>45` is unknown."""
    over_100 = Span(100, float("inf"), 100, low_open=True)
    under_5 = Span(0, 5, 5, high_open=True)
    over_45 = Span(45, float("inf"), 45, low_open=True)
    assert spans.less_or_equal(50.0, over_100) is True
    assert spans.less_or_equal(50.0, under_5) is False
    assert spans.less_or_equal(50.0, over_45) is None


def test_unbounded_times_zero_is_zero() -> None:
    assert spans.times(Span(0, float("inf"), 1), Span(0, 2, 1)) == Span(0.0, float("inf"), 1)
