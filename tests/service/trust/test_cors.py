"""SEC-17: pages of listed origins may call, and a preflight needs no token."""

from collections.abc import Iterable

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from service.trust.cors import Cors

ORIGIN = "https://sandbox.example"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}


async def _hello(_: Request) -> PlainTextResponse:
    return PlainTextResponse("hello", headers={"Vary": "Accept"})


async def _refused(_: Request) -> PlainTextResponse:
    return PlainTextResponse("", 401)


async def _socket(socket: WebSocket) -> None:
    await socket.accept()
    await socket.close()


ROUTES = [
    Route("/", _hello, methods=["GET", "POST"]),
    Route("/401", _refused),
    WebSocketRoute("/ws", _socket),
]


async def _call(
    method: str, path: str = "/", origins: Iterable[str] = (ORIGIN,), **headers: str
) -> httpx.Response:
    transport = httpx.ASGITransport(Cors(Starlette(routes=ROUTES), origins))
    async with httpx.AsyncClient(transport=transport, base_url="https://cds.example.org") as http:
        return await http.request(method, path, headers=headers)


async def test_sec_17_a_preflight_of_a_listed_origin_is_answered_without_a_token() -> None:
    answer = await _call("OPTIONS", Origin=ORIGIN, **PREFLIGHT)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-methods"] == "GET, POST, OPTIONS"
    assert answer.headers["access-control-allow-headers"] == "authorization, content-type"
    assert "Origin" in answer.headers["vary"]
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", ORIGIN + ".evil.example", ORIGIN + ":8443", "http://sandbox.example"],
)
async def test_sec_17_any_other_origin_is_granted_nothing(origin: str) -> None:
    preflight = await _call("OPTIONS", Origin=origin, **PREFLIGHT)
    answer = await _call("POST", Origin=origin)
    assert not [name for name in (*preflight.headers, *answer.headers) if name.startswith("access-control")]
    assert "Origin" in preflight.headers["vary"]
    assert "Origin" in answer.headers["vary"]


async def test_sec_17_the_answer_may_be_read_by_the_listed_origin() -> None:
    answer = await _call("POST", Origin=ORIGIN)
    assert answer.text == "hello"
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["vary"] == "Accept, Origin"


async def test_sec_17_an_error_may_be_read_too() -> None:
    answer = await _call("GET", "/401", Origin=ORIGIN)
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == ORIGIN


async def test_calls_without_origin_are_left_alone_but_for_vary() -> None:
    answer = await _call("GET")
    assert answer.text == "hello"
    assert answer.headers["vary"] == "Accept, Origin"
    assert "access-control-allow-origin" not in answer.headers


async def test_an_options_call_that_is_no_preflight_goes_on() -> None:
    assert (await _call("OPTIONS", Origin=ORIGIN)).status_code == 405
    assert (await _call("OPTIONS", **PREFLIGHT)).status_code == 405


async def test_a_star_lets_every_origin_in() -> None:
    answer = await _call("OPTIONS", origins=["*"], Origin="https://any.example", **PREFLIGHT)
    assert answer.headers["access-control-allow-origin"] == "https://any.example"


def test_what_is_not_http_is_passed_on() -> None:
    with TestClient(Cors(Starlette(routes=ROUTES), [ORIGIN])) as http, http.websocket_connect("/ws"):
        pass
