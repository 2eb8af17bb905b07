import pytest

from rules.engine import Span
from service.wording import few, interval, lasting, printed


@pytest.mark.parametrize(
    ("days", "says"),
    [
        (0, "0 days"),
        (89, "89 days"),
        (90, "3 months"),
        (729, "24 months"),
        (730, "2 years"),
        (2200, "6 years"),
        (Span(10, 40, 25), "10 to 40 days"),
        (Span(0, 328, 147), "0 to 11 months"),
        (Span(2980, 3345, 3163), "8 to 9 years"),
        (Span(2900, 2930, 2915), "about 8 years"),
        (Span(90, 36500, 90), "at least 3 months"),
    ],
)
def test_a_duration_is_told_in_a_unit_that_fits(days: int | Span, says: str) -> None:
    assert lasting(days) == says


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("38.6 Cel", "38.6 °C"),
        ("101.5 [degF]", "101.5 °F"),
        ("212 umol/L", "212 µmol/L"),
        ("4.1 10*9/L", "4.1 ×10⁹/L"),
        ("72 mg/L", "72 mg/L"),
    ],
)
def test_units_are_printed_as_people_write_them(text: str, says: str) -> None:
    assert printed(text) == says


def test_a_long_list_ends_in_a_count() -> None:
    assert few(list("abcde")) == list("abcde")
    assert few(list("abcdefg")) == ("a", "b", "c", "d", "and 3 more")


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (Span(100, float("inf"), 100), "at least 100"),
        (Span(100, float("inf"), 100, low_open=True), "more than 100"),
        (Span(0, 5, 5, high_open=True), "less than 5"),
        (Span(3.09, 3.99, 3.49), "3.09 to 3.99"),
    ],
)
def test_an_imprecise_number_is_told_as_one(value: Span, says: str) -> None:
    assert interval(value) == says
