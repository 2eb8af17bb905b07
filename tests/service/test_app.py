"""The HTTP edge: routes, media types, limits, and how what goes wrong inside leaves as an answer."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
from pydantic import SecretStr
from starlette.types import ASGIApp, Message

from hooks.feedback import FeedbackBatch
from service import __version__
from service.app import create_app
from service.desk import Desk
from service.errors import SettingsError
from service.logs import configure
from service.outcomes import WORDS
from service.settings import Settings
from tests.service.calls import INSTANCE, bundled_knowledge, call_body
from tests.service.facts import codes
from tests.service.facts.build import Json, condition, lab, patient

pytestmark = pytest.mark.asyncio(loop_scope="module")
SERVICE = "/cds-services/red-flags"
SECRET = "Xyzzyplugh"
CALL: Json = call_body(
    {
        "patient": {**patient(), "name": [{"family": SECRET}]},
        "conditions": {
            "resourceType": "Bundle",
            "type": "searchset",
            "entry": [
                {"resource": condition(codes.LOW_BACK_PAIN, onset=21)},
                {"resource": condition(codes.BREAST_CANCER, onset=2200, note=[{"text": SECRET}])},
            ],
        },
        "labs": {**lab(codes.CRP, 5, "mg/L"), "code": SECRET},
    }
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk() -> AsyncIterator[Desk]:
    opened = Desk(Settings(auth=False), bundled_knowledge())
    yield opened
    await opened.aclose()


def application(desk: Desk, **settings: Any) -> ASGIApp:
    """The application over an open desk; what middlewares read comes from `settings`."""
    return create_app(Settings(auth=False, **settings), desk)


def caller(app: ASGIApp) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000")


async def asked(desk: Desk, method: str, path: str, **options: Any) -> httpx.Response:
    async with caller(application(desk)) as client:
        # Absolute, for a reference that begins with two slashes names a host.
        return await client.request(method, f"http://127.0.0.1:8000{path}", **options)


def code(response: httpx.Response) -> str:
    assert response.headers["content-type"] == "application/fhir+json"
    (issue,) = response.json()["issue"]
    found: str = issue["details"]["coding"][0]["code"]
    return found


# -- what is served ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/cds-services", "/cds-services/", "//cds-services", "//cds-services//"])
async def test_discovery_answers_however_its_url_was_typed(desk: Desk, path: str) -> None:
    response = await asked(desk, "GET", path)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.json()["services"][0]["id"] == "red-flags"


@pytest.mark.parametrize("path", [SERVICE, f"{SERVICE}/", "//cds-services/red-flags"])
async def test_a_call_is_answered_with_cards(desk: Desk, path: str) -> None:
    response = await asked(desk, "POST", path, json=CALL)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    (card,) = response.json()["cards"]
    assert card["source"]["topic"]["code"] == "TOCSINCANCERBACK"
    assert SECRET not in response.text


async def test_an_explanation_holds_the_cards_and_the_whole_decision(desk: Desk) -> None:
    response = await asked(desk, "POST", "/decisions/explain", json=CALL)
    assert response.status_code == 200
    told = response.json()
    assert told["hookInstance"] == INSTANCE
    assert {rule["rule"] for rule in told["rules"]} == {
        rule.id for rule in desk.knowledge.bundle.rules.values() if "patient-view" in rule.hooks
    }
    (problem,) = told["data"]["problems"]
    assert (problem["code"], problem["key"], problem["type"]) == (
        "resource-unreadable",
        "labs",
        "Observation",
    )
    assert len(told["cards"]) == 1


async def test_feedback_is_answered_with_an_empty_object_for_unknown_cards_too(desk: Desk) -> None:
    said = {"card": INSTANCE, "outcome": "overridden", "outcomeTimestamp": "2026-11-25T10:00:00Z"}
    response = await asked(desk, "POST", f"{SERVICE}/feedback", json={"feedback": [said, {"card": 1}]})
    assert (response.status_code, response.content) == (200, b"{}")
    assert code(await asked(desk, "POST", f"{SERVICE}/feedback", json=7)) == "feedback-invalid"
    assert code(await asked(desk, "POST", "/cds-services/x/feedback", json={})) == "service-unknown"


async def test_the_process_says_how_it_is(desk: Desk) -> None:
    assert (await asked(desk, "GET", "/livez")).json() == {"status": "alive"}
    ready = (await asked(desk, "GET", "/readyz")).json()
    assert ready["status"] == "ready"
    assert ready["bundle"]["digest"] == desk.knowledge.bundle.digest
    metrics = await asked(desk, "GET", "/metrics")
    assert metrics.status_code == 200
    assert "tocsin_" in metrics.text
    assert SECRET not in metrics.text


# -- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/FHIR+JSON", 200),
        ("", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
    ],
)
async def test_only_json_is_read(desk: Desk, kind: str, status: int) -> None:
    content = json.dumps(CALL).encode()
    for path in (SERVICE, "/decisions/explain"):
        response = await asked(desk, "POST", path, content=content, headers={"Content-Type": kind})
        assert response.status_code == status
        assert status == 200 or code(response) == "content-type-not-json"


async def test_a_body_without_a_content_type_is_read(desk: Desk) -> None:
    async with caller(application(desk)) as client:
        request = client.build_request("POST", SERVICE, content=json.dumps(CALL).encode())
        assert "content-type" not in request.headers
        assert (await client.send(request)).status_code == 200


async def test_a_body_over_the_limit_is_refused(desk: Desk) -> None:
    content = json.dumps({**CALL, "padding": "x" * 5000}).encode()

    async def streamed() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 1000):
            yield content[start : start + 1000]

    async with caller(application(desk, max_body_bytes=4096)) as client:
        headers = {"Content-Type": "application/json"}
        assert code(await client.post(SERVICE, content=content, headers=headers)) == "body-too-large"
        assert code(await client.post(SERVICE, content=streamed(), headers=headers)) == "body-too-large"


async def test_deep_nesting_is_refused_and_costs_nothing(desk: Desk) -> None:
    for depth in (2_000, 100_000):
        content = json.dumps(CALL)[:-1].encode() + b',"deep":' + b"[" * depth + b"]" * depth + b"}"
        response = await asked(desk, "POST", SERVICE, content=content)
        assert response.status_code in (200, 400)
        assert response.status_code == 200 or code(response) in ("body-too-deep", "body-not-json")


async def test_a_method_that_is_not_served_is_told_which_are(desk: Desk) -> None:
    response = await asked(desk, "PUT", SERVICE, json=CALL)
    assert (response.status_code, code(response)) == (405, "method-not-allowed")
    assert response.headers["allow"] == "POST"
    assert code(await asked(desk, "GET", "/nowhere")) == "path-unknown"
    assert code(await asked(desk, "POST", "/cds-services/other", json=CALL)) == "service-unknown"


@pytest.mark.parametrize(
    ("settings", "served"),
    [
        ({"profile": "sandbox"}, True),
        ({"profile": "production"}, False),
        ({"profile": "production", "explain": "on"}, True),
        ({"profile": "sandbox", "explain": "off"}, False),
    ],
)
async def test_explanations_are_served_where_the_settings_say_so(
    settings: dict[str, Any], served: bool
) -> None:
    own = Desk(Settings(auth=False, **settings), bundled_knowledge())
    response = await asked(own, "POST", "/decisions/explain", json=CALL)
    assert response.status_code == (200 if served else 404)
    assert served or code(response) == "explain-disabled"
    await own.aclose()


async def test_an_unsigned_call_gets_a_bare_401_where_calls_are_signed() -> None:
    signed = Desk(Settings(public_url="https://cds.example.org"), bundled_knowledge())
    async with caller(create_app(signed.settings, signed)) as client:
        for path in (SERVICE, f"{SERVICE}/feedback", "/decisions/explain", "/cds-services/nowhere"):
            response = await client.post(path, json=CALL)
            assert (response.status_code, response.content) == (401, b"")
            assert response.headers["www-authenticate"] == "Bearer"
        assert (await client.get("/cds-services")).status_code == 200
        bad = {"Authorization": "Bearer x.y.z"}
        assert (await client.get("/cds-services", headers=bad)).status_code == 401
        assert (await client.get("/livez")).status_code == 200
    await signed.aclose()


async def test_security_headers_and_no_banner(desk: Desk) -> None:
    for response in (await asked(desk, "GET", "/cds-services"), await asked(desk, "GET", "/nowhere")):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "server" not in response.headers
        assert "x-powered-by" not in response.headers


async def test_a_preflight_is_answered_for_a_listed_origin_only(desk: Desk) -> None:
    listed = Desk(Settings(auth=False, cors_origins=("https://tools.example.org",)), bundled_knowledge())
    async with caller(create_app(listed.settings, listed)) as client:
        for origin, allowed in (("https://tools.example.org", True), ("https://evil.example", False)):
            headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            response = await client.options(SERVICE, headers=headers)
            assert ("access-control-allow-origin" in response.headers) is allowed
    await listed.aclose()


async def test_get_of_an_explanation_is_no_search_for_a_decision(desk: Desk) -> None:
    own = Desk(Settings(auth=False, admin_token=SecretStr("t" * 20)), bundled_knowledge())
    for one in (desk, own):
        for method in ("GET", "HEAD", "PUT"):
            response = await asked(one, method, "/decisions/explain")
            assert response.status_code == 405
            assert response.headers["allow"] == "POST"
    assert (await asked(own, "GET", f"/decisions/{INSTANCE}")).status_code == 401
    await own.aclose()


NO_DATA: Json = call_body({})
del NO_DATA["prefetch"]
TOKEN: Json = {
    "access_token": "a.b.c",
    "token_type": "Bearer",
    "expires_in": 300,
    "scope": "patient/*.rs",
    "subject": "tocsin",
}
EHR, LISTED = "https://ehr.example.org/fhir", "http://127.0.0.1:9/fhir"


@pytest.mark.parametrize(
    "members",
    [
        {"extension": []},
        {"extension": [{"url": "x"}]},
        {"extension": "x"},
        {"fhirServer": EHR, "fhirAuthorization": {**TOKEN, "subject": None}},
        {"fhirServer": EHR, "fhirAuthorization": {**TOKEN, "expires_in": "300"}},
        {"fhirServer": EHR, "fhirAuthorization": {**TOKEN, "scope": None}},
        {"fhirServer": EHR, "fhirAuthorization": {"access_token": "a.b.c"}},
        {"fhirServer": EHR, "fhirAuthorization": {}},
        {"fhirServer": EHR, "fhirAuthorization": "a.b.c"},
    ],
)
async def test_what_no_answer_needs_costs_no_card(desk: Desk, members: Json) -> None:
    response = await asked(desk, "POST", SERVICE, json={**CALL, **members})
    assert response.status_code == 200
    assert len(response.json()["cards"]) == 1


async def test_what_deviates_and_is_answered_is_counted() -> None:
    own = Desk(Settings(auth=False), bundled_knowledge())
    token = {name: value for name, value in TOKEN.items() if name != "subject"}
    members = {"fhirServer": EHR, "fhirAuthorization": {**token, "expires_in": "300"}, "extension": []}
    await asked(own, "POST", SERVICE, json={**CALL, **members})
    text = own.metrics.render().decode()
    found = set(re.findall(r'tocsin_call_deviations_total\{client="anonymous",what="(.*?)"\} 1.0', text))
    assert found == {"extension-unread", "authorization-subject", "authorization-expires-in"}
    await own.aclose()


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({}, "no-fhir-server"),
        ({"fhirServer": EHR, "fhirAuthorization": TOKEN}, "server-not-listed"),
        ({"fhirServer": LISTED, "fhirAuthorization": {}}, "token-malformed"),
        ({"fhirServer": LISTED, "fhirAuthorization": {**TOKEN, "token_type": "mac"}}, "token-malformed"),
        ({"fhirServer": LISTED, "fhirAuthorization": {**TOKEN, "patient": 12}}, "token-malformed"),
        ({"fhirServer": LISTED, "fhirAuthorization": {**TOKEN, "patient": "p2"}}, "token-other-patient"),
    ],
)
async def test_pf_19_a_412_says_why_to_the_caller_and_in_the_log(
    capsysbinary: pytest.CaptureFixture[bytes], members: Json, reason: str
) -> None:
    own = Desk(Settings(auth=False, fhir_allow=(LISTED,)), bundled_knowledge())
    (line,) = await refusals(own, capsysbinary, {**NO_DATA, **members})
    await own.aclose()
    response = line.pop("response")
    assert code(response) == "data-unavailable"
    (issue,) = response.json()["issue"]
    assert f" Reasons: {reason} ({WORDS[reason]})." in issue["diagnostics"]
    assert (line["reasons"], line["code"], line["status"]) == ([reason], "data-unavailable", 412)
    assert (line["client"], line["hook"], line["request_id"]) == ("anonymous", "patient-view", INSTANCE)
    assert {"patient", "conditions", "labs"} <= set(line["keys_failed"])


async def refusals(
    desk: Desk, captured: pytest.CaptureFixture[bytes], *bodies: Any, path: str = SERVICE
) -> list[dict[str, Any]]:
    """The log line of each refused call, with the response beside it."""
    app = application(desk)
    configure("info")
    captured.readouterr()
    async with caller(app) as client:
        sent = [
            await client.post(
                path,
                content=one if isinstance(one, bytes) else json.dumps(one).encode(),
                headers={"Content-Type": "application/json"},
            )
            for one in bodies
        ]
    lines = [orjson.loads(line) for line in captured.readouterr().out.splitlines()]
    refused = [line for line in lines if line["event"] == "refused"]
    return [{**line, "response": reply} for line, reply in zip(refused, sent, strict=True)]


async def test_a_refusal_says_of_which_call_it_is_as_far_as_that_is_known(
    desk: Desk, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    known = {"client": "anonymous"}
    call = {**known, "request_id": INSTANCE}
    hook = {**call, "hook": "patient-view"}
    cases: list[tuple[Any, Json]] = [
        (b'{"hook": "patient-view", ', {**known, "code": "body-not-json", "byte": 25}),
        ({**CALL, "hook": 3}, {**call, "code": "member-invalid", "about": ["hook"]}),
        ({**CALL, "prefetch": []}, {**call, "code": "member-invalid", "about": ["prefetch"]}),
        ({**CALL, "hook": SECRET}, {**call, "code": "hook-unknown"}),
        ({**CALL, "fhirServer": SECRET}, {**hook, "code": "fhir-server-invalid"}),
        ({**CALL, "fhirAuthorization": TOKEN}, {**hook, "code": "fhir-server-missing"}),
        (
            {**CALL, "context": {"patientId": f"{SECRET} {SECRET}"}},
            {**hook, "code": "context-field-invalid", "about": ["patientId", "patient-view"]},
        ),
    ]
    found = await refusals(desk, capsysbinary, *(given for given, _ in cases))
    for line, (given, expected) in zip(found, cases, strict=True):
        assert {name: line.get(name) for name in expected} == expected, given
        assert not line.keys() - expected.keys() - {"event", "level", "time", "status", "response"}
        assert SECRET not in str({**line, "response": line["response"].text})


async def test_a_refusal_is_counted_for_the_client_and_hook(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    own = Desk(Settings(auth=False), bundled_knowledge())
    await refusals(own, capsysbinary, NO_DATA, {**CALL, "hook": SECRET}, b"{")
    text = own.metrics.render().decode()
    await own.aclose()
    for hook, outcome in (("patient-view", "data-unavailable"), ("", "hook-unknown"), ("", "body-not-json")):
        labels = f'client="anonymous",hook="{hook}",outcome="{outcome}"'
        assert f"tocsin_hook_requests_total{{{labels}}} 1.0" in text
    assert SECRET not in text


async def test_nothing_of_one_call_is_in_the_line_of_the_next(
    desk: Desk, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Even within one task, in which a server that reuses it might answer them."""
    app = application(desk)
    configure("info")
    async with caller(app) as client:
        await client.post(SERVICE, json=NO_DATA)
        await client.get("/nowhere")
        await client.get("/admin/switches")
    lines = [orjson.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    first, *others = (line for line in lines if line["event"] == "refused")
    assert first["request_id"] == INSTANCE
    assert [line["code"] for line in others] == ["path-unknown", "path-unknown"]
    assert not any({"request_id", "client", "hook"} & line.keys() for line in others)


# -- what goes wrong inside --------------------------------------------------------------------------


class Broken(Desk):
    """A desk with a fault, whose text holds what no answer and no log line may."""

    async def answer(self, *args: Any) -> Any:
        raise RuntimeError(SECRET)

    async def feedback(self, *args: Any) -> FeedbackBatch:
        raise KeyError(SECRET)


async def test_a_fault_is_a_500_that_tells_nothing(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    broken = Broken(Settings(auth=False), bundled_knowledge())
    app = create_app(broken.settings, broken)
    configure("info")
    async with caller(app) as client:
        for path in (SERVICE, "/decisions/explain", f"{SERVICE}/feedback"):
            response = await client.post(path, json=CALL)
            assert response.status_code == 500
            assert code(response) == "internal-error"
            assert SECRET not in response.text
            assert "Traceback" not in response.text
    await broken.aclose()
    logged = capsysbinary.readouterr().out
    lines = [orjson.loads(line) for line in logged.splitlines()]
    refused = [line for line in lines if line["event"] == "refused"]
    assert [line["error_type"] for line in refused] == ["RuntimeError", "RuntimeError", "KeyError"]
    assert SECRET.encode() not in logged


async def test_a_call_is_one_log_line_without_the_record(
    desk: Desk, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    app = application(desk)
    configure("info")
    async with caller(app) as client:
        reply = await client.post(SERVICE, json=CALL)
        await client.post(f"{SERVICE}/feedback", json={"feedback": []})
        await client.post(SERVICE, json={})
    logged = capsysbinary.readouterr().out
    lines = [orjson.loads(line) for line in logged.splitlines()]
    (call,) = (line for line in lines if line["event"] == "call")
    assert call["request_id"] == INSTANCE
    assert (call["hook"], call["status"], call["cards"], call["malformed"]) == ("patient-view", 200, 1, 1)
    assert "cancer-history-new-back-pain" in call["rules"]
    assert (call["bytes_in"], call["bytes_out"]) == (len(reply.request.content), len(reply.content))
    assert [line["count"] for line in lines if line["event"] == "feedback"] == [0]
    assert SECRET.encode() not in logged
    assert b"dropped" not in logged


async def test_a_caller_who_hangs_up_costs_nothing(desk: Desk) -> None:
    sent: list[Message] = []
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": SERVICE,
        "raw_path": SERVICE.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"content-type", b"application/json")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
        "asgi": {"version": "3.0"},
    }

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await application(desk)(scope, receive, send)
    assert sent[0]["status"] == 499


# -- start and stop ----------------------------------------------------------------------------------


async def test_start_and_stop_are_logged_with_the_version(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    own = Desk(Settings(auth=False), bundled_knowledge())
    app = create_app(own.settings, own)
    configure("info")
    steps: list[Message] = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[Message] = []

    async def receive() -> Message:
        return steps.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    lines = [orjson.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert [line["event"] for line in lines if line["event"] in ("started", "stopped")] == [
        "started",
        "stopped",
    ]
    assert next(line for line in lines if line["event"] == "started")["version"] == __version__


async def test_a_start_that_fails_says_what_failed(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    own = Desk(Settings(auth=False), bundled_knowledge())

    def broken() -> None:
        raise TypeError("what may quote anything")

    monkeypatch.setattr(own.memory, "start", broken)
    app = create_app(own.settings, own)
    configure("info")
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        sent.append(message)

    with pytest.raises(TypeError):
        await app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, receive, send)
    assert sent[0]["type"] == "lifespan.startup.failed"
    (line,) = [orjson.loads(line) for line in capsysbinary.readouterr().out.splitlines()]
    assert (line["event"], line["error_type"]) == ("start-failed", "TypeError")
    assert line["error_at"][-1].startswith("test_app:")
    assert "quote" not in str(line)


async def test_without_arguments_the_environment_decides(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOCSIN_AUTH", "off")
    monkeypatch.setenv("TOCSIN_TIMEZONE", "Europe/London")
    async with caller(create_app()) as client:
        assert (await client.get("/livez")).status_code == 200
    monkeypatch.setenv("TOCSIN_SITE", str(tmp_path / "absent.yaml"))
    with pytest.raises(SettingsError, match="TOCSIN_SITE"):
        create_app()
