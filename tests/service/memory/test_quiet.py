"""S6 over HTTP: answer a card through the feedback endpoint, call again."""

import asyncio
import datetime as dt
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from service.memory.report import build_report
from service.memory.store import StoreFailed
from tests.service.calls import call_body, knowledge_of
from tests.service.facts import codes
from tests.service.facts.build import condition, patient
from tests.service.memory.http import HOOK, Site, prefetch, site
from tests.service.memory.samples import NEW_BACK, record

DAY = dt.timedelta(days=1)
FINDINGS = "org.tocsin.findings"


def leads(cards: list[dict[str, Any]]) -> list[str]:
    return [card["extension"][FINDINGS][0]["rule"] for card in cards]


async def explained(worker: Site, *resources: dict[str, Any]) -> dict[str, str]:
    """Outcome and reason of each rule that is true, as POST /decisions/explain tells it."""
    reply = await worker.client.post("/decisions/explain", json=call_body(prefetch(resources)))
    return {
        rule["rule"]: (rule["reason"] or {}).get("code", rule["outcome"])
        for rule in reply.json()["rules"]
        if rule["outcome"] in ("fired", "suppressed", "folded")
    }


async def test_an_answered_card_stays_away_for_thirty_days(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(monkeypatch, database_url=store_url, patient_key="k" * 16) as worker:
        cards = await worker.call(*record())
        assert leads(cards) == [NEW_BACK]
        assert (await worker.answer(*cards)).json() == {}
        assert await worker.call(*record()) == []
        assert await explained(worker, *record()) == {NEW_BACK: "S6"}
        worker.now += 30 * DAY
        assert await worker.call(*record()) == []
        worker.now += DAY
        assert leads(await worker.call(*record())) == [NEW_BACK]


async def test_a_higher_crp_or_a_new_sign_brings_the_card_back(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(monkeypatch, database_url=store_url, patient_key="k" * 16) as worker:
        await worker.answer(*(await worker.call(*record())))
        assert leads(await worker.call(*record(crp=60))) == [NEW_BACK]
        weak = record(condition(codes.PARAPARESIS, onset=1, category="encounter-diagnosis"))
        assert leads(await worker.call(*weak)) == ["mscc-cancer-neuro-signs"]


async def test_a_site_sets_the_quiet_time_of_a_reason(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong diagnosis on the list keeps the card away for longer; what is new still brings it back."""
    knowledge = knowledge_of(tmp_path, "quiet_days: {record-wrong: 90, reassess-later: 7}\n")
    kept = {"database_url": store_url, "patient_key": "k" * 16}
    async with site(monkeypatch, knowledge, **kept) as worker:
        await worker.answer(*(await worker.call(*record())), reason="record-wrong")
        worker.now += 89 * DAY
        assert await worker.call(*record()) == []
        assert NEW_BACK in leads(await worker.call(*record(crp=60)))
        worker.now += 2 * DAY
        cards = await worker.call(*record())
        assert leads(cards) == [NEW_BACK]
        await worker.answer(*cards, reason="reassess-later")
        worker.now += 6 * DAY
        assert await worker.call(*record()) == []
        worker.now += 2 * DAY
        assert leads(await worker.call(*record())) == [NEW_BACK]


async def test_a_critical_card_stays_away_for_a_day_only(monkeypatch: pytest.MonkeyPatch) -> None:
    weak = record(condition(codes.PARAPARESIS, onset=1, category="encounter-diagnosis"))
    async with site(monkeypatch) as worker:
        cards = await worker.call(*weak)
        assert {card["indicator"] for card in cards} == {"critical"}
        await worker.answer(*cards)
        assert await worker.call(*weak) == []
        worker.now += DAY + dt.timedelta(minutes=1)
        assert leads(await worker.call(*weak)) == leads(cards)


async def test_rules_folded_into_an_answered_card_do_not_come_up_in_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    long = [
        patient(birthDate="1950-01-01"),
        condition(codes.LOW_BACK_PAIN, onset=60),
        condition(codes.PROSTATE_CANCER, onset=900),
    ]
    async with site(monkeypatch) as worker:
        cards = await worker.call(*long)
        assert any(len(card["extension"][FINDINGS]) > 1 for card in cards)
        await worker.answer(*cards)
        assert await worker.call(*long) == []


async def test_an_answer_at_one_hook_is_not_asked_for_again_at_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with site(monkeypatch) as worker:
        draft: dict[str, Any] = {
            "resourceType": "ServiceRequest",
            "id": "d1",
            "status": "draft",
            "intent": "order",
        }
        draft |= {"subject": {"reference": "Patient/p1"}, "code": {"text": "PLANTED"}}
        await worker.answer(*(await worker.call(*record(), hook="order-select", drafts=[draft])))
        assert await worker.call(*record(), hook="order-sign", drafts=[draft]) == []


async def test_what_was_accepted_while_ordering_is_not_repeated_at_signing(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft: dict[str, Any] = {
        "resourceType": "ServiceRequest",
        "id": "d1",
        "status": "draft",
        "intent": "order",
        "subject": {"reference": "Patient/p1"},
        "code": {"text": "a walking aid"},
    }
    async with site(monkeypatch, database_url=store_url, patient_key="k" * 16) as worker:
        (card,) = await worker.call(*record(), hook="order-select", drafts=[draft])
        accepted = [{"id": card["suggestions"][0]["uuid"]}]
        entry = {"card": card["uuid"], "outcome": "accepted", "acceptedSuggestions": accepted}
        reply = await worker.client.post(f"{HOOK}/feedback", json={"feedback": [entry]})
        assert reply.status_code == 200
        assert await worker.call(*record(), hook="order-sign", drafts=[draft]) == []
        assert leads(await worker.call(*record(crp=60), hook="order-sign", drafts=[draft])) == [NEW_BACK]


async def test_two_people_who_say_that_the_record_is_wrong_show_in_the_report(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = f"{NEW_BACK}: 2 people said that the record behind it is wrong."
    async with site(monkeypatch, database_url=store_url, patient_key="k" * 16) as worker:
        store = worker.desk.memory.store
        for user, told in (("u1", False), ("u1", False), ("u2", True)):
            context = {"userId": f"Practitioner/{user}", "patientId": "p1"}
            cards = await worker.call(*record(), context=context)
            await worker.answer(*cards, reason="record-wrong")
            await worker.desk.memory.settle(5)
            assert (said in build_report(store, 0, worker.now.timestamp() + 1).concerns) is told
            # After its quiet time the card comes again.
            worker.now += 31 * DAY


async def test_another_patient_and_another_clinicians_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(monkeypatch, quiet_per="clinician") as worker:
        await worker.answer(*(await worker.call(*record())))
        assert await worker.call(*record()) == []
        other: dict[str, Any] = {"context": {"userId": "Practitioner/u2", "patientId": "p1"}}
        assert leads(await worker.call(*record(), **other)) == [NEW_BACK]
        nobody: dict[str, Any] = {"context": {"patientId": "p1"}}
        assert leads(await worker.call(*record(), **nobody)) == [NEW_BACK]


async def test_answers_survive_a_restart_and_a_rotated_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'tocsin.sqlite'}"
    async with site(monkeypatch, database_url=url, patient_key="old" * 6) as worker:
        await worker.answer(*(await worker.call(*record())))
    async with site(monkeypatch, database_url=url, patient_key=f"{'new' * 6},{'old' * 6}") as worker:
        assert await worker.call(*record()) == []
    async with site(monkeypatch, database_url=url, patient_key="new" * 6) as worker:
        assert leads(await worker.call(*record())) == [NEW_BACK]


@pytest.mark.parametrize("store_url", ["sqlite", "postgres"], indirect=True)
async def test_two_workers_share_what_was_answered(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The card is shown by one, answered through the other at once, and asked for again from the first."""
    settings: dict[str, Any] = {"database_url": store_url, "patient_key": "k" * 16}
    async with site(monkeypatch, **settings) as first, site(monkeypatch, **settings) as second:
        cards = await first.call(*record())
        await second.answer(*cards)
        for _ in range(200):
            if not await second.call(*record()):
                break
            # The card's own record may still be on its way from the first worker.
            await asyncio.sleep(0.05)
        assert await first.call(*record()) == []
        assert await second.call(*record()) == []


async def test_when_the_store_cannot_be_read_the_card_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with site(monkeypatch) as worker:
        await worker.answer(*(await worker.call(*record())))

        def broken(*_: Any) -> None:
            raise StoreFailed("gone")

        monkeypatch.setattr(worker.desk.memory.store, "answers", broken)
        assert leads(await worker.call(*record())) == [NEW_BACK]
        text = (await worker.client.get("/metrics")).text
        assert "tocsin_store_read_failures_total 1.0" in text


async def test_a_call_on_which_nothing_fires_does_not_ask_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(monkeypatch) as worker:

        def asked(*_: Any) -> None:
            raise AssertionError("the store was asked")

        monkeypatch.setattr(worker.desk.memory.store, "answers", asked)
        assert await worker.call(patient(), condition(codes.LOW_BACK_PAIN, onset=3)) == []


# -- the vignette ------------------------------------------------------------------------------------


@pytest.fixture
def vignettes(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(shared / "vignettes"))
    yield pytest.importorskip("vignettes")
    sys.modules.pop("vignettes", None)


async def test_vignette_n19(shared: Path, vignettes: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clinician has already answered the same alert: exactly the expected silence."""
    wanted = {v["id"]: v for v in vignettes.load_set(shared / "vignettes" / "open.yaml")}["N19"]
    case = vignettes.build(wanted, None)
    resources = [entry["resource"] for entry in case["bundle"]["entry"]]
    body = {"hook": case["hook"], "context": case["context"], "prefetch": vignette_prefetch(resources)}
    async with site(monkeypatch) as worker:
        worker.now = dt.datetime.now(dt.UTC)
        for given in case["feedback"]:
            cards = (await post(worker, body)).json()["cards"]
            assert [finding["rule"] for card in cards for finding in card["extension"][FINDINGS]] == [
                given["rule"]
            ]
            await worker.answer(*cards)
        assert (await post(worker, body)).json()["cards"] == wanted["expect"]["cards"]
        told = (await post(worker, body, "/decisions/explain")).json()["rules"]
        suppressed = [
            {"rule": rule["rule"], "by": rule["reason"]["code"]}
            for rule in told
            if rule["outcome"] == "suppressed"
        ]
        assert suppressed == wanted["expect"]["suppressed"]


async def post(worker: Site, body: dict[str, Any], path: str = "/cds-services/red-flags") -> Any:
    content = orjson.dumps({"hookInstance": "7d5b0f55-2a7b-4f0e-9a51-6a7b7d3f9c10", **body})
    return await worker.client.post(path, content=content, headers={"Content-Type": "application/json"})


def vignette_prefetch(resources: list[dict[str, Any]]) -> dict[str, Any]:
    keys = {
        "conditions": ("Condition",),
        "encounters": ("Encounter",),
        "labs": ("Observation",),
        "findings": (),
        "procedures": ("Procedure",),
        "medications": ("MedicationRequest", "MedicationStatement"),
        "imaging": ("DiagnosticReport",),
        "studies": ("ImagingStudy",),
        "orders": ("ServiceRequest",),
        "questionnaires": ("QuestionnaireResponse",),
        "careplans": ("CarePlan",),
        "flags": ("Flag",),
    }
    found: dict[str, Any] = {"patient": next(r for r in resources if r["resourceType"] == "Patient")}
    for key, kinds in keys.items():
        entries = [{"resource": resource} for resource in resources if resource["resourceType"] in kinds]
        found[key] = {"resourceType": "Bundle", "type": "searchset", "entry": entries}
    return found
