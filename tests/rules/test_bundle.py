"""Loading: schedules, needed facts, the digest, and the bundled rules themselves."""

import datetime
from pathlib import Path

import pytest

from rules.engine.bundle import bundled_root, check, load
from tests.rules.bundles import EXTENSION, RULE, TESTS, bundle, bundled, write


def test_rules_with_engine_facts_run_in_the_second_phase(tmp_path: Path) -> None:
    schedule = bundle(tmp_path).schedule("patient-view")
    assert [program.rule.id for program in schedule.first] == ["cancer-back", "cord"]
    assert [program.rule.id for program in schedule.second] == ["quiet"]
    assert schedule.off == {}


@pytest.mark.parametrize(
    ("hook", "ids"),
    [
        ("patient-view", ["cancer-back", "cord"]),
        ("order-sign", ["cancer-back"]),
        ("order-select", []),
        ("encounter-start", ["cancer-back", "cord"]),
        ("encounter-discharge", ["cancer-back", "cord"]),
        ("problem-list-item-create", ["cancer-back", "cord"]),
        ("appointment-book", ["cancer-back"]),
        ("order-dispatch", ["cancer-back"]),
        ("medication-refill", []),
    ],
)
def test_hooks_and_the_hooks_they_stand_for(tmp_path: Path, hook: str, ids: list[str]) -> None:
    assert [program.rule.id for program in bundle(tmp_path).schedule(hook).first] == ids


def test_retired_rules_are_kept_and_not_run(tmp_path: Path) -> None:
    loaded = bundle(tmp_path, (RULE, "status: approved", "status: retired"))
    assert "cancer-back" in loaded.rules
    assert "cancer-back" not in [program.rule.id for program in loaded.schedule("patient-view").first]


def test_needed_facts_are_those_read_shown_or_asked(tmp_path: Path) -> None:
    shown = (RULE, "show: [cancer.any,", "show: [care.palliative, cancer.any,")
    loaded = bundle(tmp_path, shown)
    assert loaded.needed("order-sign") == {
        "cancer.any",
        "care.palliative",
        "pain.back.current",
        "pain.back.days",
        "pain.night",
        "labs.crp.value",
    }
    assert "fired.any" not in loaded.needed("patient-view")
    assert loaded.needed("order-select") == frozenset()
    assert loaded.needed("order-sign") is loaded.needed("order-sign")


def digest(root: Path, *edits: tuple[str, str, str], snomed_extension: bool = True) -> str:
    return load(write(root, *edits), snomed_extension=snomed_extension).digest


def test_the_digest_names_the_content_and_not_its_layout(tmp_path: Path) -> None:
    first = digest(tmp_path)
    assert first.startswith("sha256:")
    assert len(first) == 71
    assert digest(tmp_path, (RULE, "id: cancer-back", "# a comment\nid:   cancer-back")) == first
    assert digest(tmp_path, (TESTS, "name: no pain", "name: no pain at all")) == first


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (RULE, "value: 14", "value: 15"),
        ("facts.yaml", "label: night pain", "label: pain at night"),
        ("orders.yaml", "Order MRI", "Request MRI"),
        ("evidence.yaml", "one clinic", "two clinics"),
        ("units.yaml", "plausible: [0, 1000]", "plausible: [0, 900]"),
        ("codes/labs.csv", "1988-5", "30522-7"),
    ],
)
def test_any_content_changes_the_digest(tmp_path: Path, file: str, old: str, new: str) -> None:
    before = digest(tmp_path)
    tests_too = (TESTS, "14, cancer.any: true, labs", "15, cancer.any: true, labs")
    assert digest(tmp_path, (file, old, new), *([tests_too] if file == RULE else [])) != before


def test_the_snomed_extension_is_part_of_the_digest_when_it_is_on(tmp_path: Path) -> None:
    row = "lab-crp,loinc,30522-7,exact,,,yes,x,x,\n"
    longer = ("codes/snomed-extension.csv", EXTENSION, EXTENSION + row)
    off, on = digest(tmp_path, longer, snomed_extension=False), digest(tmp_path, longer)
    assert digest(tmp_path, snomed_extension=False) == off
    assert on != off
    assert load(tmp_path, snomed_extension=False).digest == off


def test_version_comes_with_the_bundle(tmp_path: Path) -> None:
    assert bundle(tmp_path).version == "2026.11.0"


def test_the_bundled_rules_have_no_errors() -> None:
    assert bundled_root().name == "rules"
    errors = [problem for problem in check(now=datetime.date(2026, 11, 25)) if problem.severity == "error"]
    assert [str(problem) for problem in errors] == []


def test_the_bundled_rules_answer_every_hook() -> None:
    loaded = bundled()
    assert len(loaded.rules) >= 40
    for hook in ("patient-view", "order-select", "order-sign"):
        assert loaded.schedule(hook).first
        assert loaded.needed(hook) <= set(loaded.vocabulary.slots)
