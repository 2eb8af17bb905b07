"""What people put in, as the body of a hook call."""

import json
from typing import Any

import pytest

from hooks import REGISTRY
from service.answering import POLICY_FACTS
from service.bodies import InputRefused, opened, prefetched
from service.pages.inputs import HOOKS, Input, body_of, read_input
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


def test_every_hook_is_about_something() -> None:
    """A context that is valid and empty would show what a hook does when nothing happens."""
    assert tuple(REGISTRY) == HOOKS
    contexts = {hook: body(patient="demo-cord", hook=hook)["context"] for hook in HOOKS}
    assert contexts["encounter-start"]["encounterId"] == "playground"
    assert contexts["encounter-discharge"]["encounterId"] == "playground"
    assert contexts["order-dispatch"]["dispatchedOrders"] == ["ServiceRequest/playground"]
    assert contexts["order-dispatch"]["performer"] == "Practitioner/performer"
    (booked,) = opened(contexts["appointment-book"]["appointments"])
    assert (booked["resourceType"], booked["status"]) == ("Appointment", "proposed")
    assert booked["participant"][0]["actor"] == {"reference": "Patient/demo-cord"}
    (problem,) = opened(contexts["problem-list-item-create"]["conditions"])
    days = [one["onsetDateTime"] for one in prefetched(body(patient="demo-cord"), "Condition")]
    assert problem["onsetDateTime"] == max(days)


def test_what_the_record_has_goes_before_what_is_made_up() -> None:
    encounter = {"resourceType": "Encounter", "id": "e1"}
    order = {"resourceType": "ServiceRequest", "id": "s1", "status": "active"}
    data = bundle_text(PATIENT, encounter, order)
    assert body(data=data, hook="encounter-start")["context"]["encounterId"] == "e1"
    assert body(data=data, hook="order-dispatch")["context"]["dispatchedOrders"] == ["ServiceRequest/s1"]
    given = {"patientId": "p1", "appointments": json.loads(bundle_text({"resourceType": "Appointment"}))}
    made = body(data=json.dumps({"hook": "appointment-book", "context": given}), hook="appointment-book")
    assert opened(made["context"]["appointments"]) == [{"resourceType": "Appointment"}]


@pytest.mark.parametrize("hook", [hook for hook in HOOKS if not hook.startswith("order-s")])
def test_a_draft_order_is_never_put_where_orders_are_not(hook: str) -> None:
    made = body(patient="demo-cord", order="esr-crp", hook=hook)
    assert made["hook"] == "order-select"
    assert len(opened(made["context"]["draftOrders"])) == 2
    for field in ("appointments", "conditions"):
        kinds = {one["resourceType"] for one in opened(made["context"].get(field))}
        assert "ServiceRequest" not in kinds


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
        ({"patient": "demo-cord", "hook": "order-made"}, "none of"),
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
