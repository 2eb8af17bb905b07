"""A card's detail as HTML that holds nothing but paragraphs, lists, line breaks and emphasis.

Details are Markdown, plain text (Oracle Health) or HTML (Epic), as `service.dialects` writes them. Whatever
else is in them, links and images among it, is shown as text.
"""

from collections.abc import Mapping
from html import escape
from html.parser import HTMLParser
from typing import Any

from markdown_it import MarkdownIt
from markupsafe import Markup

from service.dialects import DETAIL_TYPE

__all__ = ["breakable", "detail_html"]

_READER = MarkdownIt("zero", {"html": False}).enable(["list", "emphasis", "escape", "entity", "newline"])
_TAGS = frozenset({"p", "ul", "ol", "li", "b", "strong", "em", "i", "br"})


def detail_html(card: Mapping[str, Any], profile: str) -> Markup:
    """The detail of a card, given as the JSON that is sent to a client of the profile."""
    detail = card.get("detail", "")
    if card.get("extension", {}).get(DETAIL_TYPE) == "text/html":
        reader = _AllowList()
        reader.feed(detail)
        reader.close()
        return Markup("".join(reader.parts))
    if profile == "oracle":
        return Markup(f'<p class="plain">{escape(detail)}</p>')
    return Markup(_READER.render(detail))


def breakable(name: str) -> Markup:
    """A dotted name that may break behind its dots."""
    return Markup(".<wbr>").join(name.split("."))


class _AllowList(HTMLParser):
    """Writes known tags without their attributes, and everything else as text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.parts.append(f"<{tag}>" if tag in _TAGS else escape(self.get_starttag_text() or ""))

    def handle_endtag(self, tag: str) -> None:
        self.parts.append(f"</{tag}>" if tag in _TAGS else escape(f"</{tag}>"))

    def handle_data(self, data: str) -> None:
        self.parts.append(escape(data))
