"""The direction of imports, the clock, and the public surface: read from the source of every module."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.files import globbed

FORBIDDEN = {
    "hooks": {"rules", "service", "tests"},
    "rules": {"hooks", "service", "tests"},
    "service": {"tests"},
}
# Attributes of datetime and date that read the clock.
CLOCK = {"now", "utcnow", "today"}


def modules(repository: Path, *packages: str) -> Iterator[tuple[Path, ast.Module]]:
    for package in packages:
        for path in globbed(repository / package, "**/*.py"):
            yield path.relative_to(repository), ast.parse(path.read_text("utf-8"))


def imported(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    """(module, name imported from it or "", name it is bound to) of every import anywhere in the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name, "", name.asname or name.name.partition(".")[0]
        elif isinstance(node, ast.ImportFrom):
            for name in node.names:
                yield node.module or "", name.name, name.asname or name.name


def clock_reads(tree: ast.Module) -> list[int]:
    """Lines that read the clock: datetime's and date's now and today, and any use of the module time."""
    bound = {name for module, _, name in imported(tree) if module == "datetime"}
    lines = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in CLOCK:
            root: ast.expr = node
            while isinstance(root, ast.Attribute):
                root = root.value
            if isinstance(root, ast.Name) and root.id in bound:
                lines.append(node.lineno)
        elif (isinstance(node, ast.Import) and any(name.name == "time" for name in node.names)) or (
            isinstance(node, ast.ImportFrom) and node.module == "time"
        ):
            lines.append(node.lineno)
    return sorted(lines)


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_go_one_way(repository: Path, package: str) -> None:
    wrong = [
        f"{path} imports {module}"
        for path, tree in modules(repository, package)
        for module, _, _ in imported(tree)
        if module.partition(".")[0] in FORBIDDEN[package]
    ]
    assert wrong == []


def test_nothing_in_hooks_or_rules_reads_the_clock(repository: Path) -> None:
    reads = [
        f"{path}:{line}" for path, tree in modules(repository, "hooks", "rules") for line in clock_reads(tree)
    ]
    assert reads == []


@pytest.mark.parametrize(
    "source",
    [
        "import datetime\ndatetime.datetime.now()",
        "import datetime as dt\ndt.date.today()",
        "from datetime import datetime as stamp\nstamp.utcnow()",
        "from datetime import date\nread = date.today",
        "x = 1\nimport time",
        "x = 1\nfrom time import monotonic",
    ],
)
def test_clock_reads_are_found(source: str) -> None:
    assert clock_reads(ast.parse(source)) == [2]


@pytest.mark.parametrize(
    "source",
    [
        "import datetime\nnow = datetime.datetime(2026, 1, 1)",
        "def f(facts):\n    return facts.now",
        "from datetime import date\nage = lambda today: today - date(2026, 1, 1)",
    ],
)
def test_a_time_that_is_given_is_not_a_clock_read(source: str) -> None:
    assert clock_reads(ast.parse(source)) == []


def test_every_module_says_what_is_public(repository: Path) -> None:
    silent = []
    for path, tree in modules(repository, "hooks", "rules", "service"):
        targets = {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }
        if "__all__" not in targets:
            silent.append(str(path))
    assert silent == []
