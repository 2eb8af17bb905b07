"""The status page: what runs, what is not live, who calls, what went wrong, and what only admins see."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from service import demo
from service.knowledge import Knowledge
from service.settings import Settings
from tests.service.calls import knowledge_of
from tests.service.pages.visits import LOCAL, Seen, visitor

ESR = "esr-crp-markedly-raised-persistent-pain"
CLIENTS = """\
clients:
  - id: north-hospital
    issuer: https://ehr.example.org
    jku: https://ehr.example.org/jwks.json
"""
SITE = """\
rules:
  esr-crp-markedly-raised-persistent-pain: {mode: silent, until: 2026-01-31}
  raised-alp-bone-pain: {mode: pilot, until: 2099-12-31, percent: 10, users: [Practitioner/a, Practitioner/b]}
  anaemia-persistent-pain-50: {mode: silent}
modules:
  critical: {mode: "off", reason: not allowed <here> yet}
"""
SWITCH = {"kind": "rule", "target": ESR, "off": True, "who": "J. Smith", "why": "fires <b>for everyone"}
TOKEN = "an-admin-token-that-is-long-enough-0123456789"


def settings(folder: Path, **given: Any) -> Settings:
    return Settings.model_validate({**LOCAL.model_dump(), "state_dir": folder, **given})


def production(folder: Path) -> Settings:
    file = folder / "clients.yaml"
    file.write_text(CLIENTS, "utf-8")
    given = {"profile": "production", "clients": file, "auth": True, "admin_token": TOKEN}
    return settings(folder, **given)


async def call(client: httpx.AsyncClient, patient: str = "demo-esr") -> httpx.Response:
    (one,) = (one for one in demo.load() if one.id == patient)
    body = demo.to_request(one, dt.datetime.now(dt.UTC).date(), "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea")
    return await client.post("/cds-services/red-flags", json=body)


async def status(client: httpx.AsyncClient, **headers: str) -> Seen:
    answer = await client.get("/status", headers=headers)
    assert answer.status_code == 200
    return Seen(answer)


async def test_where_nothing_has_happened_it_says_so() -> None:
    async with visitor() as client:
        page = await status(client)
    for said in (
        "All rules are live.",
        "No kill switch is thrown.",
        "None listed, and none has called in 7 days.",
        "Errors since the start None.",
        "ok in the memory of this process only; 0 waiting",
    ):
        assert said in page.text


async def test_it_says_what_readyz_says() -> None:
    async with visitor() as client:
        page = await status(client)
        ready = (await client.get("/readyz")).json()
    assert ready["bundle"]["digest"] in page.text
    assert ready["warnings"]
    assert all(line in page.text for line in ready["warnings"])


async def test_without_a_site_file_one_line_says_that_contacts_have_no_number() -> None:
    async with visitor() as client:
        page = await status(client)
        (line,) = (await client.get("/readyz")).json()["warnings"]
    assert line.startswith("no site file: R055: warning: contacts have no number")
    assert {"mscc", "spinal"} <= set(line.rpartition(": ")[2].split(", "))
    assert "Site file none" in page.text


@pytest.mark.parametrize("kept", [True, False])
async def test_calls_are_counted_by_client_and_hook(tmp_path: Path, kept: bool) -> None:
    async with visitor(settings(tmp_path) if kept else LOCAL) as client:
        assert (await call(client)).status_code == 200
        page = await status(client)
        rule = Seen(await client.get(f"/rules/{ESR}"))
        other = Seen(await client.get("/rules/low-value-imaging-no-red-flags"))
    assert "patient-view 1" in page.text
    assert f"{dt.datetime.now(dt.UTC):%Y-%m-%d}" in page.text
    assert ("in SQLite for 365 days" in page.text) == kept
    assert "evaluated: 1, true: 1, on cards: 1" in rule.text
    assert "0 accepted, 0 overridden, 1 without an answer" in rule.text
    assert "No call has evaluated this rule here in the last 7 days." in other.text


async def test_errors_are_counted_by_code_and_say_nothing_of_the_call() -> None:
    async with visitor() as client:
        await client.post("/cds-services/red-flags", content=b'{"hook": "Zzyzx-Canary"', headers=JSON)
        await client.post("/cds-services/red-flags", content=b"{", headers=JSON)
        page = await status(client)
    assert "body-not-json 400 2" in page.text
    assert "Zzyzx" not in page.text


JSON = {"content-type": "application/json"}


async def test_rules_on_trial_say_until_when_and_for_whom(tmp_path: Path) -> None:
    async with visitor(LOCAL, knowledge_of(tmp_path, SITE)) as client:
        page = await status(client)
        overdue = Seen(await client.get(f"/rules/{ESR}"))
        pilot = Seen(await client.get("/rules/raised-alp-bone-pain"))
    assert "2026-01-31 overdue" in page.text
    assert "pilot 10 % of patients, 2 users 2099-12-31" in page.text
    assert "no end set" in page.text
    assert "not allowed <here> yet" in page.text
    assert "Practitioner/a" not in page.text
    assert "mode silent, its end on 2026-01-31 has passed" in overdue.text
    assert "mode pilot, shown to 10 % of patients, 2 users, until 2099-12-31" in pilot.text


async def test_a_store_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "tocsin.sqlite").mkdir()
    given = settings(tmp_path, patient_key="k" * 40)
    async with visitor(given) as client:
        page = await status(client)
        rule = Seen(await client.get(f"/rules/{ESR}"))
    assert "The store cannot be read now" in page.text
    assert "failing in SQLite" in page.text
    assert "shown to admins, while records can be read" in rule.text


async def test_production_shows_names_and_reasons_to_admins_only(tmp_path: Path) -> None:
    given = production(tmp_path)
    admin = {"authorization": f"Bearer {TOKEN}"}
    async with visitor(given, Knowledge.load(given, dt.date(2026, 11, 25))) as client:
        thrown = await client.post("/admin/switches", content=json.dumps(SWITCH), headers={**JSON, **admin})
        assert thrown.status_code == 200
        await call(client)
        anyone = await status(client)
        wrong = await status(client, authorization="Bearer something-else")
        whole = await status(client, **admin)
        rule = Seen(await client.get(f"/rules/{ESR}"))
        rule_whole = Seen(await client.get(f"/rules/{ESR}", headers=admin))
    assert anyone.text == wrong.text
    assert f"rule {ESR}" in anyone.text
    assert "1 listed." in anyone.text
    assert "are shown to admins only." in anyone.text
    for said in ("north-hospital", "J. Smith", "fires <b>for everyone", "unauthorised"):
        assert said not in anyone.text
        assert said in whole.text
    assert "b" not in whole.tags
    assert "How often it fires here is shown to admins" in rule.text
    assert "No call has evaluated this rule here" in rule_whole.text


async def test_without_an_admin_api_production_says_what_opens_it(tmp_path: Path) -> None:
    given = production(tmp_path).model_copy(update={"admin_token": None})
    async with visitor(given, Knowledge.load(given, dt.date(2026, 11, 25))) as client:
        assert "TOCSIN_ADMIN_TOKEN" in (await status(client)).text
