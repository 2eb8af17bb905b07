"""Prefetch templates: what may be published and what becomes of the tokens."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.errors import TokenUnresolved
from hooks.prefetch import PrefetchTemplate, lint, resolve
from hooks.registry import REGISTRY
from tests.hooks.requests import read


def codes(query: str, hook: str = "patient-view", key: str = "k") -> list[str]:
    return [problem.code for problem in lint(PrefetchTemplate(key, query), REGISTRY[hook])]


@pytest.mark.parametrize(
    "query",
    [
        "Patient/{{context.patientId}}",
        "Patient/{{ context.patientId }}",
        "{{context.userId}}",
        "Condition?patient={{context.patientId}}&_count=200",
        "PractitionerRole?_id={{userPractitionerRoleId}}",
        "Observation?patient={{context.patientId}}&code=http://loinc.org|1988-5,http://loinc.org|4537-7",
        "Observation?patient={{context.patientId}}&_sort=-date,code&_count=1",
        "Observation?patient={{context.patientId}}&date=ge2025-01-01",
        "Condition?patient={{context.patientId}}&code:in=https://example.org/vs",
        "Encounter?patient={{context.patientId}}&_lastUpdated=gt2026-01-01",
    ],
)
def test_templates_of_the_safe_subset(query: str) -> None:
    assert codes(query) == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("Patient/{{Patient.id}}", "token-not-allowed"),
        ("Patient/{{context.patientId.id}}", "token-not-allowed"),
        ("ServiceRequest?_id={{context.draftOrders.ServiceRequest.id}}", "token-not-allowed"),
        ("Observation?date=gt{{today() - 90 days}}", "token-not-allowed"),
        ("Patient/{{%patient.id}}", "token-not-allowed"),
        ("Patient/{{}}", "token-not-allowed"),
        ("Patient/{{context.patientId}", "token-malformed"),
        ("Patient/{context.patientId}", "token-malformed"),
        ("https://ehr/fhir/Patient/1", "shape"),
        ("/Patient/1", "shape"),
        ("Patient", "shape"),
        ("Patient/1/Condition", "shape"),
        ("Patient/1/_history/2", "shape"),
        ("{{context.patientId}}", "shape"),
        ("patient?_id=1", "shape"),
        ("Patient?", "shape"),
        ("Patient?name=a b", "characters"),
        ("Patient?name=ä", "characters"),
        ("Patient?name=a#b", "characters"),
        ("Patient?name", "parameter-malformed"),
        ("Patient?name=", "parameter-malformed"),
        ("Patient?=x", "parameter-malformed"),
        ("Patient?a=1&&b=2", "parameter-malformed"),
        ("Observation?date=ge2025-01-01&date=le2026-01-01", "parameter-repeated"),
        ("PractitionerRole?_include=PractitionerRole:practitioner", "parameter-not-allowed"),
        ("PractitionerRole?_include:iterate=x", "parameter-not-allowed"),
        ("Patient?_revinclude=Observation:patient", "parameter-not-allowed"),
        ("Patient?_has:Observation:patient:code=1", "parameter-not-allowed"),
        ("Patient?_maxresults=1", "parameter-not-allowed"),
        ("Patient?_summary=true", "parameter-not-allowed"),
        ("Condition?code:not=x", "modifier"),
        ("Observation?sort:desc=date", "modifier"),
        ("Observation?subject:Patient=1", "modifier"),
        ("Observation?patient.name=x", "chaining"),
        ("Observation?date=ne2025-01-01", "date-prefix"),
        ("Observation?date=ap2025", "date-prefix"),
        ("Observation?code=x&_count=0", "count"),
        ("Observation?code=x&_count=all", "count"),
        ("Observation?code=x&_sort=-", "sort"),
    ],
)
def test_templates_outside_it(query: str, code: str) -> None:
    assert codes(query) == [code]


def test_a_blank_key_and_every_problem_at_once() -> None:
    problems = lint(PrefetchTemplate(" ", "Observation?a.b:not=1&a.b:not=2&_count=x"), REGISTRY["order-sign"])
    found = [problem.code for problem in problems]
    assert found == ["key-blank", "parameter-repeated", "modifier", "chaining", "count"]
    assert all(problem.message.endswith(".") for problem in problems)


@pytest.mark.parametrize(
    ("hook", "query", "allowed"),
    [
        ("order-dispatch", "ServiceRequest?_id={{context.dispatchedOrders}}", True),
        ("order-dispatch", "Encounter/{{context.encounterId}}", False),
        ("order-dispatch", "{{context.userId}}", False),
        ("order-dispatch", "Practitioner/{{userPractitionerId}}", False),
        ("order-select", "ServiceRequest?_id={{context.selections}}", False),
        ("order-select", "Encounter/{{context.encounterId}}", True),
    ],
)
def test_tokens_depend_on_the_hook(hook: str, query: str, allowed: bool) -> None:
    assert codes(query, hook) == ([] if allowed else ["token-not-allowed"])


CONTEXT = read(
    "encounter-start", {"patientId": "Patient/p1", "encounterId": "e+1", "userId": "PractitionerRole/r1"}
)


@pytest.mark.parametrize(
    ("query", "url"),
    [
        ("Patient/{{ context.patientId }}", "Patient/p1"),
        ("{{context.userId}}", "PractitionerRole/r1"),
        ("PractitionerRole?_id={{userPractitionerRoleId}}", "PractitionerRole?_id=r1"),
        ("Encounter?_id={{context.encounterId}}", "Encounter?_id=e%2B1"),
        (
            "Observation?patient={{context.patientId}}&code=http://loinc.org|1988-5,http://loinc.org|4537-7",
            "Observation?patient=p1&code=http://loinc.org%7C1988-5,http://loinc.org%7C4537-7",
        ),
        ("Observation?code=a%7Cb", "Observation?code=a%7Cb"),
        ("Observation?date=ge2025-01-01T00:00:00+01:00", "Observation?date=ge2025-01-01T00:00:00%2B01:00"),
    ],
)
def test_resolving(query: str, url: str) -> None:
    assert resolve(PrefetchTemplate("k", query), CONTEXT) == url


def test_several_references_become_one_list() -> None:
    context = read(
        "order-dispatch",
        {
            "patientId": "p1",
            "performer": "Organization/1",
            "dispatchedOrders": ["ServiceRequest/1", "Task/2"],
        },
    )
    template = PrefetchTemplate("k", "ServiceRequest?_id={{context.dispatchedOrders}}")
    assert resolve(template, context) == "ServiceRequest?_id=ServiceRequest/1,Task/2"


@pytest.mark.parametrize("token", ["userPractitionerId", "context.performer", "today()"])
def test_a_token_without_a_value(token: str) -> None:
    with pytest.raises(TokenUnresolved) as caught:
        resolve(PrefetchTemplate("labs", "Patient?x={{" + token + "}}"), CONTEXT)
    assert caught.value.code == "prefetch-token-unresolved"
    assert token in caught.value.message
    assert "labs" in caught.value.message


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._~:@=+-]{0,60}", fullmatch=True))
def test_an_id_never_changes_the_query_around_it(identifier: str) -> None:
    context = read("patient-view", {"patientId": identifier})
    url = resolve(PrefetchTemplate("k", "Observation?patient={{context.patientId}}&_count=5"), context)
    assert parse_qsl(url.partition("?")[2]) == [("patient", identifier), ("_count", "5")]


def test_vectors_agree_with_the_strict_schema(vectors: dict[str, list[dict[str, object]]]) -> None:
    compared = 0
    for vector in vectors["discovery"]:
        valid, given_body = vector["valid"], vector["body"]
        assert isinstance(valid, dict)
        assert isinstance(given_body, dict)
        for service in given_body.get("services", []):
            for key, query in service.get("prefetch", {}).items():
                compared += 1
                assert (not codes(query, service["hook"], key)) is valid["emit-strict"], vector["name"]
    assert compared >= 10
