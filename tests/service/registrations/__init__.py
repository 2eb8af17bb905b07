"""Registration sheets as they were last looked at, without the parts that come from the rules.

`python -m tests.service.registrations` writes the files again; the difference is then read like any other
change. What is left out (templates, topics, links) is compared with its source in test_registration.
"""

import asyncio
import re
from pathlib import Path

from service.desk import Desk
from service.registration import Sheet, as_markdown
from service.registration_steps import Ehr
from service.settings import Settings
from tests.service.calls import bundled_knowledge

__all__ = ["BASE", "PREFETCH", "file_of", "kept"]

BASE = "https://cds.example.org"
PREFETCH = re.compile(r"^### Prefetch for (.+)\n\n```text\n((?:.|\n)*?)\n```", re.MULTILINE)
_LINKS = re.compile(rf"(?:^{re.escape(BASE)}/rules/.*\n)+", re.MULTILINE)
_TOPICS = re.compile(r"(?:^\| `\w+` \| .* \| (?:critical|warning|info) \| .* \|\n)+", re.MULTILINE)
_VERSION = re.compile(r"rules \d+\.\d+\.\d+")


def file_of(ehr: Ehr) -> Path:
    return Path(__file__).parent / f"{ehr}.md"


def kept(ehr: Ehr) -> str:
    """The sheet for an EHR as its file holds it."""
    text = asyncio.run(_printed(ehr))
    text = PREFETCH.sub(lambda match: f"### Prefetch for {match[1]}\n\n(templates)", text)
    return _VERSION.sub("rules VERSION", _TOPICS.sub("(topics)\n", _LINKS.sub("(links)\n", text)))


async def _printed(ehr: Ehr) -> str:
    desk = Desk(Settings(auth=False), bundled_knowledge())
    try:
        return as_markdown(Sheet.of(desk, ehr, BASE))
    finally:
        await desk.aclose()
