"""The reader of the code tables: what it accepts, and that it reports everything wrong at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from rules.engine.codetables import CODE_COLUMNS, PRODUCT_COLUMNS, SET_COLUMNS, SYSTEM_COLUMNS, read_tables
from rules.engine.errors import BundleError

SYSTEMS = [
    "http://snomed.info/sct,snomed,snomed,",
    "http://hl7.org/fhir/sid/icd-10-cm,icd-10-cm,icd-10-cm,",
    "http://www.nlm.nih.gov/research/umls/rxnorm,rxnorm,rxnorm,",
]
SETS = ["pain,Pain,strong,,,", "back-pain,Back pain,strong,pain,,"]


def write(directory: Path, name: str, columns: tuple[str, ...], lines: list[str]) -> None:
    (directory / name).write_text("\n".join([",".join(columns), *lines]) + "\n", encoding="utf-8")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write(tmp_path, "systems.csv", SYSTEM_COLUMNS, SYSTEMS)
    write(tmp_path, "sets.csv", SET_COLUMNS, SETS)
    return tmp_path


def problems(directory: Path) -> list[str]:
    with pytest.raises(BundleError) as caught:
        read_tables(directory)
    return [str(problem) for problem in caught.value.problems]


def test_rows_become_codes_with_the_canonical_uri(directory: Path) -> None:
    line = 'back-pain,icd-10-cm,M54.5,prefix,,"Low back pain, any",yes,here,public domain,a note'
    write(directory, "a.csv", CODE_COLUMNS, [line])
    [code] = read_tables(directory).codes
    assert (code.set, code.system) == ("back-pain", "http://hl7.org/fhir/sid/icd-10-cm")
    assert (code.match, code.display, code.note) == ("prefix", "Low back pain, any", "a note")


def test_products_become_exact_codes(directory: Path) -> None:
    write(directory, "rxnorm-products.csv", PRODUCT_COLUMNS, ["pain,1049621,oxycodone,oxycodone 5 MG,x,y"])
    [code] = read_tables(directory).codes
    assert (code.code, code.match, code.note) == ("1049621", "exact", "product of oxycodone")


def test_the_extension_is_left_out_on_request_and_may_be_absent(directory: Path) -> None:
    assert read_tables(directory).codes == ()
    write(directory, "snomed-extension.csv", CODE_COLUMNS, ["pain,snomed,36163009,exact,,,yes,s,l,"])
    assert len(read_tables(directory).codes) == 1
    assert read_tables(directory, snomed_extension=False).codes == ()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("no-such,snomed,36163009,exact,,,yes,s,l,", "C004: unknown set 'no-such'"),
        ("pain,cpt,72148,exact,,,yes,s,l,", "C005: unknown system 'cpt'"),
        ("pain,icd-10-cm,C00-C14,prefix,,,yes,s,l,", "C006: 'C00-C14' cannot be a code of icd-10-cm"),
        (
            "pain,snomed,36163009,prefix,,,yes,s,l,",
            "C007: match 'prefix' is not possible for snomed: use exact",
        ),
        ("pain,rxnorm,7052,prefix,,,yes,s,l,", "C007: match 'prefix' is not possible for rxnorm"),
        (
            "pain,snomed,36163009,exact,,,perhaps,s,l,",
            "C003: verified must be one of component-only, no, yes",
        ),
        ("pain,snomed,36163009,exact", "C001: 4 cells where 10 are expected"),
    ],
)
def test_a_bad_row_is_reported_with_its_line(directory: Path, line: str, expected: str) -> None:
    write(directory, "a.csv", CODE_COLUMNS, ["pain,snomed,22253000,exact,,,yes,s,l,", line])
    [found] = problems(directory)
    assert found.startswith("codes/a.csv:3: " + expected)


def test_a_code_given_twice_in_one_set_is_reported_whatever_its_spelling(directory: Path) -> None:
    write(directory, "a.csv", CODE_COLUMNS, ["pain,icd-10-cm,M54.5,prefix,,,yes,s,l,"])
    write(directory, "b.csv", CODE_COLUMNS, ["pain,icd-10-cm,M545,prefix,,,yes,s,l,"])
    assert problems(directory) == ["codes/b.csv:2: C002: icd-10-cm M545 is in set 'pain' twice"]


def test_all_problems_of_all_files_come_together(directory: Path) -> None:
    sets = [*SETS, "pain,Again,firm,nowhere,,", "odd,Odd,weak,,elsewhere,"]
    write(directory, "sets.csv", SET_COLUMNS, sets)
    write(directory, "a.csv", ("set", "code"), ["pain,1"])
    write(directory, "rxnorm-products.csv", PRODUCT_COLUMNS, ["none,1,x,y,z,w"])
    (directory / "b.csv").write_bytes(b"\xff\xfe")
    assert problems(directory) == [
        "codes/a.csv:1: C001: the columns must be " + ",".join(CODE_COLUMNS),
        "codes/b.csv:1: C001: file cannot be read as UTF-8 text",
        "codes/rxnorm-products.csv:2: C004: unknown set 'none'",
        "codes/sets.csv:4: C002: set 'pain' is listed twice",
        "codes/sets.csv:4: C003: strength must be one of medium, strong, weak",
        "codes/sets.csv:4: C004: unknown set 'nowhere'",
        "codes/sets.csv:5: C004: unknown set 'elsewhere'",
    ]


def test_a_missing_directory_is_a_problem_and_no_traceback(tmp_path: Path) -> None:
    assert [text.split(":")[0] for text in problems(tmp_path / "none")] == [
        "codes/sets.csv",
        "codes/systems.csv",
    ]
