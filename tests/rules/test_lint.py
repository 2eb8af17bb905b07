"""Every check: the bundle as written passes, and one change breaks exactly that check, at the right line."""

import datetime
from pathlib import Path

import pytest

from rules.engine.bundle import check, load
from rules.engine.errors import BundleError
from tests.rules import bundles
from tests.rules.bundles import CANCER, CANCER_TESTS, RULE, TESTS, bundle, errors, write

CORD = "catalogue/cord/rule.yaml"
SECOND = "{id: E-ONE, citation: x, kind: case, measured: [], limits: x, status: opinion}"


def test_the_small_bundle_is_good(tmp_path: Path) -> None:
    assert errors(tmp_path) == []


def test_its_only_warning_is_the_missing_contact(tmp_path: Path) -> None:
    (warning,) = bundle(tmp_path).warnings
    assert str(warning) == (
        "no site file: R055: warning: contacts have no number, cards point to the on-call list: mscc"
    )


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ("title: Back pain and cancer\n", "title: [x\n", "R001", "not valid YAML"),
        ("owner: clinical-content", "owners: clinical-content", "R002", "owners: no such key"),
        ("version: 1.0.0", "version: one", "R002", "does not have the form"),
        ("title: Back pain and cancer", f"title: {'x' * 61}", "R002", "too long"),
        ("    summary: Back pain and cancer\n", f"    summary: {'x' * 140}\n", "R002", "too long"),
        ("urgency: warning", "urgency: red", "R002", "'red' is not one of"),
        ("cel: cancer.any}", "cel: cancer.any, none: []}", "R002", ""),
        ("cel: cancer.any}", "cel: cancer.any &&}", "R010", "not valid CEL"),
        ("cel: cancer.any}", 'cel: "cancer.any == null"}', "R011", "null"),
        ("cel: cancer.any}", "cel: cancer.anny}", "R012", "did you mean cancer.any?"),
        ("params.min_days\n", "params.days\n", "R013", "no parameter days"),
        ("cel: cancer.any}", "cel: cancer.any > 1}", "R014", "between bool and int"),
        (">= 50.0", ">= 50", "R015", "write 50.0"),
        ("cel: pain.night}", 'cel: "imaging.studies.exists(pain, true) || pain.night"}', "R016", "hides"),
        ("cel: cancer.any}", "cel: pain.back.days}", "R017", "this is int"),
        ("cel: cancer.any}", "cel: care.palliative == 'hospise'}", "R018", "it can be none, hospice"),
        ("cel: cancer.any}", "cel: 1 < 2}", "R019", "reads no fact"),
        ("id: cancer-back\n", "id: cancer-hip\n", "R020", "not the folder's name"),
        ("topic: CANCERBACK", "topic: CORD", "R021", ""),
        ("supersedes: [quiet]", "supersedes: [quite]", "R024", "no rule is called quite"),
        ("supersedes: [quiet]", "supersedes: [cancer-back]", "R024", "cannot supersede itself"),
        ("evidence: [E-ONE]", "evidence: [E-TWO]", "R026", "no evidence is called E-TWO"),
        ("suggest: [mri-spine]", "suggest: [mri-hip]", "R027", "no order is called mri-hip"),
        ("key_orders: [imaging-mri-spine]", "key_orders: [imaging-mri]", "R028", "no value set"),
        (
            'consider: ["Call',
            'consider: ["See {fact:pain.knee}", "Call',
            "R030",
            "nothing fills {fact:pain.knee}",
        ),
        ('lead: "Pain', 'lead: "{oops Pain', "R030", "brace"),
        ('lead: "Pain', 'lead: "{contact} Pain', "R030", "nothing fills {contact}"),
        ("limits: [Small numbers]", 'limits: ["Seen {fact:cancer.any}"]', "R030", "only parameters"),
        ("title: Back pain and cancer", "title: Rule out cancer", "R031", "'rule out'"),
        ("Consider MRI]", "Give 16 mg now]", "R031", "a drug dose"),
        ("Consider MRI]", "Low-risk patient]", "R031", "'low risk'"),
        ("Consider MRI]", "About 5 % have it]", "R031", "a percentage"),
        (
            "pain.back.days >= params.min_days",
            "has(pain.back.days) && params.min_days > 1",
            "R042",
            "always known",
        ),
        ("ask: [pain.night]", "ask: [pain.day]", "R033", "no fact is called pain.day"),
        ("show: [cancer.any,", "show: [cancer.all,", "R033", "no fact is called cancer.all"),
        ("review_by: 2027-06-30", "review_by: 2027-06-31", "R034", "2027-06-31 is no day"),
        ("module: standard", "module: critical", "R039", "a rule of urgency warning"),
        ("suppression: [S1, S3, S4]", "suppression: [S1, S4]", "R041", "S3 and key_imaging"),
        (
            "regions: [lumbar-spine], modalities: [mri]",
            "regions: [lumbar-spine], modalities: [pet]",
            "R041",
            "pet",
        ),
    ],
)
def test_each_check_finds_its_fault(tmp_path: Path, old: str, new: str, code: str, words: str) -> None:
    found = errors(tmp_path, (RULE, old, new))
    assert found
    mine = [problem for problem in found if f" {code}: " in problem and words in problem]
    assert mine, found
    assert all(f" {code}: " in problem or " R030: " in problem for problem in found)
    if code != "R021":  # the later folder is blamed for a shared topic
        first = int(mine[0].split(":")[1])
        assert first in {line_of(CANCER, old), line_of(CANCER, old) + 1}


