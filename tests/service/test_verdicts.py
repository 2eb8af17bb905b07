"""What an answer of a FHIR server is worth: that the service and `tocsin try` say the same of each."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest

from hooks.hook import Context
from hooks.prefetch import PrefetchTemplate
from service.access import Grant
from service.addresses import parse_base
from service.ehr import FhirServer
from service.fhir import FhirClient, Harvest, SearchRequest, Session
from service.replies import Filled
from service.resources import Bundle
from service.searchsets import contents
from service.verdicts import Pages, no_json
from service.wire import FetchError, Wire
from tests.service.searches import condition, outcome, searchset

BASE = parse_base("https://ehr.example.org/fhir")
CONTEXT = Context[Any](patient_id="p1", user_id="Practitioner/1")
TEMPLATE = PrefetchTemplate("conditions", "Condition?patient={{context.patientId}}")
SEARCH = SearchRequest("Condition", (("patient", "p1"),))
FOUND = orjson.dumps(searchset(condition(1)))
LATIN = orjson.dumps(searchset({**condition(1), "id": "ä"})).decode().encode("latin-1")
STATUSES = {
    204: "not-fhir",
    302: "redirected",
    400: "rejected",
    401: "unauthorised",
    403: "forbidden",
    404: "not-found",
    410: "not-found",
    422: "rejected",
    429: "busy",
    500: "server-error",
    501: "rejected",
    503: "server-error",
}
Answer = Callable[[httpx.Request], httpx.Response]


def reply(content: bytes = FOUND, kind: str = "", status: int = 200, **headers: str) -> Answer:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    if kind:
        names["content-type"] = kind
    return lambda request: httpx.Response(status, content=content, headers=names)


def paged(link: Callable[[int], str]) -> Answer:
    """Every page holds one condition and leads to another."""

    def answer(request: httpx.Request) -> httpx.Response:
        number = int(request.url.params.get("page", 1)) + 1
        return httpx.Response(200, json=searchset(condition(number), link=link(number)))

    return answer


async def by_the_service(answer: Answer) -> tuple[str, str, int]:
    """Reason, partial and number of resources of a search of the service."""
    client = FhirClient(Wire(httpx.MockTransport(answer), attempts=1))
    session = Session(client, Grant(BASE), asyncio.get_running_loop().time() + 5)
    harvest = Harvest("conditions")
    try:
        await session.search(SEARCH, harvest)
    except FetchError as error:
        return error.reason, "", 0
    finally:
        await client.aclose()
    pages = [value for value in harvest.values if isinstance(value, Bundle)]
    return "", harvest.partial, sum(contents(page).count for page in pages)


async def by_try(answer: Answer) -> Filled:
    async with FhirServer(BASE, seconds=5, transport=httpx.MockTransport(answer)) as server:
        return await server.fill(TEMPLATE, CONTEXT)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (reply(), ("", "", 1)),
        (reply(kind="application/fhir+json"), ("", "", 1)),
        (reply(kind="text/json"), ("", "", 1)),
        (reply(kind="text/plain; charset=utf-8"), ("", "", 1)),
        (reply(kind="application/octet-stream"), ("", "", 1)),
        (reply(b"\xef\xbb\xbf" + FOUND), ("", "", 1)),
        (reply(LATIN, "application/fhir+json; charset=iso-8859-1"), ("", "", 1)),
        (reply(LATIN, "application/fhir+json"), ("truncated", "", 0)),
        (reply(kind="application/fhir+json; charset=klingon"), ("not-fhir", "", 0)),
        (reply(b"<html>", "text/html"), ("not-fhir", "", 0)),
        (reply(b"<html>", "text/plain"), ("not-fhir", "", 0)),
        (reply(kind="application/fhir+xml"), ("not-fhir", "", 0)),
        (reply(kind="text/xml"), ("not-fhir", "", 0)),
        (reply(content_encoding="gzip"), ("not-fhir", "", 0)),
        (reply(FOUND[:-9]), ("truncated", "", 0)),
        (reply(b""), ("not-fhir", "", 0)),
        (reply(b"[]"), ("unexpected", "", 0)),
        (reply(b'{"a":' * 3000), ("not-fhir", "", 0)),
        (reply(orjson.dumps(condition(1))), ("unexpected", "", 0)),
        (reply(orjson.dumps(outcome("error"))), ("outcome", "", 0)),
        (reply(orjson.dumps(outcome("warning"))), ("unexpected", "", 0)),
        (reply(orjson.dumps(searchset(outcome("error")))), ("outcome", "", 0)),
        (reply(orjson.dumps(searchset(condition(1), outcome("error")))), ("", "outcome", 1)),
        *((reply(status=status), (reason, "", 0)) for status, reason in STATUSES.items()),
        (paged(lambda number: f"{BASE.url}/Condition?page={number}"), ("", "page-limit", 10)),
        (paged(lambda number: f"{BASE.url}/Condition?page=2"), ("", "page-loop", 2)),
        (paged(lambda number: "https://elsewhere.example.org/?page=2"), ("", "page-elsewhere", 1)),
    ],
)
async def test_try_says_of_an_answer_what_the_service_says(
    answer: Answer, expected: tuple[str, str, int]
) -> None:
    assert await by_the_service(answer) == expected
    one = await by_try(answer)
    # An operator is told that it was a web page.
    reason = "not-fhir" if one.reason == "html" else one.reason
    assert (reason, one.partial, one.rows) == expected
    assert one.had is (expected[0] == "")


def test_pages_are_turned_on_one_server_to_a_limit_and_never_twice() -> None:
    pages = Pages(BASE, 3)
    assert pages.turn("Condition?page=2") == f"{BASE.url}/Condition?page=2"
    for link, reason in (("Condition?page=2", "page-loop"), ("https://other.example/", "page-elsewhere")):
        with pytest.raises(FetchError) as caught:
            pages.turn(link)
        assert caught.value.reason == reason
    pages.turn("Condition?page=3")
    with pytest.raises(FetchError, match="page-limit"):
        pages.turn("Condition?page=4")


@pytest.mark.parametrize(
    ("body", "reason"), [(b' {"a"', "truncated"), (b"<Bundle/>", "not-fhir"), (b"", "not-fhir")]
)
def test_what_is_no_json_broke_off_or_never_was_any(body: bytes, reason: str) -> None:
    assert no_json(body).reason == reason
