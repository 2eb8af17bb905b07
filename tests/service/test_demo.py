"""The bundled patients: what they are, and that the bundled rules answer each as the file says."""

import datetime as dt
from collections import Counter

import orjson
import pytest
from fhir.resources.R4B import get_fhir_model_class

from hooks import REGISTRY
from service import demo
from service.desk import Desk
from service.knowledge import Knowledge
from service.settings import Settings
from service.trust import Caller
from service.trust.clients import anonymous

NOW = dt.datetime(2026, 11, 25, 9, 0, tzinfo=dt.UTC)
INSTANCE = "0d1f0c3e-3a4e-4e0b-9f5f-0a1b2c3d4e5f"
PATIENTS = [pytest.param(patient, id=patient.id) for patient in demo.load()]


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return Knowledge.load(Settings(auth=False), NOW.date())


@pytest.mark.parametrize("patient", PATIENTS)
async def test_the_rules_answer_as_the_file_says(patient: demo.Patient, knowledge: Knowledge) -> None:
    desk = Desk(Settings(auth=False), knowledge)
    body = orjson.dumps(demo.to_request(patient, NOW.date(), INSTANCE))
    answered = await desk.answer(body, Caller(anonymous((), ())), NOW)
    await desk.aclose()
    leads = [card.extension["org.tocsin.findings"][0]["rule"] for card in answered.cards]
    assert leads == patient.expect
    assert list(answered.problems) == []
    assert answered.dropped == {}


@pytest.mark.parametrize("patient", PATIENTS)
def test_every_resource_is_valid_fhir(patient: demo.Patient) -> None:
    for resource in demo.resources(patient, NOW.date()):
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)


@pytest.mark.parametrize("patient", PATIENTS)
@pytest.mark.parametrize("today", [NOW.date(), dt.date(2028, 2, 29), dt.date(2027, 1, 1)])
def test_the_age_is_right_on_any_day(patient: demo.Patient, today: dt.date) -> None:
    born = dt.date.fromisoformat(demo.resources(patient, today)[0]["birthDate"])
    assert today.year - born.year - ((today.month, today.day) < (born.month, born.day)) == patient.age


def test_the_patients_cover_what_a_call_can_end_in() -> None:
    patients = demo.load()
    assert len(patients) >= 12
    assert len({patient.id for patient in patients}) == len(patients)
    assert {patient.hook for patient in patients} <= REGISTRY.keys()
    kinds = Counter(bool(patient.expect) for patient in patients)
    assert min(kinds[True], kinds[False]) >= 3


def test_an_order_hook_carries_its_drafts() -> None:
    patient = next(one for one in demo.load() if one.hook == "order-select")
    request = demo.to_request(patient, NOW.date(), INSTANCE)
    drafts = [entry["resource"] for entry in request["context"]["draftOrders"]["entry"]]
    assert request["context"]["selections"] == [f"ServiceRequest/{draft['id']}" for draft in drafts]
    assert all(draft["status"] == "draft" for draft in drafts)
    assert all(
        resource["resourceType"] != "ServiceRequest" for resource in demo.resources(patient, NOW.date())
    )
