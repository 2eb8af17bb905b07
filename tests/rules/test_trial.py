"""One rule with other text: lint says the same as for a file, and the bundle it came from stays as it is."""

import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rules.engine import LONGEST_RULE, RulesError, evaluate, try_rule
from rules.engine.bundle import Bundle
from rules.engine.cases import case_facts
from tests.rules.bundles import RULE, bundle, write


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return bundle(tmp_path_factory.mktemp("rules"))


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return (write(tmp_path_factory.mktemp("texts")) / RULE).read_text("utf-8")


def test_the_same_text_gives_the_same_rule_and_no_problem(loaded: Bundle, text: str) -> None:
    trial = try_rule(loaded, "cancer-back", text)
    assert trial.problems == ()
    assert trial.bundle is not None
    assert trial.bundle.rules == loaded.rules
    assert trial.bundle.digest != loaded.digest


def test_changed_text_runs_and_the_bundle_stays(loaded: Bundle, text: str) -> None:
    before = loaded.schedule("patient-view"), loaded.needed("patient-view"), loaded.digest
    changed = text.replace("title: ", "title: Changed, ", 1)
    trial = try_rule(loaded, "cancer-back", changed)
    assert trial.bundle is not None
    now = datetime.datetime(2026, 11, 25, tzinfo=datetime.UTC)
    decision = evaluate(trial.bundle, case_facts(loaded.vocabulary, {}), hook="patient-view", now=now)
    assert decision.bundle.rules["cancer-back"].title.startswith("Changed, ")
    assert set(decision.outcomes) == {"cancer-back", "cord", "quiet"}
    assert (loaded.schedule("patient-view"), loaded.needed("patient-view"), loaded.digest) == before
    assert not loaded.rules["cancer-back"].title.startswith("Changed")


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("pain.back.current", "pain.bock.current", "R012"),
        ("id: cancer-back", "id: cancer-bock", "R020"),
        ("version: ", "virsion: ", "R002"),
    ],
)
def test_what_lint_finds_has_its_line(loaded: Bundle, text: str, old: str, new: str, code: str) -> None:
    trial = try_rule(loaded, "cancer-back", text.replace(old, new, 1))
    line = text[: text.index(old)].count("\n") + 1
    assert trial.bundle is None
    assert (code, line) in [(problem.code, problem.line) for problem in trial.problems]


def test_a_review_past_its_day_is_a_warning_and_runs(loaded: Bundle, text: str) -> None:
    trial = try_rule(loaded, "cancer-back", text, datetime.date(2999, 1, 1))
    assert trial.bundle is not None
    assert [(problem.code, problem.severity) for problem in trial.problems] == [("R034", "warning")]


def test_what_it_breaks_elsewhere_is_an_error_too(loaded: Bundle, text: str) -> None:
    trial = try_rule(loaded, "cancer-back", text.replace("topic: ", "topic: X", 1))
    assert trial.bundle is not None
    taken = loaded.rules["cord"].topic
    mine = loaded.rules["cancer-back"].topic
    clash = try_rule(loaded, "cancer-back", text.replace(f"topic: {mine}", f"topic: {taken}", 1))
    assert clash.bundle is None
    assert "R021" in {problem.code for problem in clash.problems}


@pytest.mark.parametrize(
    ("given_text", "says"),
    [
        ("", "is not of type 'object'"),
        ("a: [", "not valid YAML"),
        ("a: &a [1]\nb: [*a, *a]", "aliases are not used"),
        ("[" * 60 + "]" * 60, "nested deeper than 40 levels"),
        ("x" * (LONGEST_RULE + 1), "at most"),
        ("a: \ud800", "a character that YAML does not allow"),
    ],
)
def test_text_that_is_no_rule_is_told(loaded: Bundle, given_text: str, says: str) -> None:
    trial = try_rule(loaded, "cancer-back", given_text)
    assert trial.bundle is None
    assert says in trial.problems[0].message


def test_a_rule_that_is_not_there_cannot_be_tried(loaded: Bundle, text: str) -> None:
    with pytest.raises(RulesError, match="no rule is called other"):
        try_rule(loaded, "other", text)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 2000), cut=st.integers(0, 60), put=st.text(max_size=20))
def test_no_text_raises(loaded: Bundle, text: str, at: int, cut: int, put: str) -> None:
    at %= len(text)
    trial = try_rule(loaded, "cancer-back", text[:at] + put + text[at + cut :])
    errors = [problem for problem in trial.problems if problem.severity == "error"]
    assert (trial.bundle is None) == bool(errors)


def test_tests_stay_with_the_rule(tmp_path: Path, text: str) -> None:
    loaded = bundle(tmp_path)
    trial = try_rule(loaded, "cancer-back", text)
    assert trial.bundle is not None
    assert trial.bundle.files["cancer-back"].tests is loaded.files["cancer-back"].tests
