"""The whole application over HTTP without a network, at a time that the test sets."""

import datetime as dt
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest

from service import app as application
from service.app import create_app
from service.desk import Desk
from service.knowledge import Knowledge
from service.memory import writer
from service.settings import Settings
from tests.service.calls import bundled_knowledge, call_body
from tests.service.facts.build import NOW, Json, bundle
from tests.service.memory.samples import feedback_on

__all__ = ["HOOK", "Site", "prefetch", "site"]

HOOK = "/cds-services/red-flags"


class Site:
    """One worker of a site, and what an EHR and an operator do with it."""

    def __init__(self, desk: Desk, client: httpx.AsyncClient) -> None:
        self.desk = desk
        self.client = client
        self.now = NOW

    async def call(self, *resources: Json, hook: str = "patient-view", **members: Any) -> list[Json]:
        """The cards of a hook call about these resources."""
        body = call_body(prefetch(resources), hook, **{"hookInstance": str(uuid4()), **members})
        reply = await self.client.post(HOOK, json=body)
        assert reply.status_code == 200, reply.text
        cards: list[Json] = reply.json()["cards"]
        return cards

    async def answer(self, *cards: Json, **options: str) -> httpx.Response:
        """Dismiss cards."""
        body = feedback_on(*(card["uuid"] for card in cards), **options)
        return await self.client.post(
            f"{HOOK}/feedback", content=body, headers={"Content-Type": "application/json"}
        )


def prefetch(resources: tuple[Json, ...]) -> Mapping[str, Json | None]:
    """The prefetch of a call: every key empty but those that hold these resources."""
    keys = {"Patient": "patient", "Condition": "conditions", "Observation": "labs", "Encounter": "encounters"}
    names = (*keys.values(), "findings", "procedures", "medications", "imaging", "studies", "orders")
    found: dict[str, Any] = dict.fromkeys((*names, "questionnaires", "careplans", "flags"))
    for resource in resources:
        key = keys[resource["resourceType"]]
        if key == "patient":
            found[key] = resource
        else:
            found[key] = bundle(*[e["resource"] for e in (found[key] or {}).get("entry", ())], resource)
    return found


@asynccontextmanager
async def site(
    monkeypatch: pytest.MonkeyPatch, knowledge: Knowledge | None = None, **settings: Any
) -> AsyncIterator[Site]:
    """A worker with these settings. Its clock stands at `now` of the Site."""
    chosen = Settings(**{"auth": False, "log_level": "error", **settings})
    desk = Desk(chosen, knowledge or bundled_knowledge())
    transport = httpx.ASGITransport(app=create_app(desk.settings, desk))
    async with httpx.AsyncClient(transport=transport, base_url="http://tocsin.test") as client:
        worker = Site(desk, client)
        # Feedback of that clock is old by the writer's own, which would wait for its card no longer.
        monkeypatch.setattr(writer, "_SETTLE_S", time.time())
        monkeypatch.setattr(application, "_now", lambda: worker.now.astimezone(dt.UTC))
        try:
            yield worker
        finally:
            await desk.aclose()
