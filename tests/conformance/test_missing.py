"""What could not be had, or not in whole, is said: on the card, and for each key in the Decision (PF-18)."""

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import pytest

from service import demo, desk
from service.desk import Desk
from service.knowledge import Knowledge
from service.prefetch import gather
from service.settings import Settings
from service.trust import Caller, Client
from tests.conformance.ehr import EXPLAIN
from tests.contract.corpus import Json

in_one_loop = pytest.mark.asyncio(loop_scope="session")


def call_with_a_card() -> Json:
    patient = next(one for one in demo.load() if one.expect)
    return demo.to_request(patient, dt.date.today(), str(uuid.uuid4()))


async def explained(caller: httpx.AsyncClient, call: Json) -> tuple[Json, str]:
    """How each key ended, and the text of the first card."""
    answer = await caller.post(EXPLAIN, json=call)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["prefetch"], answer.json()["cards"][0]["detail"]


@in_one_loop
async def test_with_everything_given_nothing_is_said_to_be_missing(caller: httpx.AsyncClient) -> None:
    ended, detail = await explained(caller, call_with_a_card())
    assert {one["says"] for one in ended.values()} == {""}
    assert "Not available" not in detail


@in_one_loop
async def test_a_list_cut_short_is_named_as_a_part(caller: httpx.AsyncClient) -> None:
    call = call_with_a_card()
    conditions = call["prefetch"]["conditions"]
    conditions["link"] = [{"relation": "next", "url": "https://ehr.example.org/fhir?page=2"}]
    ended, detail = await explained(caller, call)
    assert ended["conditions"]["state"] == "given"
    assert ended["conditions"]["says"] == "only the first page was sent"
    assert "Not available: part of the problem list." in detail


@in_one_loop
async def test_a_key_that_is_not_there_is_named(caller: httpx.AsyncClient) -> None:
    call = call_with_a_card()
    del call["prefetch"]["procedures"]
    ended, detail = await explained(caller, call)
    assert ended["procedures"]["says"] == "no FHIR server was named"
    assert "Not available: procedures." in detail


async def test_time_spent_on_reading_the_call_is_taken_from_fetching(monkeypatch: pytest.MonkeyPatch) -> None:
    budgets: list[float] = []

    async def noting(given: Mapping[str, Any] | None, plan: Sequence[Any], **how: Any) -> Any:
        budgets.append(how["seconds"])
        return await gather(given, plan, **how)

    monkeypatch.setattr(desk, "gather", noting)
    settings = Settings(auth=False)
    opened = Desk(settings, Knowledge.load(settings, dt.date.today()))
    call = httpx.Request("POST", "http://x", json=call_with_a_card()).content
    await opened.answer(call, Caller(Client(id="anyone")), dt.datetime.now(dt.UTC))
    await opened.aclose()
    assert 0 < budgets[0] < settings.fetch_budget_ms / 1000
