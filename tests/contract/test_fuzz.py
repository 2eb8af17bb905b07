"""The HTTP edge under random bodies, paths and headers: no server error, no trace, no echo."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import positive_data_acceptance

from service.app import create_app
from service.demo import load, to_request
from service.settings import Settings
from tests.contract.corpus import SERVICE, Json
from tests.contract.test_corpus import refusal
from tests.service.decisions import TODAY

in_one_loop = pytest.mark.asyncio(loop_scope="session")

HEADERS = {"Content-Type": "application/json"}
INSTANCE = "3f8f9d51-5b2e-4a57-9d0b-1f0a6a1b2c3d"
CALLS = [to_request(patient, TODAY, INSTANCE) for patient in load()]
FEEDBACK: Json = {
    "feedback": [
        {
            "card": INSTANCE,
            "outcome": "overridden",
            "overrideReason": {"reason": {"code": "x", "system": "y"}, "userComment": "z"},
            "outcomeTimestamp": "2026-11-25T10:00:00Z",
        },
        {"card": INSTANCE, "outcome": "accepted", "acceptedSuggestions": [{"id": INSTANCE}]},
    ]
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
# What a field of a record is most often wrong with.
ODD: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        "",
        " ",
        [],
        {},
        0,
        -1,
        1e308,
        True,
        "\u0000",
        "9999-12-31",
        "0000-00-00",
        "2026-02-30",
        [None],
        [[]],
    ]
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to everything inside a JSON value, itself first."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        yield from places(child, (*path, key))


@st.composite
def mutated(draw: st.DrawFn, originals: list[Json]) -> Any:
    """A good body with one to three of its values replaced or taken out."""
    body: Any = copy.deepcopy(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(body))))
        if not path:
            return draw(JSON)
        parent = body
        for key in path[:-1]:
            parent = parent[key]
        if draw(st.booleans()):
            parent[path[-1]] = copy.deepcopy(draw(ODD | JSON))
        else:
            del parent[path[-1]]
    return body


def proper(response: httpx.Response) -> None:
    """An answer of ours: cards, or a refusal in words of the catalogue."""
    assert "Traceback" not in response.text
    if response.status_code == 200:
        assert isinstance(response.json(), dict)
    else:
        refusal(response)


@in_one_loop
@given(body=mutated(CALLS))
@settings(max_examples=300, deadline=None)
async def test_a_damaged_call_gets_cards_or_a_refusal(caller: httpx.AsyncClient, body: Any) -> None:
    content = json.dumps(body).encode()
    for path in (SERVICE, "/decisions/explain"):
        proper(await caller.post(path, content=content, headers=HEADERS))


@in_one_loop
@given(body=mutated([FEEDBACK]))
@settings(max_examples=150, deadline=None)
async def test_damaged_feedback_is_taken_or_refused(caller: httpx.AsyncClient, body: Any) -> None:
    proper(await caller.post(f"{SERVICE}/feedback", content=json.dumps(body).encode(), headers=HEADERS))


@in_one_loop
@given(content=st.binary(max_size=400))
@settings(max_examples=100, deadline=None)
async def test_bytes_that_are_no_json_are_refused(caller: httpx.AsyncClient, content: bytes) -> None:
    for path in (SERVICE, f"{SERVICE}/feedback", "/decisions/explain"):
        proper(await caller.post(path, content=content, headers=HEADERS))


@in_one_loop
@given(cut=st.integers(1, 4000), call=st.sampled_from(CALLS))
@settings(max_examples=100, deadline=None)
async def test_a_body_that_breaks_off_is_refused(caller: httpx.AsyncClient, cut: int, call: Json) -> None:
    content = json.dumps(call).encode()
    response = await caller.post(SERVICE, content=content[: min(cut, len(content) - 1)], headers=HEADERS)
    assert refusal(response) == "body-not-json"


@in_one_loop
@given(
    path=st.text(
        st.characters(codec="ascii", min_codepoint=33, max_codepoint=126, exclude_characters="?#"),
        max_size=40,
    ),
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD"]),
    kind=st.sampled_from(["application/json", "application/fhir+json", "text/plain", "", "json;;;"]),
)
@settings(max_examples=200, deadline=None)
async def test_any_path_and_method_is_answered(
    caller: httpx.AsyncClient, path: str, method: str, kind: str
) -> None:
    for start in ("/", f"{SERVICE}/", "/cds-services/"):
        url = httpx.URL(f"http://127.0.0.1:8000{start}").copy_with(path=f"{start}{path}")
        response = await caller.request(method, url, content=b"{}", headers={"Content-Type": kind})
        assert response.status_code < 500
        if response.status_code >= 400 and method != "HEAD":
            refusal(response)


def test_the_api_does_what_its_description_says() -> None:
    """Statuses, media types and bodies of every operation are those of /openapi.json. Only that a call is
    refused although it fits the schema is no fault: the data may be neither in it nor to be had (412).
    """
    described = schemathesis.openapi.from_asgi(
        "/openapi.json", create_app(Settings(auth=False, log_level="error", explain="on"))
    )
    found = list(described.get_all_operations())
    operations = [one.ok() for one in found if isinstance(one, Ok)]
    assert len(operations) == len(found)
    assert {operation.label for operation in operations} >= {
        "POST /cds-services/{service_id}",
        "GET /cds-services",
    }
    for operation in operations:

        @given(case=operation.as_strategy())
        @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
        def check(case: schemathesis.Case[Any]) -> None:
            case.validate_response(case.call(), excluded_checks=[positive_data_acceptance])

        check()
