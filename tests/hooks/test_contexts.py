"""The module of each hook: its context, its drafts, its older and wrong spellings."""

from typing import Any

import pytest

from hooks.appointment_book import AppointmentBook
from hooks.encounter_discharge import EncounterDischarge
from hooks.encounter_start import EncounterStart
from hooks.errors import ContextFieldMissing
from hooks.order_dispatch import OrderDispatch
from hooks.order_select import OrderSelect
from hooks.order_sign import OrderSign
from hooks.patient_view import PatientView
from hooks.problem_list_item_create import ProblemListItemCreate
from tests.hooks.requests import ORDER, TASK, read

IDS = {"userId": "Practitioner/u1", "patientId": "p1", "encounterId": "e1"}
APPOINTMENT = {"resourceType": "Appointment", "id": "a1", "status": "proposed"}
CONDITION = {"resourceType": "Condition", "id": "c1"}
BUNDLE = {"resourceType": "Bundle", "entry": [{"resource": ORDER}]}


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("patient-view", PatientView),
        ("encounter-start", EncounterStart),
        ("encounter-discharge", EncounterDischarge),
    ],
)
def test_hooks_that_give_ids_only(name: str, kind: type) -> None:
    context = read(name, IDS)
    assert type(context) is kind
    assert (context.user_id, context.patient_id, context.encounter_id) == ("Practitioner/u1", "p1", "e1")
    assert context.drafts() == ()
    assert context.selections() == ()


@pytest.mark.parametrize("name", ["encounter-start", "encounter-discharge"])
def test_encounter_hooks_need_an_encounter(name: str) -> None:
    with pytest.raises(ContextFieldMissing, match="encounterId"):
        read(name, {"userId": "Practitioner/u1", "patientId": "p1"})


@pytest.mark.parametrize(
    ("name", "kind", "field", "resource"),
    [
        ("order-sign", OrderSign, "draftOrders", ORDER),
        ("appointment-book", AppointmentBook, "appointments", APPOINTMENT),
        ("problem-list-item-create", ProblemListItemCreate, "conditions", CONDITION),
    ],
)
def test_hooks_that_give_resources(name: str, kind: type, field: str, resource: dict[str, Any]) -> None:
    for value in ({"resourceType": "Bundle", "entry": [{"resource": resource}]}, [resource], resource):
        context = read(name, {**IDS, field: value})
        assert type(context) is kind
        assert context.drafts() == (resource,)
        assert context.selections() == ()
    with pytest.raises(ContextFieldMissing, match=field):
        read(name, IDS)


def test_order_select_tells_selections_from_drafts() -> None:
    context = read("order-select", {**IDS, "selections": ["ServiceRequest/o1"], "draftOrders": BUNDLE})
    assert type(context) is OrderSelect
    assert context.selections() == ("ServiceRequest/o1",)
    assert context.drafts() == (ORDER,)


@pytest.mark.parametrize(
    "context",
    [
        {"dispatchedOrders": ["ServiceRequest/o1"], "fulfillmentTasks": [TASK]},
        {"dispatched-orders": ["ServiceRequest/o1"], "fulfillment-tasks": [TASK]},
        {"order": "ServiceRequest/o1", "task": TASK},
    ],
)
def test_order_dispatch_in_the_current_and_the_2023_form(context: dict[str, Any]) -> None:
    found = read("order-dispatch", {"patientId": "p1", "performer": "Organization/1", **context})
    assert isinstance(found, OrderDispatch)
    assert found.selections() == ("ServiceRequest/o1",)
    assert found.performer == "Organization/1"
    assert found.drafts() == (TASK,)
    assert found.user_id is None
    assert found.tokens() == {
        "context.patientId": "p1",
        "context.dispatchedOrders": "ServiceRequest/o1",
        "context.performer": "Organization/1",
    }


@pytest.mark.parametrize("field", ["dispatchedOrders", "performer"])
def test_order_dispatch_needs_orders_and_a_performer(field: str) -> None:
    whole = {"patientId": "p1", "performer": "Organization/1", "dispatchedOrders": ["ServiceRequest/o1"]}
    del whole[field]
    with pytest.raises(ContextFieldMissing, match=field):
        read("order-dispatch", whole)


def test_no_dispatched_orders_give_no_token() -> None:
    context = read(
        "order-dispatch", {"patientId": "p1", "performer": "Organization/1", "dispatchedOrders": []}
    )
    assert "context.dispatchedOrders" not in context.tokens()
