"""What one caller may cost: bytes, calls a minute, calls at once."""

from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.testing import capture_logs

from service.errors import BodyTooLarge, Overloaded, RateLimited, answer
from service.logs import configure
from service.trust.clients import CallLimits, Client
from service.trust.limits import BodyLimit, Throttle
from tests.service.trust.signing import client

AT = 5000.0


async def _length(request: Request) -> JSONResponse:
    return JSONResponse(len(await request.body()))


async def _late(scope: Scope, receive: Receive, send: Send) -> None:
    """An app that begins to answer before it has read."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while (await receive())["more_body"]:
        pass


async def _ignores(_: Request) -> PlainTextResponse:
    return PlainTextResponse("not read")


async def _as_the_service_does(_: Request, error: Exception) -> Response:
    told = answer(error)
    return Response(told.body, told.status, told.headers)


PLAIN = Starlette(routes=[Route(f"/{f.__name__}", f, methods=["POST"]) for f in (_length, _ignores)])
HANDLING = Starlette(routes=PLAIN.routes, exception_handlers={BodyTooLarge: _as_the_service_does})


async def _post(path: str, *parts: bytes, app: ASGIApp = PLAIN, **headers: str) -> httpx.Response:
    async def body() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    transport = httpx.ASGITransport(BodyLimit(app, 10))
    async with httpx.AsyncClient(transport=transport, base_url="https://cds.example.org") as http:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await http.post(path, content=body(), headers=named)


async def test_a_body_up_to_the_limit_is_passed_on() -> None:
    assert (await _post("/_length", b"12345", b"67890")).json() == 10
    assert (await _post("/_length", b"1234567890", content_length="10")).json() == 10
    assert (await _post("/_length", b"1", content_length="+5")).json() == 1


@pytest.mark.parametrize("app", [PLAIN, HANDLING])
async def test_a_longer_body_is_refused_while_it_comes(app: Starlette) -> None:
    sent = await _post("/_length", b"12345", b"67890", b"1", app=app)
    assert sent.status_code == 413
    assert sent.json()["issue"][0]["details"]["coding"][0]["code"] == "body-too-large"


@pytest.mark.parametrize("length", ["11", "99999999999999999999999999"])
async def test_a_longer_content_length_is_refused_before_anything_is_read(length: str) -> None:
    sent = await _post("/_ignores", b"never read", content_length=length)
    assert sent.status_code == 413
    assert sent.headers["content-type"] == "application/fhir+json"
    assert sent.headers["connection"] == "close"


async def test_a_refusal_before_anything_is_read_is_logged() -> None:
    configure("info")
    with capture_logs() as lines:
        await _post("/_ignores", b"never read", content_length="11")
    assert lines == [{"event": "refused", "log_level": "info", "code": "body-too-large", "status": 413}]


async def test_an_answer_already_begun_is_not_begun_again() -> None:
    with pytest.raises(BodyTooLarge):
        await _post("/", b"12345", b"67890", b"1", app=_late)


def test_what_is_not_http_is_passed_on() -> None:
    with TestClient(BodyLimit(PLAIN, 10)) as http:
        assert http.post("/_length", content=b"123").json() == 3


def _taken(throttle: Throttle, limits: CallLimits, calls: int, at: float) -> int:
    taken = 0
    for _ in range(calls):
        try:
            with throttle.admit(client(limits=limits), at):
                taken += 1
        except RateLimited:
            pass
    return taken


def test_a_burst_is_taken_and_then_the_rate() -> None:
    throttle = Throttle()
    limits = CallLimits(per_minute=60, burst=5, concurrent=9)
    assert _taken(throttle, limits, 10, AT) == 5
    assert _taken(throttle, limits, 10, AT + 0.5) == 0
    assert _taken(throttle, limits, 10, AT + 1) == 1
    assert _taken(throttle, limits, 10, AT + 3.5) == 2
    assert _taken(throttle, limits, 10, AT + 1000) == 5


def test_a_call_over_the_rate_is_told_when_to_come_again() -> None:
    throttle = Throttle()
    limits = CallLimits(per_minute=6, burst=1, concurrent=9)
    assert _taken(throttle, limits, 1, AT) == 1
    with pytest.raises(RateLimited) as caught, throttle.admit(client(limits=limits), AT + 2.5):
        pass
    assert caught.value.headers == {"Retry-After": "8"}


def test_a_clock_that_stands_or_goes_back_gives_nothing_away() -> None:
    throttle = Throttle()
    limits = CallLimits(per_minute=60, burst=1, concurrent=9)
    assert _taken(throttle, limits, 1, AT) == 1
    assert _taken(throttle, limits, 1, AT - 100) == 0
    assert _taken(throttle, limits, 1, AT + 0.9) == 0
    assert _taken(throttle, limits, 1, AT + 1) == 1


def test_clients_do_not_use_up_each_others_calls() -> None:
    throttle = Throttle()
    limits = CallLimits(per_minute=1, burst=1, concurrent=1)
    with throttle.admit(client(limits=limits), AT), throttle.admit(client(id="other", limits=limits), AT):
        pass


def _expect_overload(throttle: Throttle, caller: Client) -> None:
    with pytest.raises(Overloaded), throttle.admit(caller, AT):
        pass


def test_calls_under_way_are_capped_and_freed_even_after_a_failure() -> None:
    throttle = Throttle()
    caller = client(limits=CallLimits(per_minute=600, burst=100, concurrent=2))
    with throttle.admit(caller, AT), throttle.admit(caller, AT):
        _expect_overload(throttle, caller)
    with pytest.raises(ZeroDivisionError), throttle.admit(caller, AT):
        raise ZeroDivisionError
    with throttle.admit(caller, AT), throttle.admit(caller, AT):
        pass


def test_each_worker_gives_out_its_share_but_at_least_one() -> None:
    limits = CallLimits(per_minute=60, burst=8, concurrent=1)
    throttle = Throttle(workers=4)
    assert _taken(throttle, limits, 10, AT) == 2
    assert _taken(throttle, limits, 10, AT + 3.9) == 0
    assert _taken(throttle, limits, 10, AT + 4) == 1
