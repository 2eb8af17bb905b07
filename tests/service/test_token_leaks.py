"""FHR-04, FHR-08: over real sockets, no token leaves for a host that is not on the caller's list."""

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from hooks import FhirAuthorization
from service.access import Grant, grant
from service.addresses import Base, parse_base
from service.errors import DataUnavailable
from service.fhir import Access, FhirClient, Limits
from service.fhir_version import FhirVersion
from service.outcomes import Outcome, State
from service.prefetch import Gathered, gather
from service.queries import Query
from service.wire import Wire
from tests.service.searches import Json, condition, searchset

TOKEN = "token-for-the-ehr-only"
PLAN = (
    Query("patient", "patient", "Patient"),
    Query("conditions", "conditions", "Condition", (("_count", "50"),), newest_suffices=False),
)


class Recorder:
    """An HTTP server on a port of its own that keeps every byte it is sent."""

    def __init__(self, answer: bytes = b"") -> None:
        self.answer = answer
        self.received = b""
        self.port = 0

    @property
    def base(self) -> Base:
        return parse_base(f"http://127.0.0.1:{self.port}/fhir")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.received += await reader.readuntil(b"\r\n\r\n")
        writer.write(self.answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


def _ok(value: Json) -> bytes:
    body = orjson.dumps(value)
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def _moved(url: str, status: int) -> bytes:
    lines = (f"HTTP/1.1 {status} Moved", f"Location: {url}", "Connection: close", "Content-Length: 0", "", "")
    return "\r\n".join(lines).encode()


@pytest.fixture
async def servers() -> AsyncIterator[tuple[Recorder, Recorder]]:
    """The listed EHR, and another server that is on no list."""
    made = (Recorder(), Recorder(_ok(searchset(condition(9)))))
    listening = []
    for recorder in made:
        socket = await asyncio.start_server(recorder.serve, "127.0.0.1", 0)
        recorder.port = socket.sockets[0].getsockname()[1]
        listening.append(socket)
    yield made
    for socket in listening:
        socket.close()
        await socket.wait_closed()


async def _gather(ehr: Recorder, fhir_server: str) -> Gathered:
    client = FhirClient(Wire(), Limits())

    def ask() -> Grant:
        authorization = FhirAuthorization(TOKEN, "Bearer", 300, "patient/*.rs", "tocsin")
        return grant(fhir_server, authorization, allowed=[ehr.base], patient_id="p1")

    try:
        return await gather(
            {},
            PLAN,
            patient_id="p1",
            access=Access(client, ask),
            seconds=2.0,
            version=FhirVersion.R4,
        )
    finally:
        await client.aclose()


async def test_the_listed_server_gets_the_token(servers: tuple[Recorder, Recorder]) -> None:
    ehr, other = servers
    ehr.answer = _ok(searchset(condition(1)))
    found = await _gather(ehr, ehr.base.url)
    assert found.outcomes["conditions"] == Outcome(State.FETCHED, count=1)
    assert f"Authorization: Bearer {TOKEN}".encode() in ehr.received
    assert not other.received


@pytest.mark.parametrize(
    "form",
    [
        "http://127.0.0.1:{other}/fhir",
        "http://127.0.0.1:{ehr}@127.0.0.1:{other}/fhir",
        "http://127.0.0.1:{other}/fhir#http://127.0.0.1:{ehr}/fhir",
        "http://127.0.0.1:{other}\\@127.0.0.1:{ehr}/fhir",
        "http://localhost:{other}/fhir",
        "http://2130706433:{other}/fhir",
        "http://127.0.0.1:{ehr}/fhir/../../other",
        "http://127.0.0.1:{ehr}/fhirother",
    ],
)
async def test_a_server_that_is_not_listed_gets_nothing(
    servers: tuple[Recorder, Recorder], form: str
) -> None:
    ehr, other = servers
    with pytest.raises(DataUnavailable):
        await _gather(ehr, form.format(ehr=ehr.port, other=other.port))
    assert not other.received
    assert not ehr.received


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(servers: tuple[Recorder, Recorder], status: int) -> None:
    ehr, other = servers
    ehr.answer = _moved(f"{other.base.url}/Condition", status)
    with pytest.raises(DataUnavailable):
        await _gather(ehr, ehr.base.url)
    assert TOKEN.encode() in ehr.received
    assert not other.received


@pytest.mark.parametrize("form", ["http://127.0.0.1:{other}/fhir?page=2", "//127.0.0.1:{other}/fhir?page=2"])
async def test_a_next_page_elsewhere_is_not_fetched(servers: tuple[Recorder, Recorder], form: str) -> None:
    ehr, other = servers
    ehr.answer = _ok(searchset(condition(1), link=form.format(other=other.port)))
    found = await _gather(ehr, ehr.base.url)
    assert found.outcomes["conditions"] == Outcome(State.FETCHED, partial="page-elsewhere", count=1)
    assert not other.received


async def test_a_proxy_of_the_environment_is_not_used(
    servers: tuple[Recorder, Recorder], monkeypatch: pytest.MonkeyPatch
) -> None:
    ehr, other = servers
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{other.port}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    ehr.answer = _ok(searchset(condition(1)))
    found = await _gather(ehr, ehr.base.url)
    assert found.outcomes["conditions"].state is State.FETCHED
    assert not other.received
