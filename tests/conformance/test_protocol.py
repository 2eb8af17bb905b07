"""Conformance rows that only the whole application can show: routes, statuses, members that are never sent.

With the bundled demo patients, whose calls make cards of every urgency, so that nothing outside is needed.
"""

import asyncio
import datetime as dt
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from fhir.resources.servicerequest import ServiceRequest as R5Order

from hooks import REGISTRY
from service import demo
from service.app import create_app
from service.desk import Desk
from service.knowledge import Knowledge
from service.settings import Settings
from tests.contract.corpus import SERVICE, Json, client
from tests.service.trust.signing import ISSUER, JKU, claims, jwks, signed

pytestmark = pytest.mark.asyncio(loop_scope="session")

PUBLIC_URL = "https://cds.example.org"
PLAIN = {"userId": "Practitioner/u1", "patientId": "p1"}


@asynccontextmanager
async def signed_service(tmp_path: Path, **members: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A caller of a service with authentication on and one client, who has these members."""
    file = tmp_path / "clients.yaml"
    listed = {"id": "ehr", "issuer": ISSUER, "jku": JKU, "jwks": jwks(), **members}
    file.write_text(json.dumps({"clients": [listed]}))
    settings = Settings(public_url=PUBLIC_URL, clients=file, profile="sandbox", log_level="error")
    desk = Desk(settings, Knowledge.load(settings, dt.date.today()))
    transport = httpx.ASGITransport(create_app(settings, desk), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL) as opened:
        yield opened
    await desk.aclose()


def token(path: str) -> dict[str, str]:
    """The Authorization header of one call to a path."""
    now = int(dt.datetime.now(dt.UTC).timestamp())
    body = claims(aud=PUBLIC_URL + path, iat=now, exp=now + 300, jti=str(uuid.uuid4()))
    return {"Authorization": f"Bearer {signed(body).decode()}"}


def body(hook: str = "patient-view", /, **members: Any) -> Json:
    prefetch = {"patient": None, "conditions": None}
    return {
        "hook": hook,
        "hookInstance": str(uuid.uuid4()),
        "context": PLAIN,
        "prefetch": prefetch,
        **members,
    }


async def answers(caller: httpx.AsyncClient) -> list[Json]:
    """What every demo patient's call is answered."""
    today = dt.date.today()
    found = []
    for patient in demo.load():
        call = demo.to_request(patient, today, str(uuid.uuid4()))
        answer = await caller.post(SERVICE, json=call)
        assert answer.status_code == 200, answer.text
        found.append({**answer.json(), "called": call})
    assert any(answer["cards"] for answer in found)
    return found


def everything(value: Any, inside: str = "") -> Iterator[tuple[str, Any]]:
    """Every member of an answer below its root, with its name."""
    yield inside, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from everything(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from everything(inner, inside)


def code(answer: httpx.Response) -> str:
    outcome = answer.json()
    assert outcome["resourceType"] == "OperationOutcome"
    found: str = outcome["issue"][0]["details"]["coding"][0]["code"]
    return found


# -- discovery ---------------------------------------------------------------------------------------


async def test_discovery_stands_at_its_path_and_describes_every_hook(caller: httpx.AsyncClient) -> None:
    answer = await caller.get("/cds-services")
    assert (await caller.get("/.well-known/cds-services")).status_code == 404
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    services = answer.json()["services"]
    assert [entry["hook"] for entry in services] == list(REGISTRY)
    for entry in services:
        assert set(entry) == {"hook", "title", "description", "id", "prefetch", "usageRequirements"}
        assert all(entry.values())
        assert all(isinstance(query, str) and query for query in entry["prefetch"].values())
    assert len({entry["id"] for entry in services}) == 1


async def test_discovery_is_the_same_in_every_process() -> None:
    async with client() as one, client() as other:
        assert (await one.get("/cds-services")).content == (await other.get("/cds-services")).content


async def test_one_id_serves_every_hook_it_is_listed_under_and_no_other(caller: httpx.AsyncClient) -> None:
    """DSC-13: the call goes by id and hook."""
    for entry in (await caller.get("/cds-services")).json()["services"]:
        answer = await caller.post(f"/cds-services/{entry['id']}", json=body(entry["hook"]))
        assert answer.status_code == 200 or code(answer).startswith("context-"), entry["hook"]
    unknown = await caller.post(SERVICE, json=body("medication-refill"))
    assert (unknown.status_code, code(unknown)) == (400, "hook-unknown")


async def test_a_web_page_is_given_an_id_for_each_hook_and_may_call_under_it(
    caller: httpx.AsyncClient,
) -> None:
    """The CDS Hooks Sandbox keeps one service per URL, so of one id it would show the last hook alone."""
    answer = await caller.get("/cds-services", headers={"Origin": "https://sandbox.example.org"})
    services = answer.json()["services"]
    assert "Origin" in answer.headers["vary"]
    assert len({entry["id"] for entry in services}) == len(services) == len(REGISTRY)
    for entry in services:
        path = f"/cds-services/{entry['id']}"
        called = await caller.post(path, json=body(entry["hook"]))
        assert called.status_code == 200 or code(called).startswith("context-"), entry["hook"]
        told = await caller.post(f"{path}/feedback", json={"feedback": []})
        assert told.status_code == 200
    wrong = await caller.post("/cds-services/red-flags-order-sign", json=body("patient-view"))
    assert (wrong.status_code, code(wrong)) == (400, "hook-mismatch")


async def test_discovery_takes_a_token_and_needs_none(tmp_path: Path) -> None:
    async with signed_service(tmp_path) as caller:
        unsigned = await caller.get("/cds-services")
        known = await caller.get("/cds-services", headers=token("/cds-services"))
        assert unsigned.status_code == known.status_code == 200
        assert unsigned.content == known.content
        wrong = await caller.get("/cds-services", headers={"Authorization": "Bearer x"})
        assert (wrong.status_code, wrong.content) == (401, b"")


async def test_a_client_of_version_3_is_told_the_version_and_others_are_not(tmp_path: Path) -> None:
    async with signed_service(tmp_path, hooks_version="3.0") as caller:
        anyone = (await caller.get("/cds-services")).json()["services"]
        client_of_3 = (await caller.get("/cds-services", headers=token("/cds-services"))).json()["services"]
    assert not any("version" in entry or "hookVersion" in entry for entry in anyone)
    assert {entry.pop("version") for entry in client_of_3} == {"3.0.0"}
    assert client_of_3 == anyone


# -- calls -------------------------------------------------------------------------------------------


async def test_calls_need_a_token_when_discovery_does_not(tmp_path: Path) -> None:
    async with signed_service(tmp_path) as caller:
        for path in (SERVICE, f"{SERVICE}/feedback"):
            refused = await caller.post(path, json=body())
            assert (refused.status_code, refused.content) == (401, b"")
            assert refused.headers["www-authenticate"] == "Bearer"
        assert (await caller.post(SERVICE, json=body(), headers=token(SERVICE))).status_code == 200


async def test_nothing_to_say_is_an_empty_list(caller: httpx.AsyncClient) -> None:
    answer = await caller.post(SERVICE, json=body())
    assert (answer.status_code, answer.json()) == (200, {"cards": []})


async def test_a_call_needs_neither_user_nor_encounter_nor_server(caller: httpx.AsyncClient) -> None:
    answer = await caller.post(SERVICE, json=body(context={"patientId": "p1"}))
    assert (answer.status_code, answer.json()) == (200, {"cards": []})
    nothing = body(context={"patientId": "p1"})
    del nothing["prefetch"]
    assert (await caller.post(SERVICE, json=nothing)).status_code == 412


async def test_extensions_and_unknown_members_are_taken_anywhere(caller: httpx.AsyncClient) -> None:
    extra: Json = {"extension": {"com.example.x": {"y": [1]}}, "org": None, "unknown": {"a": []}}
    call = body(**extra, context={**PLAIN, **extra})
    call["prefetch"]["unknown-key"] = {"resourceType": "Basic", **extra}
    answer = await caller.post(SERVICE, json=call)
    assert (answer.status_code, answer.json()) == (200, {"cards": []})


@pytest.mark.parametrize("extension", [[], [{"url": "x"}], "x", 3])
async def test_an_extension_that_is_no_object_is_not_read(caller: httpx.AsyncClient, extension: Any) -> None:
    answer = await caller.post(SERVICE, json=body(extension=extension))
    assert (answer.status_code, answer.json()) == (200, {"cards": []})


@pytest.mark.parametrize(
    "change", [{"subject": None}, {"expires_in": "300"}, {"scope": None}, {"patient": 7}]
)
async def test_a_token_that_is_not_as_defined_costs_only_what_needs_it(
    caller: httpx.AsyncClient, change: Json
) -> None:
    """REQ-05. Without the server it is for it is refused all the same (REQ-04)."""
    given = {"access_token": "t", "token_type": "Bearer", "expires_in": 9, "scope": "s", "subject": "c"}
    server = {"fhirServer": "https://ehr.example.org/fhir"}
    call = body(**server, fhirAuthorization={**given, **change})
    answer = await caller.post(SERVICE, json=call)
    assert (answer.status_code, answer.json()) == (200, {"cards": []})
    without_data = await caller.post(SERVICE, json={**call, "prefetch": {}})
    assert (without_data.status_code, code(without_data)) == (412, "data-unavailable")
    without_server = await caller.post(SERVICE, json={**call, "fhirServer": None})
    assert (without_server.status_code, code(without_server)) == (400, "fhir-server-missing")


@pytest.mark.parametrize(
    ("path", "content", "status", "expected"),
    [
        (SERVICE, b"{", 400, "body-not-json"),
        (SERVICE, json.dumps({**body(), "hook": 3}).encode(), 400, "member-invalid"),
        (SERVICE, json.dumps({**body(), "hook": "no-such-hook"}).encode(), 400, "hook-unknown"),
        (SERVICE, json.dumps({**body(), "context": {}}).encode(), 400, "context-field-missing"),
        ("/cds-services/other", json.dumps(body()).encode(), 404, "service-unknown"),
        (SERVICE, json.dumps({**body(), "prefetch": {}}).encode(), 412, "data-unavailable"),
        (f"{SERVICE}/feedback", b'"x"', 400, "feedback-invalid"),
    ],
)
async def test_every_refusal_is_an_outcome_with_its_status(
    caller: httpx.AsyncClient, path: str, content: bytes, status: int, expected: str
) -> None:
    answer = await caller.post(path, content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, code(answer)) == (status, expected)
    assert answer.headers["content-type"] == "application/fhir+json"


async def test_calls_side_by_side_are_answered_each_for_itself(caller: httpx.AsyncClient) -> None:
    """REQ-13: several calls may arrive in parallel, told apart by hookInstance."""
    today = dt.date.today()
    calls = [demo.to_request(patient, today, str(uuid.uuid4())) for patient in demo.load()]
    alone = [(await caller.post(SERVICE, json=call)).content for call in calls]
    together = await asyncio.gather(*(caller.post(SERVICE, json=call) for call in calls * 3))
    assert [answer.content for answer in together] == alone * 3


async def test_feedback_is_answered_200_for_unknown_cards_and_again(caller: httpx.AsyncClient) -> None:
    given = {
        "card": str(uuid.uuid4()),
        "outcome": "overridden",
        "outcomeTimestamp": "2026-11-25T10:00:00Z",
    }
    for _ in range(2):
        answer = await caller.post(f"{SERVICE}/feedback", json={"feedback": [given, given]})
        assert (answer.status_code, answer.content) == (200, b"{}")


# -- answers -----------------------------------------------------------------------------------------


async def test_answers_hold_no_null_nothing_empty_and_no_member_not_agreed(
    caller: httpx.AsyncClient,
) -> None:
    never = {"actionSelectionBehavior", "systemActions", "appContext", "autolaunchable", "resourceId"}
    for answer in await answers(caller):
        for name, value in everything(answer["cards"]):
            assert value is not None
            assert name not in never
            assert value or isinstance(value, (bool, int)) or value == answer["cards"] == [], name


async def test_every_card_has_what_feedback_ranking_and_narrow_displays_need(
    caller: httpx.AsyncClient,
) -> None:
    for answer in await answers(caller):
        for card in answer["cards"]:
            assert str(uuid.UUID(card["uuid"])) == card["uuid"]
            assert 0 < len(card["summary"]) < 140
            assert card["indicator"] in ("info", "warning", "critical")
            assert card["source"]["label"]
            assert {"code", "system", "display"} == set(card["source"]["topic"])
            reasons = card.get("overrideReasons", [])
            assert reasons
            assert all({"code", "system", "display"} == set(reason) for reason in reasons)
            assert all(name.count(".") >= 2 for name in card.get("extension", {}))
            for link in card.get("links", []):
                assert link["type"] == "absolute"
                assert link["label"]
                assert urlsplit(link["url"]).scheme == "https"


async def test_every_suggestion_creates_whole_resources_for_the_patient_of_the_call(
    caller: httpx.AsyncClient,
) -> None:
    seen = 0
    for answer in await answers(caller):
        patient = answer["called"]["context"]["patientId"]
        for card in answer["cards"]:
            suggestions = card.get("suggestions", [])
            assert ("selectionBehavior" in card) is bool(suggestions)
            for suggestion in suggestions:
                seen += 1
                assert str(uuid.UUID(suggestion["uuid"])) == suggestion["uuid"]
                assert suggestion["label"]
                assert suggestion["actions"]
                for action in suggestion["actions"]:
                    assert action["type"] == "create"
                    assert action["description"]
                    assert action["resource"]["resourceType"] == "ServiceRequest"
                    assert action["resource"]["subject"] == {"reference": f"Patient/{patient}"}
    assert seen


async def test_a_client_of_r5_is_suggested_orders_of_r5(tmp_path: Path) -> None:
    patient = next(one for one in demo.load() if one.expect)
    call = demo.to_request(patient, dt.date.today(), str(uuid.uuid4()))
    async with signed_service(tmp_path, fhir_version="R5") as caller:
        answer = await caller.post(SERVICE, json=call, headers=token(SERVICE))
    orders = [
        action["resource"]
        for card in answer.json()["cards"]
        for suggestion in card.get("suggestions", [])
        for action in suggestion["actions"]
    ]
    assert orders
    for order in orders:
        R5Order.model_validate(order)
