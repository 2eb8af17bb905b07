"""Bodies of hook calls from Bundles and requests: patients told apart, references as a server has them."""

import datetime as dt
import json
from typing import Any

import pytest

from service.answering import POLICY_FACTS
from service.bodies import InputRefused, SeveralPatients, add_drafts, at_hook, call, opened, read_body
from service.queries import plan
from tests.service.pages.visits import bundled

Json = dict[str, Any]
DAY = dt.date(2026, 11, 25)
USER = "Practitioner/u"


def entry(resource: Json, url: str = "") -> Json:
    return {"fullUrl": url, "resource": resource} if url else {"resource": resource}


def bundle(*entries: Json) -> Json:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def patient(name: str) -> Json:
    return {"resourceType": "Patient", "id": name}


def pain(name: str, of: str) -> Json:
    return {"resourceType": "Condition", "id": name, "subject": {"reference": of}}


def read(given: object, chosen: str = "") -> Json:
    queries = plan(bundled().bundle, "patient-view", POLICY_FACTS)
    return read_body(json.dumps(given), queries, user=USER, instance="i1", patient=chosen)


def test_of_several_patients_one_is_chosen_and_the_others_data_left_out() -> None:
    both = bundle(
        entry(patient("p2")),
        entry(patient("p1")),
        entry(pain("c1", "Patient/p1")),
        entry(pain("c2", "x/Patient/p2")),
    )
    with pytest.raises(SeveralPatients) as caught:
        read(both)
    assert caught.value.ids == ("p1", "p2")
    body = read(both, "Patient/p1")
    assert body["context"] == {"userId": USER, "patientId": "p1"}
    assert [one["resource"]["id"] for one in body["prefetch"]["conditions"]["entry"]] == ["c1"]
    with pytest.raises(InputRefused, match="no Patient with that id"):
        read(both, "p3")


def test_a_transaction_gets_the_ids_and_references_a_server_gives() -> None:
    person, url = {"resourceType": "Patient"}, "urn:uuid:5f9e"
    body = read(bundle(entry(person, url), entry(pain("c1", url), "https://ehr.example.org/Condition/c1")))
    assert body["context"]["patientId"] == "5f9e"
    (condition,) = body["prefetch"]["conditions"]["entry"]
    assert condition["resource"]["subject"] == {"reference": "Patient/5f9e"}


def test_a_batch_response_is_opened_in_order() -> None:
    inner = bundle(entry(pain("c1", "Patient/p1")), entry({"resourceType": "Condition", "id": "c2"}))
    found = opened(bundle(entry(inner), entry(patient("p1")), {"response": {"status": "404"}}))
    assert [one["id"] for one in found] == ["p1", "c1", "c2"]
    assert opened([1]) == opened(None) == opened({"entry": "x"}) == []


@pytest.mark.parametrize("depth", [300, 600])
def test_json_that_is_nested_too_deep_is_told(depth: int) -> None:
    text = '{"hook": "patient-view", "context": {}, "x": ' + "[" * depth + "]" * depth + "}"
    with pytest.raises(InputRefused, match="nested deeper"):
        read_body(text, (), user=USER, instance="i1")


def test_every_hook_gets_the_context_it_must_have() -> None:
    prefetch = {
        "encounters": bundle(entry({"resourceType": "Encounter", "id": "e1"})),
        "orders": bundle(
            entry({"resourceType": "ServiceRequest", "id": "s1", "status": "active"}),
            entry({"resourceType": "ServiceRequest", "id": "s2", "status": "completed"}),
        ),
    }
    bodies = {}
    for hook in ("encounter-start", "order-dispatch", "appointment-book", "problem-list-item-create"):
        bodies[hook] = call("p1", USER, "i1", prefetch)
        at_hook(bodies[hook], hook, user=USER)
    assert bodies["encounter-start"]["context"]["encounterId"] == "e1"
    assert bodies["order-dispatch"]["context"]["dispatchedOrders"] == ["ServiceRequest/s1"]
    assert bodies["order-dispatch"]["context"]["performer"] == "Practitioner/performer"
    assert bodies["appointment-book"]["context"]["appointments"]["entry"] == []
    assert bodies["problem-list-item-create"]["context"]["conditions"]["entry"] == []


def test_an_encounter_is_given_or_found_or_asked_for() -> None:
    body = call("p1", USER, "i1")
    at_hook(body, "encounter-discharge", user=USER, encounter="e7")
    assert body["context"]["encounterId"] == "e7"
    with pytest.raises(InputRefused, match="Name one"):
        at_hook(call("p1", USER, "i1", {}), "encounter-start", user=USER)
    with pytest.raises(InputRefused, match="none of patient-view"):
        at_hook(body, "no-hook", user=USER)


def test_drafts_are_about_the_patient_and_of_the_day() -> None:
    body = call("p1", USER, "i1", {})
    add_drafts(body, [{"resourceType": "ServiceRequest"}], DAY, user=USER)
    assert (body["hook"], body["context"]["selections"]) == ("order-select", ["ServiceRequest/draft-0"])
    (draft,) = opened(body["context"]["draftOrders"])
    assert (draft["subject"], draft["authoredOn"]) == ({"reference": "Patient/p1"}, "2026-11-25")
    add_drafts(body, [{"resourceType": "MedicationRequest"}], DAY, user=USER, prefix="second")
    assert body["context"]["selections"] == ["ServiceRequest/draft-0", "MedicationRequest/second-0"]


def test_appointments_and_problems_are_drafts_of_their_own_hooks() -> None:
    booked = call("p1", USER, "i1")
    at_hook(booked, "appointment-book", user=USER)
    actors: list[Any] = [
        {"actor": {"reference": "Patient/p9"}},
        {"actor": {"reference": "Practitioner/d"}},
        7,
    ]
    add_drafts(booked, [{"resourceType": "Appointment", "participant": actors}], DAY, user=USER)
    (made,) = opened(booked["context"]["appointments"])
    assert made["participant"] == [
        {"actor": {"reference": "Patient/p1"}, "status": "needs-action"},
        actors[1],
        7,
    ]
    listed = call("p1", USER, "i1")
    at_hook(listed, "problem-list-item-create", user=USER)
    add_drafts(listed, [{"resourceType": "Condition"}], DAY, user=USER)
    (problem,) = opened(listed["context"]["conditions"])
    assert problem["recordedDate"] == "2026-11-25"
