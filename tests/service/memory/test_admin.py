"""The admin API: off without a token, closed to everyone else's, decisions looked up, switches thrown."""

import copy
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import orjson
import pytest
import pytest_asyncio

from service.errors import Unauthorised
from service.memory.admin import authorise
from service.memory.rows import SwitchRow
from service.memory.store import StoreFailed
from service.settings import Settings
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
    ("changes", "named"),
    [
        ({"kind": "planet"}, ""),
        ({"who": ""}, ": who."),
        ({"who": None}, ""),
        ({"who": ...}, ": who."),
        ({"why": ""}, ": why."),
        ({"who": ..., "why": ...}, ": who, why."),
        ({"who": "x" * 201}, ": who."),
        ({"target": ""}, ": target."),
        ({"kind": "service"}, ": target."),
        ({"more": 1}, ""),
        ({"off": "yes"}, ""),
        ({"off": ...}, ""),
    ],
)
async def test_a_switch_without_who_why_or_target_is_refused(
    worker: Site, changes: dict[str, Any], named: str
) -> None:
    given = {name: value for name, value in {**SWITCH, **changes}.items() if value is not ...}
    reply = await ask(worker, "POST", "/admin/switches", content=orjson.dumps(given))
    assert reply.status_code == 400
    (issue,) = reply.json()["issue"]
    assert issue["details"]["coding"][0]["code"] == "switch-invalid"
    assert issue["details"]["text"].endswith(named or " cannot be used.")
    assert "hookInstance" not in reply.text
    worker.desk.memory.start()
    assert worker.desk.memory.store.switches() == []


@pytest.mark.parametrize(("content", "byte"), [(b"{", 1), (b'{"kind": "\xff"}', 10), (b"", 0)])
async def test_a_body_that_is_no_json_is_no_switch(worker: Site, content: bytes, byte: int) -> None:
    reply = await ask(worker, "POST", "/admin/switches", content=content)
    assert reply.status_code == 400
    (issue,) = reply.json()["issue"]
    assert issue["details"]["coding"][0]["code"] == "body-not-json"
    assert issue["details"]["text"].endswith(f"byte {byte}.")


async def test_who_and_why_are_recorded_without_blanks(worker: Site) -> None:
    body = {**SWITCH, "who": " J. Smith\n", "why": " x ", "target": f" {NEW_BACK} "}
    assert (await ask(worker, "POST", "/admin/switches", json=body)).status_code == 200
    (row,) = worker.desk.memory.store.switches()
    assert (row.target, row.who, row.why) == (NEW_BACK, "J. Smith", "x")


@pytest.mark.parametrize("off", [True, False])
@pytest.mark.parametrize(
    ("kind", "target", "near"),
    [
        ("rule", f"{NEW_BACK}s", NEW_BACK),
        ("rule", "qqq", ""),
        ("module", "critcal", "critical"),
        ("module", "surgery", "critical, standard"),
        ("client", "north", "anonymous"),
    ],
)
async def test_a_switch_for_what_is_not_there_is_refused(
    worker: Site, kind: str, target: str, near: str, off: bool
) -> None:
    body = {**SWITCH, "kind": kind, "target": target, "off": off}
    reply = await ask(worker, "POST", "/admin/switches", json=body)
    assert reply.status_code == 422
    (issue,) = reply.json()["issue"]
    assert issue["details"]["coding"][0]["code"] == "switch-target-unknown"
    _, _, names = issue["diagnostics"].partition("Names like it: ")
    assert names.startswith(near)
    assert bool(names) is bool(near)
    assert worker.desk.memory.store.switches() == []
    assert not any("Switched off" in told for told in (await worker.client.get("/readyz")).json()["warnings"])


async def test_what_later_rules_bring_can_be_switched_off_before_and_back_on(worker: Site) -> None:
    body = {**SWITCH, "target": "rule-of-tomorrow"}
    reply = await ask(worker, "POST", "/admin/switches", json={**body, "unknown": True})
    assert [(row["target"], row["known"]) for row in reply.json()] == [("rule-of-tomorrow", False)]
    warnings = (await worker.client.get("/readyz")).json()["warnings"]
    assert "Switched off, but not known here, so nothing is silenced: rule rule-of-tomorrow." in warnings
    # What is off is known by that alone, and a misspelt name of it is not.
    wrong = await ask(
        worker, "POST", "/admin/switches", json={**body, "off": False, "target": "rule-of-today"}
    )
    assert wrong.json()["issue"][0]["diagnostics"].endswith("Names like it: rule-of-tomorrow.")
    back = await ask(worker, "POST", "/admin/switches", json={**body, "off": False})
    assert (back.status_code, back.json()) == (200, [])


async def test_what_another_worker_has_just_switched_off_can_be_taken_back(worker: Site) -> None:
    worker.desk.memory.start()
    worker.desk.memory.store.add_switch(SwitchRow(1.0, "rule", "rule-of-tomorrow", 1, "J. Smith", "x"))
    body = {**SWITCH, "target": "rule-of-tomorrow", "off": False}
    assert (await ask(worker, "POST", "/admin/switches", json=body)).status_code == 200


async def test_new_rules_are_new_targets(worker: Site) -> None:
    rules = worker.desk.knowledge.bundle
    fewer = copy.copy(rules)
    fewer.programs = {name: program for name, program in rules.programs.items() if name != NEW_BACK}
    relief = worker.desk.with_knowledge(msgspec.structs.replace(worker.desk.knowledge, bundle=fewer))
    assert worker.desk.memory.switches.knows("rule", NEW_BACK)
    relief.takes_over(0.0)
    assert not worker.desk.memory.switches.knows("rule", NEW_BACK)