def test_shared_topic_names_the_owner(tmp_path: Path) -> None:
    (found,) = errors(tmp_path, (RULE, "topic: CANCERBACK", "topic: CORD"))
    assert found == "catalogue/cord/rule.yaml:4: R021: topic CORD belongs to cancer-back"


def test_the_line_of_a_fault_in_a_block_scalar(tmp_path: Path) -> None:
    block = "cel: |-\n        pain.back.days >= params.min_days\n        && labs.crp.value >= 50"
    (found,) = errors(tmp_path, (RULE, "cel: pain.back.days >= params.min_days", block))
    line = line_of(CANCER, "cel: pain.back.days") + 2
    assert found == (
        f"{RULE}:{line}: R015: >= mixes int and double, which CEL refuses: write 50.0 (column 4)"
    )


@pytest.mark.parametrize(
    ("new", "words"),
    [
        ("{value: 50, type: int, min: 7, max: 42, says: X}", "between min and max"),
        ("{value: 14, type: int, min: 42, max: 7, says: X}", "between min and max"),
        ("{value: 14.5, type: int, min: 7, max: 42, says: X}", "whole numbers"),
    ],
)
def test_parameter_bounds(tmp_path: Path, new: str, words: str) -> None:
    old = "{value: 14, type: int, unit: d, min: 7, max: 42, says: Shortest duration of back pain}"
    found = errors(tmp_path, (RULE, old, new))
    assert any("R023" in problem and words in problem for problem in found), found


def test_an_unused_parameter(tmp_path: Path) -> None:
    extra = "params:\n  spare: {value: 1.5, type: float, min: 1, max: 2, says: X}\n"
    (found,) = errors(tmp_path, (RULE, "params:\n", extra))
    assert "R022: no criterion reads parameter spare" in found


def test_a_cycle_of_supersedes(tmp_path: Path) -> None:
    found = errors(tmp_path, (RULE, "supersedes: [quiet]", "supersedes: [cord]"))
    assert found == [
        f"{RULE}:{line_of(CANCER, 'supersedes')}: R025: supersedes itself through cord",
        f"{CORD}:28: R025: supersedes itself through cancer-back",
    ]


def test_card_texts_for_every_urgency(tmp_path: Path) -> None:
    info = CANCER[CANCER.index("  info:\n") : CANCER.index("suggest:")]
    (found,) = errors(tmp_path, (RULE, info, ""))
    assert "R029: no card text for info: S3 lowers the rule to it" in found


