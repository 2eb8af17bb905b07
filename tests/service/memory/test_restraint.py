"""Repeated encounter starts and rate caps: what they hold back, and that critical cards always come."""

import datetime as dt
from typing import Any

import pytest

from hooks.epic import TRIGGER_ACTION
from tests.service.facts import codes
from tests.service.facts.build import condition
from tests.service.memory.http import Site, site
from tests.service.memory.samples import NEW_BACK, record

START: dict[str, Any] = {
    "hook": "encounter-start",
    "context": {"userId": "Practitioner/u1", "patientId": "p1", "encounterId": "e1"},
}
WEAK = condition(codes.PARAPARESIS, onset=1, category="encounter-diagnosis")


async def reasons(worker: Site) -> list[str]:
    """Why the rules of the newest call were held back."""
    await worker.desk.memory.settle()
    calls = [call for _, call in worker.desk.memory.store.calls(0, 1e12)]
    return [calls[-1].moved]


async def shown(worker: Site, *resources: Any, **members: Any) -> int:
    cards = await worker.call(*resources, **members)
    await worker.desk.memory.settle()
    return len(cards)


async def test_an_encounter_that_starts_again_gets_no_second_card(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(monkeypatch, database_url=store_url, patient_key="k" * 16) as worker:
        assert await shown(worker, *record(), **START) == 1
        assert await shown(worker, *record(), **START) == 0
        assert await reasons(worker) == [f'{{"{NEW_BACK}":"REPEAT"}}']
        # Something new, another encounter, another hook, another day.
        assert await shown(worker, *record(crp=60), **START) == 1
        other = {**START, "context": {**START["context"], "encounterId": "e2"}}
        assert await shown(worker, *record(), **other) == 1
        assert await shown(worker, *record()) == 1
        worker.now += dt.timedelta(hours=25)
        assert await shown(worker, *record(crp=60), **START) == 1


async def test_a_critical_card_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(monkeypatch) as worker:
        for _ in range(2):
            assert await shown(worker, *record(WEAK), **START) == 1


async def test_without_an_encounter_nothing_is_a_repetition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Epic tells the start of an encounter by an extension of patient-view, which needs no encounter."""
    async with site(monkeypatch) as worker:
        for _ in range(2):
            assert await shown(worker, *record(), extension={TRIGGER_ACTION: "26"}) == 1


async def test_a_fingerprint_that_cannot_be_read_is_no_repetition(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(monkeypatch) as worker:
        await shown(worker, *record(), **START)
        with worker.desk.memory.store.transaction() as cursor:
            cursor.execute("UPDATE cards SET fingerprint = 'none'")
        assert await shown(worker, *record(), **START) == 1


@pytest.mark.parametrize("cap", [{"cards_per_clinician_day": 2}, {"cards_per_encounter": 2}])
async def test_a_cap_holds_back_what_is_over_it_and_no_critical_card(
    store_url: str, monkeypatch: pytest.MonkeyPatch, cap: dict[str, Any]
) -> None:
    context = {**START["context"]}
    async with site(monkeypatch, database_url=store_url, patient_key="k" * 16, **cap) as worker:
        for expected in (1, 1, 0):
            assert await shown(worker, *record(), context=context) == expected
        assert await reasons(worker) == [f'{{"{NEW_BACK}":"CAP"}}']
        assert await shown(worker, *record(WEAK), context=context) == 1
        other = {"userId": "Practitioner/u2", "patientId": "p1", "encounterId": "e2"}
        assert await shown(worker, *record(), context=other) == 1


async def test_the_clinicians_day_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(monkeypatch, cards_per_clinician_day=1) as worker:
        assert [await shown(worker, *record()) for _ in range(2)] == [1, 0]
        worker.now += dt.timedelta(hours=25)
        assert await shown(worker, *record()) == 1


async def test_callers_without_a_name_have_no_cap(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(monkeypatch, cards_per_clinician_day=1) as worker:
        for _ in range(2):
            assert await shown(worker, *record(), context={"patientId": "p1"}) == 1
