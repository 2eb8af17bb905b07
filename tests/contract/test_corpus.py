"""Requests of others, and bodies made to break parsers: an answer by the schema, or a proper refusal."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hooks import REGISTRY
from service.errors import catalogue
from service.outcomes import WORDS
from tests.contract.corpus import SERVICE, Faults, Json, requests
from tests.files import globbed

pytestmark = pytest.mark.asyncio(loop_scope="session")

PATHS = (SERVICE, f"{SERVICE}/feedback", "/decisions/explain")
LEFT_OUT = "medication-prescribe"  # the only hook in the corpus that is in no version after 1.0
PLAIN = {"userId": "Practitioner/u1", "patientId": "p1"}
HEADERS = {"Content-Type": "application/json"}


def refusal(response: httpx.Response) -> str:
    """The code of an error answer, which must be made of the catalogue's sentences and nothing else."""
    assert 400 <= response.status_code < 500, response.text[:300]
    assert response.headers["content-type"] == "application/fhir+json"
    body = response.json()
    (issue,) = body["issue"]
    code: str = issue["details"]["coding"][0]["code"]
    (row,) = (row for row in catalogue() if row.code == code)
    assert row.status == response.status_code
    start = row.message.partition("…")[0].removesuffix(".")
    assert issue["details"]["text"].startswith(start)
    action, _, reasons = issue["diagnostics"].partition(" Reasons: ")
    assert action == row.action
    for said in filter(None, reasons.removesuffix(".").split("), ")):
        reason, _, words = said.removesuffix(")").partition(" (")
        assert words == WORDS[reason]
    assert len(response.content) < 1500
    return code


async def sent(caller: httpx.AsyncClient, path: str, content: bytes) -> httpx.Response:
    return await caller.post(path, content=content, headers=HEADERS)


# -- requests of others ------------------------------------------------------------------------------


async def test_every_request_of_the_corpus_gets_cards_by_the_schema_or_a_proper_refusal(
    shared: Path, faults: Faults, caller: httpx.AsyncClient
) -> None:
    given = requests(shared)
    answered: dict[str, str] = {}
    for name, body in given.items():
        response = await sent(caller, SERVICE, json.dumps(body).encode())
        if response.status_code == 200:
            assert faults(response.json()) == [], name
            answered[name] = "cards"
        else:
            answered[name] = refusal(response)
    assert len(answered) >= 60
    # Refused are a hook nobody defines any more, an example of the specification's that leaves out the
    # patient, and calls whose data is neither here nor to be had.
    expected = {"cards", "hook-unknown", "context-field-missing", "data-unavailable"}
    assert set(answered.values()) == expected
    assert [name for name, code in answered.items() if code == "context-field-missing"] == [
        "spec__hl7cdshooks__extensions-datatypes.md__0"
    ]
    unknown = {name for name, body in given.items() if body["hook"] not in REGISTRY}
    assert {name for name, code in answered.items() if code == "hook-unknown"} == unknown
    assert {given[name]["hook"] for name in unknown} <= {LEFT_OUT}


async def test_the_order_time_requests_of_others_are_answered_at_order_time(
    shared: Path, caller: httpx.AsyncClient
) -> None:
    """An MRI order in the PAMA example gets silence: the call has no record of pain. Order hooks are read."""
    read = set()
    for name, body in requests(shared).items():
        if body["hook"] not in ("order-select", "order-sign") or not name.startswith(("pama", "sandbox")):
            continue
        response = await sent(caller, "/decisions/explain", json.dumps(body).encode())
        if response.status_code == 412:
            continue
        assert response.status_code == 200, (name, response.text)
        assert response.json()["hook"] == body["hook"]
        read.add(body["hook"])
    assert read == {"order-select", "order-sign"}


async def test_a_request_with_text_behind_it_is_refused_without_repeating_it(
    shared: Path, caller: httpx.AsyncClient
) -> None:
    for file in globbed(shared / "corpus" / "hostile" / "cds-requests-trailing-text", "*.json"):
        for path in (SERVICE, "/decisions/explain"):
            assert refusal(await sent(caller, path, file.read_bytes())) == "body-not-json"


# -- parser cases ------------------------------------------------------------------------------------


def parser_cases(shared: Path) -> Iterator[tuple[str, bytes]]:
    for file in globbed(shared / "corpus" / "hostile" / "json-test-suite", "*.json"):
        yield file.name, file.read_bytes()


async def test_parser_cases_as_a_body_are_refused(shared: Path, caller: httpx.AsyncClient) -> None:
    """None of them is a hook call. A feedback body may be any JSON with entries."""
    for name, content in parser_cases(shared):
        for path in PATHS:
            response = await sent(caller, path, content)
            assert response.status_code < 500, (name, path)
            if response.status_code != 200:
                refusal(response)
            else:
                assert path.endswith("feedback"), name
                assert response.content == b"{}"


