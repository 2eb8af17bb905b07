"""Rules from elsewhere must speak of what this code derives."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from rules.engine import bundled_root, load
from service.fitting import unfit
from tests.rules.bundles import bundled


@pytest.fixture
def edited(tmp_path: Path) -> Callable[[str, str, str], list[str]]:
    """What is unfit after one text of a file was changed."""

    def edit(name: str, old: str, new: str) -> list[str]:
        root = shutil.copytree(bundled_root(), tmp_path / "rules", ignore=shutil.ignore_patterns("engine"))
        text = (root / name).read_text("utf-8")
        assert old in text
        (root / name).write_text(text.replace(old, new, 1), encoding="utf-8")
        return [str(problem) for problem in unfit(load(root))]

    return edit


def test_the_rules_of_the_package_fit() -> None:
    assert list(unfit(bundled())) == []


def test_words_of_facts_may_change(edited: Callable[[str, str, str], list[str]]) -> None:
    assert edited("facts.yaml", "says: ", "says: In short, ") == []


def test_a_fact_that_nobody_derives_does_not_fit(edited: Callable[[str, str, str], list[str]]) -> None:
    new = 'facts:\n  - {name: pain.elbow, type: bool, says: Elbow, label: elbow, absence: "false"}\n'
    assert edited("facts.yaml", "facts:\n", new) == [
        "facts.yaml:1: X001: pain.elbow: this version of Tocsin does not derive it"
    ]


def test_a_fact_with_another_meaning_does_not_fit(edited: Callable[[str, str, str], list[str]]) -> None:
    (said,) = edited("facts.yaml", "window_days: ", "window_days: 1")
    assert said.startswith("facts.yaml:1: X001: ")
    assert said.endswith("derives it otherwise")


def test_an_analyte_in_another_unit_does_not_fit(
    tmp_path: Path, edited: Callable[[str, str, str], list[str]]
) -> None:
    bundle = load()
    bundle.units.analytes.pop("crp")
    titles = dict(bundle.codes.titles)
    titles.pop("lab-crp")
    bundle.codes.titles = titles
    said = [str(problem) for problem in unfit(bundle)]
    assert said == [
        "codes/sets.csv:1: X002: lab-crp: this version of Tocsin asks for it",
        "units.yaml:1: X003: crp: this version of Tocsin needs it in mg/L",
    ]
