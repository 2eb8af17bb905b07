"""A month at two made-up clients, decided by the real desk, and the page that `tocsin report` makes of it.

    python -m tests.service.memory.hospital docs/images/report.png

writes the page as a picture. Everyone is made up, and the same month comes each time.
"""

import asyncio
import datetime as dt
import random
import sys
from pathlib import Path
from uuid import UUID

import msgspec
import orjson

from hooks import Card
from service.cards import FINDINGS
from service.cli_report import as_html
from service.demo import Patient, load, to_request
from service.desk import Desk
from service.memory.report import Report, build_report
from service.settings import Settings
from service.trust import Caller, Client
from tests.service.calls import bundled_knowledge
from tests.service.facts.build import NOW
from tests.service.memory.samples import feedback_on
from tests.service.pages.browser import browser

__all__ = ["CLIENTS", "DAYS", "DOUBTED", "LOST_RULE", "picture", "simulate"]

DAYS = 28
START = NOW.replace(hour=0, minute=0, second=0, microsecond=0) - dt.timedelta(days=DAYS)
WEEK = 7
CALLS_A_DAY = 48
CLIENTS = ("county-hospital", "valley-clinics")
PEOPLE, CLINICIANS = 60, 12
LOST, LOST_RULE = "demo-radiotherapy", "pelvic-rt-insufficiency-fracture"
OFTEN = {"demo-quiet": 60, "demo-no-pain": 40, "demo-mri-done": 8}
"""How much oftener than others these patients come."""
DOUBTED = "cancer-history-new-back-pain"
"""The rule whose record two people say is wrong."""
REASONS = {
    "indication-order-exists": 4,
    "action-completed": 4,
    "not-clinically-likely": 3,
    "patient-refuses": 1,
    "reassess-later": 2,
}


async def simulate(days: int = DAYS, calls_a_day: int = CALLS_A_DAY) -> Report:
    """In the last week the hospital sends no laboratory results, and one kind of patient never comes."""
    chance = random.Random(2026)
    desk = Desk(Settings(auth=False, log_level="error"), bundled_knowledge())
    patients = load()
    often = [OFTEN.get(patient.id, 3) for patient in patients]
    try:
        for day in range(days):
            for number in range(calls_a_day):
                at = START + dt.timedelta(days=day, hours=8, minutes=number * 11)
                await _visit(
                    desk, chance, chance.choices(patients, often)[0], at, last_week=day >= days - WEEK
                )
            await desk.memory.settle(30)
        end = START + dt.timedelta(days=days)
        return build_report(desk.memory.store, START.timestamp(), end.timestamp())
    finally:
        await desk.aclose()


async def _visit(
    desk: Desk, chance: random.Random, patient: Patient, at: dt.datetime, *, last_week: bool
) -> None:
    """One call, and what the clinician does with its cards."""
    caller = Caller(Client(id=chance.choice(CLIENTS)))
    person, user = chance.randrange(PEOPLE), chance.randrange(CLINICIANS)
    if last_week and patient.id == LOST:
        return
    body = to_request(patient, at.date(), str(UUID(int=chance.getrandbits(128), version=4)))
    body["context"]["userId"] = f"Practitioner/u{user}"
    if last_week and caller.client.id == CLIENTS[0]:
        del body["prefetch"]["labs"]
    sent = orjson.dumps(body).replace(patient.id.encode(), f"{patient.id}-{person}".encode())
    answered = await desk.answer(sent, caller, at)
    # What this machine takes differs each time; the picture must not.
    took = {"total": chance.lognormvariate(1.6, 0.4)}
    await desk.memory.keep(msgspec.structs.replace(answered, milliseconds=took), caller.client.id)
    for card in answered.cards:
        if chance.random() < 0.7:
            await desk.feedback(_feedback(chance, card), caller, at + dt.timedelta(minutes=1))


def _feedback(chance: random.Random, card: Card) -> bytes:
    (reason,) = chance.choices(tuple(REASONS), tuple(REASONS.values()))
    if card.suggestions and chance.random() < 0.45:
        accepted = [{"id": card.suggestions[0].uuid}]
        entry = {"card": card.uuid, "outcome": "accepted", "acceptedSuggestions": accepted}
        return orjson.dumps({"feedback": [entry]})
    if card.extension[FINDINGS][0]["rule"] == DOUBTED and chance.random() < 0.6:
        reason = "record-wrong"
    return feedback_on(card.uuid, reason=reason)


def picture(page: str, file: Path, *, width: int, height: int, dark: bool = False) -> None:
    """What a browser window of this size shows of the page."""
    with browser() as chromium:
        tab = chromium.new_page(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        tab.set_content(page)
        tab.screenshot(path=file)


if __name__ == "__main__":
    picture(as_html(asyncio.run(simulate())), Path(sys.argv[1]), width=1280, height=800)