async def test_parser_cases_inside_a_request_cost_no_more_than_themselves(
    shared: Path, caller: httpx.AsyncClient
) -> None:
    start = {"hook": "patient-view", "hookInstance": str(uuid.uuid4()), "context": PLAIN}
    patient = b'{"resourceType":"Patient","id":"p1","birthDate":"1950-01-01"}'
    head = json.dumps(start).encode()[:-1]
    for name, content in parser_cases(shared):
        body = head + b',"prefetch":{"patient":' + patient + b',"conditions":null,"x":' + content + b"}}"
        response = await sent(caller, SERVICE, body)
        if response.status_code == 200:
            assert not name.startswith("n_"), name
            assert response.json() == {"cards": []}
        else:
            assert not name.startswith("y_"), name
            assert refusal(response) in ("body-not-json", "body-too-deep"), name


async def test_resources_that_break_fhir_cost_no_more_than_themselves(
    shared: Path, faults: Faults, caller: httpx.AsyncClient
) -> None:
    back_pain = {
        "resourceType": "Condition",
        "id": "c1",
        "subject": {"reference": "Patient/p1"},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "279039007"}]},
        "onsetDateTime": "2020-01-01",
    }
    context = (
        b'{"hook":"patient-view","hookInstance":"x","context":{"patientId":"p1"},"prefetch":{"conditions":'
    )
    folder = shared / "corpus" / "hostile" / "fhir-validator"
    files = [file for file in globbed(folder, "*.json") if file.name != "index.json"]
    assert len(files) == 88
    for file in files:
        for key in (b"labs", b"foreign", b"patient"):
            body = context + json.dumps(back_pain).encode() + b',"' + key + b'":' + file.read_bytes() + b"}}"
            response = await sent(caller, SERVICE, body)
            if response.status_code == 200:
                assert faults(response.json()) == [], file.name
            else:
                assert refusal(response) in ("body-not-json", "fhir-version-not-supported"), file.name


# -- nothing of the input comes back -----------------------------------------------------------------

MARK = "Zzyzx0815"


def marked() -> Iterator[tuple[str, Any]]:
    """Bodies that must be refused, with a mark everywhere a careless message would repeat it."""
    good: Json = {
        "hook": "patient-view",
        "hookInstance": "i",
        "context": PLAIN,
        "prefetch": {"patient": None},
    }
    yield "hook", {**good, "hook": MARK}
    yield "hookInstance", {**good, "hookInstance": f"{MARK}\n"}
    yield "context", {**good, "context": MARK}
    yield "patientId", {**good, "context": {"patientId": f"{MARK} {MARK}"}}
    yield "userId", {**good, "context": {**PLAIN, "userId": f"<{MARK}>"}}
    yield "fhirServer", {**good, "fhirServer": f"ftp://{MARK}"}
    yield "token", {**good, "fhirServer": "https://x.example", "fhirAuthorization": {"access_token": MARK}}
    yield "prefetch", {**good, "prefetch": MARK}
    yield "prefetch key", {**good, "prefetch": {MARK: MARK}}
    yield "nothing", {**good, "prefetch": {MARK: {"resourceType": MARK, "id": MARK}}}
    yield "list", [MARK]
    yield "text", MARK


@pytest.mark.parametrize(
    ("name", "body"), list(marked()), ids=lambda value: value if isinstance(value, str) else ""
)
async def test_no_refusal_repeats_input(name: str, body: Any, caller: httpx.AsyncClient) -> None:
    for path in (SERVICE, "/decisions/explain"):
        response = await sent(caller, path, json.dumps(body).encode())
        refusal(response)
        assert MARK not in response.text
        assert MARK not in str(response.headers)
        assert "Traceback" not in response.text


@pytest.mark.parametrize(
    ("path", "method", "status", "code"),
    [
        (f"/{MARK}", "GET", 404, "path-unknown"),
        (f"/cds-services/{MARK}", "POST", 404, "service-unknown"),
        (f"/cds-services/{MARK}/feedback", "POST", 404, "service-unknown"),
        (SERVICE, "GET", 405, "method-not-allowed"),
        ("/cds-services", "DELETE", 405, "method-not-allowed"),
    ],
)
async def test_paths_that_are_not_there(
    path: str, method: str, status: int, code: str, caller: httpx.AsyncClient
) -> None:
    response = await caller.request(method, path, json={})
    assert response.status_code == status
    assert refusal(response) == code
    assert MARK not in response.text
