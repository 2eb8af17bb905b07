"""Every naughty string in every free-text field of a record: the same card, valid, and without its markup."""

import json
from pathlib import Path

import httpx
import pytest

from tests.contract.corpus import SERVICE, Faults, Json, searchset
from tests.service.markdown import markup

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCT, ICD, LOINC = "http://snomed.info/sct", "http://hl7.org/fhir/sid/icd-10-cm", "http://loinc.org"
TODAY = {"resourceType": "Patient", "id": "p1", "gender": "male", "birthDate": "1960-01-01"}


@pytest.fixture(scope="module")
def naughty(shared: Path) -> list[str]:
    file = shared / "corpus" / "hostile" / "naughty-strings" / "blns.json"
    strings: list[str] = json.loads(file.read_bytes())
    assert len(strings) > 500
    return strings


def concept(system: str, code: str, text: str) -> Json:
    other = {"system": text, "code": text, "display": text, "version": text}
    return {"coding": [{"system": system, "code": code, "display": text}, other], "text": text}


def common(text: str) -> Json:
    subject = {"reference": "Patient/p1", "display": text}
    return {"subject": subject, "note": [{"text": text}], "text": {"status": "generated", "div": text}}


def conditions(text: str) -> list[Json]:
    active = {"coding": [{"code": "active", "display": text}], "text": text}
    given: Json = {**common(text), "resourceType": "Condition", "clinicalStatus": active}
    pain = {
        "id": text or "c1",
        "code": concept(SCT, "279039007", text),
        "onsetDateTime": "2026-01-05",
        "onsetString": text,
        "bodySite": [concept(SCT, "x", text)],
    }
    cancer = {"code": concept(ICD, "Z85.038", text), "onsetDateTime": "2019-01-05"}
    return [{**given, **pain}, {**given, **cancer}]


def labs(text: str, today: str) -> list[Json]:
    given: Json = {
        **common(text),
        "resourceType": "Observation",
        "status": "final",
        "effectiveDateTime": today,
    }
    odd = {
        "valueQuantity": {"value": 1, "unit": text, "code": text, "comparator": text, "system": text},
        "referenceRange": [{"text": text, "high": {"value": 2, "unit": text}}],
        "interpretation": [concept(text, text, text)],
    }
    return [
        {**given, "code": concept(LOINC, "1988-5", text), "valueQuantity": {"value": 88, "unit": text}},
        {**given, "code": concept(LOINC, "4537-7", text), "valueString": text},
        {**given, "code": concept(LOINC, "6768-6", text), **odd},
    ]


def record(text: str, today: str) -> dict[str, list[Json]]:
    """A man with cancer before and back pain now, and `text` wherever a record holds text."""
    report = {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "code": concept(LOINC, "24968-0", text),
        "effectiveDateTime": today,
        "conclusion": text,
        "conclusionCode": [{"text": text}],
    }
    medicine = concept("http://www.nlm.nih.gov/research/umls/rxnorm", "7052", text)
    answered = {"linkId": text, "text": text, "answer": [{"valueString": text}]}
    others: dict[str, Json] = {
        "imaging": report,
        "medications": {
            "resourceType": "MedicationRequest",
            "status": "active",
            "medicationCodeableConcept": medicine,
            "authoredOn": text,
        },
        "orders": {"resourceType": "ServiceRequest", "status": "active", "code": {"text": text}},
        "questionnaires": {
            "resourceType": "QuestionnaireResponse",
            "status": "completed",
            "authored": today,
            "item": [answered],
        },
        text: {"resourceType": "Basic", "id": text},
    }
    rest = {key: [{**common(text), **one}] for key, one in others.items()}
    return {**rest, "conditions": conditions(text), "labs": labs(text, today)}


def body(text: str, today: str) -> Json:
    prefetch: Json = {key: searchset(found) for key, found in record(text, today).items()}
    patient = {**TODAY, "name": [{"family": text, "given": [text]}], "address": [{"text": text}]}
    return {
        "hook": "patient-view",
        "hookInstance": "3f8f9d51-5b2e-4a57-9d0b-1f0a6a1b2c3d",
        "context": {"userId": "Practitioner/u1", "patientId": "p1"},
        "prefetch": {**prefetch, "patient": patient},
    }


async def test_naughty_text_of_a_record_never_makes_markup_or_breaks_the_answer(
    naughty: list[str], caller: httpx.AsyncClient, faults: Faults
) -> None:
    day = (await caller.post("/decisions/explain", json=body("plain", "2026-01-05"))).json()["now"][:10]
    plain = (await caller.post(SERVICE, json=body("plain", day))).json()["cards"]
    assert [card["source"]["topic"]["code"] for card in plain] == ["TOCSINCANCERBACK"]
    assert "CRP 88 plain" in plain[0]["detail"]
    for text in naughty:
        response = await caller.post(SERVICE, json=body(text, day))
        assert response.status_code == 200, text
        answer = response.json()
        assert faults(answer) == [], text
        (card,) = answer["cards"]
        assert markup(card["detail"]) == set(), text
        # Only the detail may hold text of the record; all else is as without it.
        assert {**card, "detail": ""} == {**plain[0], "detail": ""}, text


async def test_naughty_identifiers_are_refused_without_being_repeated(
    naughty: list[str], caller: httpx.AsyncClient
) -> None:
    good = body("plain", "2026-01-05")
    for text in naughty:
        for changed in (
            {**good, "hook": text},
            {**good, "hookInstance": text},
            {**good, "context": {"patientId": text}},
            {**good, "context": {**good["context"], "encounterId": text}},
        ):
            response = await caller.post(SERVICE, json=changed)
            assert response.status_code in (200, 400, 412), text
            if response.status_code != 200:
                assert len(text) < 12 or text not in response.text
