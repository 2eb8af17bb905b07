"""FHR-01 to FHR-06, PF-18: how the calling client's server is read."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs

import httpx
import orjson
import pytest
import respx
from joserfc.jwk import ECKey

from service.access import AccessRefused, Grant
from service.addresses import parse_base
from service.fhir import Access, FhirClient, Harvest, Limits, SearchRequest, Session
from service.outcomes import WORDS
from service.resources import Bundle, Patient
from service.smart import Registration, registration
from service.wire import FetchError, Wire
from tests.service.searches import Json, condition, ids, outcome, searchset

BASE = parse_base("https://ehr.example.org/fhir")
GRANT = Grant(BASE, "tok")
CONDITIONS = SearchRequest("Condition", (("patient", "p1"), ("_count", "500")))
CODES = tuple(f"http://loinc.org|{number}-0" for number in range(1000, 1200))
LABS = SearchRequest("Observation", (("patient", "p1"), ("_sort", "-date")), "code", CODES)


@pytest.fixture
async def client() -> AsyncIterator[FhirClient]:
    made = FhirClient(Wire(), Limits(pages=4))
    yield made
    await made.aclose()


@pytest.fixture
def mock() -> Any:
    with respx.mock(assert_all_called=False) as router:
        yield router


def _session(client: FhirClient, *, grant: Grant = GRANT, seconds: float = 1.0) -> Session:
    return Session(client, grant, asyncio.get_running_loop().time() + seconds)


async def _searched(client: FhirClient, request: SearchRequest = CONDITIONS) -> Harvest:
    harvest = Harvest("conditions")
    await _session(client).search(request, harvest)
    return harvest


async def _failure(client: FhirClient, request: SearchRequest = CONDITIONS) -> str:
    with pytest.raises(FetchError) as caught:
        await _searched(client, request)
    assert caught.value.reason in WORDS
    return caught.value.reason


async def test_fhr_02_the_token_is_sent_as_bearer_with_every_request(
    client: FhirClient, mock: respx.Router
) -> None:
    route = mock.get(f"{BASE.url}/Condition").respond(json=searchset(condition(1)))
    harvest = await _searched(client)
    assert ids(harvest.values) == ["1"]
    assert not harvest.partial
    sent = route.calls.last.request
    assert sent.headers["authorization"] == "Bearer tok"
    assert sent.headers["accept"].startswith("application/fhir+json")
    assert dict(sent.url.params) == {"patient": "p1", "_count": "500"}
    await _session(client, grant=Grant(BASE)).search(CONDITIONS, Harvest("conditions"))
    assert "authorization" not in route.calls.last.request.headers


async def test_the_patient_is_read_by_id(client: FhirClient, mock: respx.Router) -> None:
    mock.get(f"{BASE.url}/Patient/p1").respond(json={"resourceType": "Patient", "id": "p1"})
    harvest = Harvest("patient")
    await _session(client).read("Patient/p1", harvest)
    assert isinstance(harvest.values[0], Patient)


@pytest.mark.parametrize(
    ("reference", "answer", "reason"),
    [
        ("Patient/../admin", {}, "rejected"),
        ("Patient/a b", {}, "rejected"),
        ("Patient/p1?_include=x", {}, "rejected"),
        ("Patient/p1", {"resourceType": "Condition"}, "unexpected"),
        ("Patient/p1", {"resourceType": "Basic"}, "unexpected"),
        ("Patient/p1", {"resourceType": "Patient", "birthDate": 1950}, "unexpected"),
        ("Patient/p1", outcome("error"), "outcome"),
        ("Patient/p1", outcome("information"), "unexpected"),
        ("Patient/p1", [], "unexpected"),
    ],
)
async def test_a_read_that_brings_something_else_fails(
    client: FhirClient, mock: respx.Router, reference: str, answer: Any, reason: str
) -> None:
    mock.get(f"{BASE.url}/Patient/p1").respond(json=answer)
    with pytest.raises(FetchError) as caught:
        await _session(client).read(reference, Harvest("patient"))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (orjson.dumps(searchset(condition(1)))[:-20], "truncated"),
        (b"", "not-fhir"),
        (b"<Bundle/>", "not-fhir"),
        (b'{"resourceType":"Bundle"' + b"\xff}", "truncated"),
        (orjson.dumps(condition(1)), "unexpected"),
        (orjson.dumps(outcome("error")), "outcome"),
        (orjson.dumps(searchset(outcome("error"))), "outcome"),
        (b'{"a":' * 3000, "not-fhir"),
    ],
)
async def test_an_answer_that_is_no_searchset_fails(
    client: FhirClient, mock: respx.Router, content: bytes, reason: str
) -> None:
    mock.get(f"{BASE.url}/Condition").respond(content=content)
    assert await _failure(client) == reason


@pytest.mark.parametrize(
    ("answer", "expected", "partial"),
    [
        (searchset(), [], ""),
        ({"resourceType": "Bundle"}, [], ""),
        (searchset(outcome("warning")), [None], ""),
        (searchset(condition(1), outcome("error")), ["1", None], "outcome"),
        (searchset(condition(1), outcome("warning", "suppressed")), ["1", None], "withheld"),
    ],
)
async def test_what_an_answer_lacks_is_noted(
    client: FhirClient, mock: respx.Router, answer: Json, expected: list[str | None], partial: str
) -> None:
    mock.get(f"{BASE.url}/Condition").respond(json=answer)
    harvest = await _searched(client)
    assert ids(harvest.values) == expected
    assert harvest.partial == partial


async def test_a_malformed_resource_costs_only_itself(client: FhirClient, mock: respx.Router) -> None:
    bad = {"resourceType": "Condition", "id": "2", "recordedDate": 5}
    mock.get(f"{BASE.url}/Condition").respond(json=searchset(condition(1), bad))
    harvest = await _searched(client)
    assert ids(harvest.values) == ["1"]
    assert [problem.key for problem in harvest.problems] == ["conditions"]


async def test_pf_18_pages_are_followed_on_the_same_base(client: FhirClient, mock: respx.Router) -> None:
    mock.get(f"{BASE.url}/Condition").respond(json=searchset(condition(1), link=f"{BASE.url}?page=2"))
    mock.get(BASE.url, params={"page": "2"}).respond(json=searchset(condition(2), link="Condition/_next?p=3"))
    last = mock.get(f"{BASE.url}/Condition/_next").respond(json=searchset(condition(3)))
    harvest = await _searched(client)
    assert ids(harvest.values) == ["1", "2", "3"]
    assert not harvest.partial
    assert last.calls.last.request.headers["authorization"] == "Bearer tok"


async def test_a_next_page_elsewhere_is_not_fetched(client: FhirClient, mock: respx.Router) -> None:
    elsewhere = mock.get(host="evil.example").respond(json=searchset())
    mock.get(f"{BASE.url}/Condition").respond(
        json=searchset(condition(1), link="https://evil.example/fhir?p=2")
    )
    harvest = await _searched(client)
    assert (ids(harvest.values), harvest.partial) == (["1"], "page-elsewhere")
    assert not elsewhere.called


async def test_pages_that_lead_in_a_circle_end(client: FhirClient, mock: respx.Router) -> None:
    route = mock.get(url__startswith=f"{BASE.url}/Condition").respond(
        json=searchset(condition(1), link=f"{BASE.url}/Condition?page=2")
    )
    harvest = await _searched(client)
    assert harvest.partial == "page-loop"
    assert route.call_count == 2


async def test_pages_without_end_are_cut_at_the_limit(client: FhirClient, mock: respx.Router) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params.get("page", 1))
        return httpx.Response(
            200, json=searchset(condition(page), link=f"{BASE.url}/Condition?page={page + 1}")
        )

    mock.get(url__startswith=f"{BASE.url}/Condition").mock(side_effect=answer)
    harvest = await _searched(client)
    assert (ids(harvest.values), harvest.partial) == (["1", "2", "3", "4"], "page-limit")


@pytest.mark.parametrize(
    ("second", "partial"),
    [
        (httpx.Response(403), "forbidden"),
        (httpx.Response(200, content=b"{"), "truncated"),
        (httpx.Response(200, json=condition(9)), "unexpected"),
        (httpx.Response(200, json=searchset(outcome("fatal"))), "outcome"),
    ],
)
async def test_a_page_that_fails_leaves_the_ones_before(
    client: FhirClient, mock: respx.Router, second: httpx.Response, partial: str
) -> None:
    mock.get(f"{BASE.url}/Condition", params={"page": "2"}).mock(second)
    mock.get(f"{BASE.url}/Condition").respond(json=searchset(condition(1), link="Condition?page=2"))
    harvest = await _searched(client)
    assert (ids(harvest.values), harvest.partial) == (["1"], partial)


async def test_the_first_reason_of_being_partial_is_kept(client: FhirClient, mock: respx.Router) -> None:
    mock.get(f"{BASE.url}/Condition").respond(
        json=searchset(condition(1), outcome("error"), link="https://evil.example/")
    )
    assert (await _searched(client)).partial == "outcome"
    mock.get(f"{BASE.url}/Condition", params={"page": "2"}).respond(403)
    mock.get(f"{BASE.url}/Condition").respond(
        json=searchset(condition(1), outcome("error"), link="Condition?page=2")
    )
    assert (await _searched(client)).partial == "outcome"


async def test_a_long_list_goes_by_post(client: FhirClient, mock: respx.Router) -> None:
    route = mock.post(f"{BASE.url}/Observation/_search").respond(
        json=searchset({"resourceType": "Observation"})
    )
    harvest = await _searched(client, LABS)
    assert isinstance(harvest.values[0], Bundle)
    sent = route.calls.last.request
    assert sent.headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(sent.content.decode()) == {
        "patient": ["p1"],
        "code": [",".join(CODES)],
        "_sort": ["-date"],
    }


async def test_a_server_without_post_search_gets_the_list_in_parts(
    client: FhirClient, mock: respx.Router
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert len(str(request.url)) <= 2000
        assert request.url.params["_sort"] == "-date"
        codes = request.url.params["code"].split(",")
        return httpx.Response(
            200, json=searchset(*({"resourceType": "Observation", "id": code} for code in codes))
        )

    post = mock.post(f"{BASE.url}/Observation/_search").respond(405)
    get = mock.get(url__startswith=f"{BASE.url}/Observation").mock(side_effect=answer)
    for _ in range(2):
        harvest = await _searched(client, LABS)
        assert sorted(str(name) for name in ids(harvest.values)) == sorted(CODES)
    assert post.call_count == 1
    assert get.call_count > 4


async def test_a_part_that_fails_fails_the_search_but_keeps_the_others(
    client: FhirClient, mock: respx.Router
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if CODES[0] in request.url.params["code"]:
            return httpx.Response(403)
        return httpx.Response(200, json=searchset({"resourceType": "Observation", "id": "1"}))

    mock.post(f"{BASE.url}/Observation/_search").respond(404)
    mock.get(url__startswith=f"{BASE.url}/Observation").mock(side_effect=answer)
    harvest = Harvest("labs")
    with pytest.raises(FetchError) as caught:
        await _session(client).search(LABS, harvest)
    assert caught.value.reason == "forbidden"
    assert ids(harvest.values)


async def test_a_refusal_that_shortening_cannot_mend_is_final(client: FhirClient, mock: respx.Router) -> None:
    post = mock.post(f"{BASE.url}/Observation/_search").respond(403)
    assert await _failure(client, LABS) == "forbidden"
    get = mock.get(f"{BASE.url}/Condition").respond(400)
    assert await _failure(client) == "rejected"
    assert (post.call_count, get.call_count) == (1, 1)


async def test_no_more_requests_are_in_flight_than_the_limit(mock: respx.Router) -> None:
    flying, most = 0, 0

    async def answer(_: httpx.Request) -> httpx.Response:
        nonlocal flying, most
        flying += 1
        most = max(most, flying)
        await asyncio.sleep(0.01)
        flying -= 1
        return httpx.Response(200, json=searchset())

    mock.get(f"{BASE.url}/Condition").mock(side_effect=answer)
    session = _session(FhirClient(Wire(), Limits(in_flight=3)))
    await asyncio.gather(*(session.search(CONDITIONS, Harvest("conditions")) for _ in range(12)))
    assert most == 3


async def test_a_session_ends_at_its_deadline(client: FhirClient, mock: respx.Router) -> None:
    async def answer(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(5)
        return httpx.Response(200)

    mock.get(f"{BASE.url}/Condition").mock(side_effect=answer)
    with pytest.raises(FetchError) as caught:
        await _session(client, seconds=0.05).search(CONDITIONS, Harvest("conditions"))
    assert caught.value.reason == "deadline"


def _refuse() -> Grant:
    raise AccessRefused("server-not-listed")


async def test_access_is_refused_by_the_grant(client: FhirClient) -> None:
    with pytest.raises(AccessRefused):
        await Access(client, _refuse).open(1.0)


TOKEN_URL = "https://auth.example.org/token"


@pytest.fixture(scope="module")
def registered() -> Registration:
    key = ECKey.generate_key("P-384")
    return registration(TOKEN_URL, "tocsin", orjson.dumps(key.as_dict(private=True)), ["system/*.rs"])


def _token_answer(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, json={"access_token": "own", "token_type": "bearer", "expires_in": 300})


async def test_a_token_of_our_own_is_used_when_the_call_brought_none(
    client: FhirClient, mock: respx.Router, registered: Registration
) -> None:
    asked = mock.post(TOKEN_URL).mock(side_effect=_token_answer)
    route = mock.get(f"{BASE.url}/Condition").respond(json=searchset())
    session = await Access(client, lambda: Grant(BASE), registered).open(1.0)
    await session.search(CONDITIONS, Harvest("conditions"))
    assert route.calls.last.request.headers["authorization"] == "Bearer own"
    session = await Access(client, lambda: GRANT, registered).open(1.0)
    await session.search(CONDITIONS, Harvest("conditions"))
    assert route.calls.last.request.headers["authorization"] == "Bearer tok"
    assert asked.call_count == 1


@pytest.mark.parametrize("delay", [0.0, 5.0])
async def test_without_that_token_nothing_is_sent(
    client: FhirClient, mock: respx.Router, registered: Registration, delay: float
) -> None:
    async def answer(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(delay)
        return httpx.Response(401)

    mock.post(TOKEN_URL).mock(side_effect=answer)
    with pytest.raises(AccessRefused) as caught:
        await Access(client, lambda: Grant(BASE), registered).open(0.05)
    assert caught.value.reason == "token-unavailable"
