"""Plots: well-formed SVG with the numbers as text, whatever the labels hold."""

import xml.etree.ElementTree as ET
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.memory.plots import bars, run_chart

SAFE = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc")), max_size=20)


@given(st.lists(st.integers(0, 10_000), max_size=40), SAFE)
def test_a_run_chart_has_a_bar_for_each_day_with_something(counts: Sequence[int], what: str) -> None:
    drawn = ET.fromstring(run_chart(counts, what))
    assert len(drawn) == sum(count > 0 for count in counts)
    assert drawn.attrib["aria-label"].startswith(what)


@given(st.dictionaries(SAFE, st.integers(0, 10_000), max_size=10))
def test_a_bar_is_labelled_and_counted(counts: dict[str, int]) -> None:
    drawn = ET.fromstring(bars(counts, "what"))
    assert len(drawn) == 3 * len(counts)
    assert [element.text or "" for element in drawn][2::3] == [str(count) for count in counts.values()]


@pytest.mark.parametrize("label", ["<script>", '"><script>', "{0}", "&amp;"])
def test_a_label_stays_a_label(label: str) -> None:
    for drawn in (run_chart([1], label), bars({label: 1}, label)):
        assert "<script" not in drawn
        assert ET.fromstring(drawn).attrib["aria-label"].startswith(label)
