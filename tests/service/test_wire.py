"""One exchange: every way it can go, and that nothing of it is told."""

import asyncio
import gzip
import logging
from collections.abc import AsyncIterator

import httpx
import pytest
import respx

from service.addresses import AddressRefused
from service.outcomes import WORDS
from service.wire import FetchError, Wire, form

URL = "https://ehr.example.org/fhir/Condition?patient=secret-patient"


async def _send(
    wire: Wire, *, seconds: float = 1.0, limit: int = 1000, method: str = "GET", body: bytes | None = None
) -> bytes:
    deadline = asyncio.get_running_loop().time() + seconds
    return await wire.send(
        method, URL, headers={"Authorization": "Bearer secret"}, body=body, deadline=deadline, limit=limit
    )


async def _refused(wire: Wire, *, seconds: float = 1.0, limit: int = 1000) -> str:
    with pytest.raises(FetchError) as caught:
        await _send(wire, seconds=seconds, limit=limit)
    assert "secret" not in f"{caught.value!r} {caught.value}"
    assert caught.value.reason in WORDS
    return caught.value.reason


def _answer(status: int = 200, content: bytes = b"{}", **headers: str) -> httpx.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, content=content, headers=names)


@respx.mock
async def test_an_answer_is_returned_and_the_headers_are_sent() -> None:
    route = respx.get(URL).mock(_answer(content_type="application/fhir+json; charset=utf-8"))
    wire = Wire()
    assert await _send(wire) == b"{}"
    sent = route.calls.last.request.headers
    assert sent["authorization"] == "Bearer secret"
    assert sent["user-agent"] == "tocsin"
    await wire.aclose()


@respx.mock
async def test_a_further_attempt_is_made_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    route = respx.get(URL).mock(side_effect=[httpx.Response(503), _answer(content_type="application/json")])
    wire = Wire()
    assert await _send(wire) == b"{}"
    assert route.call_count == 2
    assert capfd.readouterr() == ("", "")
    await wire.aclose()


@pytest.mark.parametrize(
    ("status", "reason", "calls"),
    [
        (301, "redirected", 1),
        (307, "redirected", 1),
        (204, "not-fhir", 1),
        (400, "rejected", 1),
        (401, "unauthorised", 1),
        (403, "forbidden", 1),
        (404, "not-found", 1),
        (410, "not-found", 1),
        (429, "busy", 1),
        (501, "rejected", 1),
        (500, "server-error", 3),
        (503, "server-error", 3),
    ],
)
@respx.mock
async def test_each_status_has_its_reason_and_only_what_passes_is_retried(
    status: int, reason: str, calls: int
) -> None:
    route = respx.get(URL).mock(_answer(status, Location="https://evil.example/"))
    assert await _refused(Wire()) == reason
    assert route.call_count == calls


@respx.mock
async def test_a_server_that_recovers_is_believed() -> None:
    route = respx.get(URL).mock(side_effect=[_answer(503), httpx.ConnectError("x"), _answer()])
    assert await _send(Wire()) == b"{}"
    assert route.call_count == 3


@pytest.mark.parametrize(
    ("error", "reason", "calls"),
    [
        (AddressRefused("x"), "address-refused", 1),
        (httpx.ConnectTimeout("x"), "unreachable", 3),
        (httpx.ConnectError("x"), "unreachable", 3),
        (httpx.ReadTimeout("x"), "deadline", 1),
        (httpx.ReadError("x"), "unreachable", 3),
        (httpx.InvalidURL("x"), "not-fhir", 1),
    ],
)
@respx.mock
async def test_each_fault_of_the_network_has_its_reason(error: Exception, reason: str, calls: int) -> None:
    route = respx.get(URL).mock(side_effect=error)
    assert await _refused(Wire()) == reason
    assert route.call_count == calls


