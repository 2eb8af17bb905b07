"""Pages as a browser gets them from the application, and what is in them."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from html.parser import HTMLParser
from typing import Any

import httpx

from service.app import create_app
from service.desk import Desk
from service.knowledge import Knowledge
from service.settings import Settings
from tests.service.facts.build import NOW

__all__ = ["LOCAL", "Seen", "bundled", "form", "visitor"]

LOCAL = Settings(auth=False, log_level="error")
_LOADING = {"src", "action", "formaction", "poster", "srcset", "data"}


@cache
def bundled() -> Knowledge:
    return Knowledge.load(LOCAL, NOW.date())


@asynccontextmanager
async def visitor(
    settings: Settings = LOCAL, knowledge: Knowledge | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an application of its own."""
    desk = Desk(settings, knowledge or bundled())
    transport = httpx.ASGITransport(create_app(settings, desk))
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://tocsin") as client:
            yield client
    finally:
        await desk.aclose()


class Seen(HTMLParser):
    """A page taken apart: tags, attributes, its text, and what it loads or sends to."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__()
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(answer.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    @property
    def loads(self) -> list[str]:
        """Addresses a browser goes to by itself or with a form."""
        return [
            value
            for tag, name, value in self.attributes
            if name in _LOADING or (tag == "link" and name == "href")
        ]

    @property
    def links(self) -> list[str]:
        return [value for tag, name, value in self.attributes if tag == "a" and name == "href"]

    def values(self, tag: str, name: str) -> list[str]:
        return [value for one, found, value in self.attributes if (one, found) == (tag, name)]


def form(**fields: str) -> Mapping[str, Any]:
    """Arguments of a POST as a browser sends the form: multipart, an empty file among the fields."""
    return {"data": fields, "files": {"file": ("", b"", "application/octet-stream")}}
