"""The pages of the documentation taken apart: code blocks, prose, links, anchors."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tests.files import globbed

__all__ = ["Block", "anchors", "blocks", "documents", "links", "prose", "snippets"]

_FENCE = re.compile(r"^ *```(?P<info>[^\n`]*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_IMAGE = re.compile(r"!\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


class Block(msgspec.Struct, frozen=True):
    """A fenced code block. `info` has the language and the words after it: `sh run`, `sh serve`,
    `text expected`; `line` is where the block starts, from 1.
    """

    info: str
    text: str
    line: int


def documents(repository: Path) -> list[Path]:
    """Every Markdown file people read: at the root, under docs/ and under deploy/."""
    found = globbed(repository, "*.md")
    for folder in ("docs", "deploy"):
        found += globbed(repository / folder, "**/*.md")
    return sorted(found)


def blocks(text: str) -> Iterator[Block]:
    for fence in _FENCE.finditer(text):
        yield Block(fence["info"].strip(), fence["text"], text.count("\n", 0, fence.start()) + 1)


def prose(text: str) -> str:
    """A page without its code blocks."""
    return _FENCE.sub("", text)


def links(text: str) -> list[str]:
    """Targets of links and images, not those in code."""
    plain = _CODE.sub("", prose(text))
    # A link whose text is code has lost its text, and is a link all the same.
    return [*_LINK.findall(plain), *_IMAGE.findall(plain)]


def anchors(text: str) -> set[str]:
    """The anchors GitHub gives the headings of a page."""
    headings = (heading.replace("`", "") for heading in _HEADING.findall(prose(text)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def snippets(text: str) -> list[str]:
    """Everything set as code, blocks and spans."""
    spans = (code.strip("`") for code in _CODE.findall(prose(text)))
    return [*(block.text for block in blocks(text)), *spans]