@respx.mock
async def test_the_deadline_ends_waiting_and_retrying() -> None:
    async def slow(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(5)
        return _answer()

    respx.get(URL).mock(side_effect=slow)
    start = asyncio.get_running_loop().time()
    assert await _refused(Wire(), seconds=0.05) == "deadline"
    assert asyncio.get_running_loop().time() - start < 1.0
    respx.get(URL).mock(_answer(503))
    assert await _refused(Wire(attempts=1000), seconds=0.1) in ("deadline", "server-error")
    assert asyncio.get_running_loop().time() - start < 2.0


@respx.mock
async def test_a_deadline_that_has_passed_sends_nothing() -> None:
    route = respx.get(URL).mock(_answer())
    assert await _refused(Wire(), seconds=-1) == "deadline"
    assert not route.called


@pytest.mark.parametrize(
    "kind",
    [
        "text/html",
        "TEXT/html; charset=utf-8",
        "application/xhtml+xml",
        "text/xml",
        "application/xml;charset=utf-8",
        "application/fhir+xml",
    ],
)
@respx.mock
async def test_markup_is_not_fhir(kind: str) -> None:
    respx.get(URL).mock(_answer(content=b"<html>login</html>", content_type=kind))
    assert await _refused(Wire()) == "not-fhir"


@pytest.mark.parametrize(
    "kind", ["text/json", "TEXT/plain", "application/octet-stream", "application/json+fhir"]
)
@respx.mock
async def test_whatever_else_it_is_called_it_may_be_json(kind: str) -> None:
    respx.get(URL).mock(_answer(content_type=kind))
    assert await _send(Wire()) == b"{}"


@respx.mock
async def test_the_size_is_limited_by_what_is_announced_and_by_what_comes() -> None:
    respx.get(URL).mock(_answer(content=b"x" * 1001))
    assert await _refused(Wire()) == "too-large"
    respx.get(URL).mock(httpx.Response(200, stream=_Parts(b"x" * 600, b"x" * 600)))
    assert await _refused(Wire()) == "too-large"
    bomb = gzip.compress(b"x" * 100_000)
    assert len(bomb) < 1000
    respx.get(URL).mock(httpx.Response(200, headers={"content-encoding": "gzip"}, stream=_Parts(bomb)))
    assert await _refused(Wire()) == "too-large"
    respx.get(URL).mock(_answer(content=b"x" * 1000))
    assert len(await _send(Wire())) == 1000


class _Parts(httpx.AsyncByteStream):
    def __init__(self, *parts: bytes) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            yield part


@pytest.mark.parametrize(
    ("charset", "body"),
    [
        ("utf-8", '{"x":"ä"}'.encode()),
        ("UTF8", '{"x":"ä"}'.encode("utf-8-sig")),
        ("iso-8859-1", '{"x":"ä"}'.encode("latin-1")),
        ("windows-1252", '{"x":"ä"}'.encode("cp1252")),
        ("utf-16", '{"x":"ä"}'.encode("utf-16")),
    ],
)
@respx.mock
async def test_any_declared_charset_becomes_utf_8(charset: str, body: bytes) -> None:
    respx.get(URL).mock(_answer(content=body, content_type=f"application/fhir+json;charset={charset}"))
    assert await _send(Wire()) == '{"x":"ä"}'.encode()


@pytest.mark.parametrize(("charset", "body"), [("klingon", b"{}"), ("utf-16", b"{"), ("base64", b"{}")])
@respx.mock
async def test_a_charset_that_does_not_hold_is_not_fhir(charset: str, body: bytes) -> None:
    respx.get(URL).mock(_answer(content=body, content_type=f"application/fhir+json;charset={charset}"))
    assert await _refused(Wire()) == "not-fhir"


@respx.mock
async def test_a_broken_compression_is_not_fhir() -> None:
    respx.get(URL).mock(httpx.Response(200, headers={"content-encoding": "gzip"}, stream=_Parts(b"not gzip")))
    assert await _refused(Wire()) == "not-fhir"


@respx.mock
async def test_cookies_of_one_call_are_not_sent_with_the_next() -> None:
    route = respx.get(URL).mock(_answer(Set_Cookie="session=1; Path=/"))
    wire = Wire()
    await _send(wire)
    await _send(wire)
    assert "cookie" not in route.calls.last.request.headers


@respx.mock
async def test_no_url_and_no_token_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    respx.get(URL).mock(side_effect=[_answer(503), _answer()])
    assert await _send(Wire()) == b"{}"
    assert "secret" not in caplog.text


def test_a_form_keeps_code_lists_short_and_escapes_the_rest() -> None:
    pairs = [("code", "http://loinc.org|1988-5,x"), ("q", "a&b=c d+ü")]
    assert form(pairs) == "code=http://loinc.org%7C1988-5,x&q=a%26b%3Dc%20d%2B%C3%BC"
