"""The corpus patients, whom nobody in this project made, at patient-view: no error, no card without pain."""

import uuid
from pathlib import Path

import httpx
import pytest

from tests.contract.corpus import SERVICE, Json, keys_of, patients, rules_shown, searchset

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Rules that start from a finding, not from pain: a fracture, imaging, polymyalgia, spondyloarthritis.
WITHOUT_PAIN = frozenset(
    {
        "inflammatory-back-pain-malignancy-check",
        "myeloma-crab-pattern",
        "myeloma-screen-60-bone-pain",
        "pmr-atypical-malignancy-check",
        "suspicious-imaging-not-actioned",
        "unexplained-vertebral-fracture-malignancy-check",
        "vertebral-fracture-risk",
    }
)


async def explained(
    caller: httpx.AsyncClient, templates: dict[str, str], patient: str, resources: list[Json]
) -> tuple[Json, Json]:
    keys = keys_of(templates, resources, patient)
    person = keys.pop("patient")
    prefetch: Json = {key: searchset(found) if found else None for key, found in keys.items()}
    body = {
        "hook": "patient-view",
        "hookInstance": str(uuid.uuid4()),
        "context": {"userId": "Practitioner/u1", "patientId": patient},
        "prefetch": {**prefetch, "patient": person[0]},
    }
    whole = await caller.post("/decisions/explain", json=body)
    answer = await caller.post(SERVICE, json=body)
    assert (whole.status_code, answer.status_code) == (200, 200), (patient, answer.text)
    return whole.json(), answer.json()


async def test_the_corpus_patients_raise_no_error_and_no_card_without_pain(
    shared: Path, caller: httpx.AsyncClient, templates: dict[str, dict[str, str]]
) -> None:
    seen, carded = 0, 0
    for patient, resources in patients(shared):
        whole, answer = await explained(caller, templates["patient-view"], patient, resources)
        seen += 1
        assert [rule["rule"] for rule in whole["rules"] if rule["outcome"] == "error"] == []
        assert whole["data"]["problems"] == [], patient
        shown = {card["rule"] for card in rules_shown(answer["cards"])}
        carded += bool(shown)
        pain = next(fact["value"] for fact in whole["facts"] if fact["name"] == "pain.axial.current")
        assert pain is True or shown <= WITHOUT_PAIN, patient
        assert whole["coverage"]["covered"] or whole["coverage"]["reason"]
    assert seen == 130
    # An alarm that rang for everyone would be switched off.
    assert 0 < carded <= 5
