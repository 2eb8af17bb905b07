"""VER-02: what is suggested is valid in the FHIR release of the caller."""

from fhir.resources.R4B.servicerequest import ServiceRequest as R4Order
from fhir.resources.servicerequest import ServiceRequest as R5Order

from hooks import Action, Card, Coding, Source, Suggestion
from service.fhir_version import FhirVersion
from service.release import in_release
from tests.service.calls import INSTANCE
from tests.service.facts.build import Json

ORDER: Json = {
    "resourceType": "ServiceRequest",
    "status": "draft",
    "intent": "proposal",
    "code": {"text": "MRI of the whole spine"},
    "subject": {"reference": "Patient/p1"},
    "authoredOn": "2026-11-25",
    "reasonCode": [{"text": "Suspected cord compression"}],
    "orderDetail": [{"text": "Include the full length of the femur"}],
}
PLAIN: Json = {name: ORDER[name] for name in ORDER if name not in ("reasonCode", "orderDetail")}


def card(*actions: Action) -> Card:
    suggestion = Suggestion(label="Order", uuid=INSTANCE, actions=actions)
    topic = Coding(code="t", system="https://example.org", display="T")
    return Card(
        uuid=INSTANCE,
        summary="s",
        indicator="info",
        source=Source(label="l", topic=topic),
        suggestions=(suggestion,),
        selectionBehavior="any",
    )


def create(order: Json) -> Action:
    return Action(type="create", description="d", resource=order)


def test_for_r5_an_order_holds_its_concepts_inside_and_its_details_in_a_note() -> None:
    R4Order.model_validate(ORDER)
    (changed,) = in_release((card(create(ORDER)),), FhirVersion.R5)
    order = changed.suggestions[0].actions[0].resource
    R5Order.model_validate(order)
    assert order == {
        **PLAIN,
        "code": {"concept": {"text": "MRI of the whole spine"}},
        "reason": [{"concept": {"text": "Suspected cord compression"}}],
        "note": [{"text": "Include the full length of the femur"}],
    }


def test_what_an_order_does_not_have_is_not_added() -> None:
    delete = Action(type="delete", description="d", resourceId="ServiceRequest/1")
    (changed,) = in_release((card(create(PLAIN), delete),), FhirVersion.R5)
    made, kept = changed.suggestions[0].actions
    assert made.resource == {**PLAIN, "code": {"concept": PLAIN["code"]}}
    assert kept == delete


def test_other_releases_get_the_cards_as_they_are() -> None:
    cards = (card(create(ORDER)),)
    for version in (None, FhirVersion.R4, FhirVersion.R4B):
        assert in_release(cards, version) is cards
