"""docs/reference/conformance.md, written from rows.yaml: each row of the conformance notes, what shows it."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

__all__ = ["AREAS", "PAGE", "REPOSITORY", "functions", "page", "rows"]

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = Path("docs") / "reference" / "conformance.md"
Row = Mapping[str, Any]

AREAS = {
    "GEN": "General",
    "DSC": "Discovery",
    "PF": "Prefetch",
    "REQ": "Requests",
    "FHR": "Reading from the client's FHIR server",
    "RSP": "Responses",
    "CARD": "Cards",
    "SUG": "Suggestions",
    "ACT": "Actions",
    "LNK": "Links",
    "COD": "Codings",
    "FBK": "Feedback",
    "SEC": "Security",
    "EXT": "Extensions",
    "VER": "Versions",
}
_HEAD = """\
<!-- Written by `python -m tests.conformance` from tests/conformance/rows.yaml; change that instead. -->
# Conformance

What CDS Hooks 2.0.1, and 3.0 where a client asks for it, wants of a service: {rows} requirements, {tested} of
them shown by tests, {not_applicable} not applicable, {open} open. That every test named here exists, and
that no requirement is left out, is itself tested.
"""


def rows() -> list[dict[str, Any]]:
    """The rows in the order of the file."""
    read = yaml.safe_load(Path(__file__).with_name("rows.yaml").read_text("utf-8"))
    found: list[dict[str, Any]] = read["rows"]
    return found


@cache
def functions(file: Path) -> frozenset[str]:
    """The test functions a file defines; none when there is no such file."""
    if not file.is_file():
        return frozenset()
    tree = ast.parse(file.read_text("utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(
        node.name for node in tree.body if isinstance(node, kinds) and node.name.startswith("test_")
    )


def page() -> str:
    """The page as it must be."""
    found = rows()
    counts = {
        "rows": len(found),
        "tested": sum("tests" in row for row in found),
        "not_applicable": sum("not_applicable" in row for row in found),
        "open": sum("open" in row for row in found),
    }
    return _HEAD.format(**counts) + "".join(_area(prefix, found) for prefix in AREAS)


def _area(prefix: str, found: Sequence[Row]) -> str:
    lines = [_line(row) for row in found if row["id"].partition("-")[0] == prefix]
    head = f"\n## {AREAS[prefix]}\n\n| Row | Requirement | State | Shown by |\n| --- | --- | --- | --- |\n"
    return head + "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    return f"| {row['id']} | {row['asks']} | {_state(row)} | {'<br>'.join(_shown(row))} |"


def _state(row: Row) -> str:
    if "tests" in row:
        return "tested"
    if "not_applicable" in row:
        return f"not applicable: {row['not_applicable']}"
    return f"open: {row['open']}"


def _shown(row: Row) -> Iterator[str]:
    for name in row.get("tests", ()):
        file, _, function = name.partition("::")
        yield f"[`{function}`](../../tests/{file})"