# -- a proxy that people sign in to ------------------------------------------------------------------

PROXY = "127.0.0.1"
"""The address that httpx's transport gives as the other end."""
JANE, EVE = "jane@example.org", "eve@example.org"
SIGNED_IN: dict[str, Any] = {"admin_header": "X-Forwarded-Email", "admin_proxies": (PROXY,)}


def as_signed_in(who: str, groups: str = "") -> dict[str, str]:
    return {"X-Forwarded-Email": who, **({"X-Forwarded-Groups": groups} if groups else {})}


async def throw(worker: Site, headers: Any, **changes: Any) -> int:
    body = {name: value for name, value in {**SWITCH, **changes}.items() if value is not None}
    return (await worker.client.post("/admin/switches", json=body, headers=headers)).status_code


async def test_who_has_signed_in_is_on_record_whoever_the_body_says(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(monkeypatch, **SIGNED_IN, admin_users=(JANE,)) as worker:
        assert await throw(worker, as_signed_in(JANE), who=None) == 200
        assert await throw(worker, as_signed_in(JANE), who="someone else", off=False) == 200
        assert [(row.off, row.who) for row in worker.desk.memory.store.switches()] == [(1, JANE), (0, JANE)]
        reply = await worker.client.get(f"/decisions/{uuid4()}", headers=as_signed_in(JANE))
        assert reply.status_code == 404


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (as_signed_in(JANE), 200),
        (as_signed_in(EVE), 401),
        (as_signed_in(JANE.upper()), 401),
        (as_signed_in(f"{JANE},{EVE}"), 401),
        (as_signed_in(EVE, "staff, tocsin-admins"), 200),
        (as_signed_in(EVE, "staff|tocsin-admins"), 200),
        (as_signed_in(EVE, "staff,tocsin-admins-old"), 401),
        (as_signed_in("", "tocsin-admins"), 401),
        (as_signed_in("x" * 201, "tocsin-admins"), 401),
        ({"X-Forwarded-Groups": "tocsin-admins"}, 401),
        ({}, 401),
        ([("X-Forwarded-Email", EVE), ("X-Forwarded-Email", JANE)], 401),
        ([*as_signed_in(EVE, "staff").items(), ("X-Forwarded-Groups", "tocsin-admins")], 401),
    ],
)
async def test_only_who_is_listed_administers(
    monkeypatch: pytest.MonkeyPatch, headers: Any, expected: int
) -> None:
    listed: dict[str, Any] = {"admin_users": (JANE,), "admin_groups": ("tocsin-admins",)}
    async with site(monkeypatch, **SIGNED_IN, **listed) as worker:
        assert await throw(worker, headers) == expected


async def test_a_header_that_is_not_from_the_proxy_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reaches the port can send the header; only its sender's address tells who it is from."""
    elsewhere = {**SIGNED_IN, "admin_proxies": ("10.0.0.7", "2001:db8::/32")}
    async with site(monkeypatch, **elsewhere, admin_users=(JANE,)) as worker:
        assert await throw(worker, as_signed_in(JANE)) == 401
        forwarded = {**as_signed_in(JANE), "X-Forwarded-For": "10.0.0.7", "Forwarded": "for=10.0.0.7"}
        assert await throw(worker, forwarded) == 401
        worker.desk.memory.start()
        assert worker.desk.memory.store.switches() == []


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("10.0.0.7", JANE),
        ("::ffff:10.0.0.7", JANE),
        ("10.0.0.8", None),
        ("2001:db8::1", JANE),
        ("2001:db9::1", None),
        ("", None),
        ("testclient", None),
    ],
)
def test_the_address_of_the_proxy(peer: str, expected: str | None) -> None:
    settings = Settings(
        admin_header="X-Forwarded-Email", admin_proxies=("10.0.0.7", "2001:db8::/32"), admin_users=(JANE,)
    )
    headers = [(b"x-forwarded-email", JANE.encode())]
    if expected is None:
        with pytest.raises(Unauthorised):
            authorise(settings, headers, peer)
    else:
        assert authorise(settings, headers, peer) == expected


async def test_the_header_opens_nothing_where_no_setting_names_it(worker: Site) -> None:
    assert await throw(worker, as_signed_in(JANE)) == 401


async def test_the_token_works_beside_the_proxy_and_needs_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(monkeypatch, **SIGNED_IN, admin_users=(JANE,), admin_token=TOKEN) as worker:
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert await throw(worker, bearer) == 200
        assert await throw(worker, bearer, who=None) == 400
        # The token is enough; what else the request says counts for nothing.
        assert await throw(worker, {**bearer, **as_signed_in(EVE)}) == 200
        assert {row.who for row in worker.desk.memory.store.switches()} == {"J. Smith"}


@pytest.mark.parametrize("kind", [None, "", "text/plain", "application/x-www-form-urlencoded"])
async def test_a_page_of_another_site_cannot_throw_a_switch(
    monkeypatch: pytest.MonkeyPatch, kind: str | None
) -> None:
    """A browser sends these without asking the service first, with the cookie of who has signed in."""
    headers = as_signed_in(JANE) | ({"Content-Type": kind} if kind is not None else {})
    async with site(monkeypatch, **SIGNED_IN, admin_users=(JANE,)) as worker:
        body = orjson.dumps(SWITCH)
        reply = await worker.client.post("/admin/switches", content=body, headers=headers)
        assert reply.status_code == 415
