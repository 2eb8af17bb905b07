"""SEC-01, SEC-02: what every answer carries."""

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from service.trust.headers import SecurityHeaders


async def _json(_: Request) -> JSONResponse:
    return JSONResponse({}, headers={"Server": "something/1.2.3"})


async def _page(_: Request) -> JSONResponse:
    own = {"Content-Security-Policy": "default-src 'self'", "Cache-Control": "max-age=60"}
    return JSONResponse({}, headers=own)


ROUTES = [Route("/json", _json), Route("/page", _page)]


async def _get(path: str, *, https: bool = False) -> httpx.Headers:
    transport = httpx.ASGITransport(SecurityHeaders(Starlette(routes=ROUTES), https))
    async with httpx.AsyncClient(transport=transport, base_url="https://cds.example.org") as http:
        return (await http.get(path)).headers


async def test_sec_02_every_answer_carries_the_headers_and_no_banner() -> None:
    for path in ("/json", "/no-such-path"):
        headers = await _get(path)
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == "no-store"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert "server" not in headers
        assert "strict-transport-security" not in headers


async def test_a_page_keeps_its_own_policies() -> None:
    headers = await _get("/page")
    assert headers["content-security-policy"] == "default-src 'self'"
    assert headers["cache-control"] == "max-age=60"
    assert headers["x-content-type-options"] == "nosniff"


async def test_sec_01_under_tls_browsers_are_told_to_stay_there() -> None:
    assert (await _get("/json", https=True))["strict-transport-security"].startswith("max-age=")


def test_what_is_not_http_is_passed_on() -> None:
    with TestClient(SecurityHeaders(Starlette(routes=ROUTES))) as http:
        assert http.get("/json").status_code == 200
