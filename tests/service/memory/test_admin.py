"""The admin API: off without a token, closed to everyone else's, decisions looked up, switches thrown."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
import pytest_asyncio

from service.memory.store import StoreFailed
from tests.service.facts.build import PATIENT
from tests.service.memory.http import Site, site
from tests.service.memory.samples import NEW_BACK, record

TOKEN = "t" * 20
SWITCH = {"kind": "rule", "target": NEW_BACK, "off": True, "who": "J. Smith", "why": "false alarms"}


@pytest_asyncio.fixture
async def worker(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    async with site(monkeypatch, admin_token=f"{'o' * 20},{TOKEN}") as made:
        yield made


async def ask(worker: Site, method: str, path: str, token: str = TOKEN, **options: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return await worker.client.request(method, path, headers=headers, **options)


async def test_a_decision_is_found_by_its_hook_instance(worker: Site) -> None:
    instance = str(uuid4())
    cards = await worker.call(*record(), hookInstance=instance)
    await worker.answer(*cards)
    reply = await ask(worker, "GET", f"/decisions/{instance.upper()}")
    (decision,) = reply.json()
    assert decision["rules"][NEW_BACK] == "fired"
    assert decision["facts"]["cancer.sites"][0] == ["colorectal"]
    assert [card["card"] for card in decision["cards"]] == [cards[0]["uuid"]]
    assert [entry["outcome"] for entry in decision["feedback"]] == ["overridden"]
    assert "PLANTED" not in reply.text
    assert f'"{PATIENT}"' not in reply.text


async def test_an_unknown_instance_is_not_found(worker: Site) -> None:
    assert (await ask(worker, "GET", f"/decisions/{uuid4()}")).status_code == 404


async def test_what_cannot_be_read_now_can_be_asked_for_later(
    worker: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise StoreFailed("gone")

    monkeypatch.setattr(worker.desk.memory.store, "bundles", broken)
    monkeypatch.setattr(worker.desk.memory.store, "add_switch", broken)
    assert (await ask(worker, "GET", f"/decisions/{uuid4()}")).status_code == 503
    assert (await ask(worker, "POST", "/admin/switches", json=SWITCH)).status_code == 503


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", f"/decisions/{uuid4()}"), ("GET", "/admin/switches"), ("POST", "/admin/switches")],
)
async def test_a_wrong_token_opens_nothing(worker: Site, method: str, path: str) -> None:
    for token in ("", "wrong", TOKEN[:-1], "é"):
        headers = {b"Authorization": f"Bearer {token}".encode()}
        reply = await worker.client.request(method, path, headers=headers)
        assert (reply.status_code, reply.content) == (401, b"")
    assert (await worker.client.request(method, path)).status_code == 401


async def test_without_a_token_there_is_no_admin_api(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(monkeypatch) as worker:
        for path in (f"/decisions/{uuid4()}", "/admin/switches"):
            assert (await ask(worker, "GET", path)).status_code == 404


async def test_a_switch_works_at_once_and_until_it_is_taken_back(worker: Site) -> None:
    reply = await ask(worker, "POST", "/admin/switches", json=SWITCH)
    assert reply.status_code == 200
    assert await worker.call(*record()) == []
    (listed,) = (await ask(worker, "GET", "/admin/switches")).json()
    assert (listed["kind"], listed["target"], listed["who"]) == ("rule", NEW_BACK, "J. Smith")
    await ask(worker, "POST", "/admin/switches", json={**SWITCH, "off": False, "why": "fixed"})
    assert len(await worker.call(*record())) == 1
    assert [(row.off, row.why) for row in worker.desk.memory.store.switches()] == [
        (1, "false alarms"),
        (0, "fixed"),
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "planet"},
        {"who": ""},
        {"why": ""},
        {"who": "x" * 201},
        {"target": ""},
        {"kind": "service"},
        {"more": 1},
        {"off": "yes"},
    ],
)
async def test_a_switch_without_who_why_or_target_is_refused(worker: Site, changes: dict[str, Any]) -> None:
    body = orjson.dumps({**SWITCH, **changes})
    reply = await ask(worker, "POST", "/admin/switches", content=body)
    assert reply.status_code == 400
    worker.desk.memory.start()
    assert worker.desk.memory.store.switches() == []
