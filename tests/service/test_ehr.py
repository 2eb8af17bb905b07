"""An EHR's part over a FHIR server: every way a template can end, and what a server says of itself."""

import ssl
from collections.abc import Callable
from socket import gaierror
from typing import Any

import httpx
import pytest

from hooks.hook import Context
from hooks.prefetch import PrefetchTemplate
from service.addresses import parse_base
from service.ehr import FhirServer, ServerRefused
from service.replies import Filled, says
from tests.service.searches import condition, outcome, searchset

BASE = parse_base("https://ehr.example.org/fhir")
CONTEXT = Context[Any](patient_id="p1", user_id="Practitioner/1")
CONDITIONS = PrefetchTemplate("conditions", "Condition?patient={{context.patientId}}&_count=50")
PERSON = PrefetchTemplate("patient", "Patient/{{context.patientId}}")
LONG = PrefetchTemplate("labs", "Observation?patient={{context.patientId}}&code=" + "x," * 1200 + "y")
MEDICINES = PrefetchTemplate("medications", "MedicationRequest?patient={{context.patientId}}")
Answer = Callable[[httpx.Request], httpx.Response]


def server(answer: Answer, token: str = "", seconds: float = 5.0) -> FhirServer:
    return FhirServer(BASE, token, seconds=seconds, transport=httpx.MockTransport(answer))


def fixed(status: int = 200, **content: Any) -> Answer:
    return lambda request: httpx.Response(status, **content)


async def filled(answer: Answer, template: PrefetchTemplate = CONDITIONS, token: str = "") -> Filled:
    async with server(answer, token) as one:
        return await one.fill(template, CONTEXT)


def page(resources: int, link: str | None = None) -> dict[str, Any]:
    return searchset(*(condition(number) for number in range(resources)), link=link)


async def test_rows_and_pages_are_put_together() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        second = "page=2" in str(request.url)
        return httpx.Response(200, json=page(1) if second else page(2, f"{BASE.url}?page=2"))

    one = await filled(answer)
    assert (one.status, one.rows, one.pages, one.partial, one.http) == ("answered", 3, 2, "", 200)
    assert one.query == "Condition?patient=p1&_count=50"
    assert len(one.value["entry"]) == 3
    assert "link" not in one.value


async def test_the_token_goes_along_and_json_is_asked_for() -> None:
    seen: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200, json=searchset())

    one = await filled(answer, token="tok")
    assert (one.status, one.rows) == ("empty", 0)
    assert seen[0]["authorization"] == "Bearer tok"
    assert seen[0]["accept"].startswith("application/fhir+json")
    with pytest.raises(ServerRefused, match="not one word"):
        server(answer, token="a b")


@pytest.mark.parametrize(
    ("answer", "status", "reason", "issue"),
    [
        (fixed(401), "refused", "unauthorised", ""),
        (fixed(403, json=outcome("error", "forbidden")), "refused", "forbidden", "forbidden"),
        (fixed(400, json=outcome("error", "not-supported")), "not supported", "rejected", "not-supported"),
        (fixed(404), "not supported", "not-found", ""),
        (fixed(501), "not supported", "rejected", ""),
        (fixed(429, json=[]), "failed", "busy", ""),
        (fixed(503, content=b"<html>"), "failed", "server-error", ""),
        (fixed(302, headers={"location": "/login"}), "failed", "redirected", ""),
        (fixed(204), "failed", "not-fhir", ""),
        (fixed(html="<html>"), "failed", "html", ""),
        (fixed(content=b" <html>"), "failed", "html", ""),
        (fixed(content=b'{"resourceType": "Bundle", "ent'), "failed", "truncated", ""),
        (fixed(content=b"FHIR"), "failed", "not-fhir", ""),
        (fixed(json=[]), "failed", "unexpected", ""),
        (fixed(json=condition(1)), "failed", "unexpected", ""),
        (fixed(json=outcome("error", "exception")), "failed", "outcome", "exception"),
        (
            fixed(content=b"<Bundle/>", headers={"content-type": "application/fhir+xml"}),
            "failed",
            "not-fhir",
            "",
        ),
        (fixed(json=searchset(outcome("error", "throttled"))), "failed", "outcome", "throttled"),
        (fixed(400, json=outcome("error", "Zoe Roe 1970")), "not supported", "rejected", ""),
    ],
)
async def test_every_failure_has_a_status_and_a_code_and_no_text(
    answer: Answer, status: str, reason: str, issue: str
) -> None:
    one = await filled(answer)
    assert (one.status, one.reason, one.issue, one.had) == (status, reason, issue, False)
    assert one.value["issue"] == [{"severity": "error", "code": issue or "processing"}]
    assert says(reason) != reason