def test_card_texts_of_a_critical_rule_that_s1_lowers(tmp_path: Path) -> None:
    (found,) = errors(tmp_path, (CORD, _line(bundles.CORD, "  warning: {"), ""))
    assert "R029: no card text for warning: S1 lowers the rule to it" in found


def test_own_card_text(tmp_path: Path) -> None:
    (found,) = errors(tmp_path, (CORD, _line(bundles.CORD, "  critical: {"), ""))
    assert "no card text for critical: it is the rule's own urgency" in found


def _line(text: str, start: str) -> str:
    return next(line for line in text.splitlines(keepends=True) if line.startswith(start))


def test_a_critical_card_should_name_whom_to_call(tmp_path: Path) -> None:
    found = check(write(tmp_path, (CORD, '["Call {contact:mscc}"]', "[]")))
    assert [(problem.code, problem.severity) for problem in found] == [
        ("R032", "warning"),
        ("R055", "warning"),
    ]


def test_the_critical_module_acts_now(tmp_path: Path) -> None:
    (found,) = errors(tmp_path, (CORD, "act_within: now", "act_within: 24 h"))
    assert "R039: a critical rule has act_within: now" in found


def test_counts_must_be_a_choice(tmp_path: Path) -> None:
    (found,) = errors(tmp_path, (CORD, "at_least: 2", "at_least: 4"))
    assert found == f"{CORD}:22: R038: at_least 4 of 3 is never a choice"


def test_key_orders_go_with_s4(tmp_path: Path) -> None:
    (found,) = errors(tmp_path, (RULE, "key_orders: [imaging-mri-spine]\n", ""))
    assert "R041: suppression S4 and key_orders go together" in found


def test_missing_tests_file(tmp_path: Path) -> None:
    root = write(tmp_path)
    (root / TESTS).unlink()
    assert [str(one) for one in check(root) if one.severity == "error"] == [
        f"{RULE}:1: R035: the rule has no tests.yaml beside it"
    ]


@pytest.mark.parametrize("kind", ["silent", "cannot-tell", "boundary", "suppressed"])
def test_missing_kinds_of_case(tmp_path: Path, kind: str) -> None:
    changed = CANCER_TESTS.replace(f"kind: {kind}", "kind: fires")
    (found,) = errors(tmp_path, (TESTS, "", changed))
    assert found == f"{TESTS}:2: R036: there is no case of kind {kind}"


@pytest.mark.parametrize(
    ("old", "new", "code", "words"),
    [
        ("now: 2026-11-25", "now: 2026-11-31", "R037", "no such day"),
        ("now: 2026-11-25", "now: today", "R002", "does not have the form"),
        ("- name: fourteen days", "- name: fires", "R037", "used twice"),
        ("    by: S1\n", "", "R037", "'by' names the suppression"),
        (
            "    expect: excluded\n",
            "    expect: excluded\n    hook: order-select\n",
            "R037",
            "does not run at",
        ),
        ("pain.back.days: 14,", "pain.back.day: 14,", "R037", "no fact is called pain.back.day"),
        ("pain.back.days: 14,", "pain.back.days: yes,", "R037", "written '>100'"),
        ("pain.back.days: 14,", "pain.back.days: {lowest: 3},", "R037", "{low: 10, high: 40}"),
        ("pain.back.days: 14,", "pain.back.days: 14.5,", "R037", "holds int"),
        ("pain.back.days: 14,", "imaging.studies: [mri],", "R037", "list of imaging records"),
        ("pain.back.days: 14,", "cancer.sites: [lung, 3],", "R037", "list of string, and 3 is not one"),
        ("pain.back.days: 14,", "imaging.studies: [{colour: red}],", "R037", "imaging has no field colour"),
    ],
)
def test_faults_in_cases(tmp_path: Path, old: str, new: str, code: str, words: str) -> None:
    found = errors(tmp_path, (TESTS, old, new))
    assert found
    assert all(f" {code}: " in problem for problem in found)
    assert words in found[0]


