"""The calling side against a Tocsin, in this process and over HTTP."""

from typing import Any

import httpx
import pytest

from service.exchange import Exchange, ExchangeFailed, connect
from service.queries import plan
from service.settings import Settings
from tests.service.pages.visits import LOCAL, bundled

URL = "http://127.0.0.1:8000"
ENTRY = {"hook": "patient-view", "id": "red-flags", "prefetch": {"patient": "Patient/{{context.patientId}}"}}


def exchange(**content: Any) -> Exchange:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, **content))
    return Exchange(httpx.AsyncClient(transport=transport, base_url=URL), URL)


async def test_templates_are_those_of_discovery() -> None:
    async with connect(None, LOCAL, bundled()) as inside:
        found = await inside.templates("order-sign")
    keys = [query.key for query in plan(bundled().bundle, "order-sign")]
    assert [one.key for one in found][: len(keys)] == keys
    (one,) = await exchange(json={"services": [ENTRY]}).templates("patient-view")
    assert one.query == "Patient/{{context.patientId}}"


@pytest.mark.parametrize(
    ("services", "says"),
    [([ENTRY], "it has: patient-view"), ([{**ENTRY, "id": "x"}], "it has: no hook"), ([], "no hook")],
)
async def test_a_hook_that_is_not_offered_is_told(services: list[Any], says: str) -> None:
    with pytest.raises(ExchangeFailed, match=says):
        await exchange(json={"services": services}).templates("order-sign")


@pytest.mark.parametrize("content", [{"json": []}, {"content": b"<html>"}, {"content": b"\xff"}])
async def test_what_is_no_discovery_is_told(content: dict[str, Any]) -> None:
    with pytest.raises(ExchangeFailed, match="no discovery"):
        await exchange(**content).templates("patient-view")


async def test_answers_lose_what_could_steer_a_terminal() -> None:
    answer, explanation = await exchange(content=b'{"cards": ["\\u001b[2J\\nx"]}').call({})
    assert answer == explanation == {"cards": ["[2J\nx"]}


@pytest.mark.parametrize(
    ("content", "says"), [({"content": b"x"}, "not JSON"), ({"json": []}, "no CDS Hooks")]
)
async def test_an_answer_that_cannot_be_read_is_told(content: dict[str, Any], says: str) -> None:
    with pytest.raises(ExchangeFailed, match=says):
        await exchange(**content).call({})


async def test_a_large_record_is_taken_in_this_process() -> None:
    padding = {"resourceType": "Condition", "note": [{"text": "x" * LOCAL.max_body_bytes}]}
    body = {
        "hook": "patient-view",
        "hookInstance": "i1",
        "context": {"patientId": "p1", "userId": "Practitioner/1"},
        "prefetch": {"conditions": {"resourceType": "Bundle", "entry": [{"resource": padding}]}},
    }
    settings = Settings(auth=False, explain="off", log_level="error")
    async with connect(None, settings, bundled()) as inside:
        answer, explanation = await inside.call(body)
    assert answer["cards"] == []
    assert explanation is None


async def test_a_url_that_is_none_is_told() -> None:
    with pytest.raises(ExchangeFailed, match="InvalidURL"):
        async with connect("http://x:ab", LOCAL):
            raise AssertionError
