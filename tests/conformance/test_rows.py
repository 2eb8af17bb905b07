"""rows.yaml leaves no requirement out and names only tests that exist; the page made from it is current."""

import re
from pathlib import Path

from tests.conformance.page import AREAS, PAGE, functions, page, rows

_ROW = re.compile(r"^\| ([A-Z]+-\d+) \|", re.MULTILINE)


def test_every_row_is_named_once_in_an_area_with_one_state() -> None:
    found = rows()
    ids = [row["id"] for row in found]
    assert len(ids) == len(set(ids))
    for row in found:
        assert row["id"].partition("-")[0] in AREAS
        assert row["asks"].endswith(".")
        assert len({"tests", "not_applicable", "open"} & set(row)) == 1, row["id"]
        assert row.get("tests", row.get("not_applicable", row.get("open"))), row["id"]


def test_no_row_of_the_conformance_notes_is_left_out_or_invented(shared: Path) -> None:
    notes = (shared / "reference" / "cds-hooks" / "conformance.md").read_text("utf-8")
    assert [row["id"] for row in rows()] == _ROW.findall(notes)


def test_every_test_that_is_named_exists(repository: Path) -> None:
    named = [(row["id"], *name.split("::")) for row in rows() for name in row.get("tests", ())]
    missing = [entry for entry in named if entry[2] not in functions(repository / "tests" / entry[1])]
    assert missing == []


def test_the_page_is_current(repository: Path) -> None:
    """Renew it with python -m tests.conformance."""
    assert (repository / PAGE).read_text("utf-8") == page()