def test_everything_is_reported_at_once(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        (RULE, "cel: cancer.any}", "cel: cancer.anny}"),
        (CORD, "evidence: [E-ONE]", "evidence: [E-NONE]"),
        (TESTS, "expect: excluded", "expect: gone"),
        ("facts.yaml", "type: float", "type: real"),
        ("units.yaml", "canonical: mg/L", "canonical: g/L"),
        ("codes/labs.csv", "lab-crp", "lab-none"),
    )
    with pytest.raises(BundleError) as caught:
        load(root)
    places = {(problem.path, problem.code) for problem in caught.value.problems}
    assert {
        (RULE, "R012"),
        (CORD, "R026"),
        (TESTS, "R002"),
        ("facts.yaml", "R003"),
        ("units.yaml", "U002"),
        ("codes/labs.csv", "C004"),
    } <= places
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("file", "old", "new", "code"),
    [
        ("evidence.yaml", "kind: cohort", "kind: rumour", "R002"),
        ("evidence.yaml", "  - id: E-ONE", f"  - {SECOND}\n  - id: E-ONE", "R004"),
        ("orders.yaml", "in_pregnancy: mri-spine", "in_pregnancy: mri-knee", "R027"),
        ("orders.yaml", "kind: imaging\n    modality", "kind: rumour\n    modality", "R002"),
        ("orders.yaml", "kind: imaging\n", "kind: imaging\n    results: [labs.none.days]\n", "R027"),
        ("orders.yaml", "    sets: [imaging-mri-spine]\n    in_", "    sets: [none-such]\n    in_", "R028"),
        ("orders.yaml", "says: Order MRI of the spine", "says: Rule out metastasis by MRI", "R031"),
    ],
)
def test_registers_are_checked(tmp_path: Path, file: str, old: str, new: str, code: str) -> None:
    found = errors(tmp_path, (file, old, new))
    assert any(f" {code}: " in problem for problem in found), found


def test_a_review_that_is_due_is_a_warning(tmp_path: Path) -> None:
    root = write(tmp_path, (RULE, "review_by: 2027-06-30", "review_by: 2026-06-30"))
    due = [one for one in check(root, now=datetime.date(2026, 11, 25)) if one.code == "R034"]
    assert [str(one) for one in due] == [f"{RULE}:7: R034: warning: review was due on 2026-06-30"]
    assert not any(one.code == "R034" for one in check(root, now=datetime.date(2026, 6, 30)))
    assert not any(one.code == "R034" for one in check(root))


def test_a_root_without_version_is_a_problem(tmp_path: Path) -> None:
    root = write(tmp_path)
    (root / "VERSION").unlink()
    assert any(str(one).startswith("VERSION:1: R001") for one in check(root))


FIRST = "history: [{version: 1.0.0, date: 2026-11-25, says: First version}]"
EARLIER = "}, {version: 0.9.0, date: 2026-11-01, says: Trial}]"


@pytest.mark.parametrize(
    ("history", "problem"),
    [
        (FIRST, ""),
        (FIRST.replace("}]", EARLIER), ""),
        (FIRST.replace("1.0.0", "1.1.0"), "R043: the history starts with 1.1.0 of 2026-11-25"),
        (FIRST.replace("-25", "-24"), "R043: the history starts with 1.0.0 of 2026-11-24"),
        (FIRST.replace("}]", EARLIER.replace("0.9", "1.0")), "R043: the newest version comes first"),
        (FIRST.replace("}]", EARLIER.replace("-01", "-30")), "R043: the newest version comes first"),
        (FIRST.replace(", says: First version", ""), "R002: history.0: 'says' is a required property"),
        ("history: []", "R002: history: [] should be non-empty"),
    ],
)
def test_a_history_starts_with_the_version_of_the_rule(tmp_path: Path, history: str, problem: str) -> None:
    found = errors(tmp_path, (RULE, "pathology:", f"{history}\npathology:"))
    assert len(found) == bool(problem), found
    assert not problem or (problem in found[0] and found[0].startswith(f"{RULE}:9:"))
