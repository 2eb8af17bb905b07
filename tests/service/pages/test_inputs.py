"""What people put in, as the body of a hook call."""

import json
from typing import Any

import pytest

from service.answering import POLICY_FACTS
from service.bodies import InputRefused
from service.pages.inputs import Input, body_of, read_input
from service.queries import plan
from tests.service.facts.build import NOW
from tests.service.pages.visits import bundled

PATIENT = {"resourceType": "Patient", "id": "p1"}
PAIN = {"resourceType": "Condition", "id": "c1"}
DRUG = {"resourceType": "Medication", "id": "m1"}
CALL: dict[str, Any] = {"hook": "patient-view", "context": {"patientId": "p1", "userId": "Practitioner/1"}}


def body(**fields: str) -> dict[str, Any]:
    rules = bundled().bundle
    return body_of(
        read_input(fields),
        plan=plan(rules, "patient-view", POLICY_FACTS),
        orders=rules.orders,
        today=NOW.date(),
        instance="i1",
    )


def bundle_text(*resources: object) -> str:
    return json.dumps({"resourceType": "Bundle", "entry": [{"resource": one} for one in resources]})


def refusal(**fields: str) -> str:
    with pytest.raises(InputRefused) as caught:
        body(**fields)
    return str(caught.value)


def test_a_bundle_is_laid_out_under_our_keys() -> None:
    made = body(data=bundle_text(PATIENT, PAIN, DRUG, "no resource", {"resourceType": "Claim"}))
    assert made["hook"] == "patient-view"
    assert made["context"] == {"userId": "Practitioner/playground", "patientId": "p1"}
    assert made["prefetch"]["patient"] == PATIENT
    assert made["prefetch"]["conditions"]["entry"] == [{"resource": PAIN}]
    assert made["prefetch"]["medications"]["entry"] == [{"resource": DRUG}]
    assert made["prefetch"]["labs"] is None
    assert set(made["prefetch"]) == {
        query.key for query in plan(bundled().bundle, "patient-view", POLICY_FACTS)
    }


def test_bundles_inside_a_bundle_are_opened() -> None:
    inside = {"resourceType": "Bundle", "entry": [{"resource": PATIENT}, {"resource": PAIN}, 7]}
    made = body(data=bundle_text(inside, {"resourceType": "Bundle", "entry": {}}))
    assert made["prefetch"]["patient"] == PATIENT
    assert made["prefetch"]["conditions"]["entry"] == [{"resource": PAIN}]


def test_a_hook_request_is_taken_as_it_is_but_calls_nobody() -> None:
    given = {
        **CALL,
        "fhirServer": "https://ehr.example.org",
        "fhirAuthorization": {"access_token": "t"},
        "x": 1,
    }
    assert body(data=json.dumps(given)) == {**CALL, "hookInstance": "i1", "x": 1}


def test_a_hook_is_set_with_the_context_it_needs() -> None:
    draft = {"resourceType": "ServiceRequest", "id": "s1"}
    given = {**CALL, "context": {"patientId": "p1", "draftOrders": json.loads(bundle_text(draft))}}
    made = body(data=json.dumps(given), hook="order-select")
    assert (made["hook"], made["context"]["selections"]) == ("order-select", ["ServiceRequest/s1"])
    assert made["context"]["userId"] == "Practitioner/playground"
    assert body(data=json.dumps(CALL), hook="order-sign")["context"]["draftOrders"]["entry"] == []
    assert "draftOrders" not in body(data=json.dumps(CALL), hook="patient-view")["context"]


def test_a_draft_order_makes_an_order_hook_of_a_chart_view() -> None:
    made = body(patient="demo-cord", order="esr-crp")
    drafts = [entry["resource"] for entry in made["context"]["draftOrders"]["entry"]]
    assert made["hook"] == "order-select"
    assert made["context"]["selections"] == ["ServiceRequest/draft-0", "ServiceRequest/draft-1"]
    assert {one["subject"]["reference"] for one in drafts} == {"Patient/demo-cord"}
    assert body(patient="demo-cord", order="esr-crp", hook="order-sign")["hook"] == "order-sign"


def test_what_is_pasted_goes_before_the_patient_and_a_file_before_that() -> None:
    pasted, file = bundle_text(PATIENT), bundle_text({**PATIENT, "id": "p2"})
    assert body(patient="demo-cord", data=pasted)["context"]["patientId"] == "p1"
    assert body(patient="demo-cord", data=pasted, file=file)["context"]["patientId"] == "p2"
    assert body(patient="demo-cord", data=pasted, file="")["context"]["patientId"] == "p1"
    assert body(patient="demo-cord", data="  ")["context"]["patientId"] == "demo-cord"


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"data": '{"a":\n!'}, "line 2, column 1"),
        ({"data": "[]"}, "no object"),
        ({"data": "{}"}, "neither"),
        ({"data": '{"hook": "patient-view", "context": []}'}, "neither"),
        ({"data": '{"resourceType": "Bundle"}'}, "no entries"),
        ({"data": bundle_text(PAIN)}, "no Patient"),
        ({"data": bundle_text({"resourceType": "Patient"})}, "no Patient"),
        ({"data": bundle_text(PATIENT, {**PATIENT, "id": "p2"})}, "more than one"),
        ({"patient": "nobody"}, "no such patient"),
        ({"patient": "demo-cord", "hook": "order-dispatch"}, "none of"),
        ({"patient": "demo-cord", "order": "leeches"}, "no such order"),
    ],
)
def test_what_cannot_be_tried_is_told(fields: dict[str, str], says: str) -> None:
    assert says in refusal(**fields)


def test_drafts_that_are_no_bundle_are_replaced() -> None:
    given = {**CALL, "context": {"patientId": "p1", "draftOrders": {"entry": "x"}}}
    assert body(data=json.dumps(given), hook="order-select")["context"]["selections"] == []
    given["context"]["draftOrders"] = []
    assert body(data=json.dumps(given), hook="order-sign")["context"]["draftOrders"]["entry"] == []


def test_loading_a_rules_text_drops_the_one_there_was() -> None:
    assert read_input({"text": "a\r\nb"}).text == "a\nb"
    assert read_input({"text": "a", "load": "1"}).text == ""
    assert Input().is_empty
    assert not read_input({"patient": " demo-cord "}).is_empty
