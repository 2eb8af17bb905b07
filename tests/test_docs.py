"""The pages people read: generated ones current, links that lead somewhere, examples that work."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rules.engine import list_rules
from service import cli
from service.docs import pages
from service.errors import catalogue
from service.settings import table
from tests.rules.bundles import bundled
from tests.service.terminal import tocsin

Terminal = pytest.CaptureFixture[str]

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")


def pages_of(repository: Path) -> Iterator[Path]:
    yield from sorted(repository.glob("*.md"))
    yield from sorted((repository / "docs").glob("*.md"))


def anchors(text: str) -> set[str]:
    """The anchors GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.fixture(scope="module")
def made() -> dict[str, str]:
    return pages()


@pytest.mark.parametrize("name", ["errors.md", "facts.md", "rules.md", "settings.md", "value-sets.md"])
def test_a_generated_page_is_current(repository: Path, made: dict[str, str], name: str) -> None:
    on_disk = (repository / "docs" / name).read_text("utf-8")
    assert on_disk == made[name], "run `tocsin docs write`"


def test_internal_links_lead_somewhere(repository: Path) -> None:
    broken = []
    for page in pages_of(repository):
        text = page.read_text("utf-8")
        for target in _LINK.findall(_CODE.sub("", _FENCE.sub("", text))):
            if ":" in target.partition("#")[0]:
                continue
            path, _, anchor = target.partition("#")
            file = page.parent / path if path else page
            if not file.exists() or (anchor and anchor not in anchors(file.read_text("utf-8"))):
                broken.append(f"{page.name}: {target}")
    assert broken == []


def test_the_commands_the_pages_name_exist(repository: Path) -> None:
    known = set(cli.FAMILIES) | {"serve", "version", "settings", "errors"}
    named = {
        command
        for page in pages_of(repository)
        for command in re.findall(r"tocsin ([a-z]+)", "\n".join(_snippets(page.read_text("utf-8"))))
    }
    assert named
    assert named <= known


def _snippets(text: str) -> Iterator[str]:
    yield from _FENCE.findall(text)
    yield from _CODE.findall(_FENCE.sub("", text))


def test_the_pages_are_complete(made: dict[str, str]) -> None:
    rows = {
        "rules.md": [f"\n## {row.id}\n" for row in list_rules(bundled())],
        "facts.md": [f"| `{spec.name}` |" for spec in bundled().vocabulary],
        "value-sets.md": [f"| `{name}` |" for name in bundled().codes.titles],
        "settings.md": [f"| `{row.name}` |" for row in table()],
        "errors.md": [f"| `{row.code}` | {row.status} |" for row in catalogue()],
    }
    assert rows.keys() == made.keys()
    assert {name: [row for row in wanted if row not in made[name]] for name, wanted in rows.items()} == {
        name: [] for name in rows
    }


def test_value_sets_count_their_codes_by_system(made: dict[str, str]) -> None:
    lines = made["value-sets.md"].splitlines()
    (row,) = [line for line in lines if line.startswith("| `bone-modifying-agent` |")]
    assert "atc 3" in row
    assert "3 for review" in row


def test_the_site_file_of_the_guide_works(repository: Path, tmp_path: Path, capsys: Terminal) -> None:
    guide = (repository / "docs/write-a-rule.md").read_text("utf-8")
    example = re.search(r"```yaml\n(.*?)```", guide, re.DOTALL)
    assert example is not None
    file = tmp_path / "site.yaml"
    file.write_text(example.group(1), encoding="utf-8")
    assert tocsin(capsys, "site", "lint", str(file))[0] == 0
    code, out, _ = tocsin(capsys, "site", "diff", str(file))
    assert (code, out.count("\n")) == (0, 1)


def test_check_and_write(tmp_path: Path, made: dict[str, str], capsys: Terminal) -> None:
    folder = str(tmp_path)
    code, out, _ = tocsin(capsys, "docs", "check", folder)
    assert code == 1
    assert out.count("is not current: run `tocsin docs write`") == len(made)
    assert tocsin(capsys, "docs", "write", folder)[0] == 0
    assert {file.name: file.read_text("utf-8") for file in tmp_path.iterdir()} == made
    (tmp_path / "errors.md").write_text("old", encoding="utf-8")
    code, out, _ = tocsin(capsys, "docs", "check", folder)
    assert (code, out.count("\n")) == (1, 1)
    code, out, _ = tocsin(capsys, "docs", "write", folder)
    assert (code, out) == (0, f"{tmp_path / 'errors.md'} written\n")
    assert tocsin(capsys, "docs", "check", folder)[:2] == (0, "")
