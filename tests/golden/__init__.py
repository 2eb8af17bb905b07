"""Answers to five bundled patients in each render profile, as the files beside this say them.

`python -m tests.golden` writes the files again; the difference is then read like any other change. Ids of
cards and suggestions change with every edit of the rules, so the files hold their order instead.
"""

import asyncio
import json
import re
from pathlib import Path

import orjson

from service import demo
from service.desk import Desk
from service.settings import Settings
from service.trust import Caller, Client
from tests.service.calls import bundled_knowledge
from tests.service.facts.build import NOW

__all__ = ["PATIENTS", "PROFILES", "answers", "file_of"]

# Critical; warning with folded findings; critical lowered by S1; a result without a unit; an order at hand.
PATIENTS = ("demo-cord", "demo-night-pain", "demo-hospice", "demo-crp-no-unit", "demo-xray-order")

PROFILES: dict[str, Client] = {
    "generic": Client(id="ehr", profile="generic"),
    "epic": Client(id="ehr", profile="epic"),
    "oracle": Client(id="ehr", profile="oracle"),
    "narrow": Client(id="ehr", profile="narrow"),
}
"""A client of each profile."""

_INSTANCE = "0d1f0c3e-3a4e-4e0b-9f5f-0a1b2c3d4e5f"
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


def file_of(profile: str, patient: str) -> Path:
    return Path(__file__).parent / profile / f"{patient}.json"


def answers(client: Client) -> dict[str, str]:
    """What the client is answered at `NOW` for each of `PATIENTS`: the body, indented."""
    return asyncio.run(_answers(client))


async def _answers(client: Client) -> dict[str, str]:
    settings = Settings(auth=False, public_url="https://cds.example.org")
    desk = Desk(settings, bundled_knowledge())
    try:
        return {name: await _answer(desk, client, name) for name in PATIENTS}
    finally:
        await desk.aclose()


async def _answer(desk: Desk, client: Client, name: str) -> str:
    (patient,) = (one for one in demo.load() if one.id == name)
    today = NOW.date()
    body = orjson.dumps(demo.to_request(patient, today, _INSTANCE))
    answered = await desk.answer(body, Caller(client), NOW)
    text = json.dumps(orjson.loads(desk.encoded(answered)), indent=2, ensure_ascii=False) + "\n"
    ids = {found: f"id {number}" for number, found in enumerate(dict.fromkeys(_UUID.findall(text)), 1)}
    return _UUID.sub(lambda match: ids[match[0]], text)
