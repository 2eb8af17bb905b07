"""facts.yaml: what it may say, and how each mistake is reported."""

from pathlib import Path

import pytest

from rules.engine.documents import read_text
from rules.engine.errors import BundleError, FactError
from rules.engine.types import Type, list_of, parse_type, record
from rules.engine.vocabulary import Vocabulary, parse_vocabulary

GOOD = '{name: cancer.any, type: bool, says: Cancer, absence: "false"}'


def problems_of(*facts: str, records: str = "") -> list[str]:
    lines = [f"  - {fact}" for fact in facts]
    text = "\n".join(["schema_version: 1", *([f"records: {records}"] if records else []), "facts:", *lines])
    return [str(problem) for problem in parse_vocabulary(read_text(text, "facts.yaml"))[1]]


def test_a_good_vocabulary_loads(tmp_path: Path) -> None:
    file = tmp_path / "facts.yaml"
    file.write_text(f"schema_version: 1\nfacts:\n  - {GOOD}\n")
    vocabulary = Vocabulary.load(file)
    assert len(vocabulary) == 1
    assert "cancer.any" in vocabulary
    assert vocabulary.spec("cancer.any").label == "Cancer"
    assert vocabulary.namespaces == {"cancer"}
    with pytest.raises(FactError):
        vocabulary.spec("cancer.every")


def test_a_bad_file_raises_with_every_problem(tmp_path: Path) -> None:
    file = tmp_path / "facts.yaml"
    file.write_text(
        "schema_version: 1\nfacts:\n  - {name: a, type: bool, says: A}\n  - {name: a.b, says: B}\n"
    )
    with pytest.raises(BundleError) as caught:
        Vocabulary.load(file)
    assert [(p.line, p.code) for p in caught.value.problems] == [(3, "R002"), (4, "R002")]


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        ("{name: a.b, type: number, says: A}", "no type is called number"),
        ("{name: a.b, type: list<list<int>>, says: A}", "no type is called"),
        ("{name: params.b, type: bool, says: A}", "'params' is a word"),
        ("{name: a.in, type: bool, says: A}", "'in' is a word"),
        ("{name: cancer.any, type: bool, says: A}", "declared twice"),
        ("{name: cancer.any.now, type: bool, says: A}", "cannot also be a namespace"),
        ("{name: a.b, type: float, kind: days, says: A}", "kind days needs type int"),
        ("{name: a.b, type: int, kind: quantity, says: A}", "kind quantity needs type float"),
        ("{name: a.b, type: bool, values: [x], says: A}", "closed list of values needs type string"),
        ('{name: a.b, type: int, absence: "false", says: A}', "absence false needs type bool"),
        ('{name: a.b, type: string, absence: "none", says: A}', "absence none needs a list"),
    ],
)
def test_each_mistake_has_its_place(fact: str, words: str) -> None:
    assert problems_of(GOOD) == []
    (found,) = problems_of(GOOD, fact)
    assert found.startswith("facts.yaml:4: R003: ")
    assert words in found


def test_record_fields_are_checked() -> None:
    assert problems_of(GOOD, records="{imaging: {days: {type: int, kind: days}}}") == []
    assert problems_of(GOOD, records="{imaging: {days: whole}}") == [
        "facts.yaml:2: R003: no type is called whole"
    ]


def test_absent_values() -> None:
    text = (
        "schema_version: 1\nfacts:\n"
        f"  - {GOOD}\n"
        '  - {name: a.list, type: list<string>, says: L, absence: "none"}\n'
        '  - {name: a.word, type: string, says: W, absence: "none", values: [none, some]}\n'
        "  - {name: a.open, type: bool, says: O}\n"
    )
    vocabulary, problems = parse_vocabulary(read_text(text, "facts.yaml"))
    assert problems == []
    assert [spec.absent_value for spec in vocabulary] == [False, [], "none", None]


def test_types_read_and_print() -> None:
    assert parse_type("list<imaging>", {"imaging"}) == list_of(record("imaging"))
    assert parse_type("list<imaging>") is None
    assert [str(parse_type(text)) for text in ("bool", "float", "list<string>")] == [
        "bool",
        "double",
        "list<string>",
    ]
    assert str(list_of(record("imaging"))) == "list<imaging>"
    assert Type("int").numeric
    assert not Type("bool").numeric