@pytest.mark.parametrize(
    ("cause", "reason", "sentence"),
    [
        (ConnectionRefusedError(), "refused-connection", "nothing listens there"),
        (gaierror(), "name-unknown", "name cannot be resolved"),
        (ssl.SSLError(), "no-tls", "speaks no TLS"),
        (OSError(), "unreachable", "could not be reached"),
        (TimeoutError(), "deadline", "within 5 s; --timeout gives it longer"),
    ],
)
async def test_a_server_that_is_not_reached_is_told_in_one_sentence(
    cause: Exception, reason: str, sentence: str
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if isinstance(cause, TimeoutError):
            raise cause
        raise httpx.ConnectError("x") from cause

    async with server(answer) as one:
        assert (await one.fill(CONDITIONS, CONTEXT)).reason == reason
        with pytest.raises(ServerRefused, match=sentence):
            await one.statement()


async def test_a_certificate_is_refused_with_what_is_wrong_with_it() -> None:
    error = ssl.SSLCertVerificationError("x")
    error.verify_message = "self-signed certificate"

    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("x") from error

    async with server(answer) as one:
        with pytest.raises(ServerRefused, match=r"not accepted \(self-signed certificate\)"):
            await one.statement()


async def test_a_server_that_ends_the_connection_may_speak_tls() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.RemoteProtocolError("x")

    assert says((await filled(answer)).reason).endswith("may begin with https://")


async def test_an_answer_that_is_too_large_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.ehr._LARGEST_ANSWER", 10)
    assert (await filled(fixed(json=searchset()))).reason == "too-large"


async def test_a_slow_server_is_cut_off() -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("x")

    async with FhirServer(BASE, seconds=0.1, transport=httpx.MockTransport(answer)) as one:
        assert (await one.fill(CONDITIONS, CONTEXT)).reason == "deadline"


@pytest.mark.parametrize(
    ("link", "partial", "pages"),
    [
        (lambda number: f"{BASE.url}?page={number}", "page-limit", 10),
        (lambda number: f"{BASE.url}?page=same", "page-loop", 2),
        (lambda number: "https://elsewhere.example.org/fhir?page=2", "page-elsewhere", 1),
    ],
)
async def test_pages_without_end_are_left(link: Callable[[int], str], partial: str, pages: int) -> None:
    count = iter(range(100))
    one = await filled(lambda request: httpx.Response(200, json=page(1, link(next(count)))))
    assert (one.status, one.partial, one.pages, one.rows) == ("answered", partial, pages, pages)
    assert one.value["link"][0]["relation"] == "next"


async def test_a_later_page_that_fails_costs_only_itself() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if "page=2" in str(request.url):
            return httpx.Response(500, json=outcome("error", "timeout"))
        return httpx.Response(200, json=page(2, f"{BASE.url}?page=2"))

    one = await filled(answer)
    assert (one.status, one.rows, one.partial, one.issue) == ("answered", 2, "server-error", "timeout")


async def test_the_first_reason_of_being_partial_is_kept() -> None:
    withheld = searchset(condition(1), outcome("warning", "suppressed"), link="https://elsewhere.example/")
    one = await filled(fixed(json=withheld))
    assert (one.partial, one.issue) == ("withheld", "suppressed")


async def test_a_warning_that_something_is_withheld_makes_it_partial() -> None:
    one = await filled(fixed(json=searchset(condition(1), outcome("warning", "suppressed"))))
    assert (one.rows, one.partial, one.issue) == (1, "withheld", "suppressed")


@pytest.mark.parametrize("status", [400, 413, 414, 431])
async def test_a_url_that_is_too_long_is_put_by_post(status: int) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(status)
        assert request.url.path.endswith("/Observation/_search")
        assert request.content.startswith(b"patient=p1&code=x,x,")
        return httpx.Response(200, json=searchset())

    one = await filled(answer, LONG)
    assert (one.status, one.posted) == ("empty", True)


async def test_a_patient_is_read_and_nothing_else_taken_for_one() -> None:
    person = {"resourceType": "Patient", "id": "p1"}
    one = await filled(fixed(json=person), PERSON)
    assert (one.status, one.rows, one.value) == ("answered", 1, person)
    assert (await filled(fixed(json=condition(1)), PERSON)).reason == "unexpected"


async def test_a_template_that_asks_for_what_the_call_has_not_is_not_put() -> None:
    one = await filled(fixed(json=searchset()), PrefetchTemplate("x", "Encounter/{{context.encounterId}}"))
    assert (one.status, one.reason, one.query) == ("failed", "token", "")


async def test_medicines_that_are_only_referred_to_are_read() -> None:
    requests = [
        {
            "resourceType": "MedicationRequest",
            "id": name,
            "medicationReference": {"reference": f"Medication/{name}"},
        }
        for name in ("m1", "m2", "m?3", "m4")
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("MedicationRequest"):
            return httpx.Response(200, json=searchset(*requests))
        if path.endswith("/m2"):
            return httpx.Response(404)
        kind = "Basic" if path.endswith("/m4") else "Medication"
        return httpx.Response(200, json={"resourceType": kind, "id": "m1"})

    one = await filled(answer, MEDICINES)
    assert (one.rows, one.unread) == (4, 3)
    (added,) = one.value["entry"][4:]
    assert added == {"resource": {"resourceType": "Medication", "id": "m1"}, "search": {"mode": "include"}}


# -- the CapabilityStatement ---------------------------------------------------------------------------


def statement(**members: Any) -> Answer:
    return fixed(json={"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", **members})


async def test_a_statement_has_version_and_software() -> None:
    async with server(statement(software={"name": "HAPI", "version": "7.2"})) as one:
        stated = await one.statement()
    assert (stated.version, stated.software, stated.problem) == ("R4 (4.0.1)", "HAPI 7.2", "")
    async with server(statement(fhirVersion="6.0.0", software="x")) as one:
        stated = await one.statement()
    assert (stated.version, stated.software) == ("6.0.0", "")


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({"fhirVersion": "3.0.2"}, r"FHIR STU3 \(3.0.2\)"),
        ({"fhirVersion": "1.0.2", "resourceType": "Conformance"}, r"FHIR DSTU2 \(1.0.2\)"),
        ({"fhirVersion": None, "resourceType": "Conformance"}, "FHIR DSTU2 "),
    ],
)
async def test_old_versions_are_refused_by_name(members: dict[str, Any], named: str) -> None:
    async with server(statement(**members)) as one:
        with pytest.raises(ServerRefused, match=named):
            await one.statement()


@pytest.mark.parametrize("status", [401, 404, 500])
async def test_a_server_without_a_statement_can_be_tried(status: int) -> None:
    async with server(fixed(status)) as one:
        stated = await one.statement()
    assert str(status) in stated.problem


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (fixed(html="<html>"), "a web page, not FHIR"),
        (fixed(content=b"<html>"), "a web page, not FHIR"),
        (fixed(content=b"{"), "broke off"),
        (fixed(json={"resourceType": "Patient"}), "Is this the FHIR base URL?"),
        (fixed(json=[]), "Is this the FHIR base URL?"),
        (fixed(301), "pointed to another address"),
    ],
)
async def test_what_is_no_fhir_server_is_told(answer: Answer, sentence: str) -> None:
    async with server(answer) as one:
        with pytest.raises(ServerRefused, match=sentence):
            await one.statement()
