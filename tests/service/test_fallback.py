"""FHR-01 to FHR-06, PF-13, PF-18: what was not sent is fetched, until the time is up."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import cast

import httpx
import pytest
import respx

from service.errors import FhirVersionRefused
from service.fallback import Fetch, fetch_queries
from service.fhir import FhirClient, Harvest, Limits, Session
from service.fhir_version import FhirVersion
from service.outcomes import Outcome, State
from service.resources import Bundle
from service.wire import Wire
from tests.service.gathering import BASE, EMPTY, NEEDS, PATIENT, PLAN, WHOLE, answer_emptily, gathered
from tests.service.searches import Json, condition, ids, outcome, searchset


@pytest.fixture
async def client() -> AsyncIterator[FhirClient]:
    made = FhirClient(Wire(), Limits(pages=4))
    yield made
    await made.aclose()


@pytest.fixture
def server() -> Iterator[respx.MockRouter]:
    with respx.mock(assert_all_called=False, base_url=BASE.url) as router:
        answer_emptily(router)
        yield router


async def test_pf_16_an_absent_key_is_fetched(client: FhirClient, server: respx.Router) -> None:
    server["conditions"].respond(json=searchset(condition(1)))
    found = await gathered(client, {"labs": None})
    assert found.outcomes["conditions"] == Outcome(State.FETCHED, count=1)
    assert found.outcomes["patient"] == Outcome(State.FETCHED, count=1)
    assert found.outcomes["medications"] == Outcome(State.FETCHED)
    assert found.available == NEEDS
    assert ids([value for key, value in found.resources if key == "fetched:conditions"]) == ["1"]
    assert not server["labs"].called
    assert server["conditions"].calls.last.request.headers["authorization"] == "Bearer tok"
    assert dict(server["conditions"].calls.last.request.url.params) == {"patient": "p1", "_count": "50"}


async def test_what_may_not_be_fetched_is_refused_and_its_need_is_not_available(client: FhirClient) -> None:
    found = await gathered(client, {"conditions": None, "imaging": EMPTY}, fetching=False)
    assert found.outcomes["labs"] == Outcome(State.REFUSED, "no-fhir-server")
    assert found.available == {"conditions", "imaging"}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.Response(401), "unauthorised"),
        (httpx.Response(403), "forbidden"),
        (httpx.Response(404), "not-found"),
        (httpx.Response(503), "server-error"),
        (httpx.Response(302, headers={"Location": "https://evil.example/"}), "redirected"),
        (httpx.Response(200, text="<html>", headers={"Content-Type": "text/html"}), "not-fhir"),
        (httpx.Response(200, content=b'{"resourceType":"Bundle","entry":[{'), "truncated"),
        (httpx.Response(200, json=outcome("error")), "outcome"),
        (httpx.Response(200, json=condition(1)), "unexpected"),
    ],
)
async def test_a_fetch_that_fails_has_its_reason_and_costs_only_its_need(
    client: FhirClient, server: respx.Router, answer: httpx.Response, reason: str
) -> None:
    server["labs"].mock(answer)
    found = await gathered(client, {})
    assert found.outcomes["labs"] == Outcome(State.FAILED, reason)
    assert found.available == NEEDS - {"observations"}
    assert found.outcomes["labs"].says()


async def test_pf_18_given_pages_are_followed(client: FhirClient, server: respx.Router) -> None:
    server.get("/Condition", params={"page": "2"}).respond(json=searchset(condition(2)))
    given = {**WHOLE, "conditions": searchset(condition(1), link=f"{BASE.url}/Condition?page=2")}
    found = await gathered(client, given)
    assert found.outcomes["conditions"] == Outcome(State.GIVEN, count=2)
    assert [key for key, _ in found.resources][-1] == "fetched:conditions"
    assert found.available == NEEDS


@pytest.mark.parametrize("key", ["conditions", "labs"])
async def test_pf_18_pages_that_cannot_be_followed_are_noted(client: FhirClient, key: str) -> None:
    resource = condition(1) if key == "conditions" else {"resourceType": "Observation"}
    given = {**WHOLE, key: searchset(resource, link="https://elsewhere.example/?page=2")}
    found = await gathered(client, given, fetching=False)
    assert found.outcomes[key] == Outcome(State.GIVEN, partial="pages", count=1)
    # Of a list sorted newest first the end is missing; of conditions anything may be.
    assert found.available == (NEEDS - {"conditions"} if key == "conditions" else NEEDS)
    found = await gathered(client, given)
    assert found.outcomes[key].partial == "page-elsewhere"


@pytest.mark.parametrize(("partial", "issue"), [("outcome", "error"), ("withheld", "warning")])
async def test_what_a_given_search_lacks_stays_lacking_when_its_pages_are_followed(
    client: FhirClient, server: respx.Router, partial: str, issue: str
) -> None:
    server.get("/Condition", params={"page": "2"}).respond(json=searchset(condition(2)))
    given = {
        **WHOLE,
        "conditions": searchset(condition(1), outcome(issue, "suppressed"), link="Condition?page=2"),
    }
    found = await gathered(client, given)
    assert found.outcomes["conditions"] == Outcome(State.GIVEN, partial=partial, count=2)
    assert found.available == NEEDS - {"conditions"}


async def test_problems_of_fetched_data_are_reported_too(client: FhirClient, server: respx.Router) -> None:
    bad = {"resourceType": "Condition", "id": "2", "recordedDate": 5}
    server["conditions"].respond(json=searchset(condition(1), bad))
    found = await gathered(client, {})
    assert [problem.key for problem in found.problems] == ["conditions"]


async def test_the_deadline_keeps_what_had_come(client: FhirClient, server: respx.Router) -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(10)
        return httpx.Response(200)

    server["labs"].mock(side_effect=never)
    server.get("/Condition", params={"page": "2"}).mock(side_effect=never)
    server["conditions"].respond(json=searchset(condition(1), link="Condition?page=2"))
    start = asyncio.get_running_loop().time()
    found = await gathered(client, {}, seconds=0.15)
    assert asyncio.get_running_loop().time() - start < 0.5
    assert found.outcomes["labs"] == Outcome(State.FAILED, "deadline")
    assert found.outcomes["conditions"] == Outcome(State.FETCHED, partial="deadline", count=1)
    assert found.available == NEEDS - {"observations", "conditions"}


async def test_a_given_page_outlives_the_deadline(client: FhirClient, server: respx.Router) -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(10)
        return httpx.Response(200)

    server.get("/Condition", params={"page": "2"}).mock(side_effect=never)
    given = {**WHOLE, "conditions": searchset(condition(1), link="Condition?page=2")}
    found = await gathered(client, given, seconds=0.05)
    assert found.outcomes["conditions"] == Outcome(State.GIVEN, partial="deadline", count=1)


async def test_no_time_at_all_fetches_nothing(client: FhirClient, server: respx.Router) -> None:
    found = await gathered(client, {"conditions": None}, seconds=-0.1)
    assert found.outcomes["labs"] == Outcome(State.FAILED, "deadline")
    assert not server.calls


async def test_a_call_that_is_cancelled_leaves_no_request_behind(
    client: FhirClient, server: respx.Router
) -> None:
    ended = asyncio.Event()

    async def never(_: httpx.Request) -> httpx.Response:
        try:
            await asyncio.sleep(10)
        finally:
            ended.set()
        return httpx.Response(200)

    server["labs"].mock(side_effect=never)
    task = asyncio.create_task(gathered(client, {}))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


def _prescribed(*references: str) -> Json:
    return searchset(
        *(
            {
                "resourceType": "MedicationRequest",
                "id": str(number),
                "medicationReference": {"reference": name},
            }
            for number, name in enumerate(references)
        )
    )


async def test_medicines_that_are_only_referred_to_are_read(client: FhirClient, server: respx.Router) -> None:
    server.get("/Medication/a").respond(json={"resourceType": "Medication", "id": "a"})
    for given in ({**WHOLE, "medications": _prescribed("Medication/a")}, {"conditions": None}):
        server["medications"].respond(json=_prescribed("Medication/a"))
        found = await gathered(client, given)
        assert ("fetched:medications", "Medication") in [
            (key, type(value).__name__) for key, value in found.resources
        ]
        assert "medications" in found.available


@pytest.mark.parametrize("fetching", [True, False])
async def test_a_medicine_that_stays_unknown_leaves_medications_unknown(
    client: FhirClient, server: respx.Router, fetching: bool
) -> None:
    server.get("/Medication/a").respond(404)
    found = await gathered(client, {**WHOLE, "medications": _prescribed("Medication/a")}, fetching=fetching)
    assert found.outcomes["medications"] == Outcome(State.GIVEN, partial="references", count=1)
    assert found.available == NEEDS - {"medications"}


async def test_the_number_of_medicines_read_is_limited(client: FhirClient, server: respx.Router) -> None:
    route = server.get(path__startswith="/Medication/").mock(
        side_effect=lambda request: httpx.Response(
            200, json={"resourceType": "Medication", "id": request.url.path.rsplit("/", 1)[-1]}
        )
    )
    many = _prescribed(*(f"Medication/{number}" for number in range(30)))
    found = await gathered(client, {**WHOLE, "medications": many})
    assert route.call_count == 20
    assert found.outcomes["medications"].partial == "references"


async def test_a_plan_without_medications_follows_no_reference(
    client: FhirClient, server: respx.Router
) -> None:
    given = {"patient": PATIENT, "conditions": None, "theirs": _prescribed("Medication/a")}
    await gathered(client, given, plan=PLAN[:2])
    assert not server.calls


async def test_ver_01_the_clients_setting_decides_and_spares_the_question(
    client: FhirClient, server: respx.Router
) -> None:
    old = searchset({"resourceType": "ProcedureRequest"})
    found = await gathered(client, {"theirs": old, "conditions": None}, version=FhirVersion.R4)
    assert found.version is FhirVersion.R4
    assert not server["metadata"].called
    with pytest.raises(FhirVersionRefused):
        await gathered(client, WHOLE, version=FhirVersion.STU3)


async def test_ver_01_the_servers_word_comes_before_the_shape(
    client: FhirClient, server: respx.Router
) -> None:
    found = await gathered(client, {"theirs": searchset({"resourceType": "ProcedureRequest"})}, version=None)
    assert found.version is FhirVersion.R4
    assert "authorization" not in server["metadata"].calls.last.request.headers
    server["metadata"].respond(json={"fhirVersion": "3.0.2"})
    other = FhirClient(Wire())
    with pytest.raises(FhirVersionRefused):
        await gathered(other, {}, version=None)
    asked = server["conditions"].call_count
    with pytest.raises(FhirVersionRefused):
        await gathered(other, {}, version=None)
    assert server["conditions"].call_count == asked
    await other.aclose()


async def test_ver_01_the_shape_decides_when_nothing_else_is_known(client: FhirClient) -> None:
    with pytest.raises(FhirVersionRefused):
        await gathered(client, {**WHOLE, "theirs": {"resourceType": "MedicationOrder"}}, version=None)
    assert (await gathered(client, WHOLE, version=None)).version is None


class _Stuck:
    """A session whose searches bring one page and then never end, or fail in a way nobody foresaw."""

    def __init__(self, *, broken: bool = False) -> None:
        self.deadline = asyncio.get_running_loop().time() + 0.05
        self.queried = None
        self._broken = broken

    async def search(self, _: object, harvest: Harvest) -> None:
        if self._broken:
            raise ZeroDivisionError
        harvest.values.append(Bundle())
        await asyncio.sleep(60)

    async def follow(self, _: str, __: Harvest) -> None:
        await asyncio.sleep(60)


async def test_a_query_cut_off_keeps_its_pages_and_says_so() -> None:
    conditions, labs = PLAN[1], PLAN[2]
    fetches = [
        Fetch(conditions, Harvest("conditions")),
        Fetch(labs, Harvest("labs"), link="Observation?page=2"),
    ]
    await fetch_queries(cast(Session, _Stuck()), fetches, "p1")
    assert [fetch.harvest.partial for fetch in fetches] == ["deadline", "deadline"]
    assert [fetch.failure for fetch in fetches] == ["", ""]
    assert fetches[0].harvest.values == [Bundle()]


async def test_a_fault_of_our_own_is_not_taken_for_missing_data() -> None:
    fetches = [Fetch(PLAN[1], Harvest("conditions"))]
    with pytest.raises(ZeroDivisionError):
        await fetch_queries(cast(Session, _Stuck(broken=True)), fetches, "p1")


async def test_requests_and_queries_are_told_with_nothing_of_the_patient(server: respx.MockRouter) -> None:
    requests: list[tuple[str, str, str]] = []
    queries: list[dict[str, object]] = []
    spans: list[tuple[int, int]] = []

    def queried(fields: Mapping[str, object], began: int, ended: int) -> None:
        queries.append(dict(fields))
        spans.append((began, ended))

    other = FhirClient(
        Wire(), noted=lambda host, path, result, s: requests.append((host, path, result)), queried=queried
    )
    server["conditions"].respond(json=searchset(condition(1), condition(2)))
    server["labs"].respond(503)
    await gathered(other, {}, seconds=0.6)
    await other.aclose()
    assert (BASE.host, "Patient/p1", "ok") in requests
    assert "server-error" in {result for _, path, result in requests if path.startswith("Observation")}
    of = {one["key"]: one for one in queries}
    assert of["conditions"] == {
        "host": BASE.host,
        "key": "conditions",
        "resource": "Condition",
        "result": "ok",
        "rows": 2,
    }
    assert of["patient"]["rows"] == 1
    assert (of["labs"]["result"], of["labs"]["rows"]) == ("server-error", 0)
    assert all(began <= ended for began, ended in spans)
