"""YAML reading: lines of values, strict scalars, and schema complaints in words."""

from pathlib import Path

import pytest

from rules.engine.documents import read_document, read_text, schema_problems

SCHEMA = {
    "type": "object",
    "required": ["id"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "string", "pattern": "^[a-z]+$"},
        "items": {
            "type": "array",
            "items": {"anyOf": [{"type": "string"}, {"type": "object", "required": ["x"]}]},
        },
    },
}


def test_values_keys_and_items_have_lines() -> None:
    document = read_text("id: a\nitems:\n  - one\n  - x: 1\n    y: 2\n", "rule.yaml")
    assert document.data == {"id": "a", "items": ["one", {"x": 1, "y": 2}]}
    assert document.line(("items", 1, "y")) == 5
    assert document.line(("items", 1, "missing", "deeper")) == 4
    assert document.key_line(("items",)) == 2


def test_only_core_schema_scalars_are_resolved() -> None:
    document = read_text(
        "a: off\nb: yes\nc: 2027-06-30\nd: 1.5\ne: true\nf: null\ng: 012\nh: 1e3\ni: 1:30\n", "x"
    )
    assert document.data == {
        "a": "off",
        "b": "yes",
        "c": "2027-06-30",
        "d": 1.5,
        "e": True,
        "f": None,
        "g": 12,
        "h": 1000.0,
        "i": "1:30",
    }


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("a: 1\na: 2\n", 2, "'a' is given twice"),
        ("a: [1\nb: 2\n", 2, "not valid YAML"),
        ("a: \x07\n", 1, "character"),
        ("a: !python/object:os.system x\n", 1, "not valid YAML"),
    ],
)
def test_broken_text_is_a_problem_with_a_line(text: str, line: int, words: str) -> None:
    (problem,) = read_text(text, "rule.yaml").problems
    assert (problem.path, problem.line, problem.code) == ("rule.yaml", line, "R001")
    assert words in problem.message


def test_an_empty_file_has_no_data() -> None:
    assert read_text("", "rule.yaml").data is None


def test_unreadable_files_are_problems(tmp_path: Path) -> None:
    assert read_document(tmp_path / "none.yaml", "none.yaml").problems[0].code == "R001"
    file = tmp_path / "latin.yaml"
    file.write_bytes(b"a: \xe9\n")
    assert "UTF-8" in read_document(file, "latin.yaml").problems[0].message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id: a\n", []),
        ("items: [a]\n", ["r:1: R002: the file: 'id' is a required property"]),
        ("id: a\nitems:\n - a\nother: 1\n", ["r:4: R002: other: no such key here"]),
        ("id: A1\n", ["r:1: R002: id: 'A1' does not have the form ^[a-z]+$"]),
        ("id: a\nitems:\n - a\n - y: 1\n", ["r:4: R002: items.1: 'x' is a required property"]),
    ],
)
def test_schema_problems_are_sentences_with_places(text: str, expected: list[str]) -> None:
    assert [str(problem) for problem in schema_problems(read_text(text, "r"), SCHEMA)] == expected
