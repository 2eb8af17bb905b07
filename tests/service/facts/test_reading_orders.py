from typing import Any

import pytest

from tests.service.facts import codes
from tests.service.facts.build import (
    NOW,
    Json,
    ago,
    bundle,
    concept,
    facts_of,
    prescription,
    record_of,
    resource,
    service_request,
)

URN = "urn:uuid:3fdc72f4-a11d-4a9d-9260-a9f745779e1d"


def statement(code: str | None = codes.MORPHINE, **members: Any) -> Json:
    given: Json = {"status": "active", **members}
    if code is not None:
        given["medicationCodeableConcept"] = concept(code)
    return resource("MedicationStatement", **given)


def medication(**members: Any) -> Json:
    given = {"id": "m1", "code": concept(codes.MORPHINE), "subject": None, **members}
    return resource("Medication", **given)


# -- which product -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["MedicationRequest", "MedicationStatement"])
@pytest.mark.parametrize(
    "product",
    [
        {"medicationCodeableConcept": concept(codes.MORPHINE)},
        {"medicationReference": {"reference": "#m1"}, "contained": [medication()]},
        {
            "medicationReference": {"reference": "#m1"},
            "contained": [resource("Practitioner"), medication(id="#m1")],
        },
        {"medication": {"concept": concept(codes.MORPHINE)}},
        {"medication": {"reference": {"reference": "#m1"}}, "contained": [medication()]},
    ],
    ids=["coded", "contained", "contained with a hash", "R5 concept", "R5 reference"],
)
def test_the_product_is_found_where_the_sender_puts_it(kind: str, product: dict[str, Any]) -> None:
    (medicine,) = record_of([resource(kind, status="active", **product)]).medicines
    assert "opioid-strong" in medicine.sets
    assert medicine.code == "7052"


@pytest.mark.parametrize(
    "reference",
    ["Medication/m1", "Medication/m1/_history/2", "https://ehr.example/fhir/Medication/m1", URN],
)
def test_the_product_may_be_a_medication_of_the_bundle(reference: str) -> None:
    order = prescription(None, 5, medicationReference={"reference": reference})
    given = bundle(order, medication(), urls={"m1": URN})
    assert facts_of([given])["meds.strong_opioid"] is True


def test_a_medication_without_an_id_is_found_by_its_url() -> None:
    order = prescription(None, 5, medicationReference={"reference": URN})
    given = bundle(order, {"resourceType": "Slot"})
    given["entry"].append({"fullUrl": URN, "resource": medication(id=None)})
    assert facts_of([given])["meds.strong_opioid"] is True


@pytest.mark.parametrize(
    "product",
    [
        {},
        {"medicationCodeableConcept": {"text": "Morphine 10 mg"}},
        {"medicationReference": {"reference": "#m2"}, "contained": [medication()]},
        {"medicationReference": {"reference": "#m1"}},
        {"medicationReference": {"reference": "Medication/none"}},
        {"medicationReference": {"display": "Morphine"}},
        {"medicationReference": {"reference": "#m1"}, "contained": [medication(code=None)]},
        {"medication": {}},
    ],
)
def test_a_product_without_a_code_is_counted_and_not_guessed(product: dict[str, Any]) -> None:
    record = record_of([resource("MedicationRequest", status="active", **product)])
    assert record.medicines == []
    assert record.uncoded["Medication"] == 1


# -- which days ----------------------------------------------------------------------------------------


def covered(given: Json) -> tuple[int | None, int | None]:
    record = record_of([given])
    (medicine,) = record.medicines
    today = record.calendar.today
    return (
        None if medicine.start is None else today - medicine.start.mid,
        None if medicine.end is None else today - medicine.end.mid,
    )


@pytest.mark.parametrize(
    ("members", "days"),
    [
        ({"authored": 50}, (50, None)),
        ({"authored": 50, "supply": 28}, (50, 22)),
        ({"supply": 28}, (None, None)),
        (
            {"authored": 50, "dispenseRequest": {"validityPeriod": {"start": ago(48), "end": ago(20)}}},
            (48, 20),
        ),
        (
            {"authored": 50, "dispenseRequest": {"validityPeriod": {"start": ago(48), "end": ago(-300)}}},
            (48, -300),
        ),
        ({"authored": 50, "dispenseRequest": {"validityPeriod": {"start": ago(48)}}}, (48, None)),
        ({"authored": 50, "dispenseRequest": {}}, (50, None)),
    ],
)
def test_a_prescription_covers_its_supply(
    members: dict[str, Any], days: tuple[int | None, int | None]
) -> None:
    assert covered(prescription(codes.MORPHINE, **members)) == days


@pytest.mark.parametrize(
    ("duration", "repeats", "end"),
    [
        ({"value": 10, "code": "d"}, None, 40),
        ({"value": 2, "unit": "weeks"}, None, 36),
        ({"value": 1, "code": "mo"}, None, 20),
        ({"value": 10, "unit": "Days"}, 3, 10),
        ({"value": 10}, 0, 40),
        ({"value": 10}, -2, 40),
        ({"value": -10}, None, 50),
        ({"value": 10, "code": "a"}, None, None),
        ({"unit": "d"}, None, None),
        ({"value": 1e300, "code": "d"}, 9, 50 - 3650),
    ],
)
def test_the_supply_lasts_its_duration_times_the_repeats(
    duration: Json, repeats: int | None, end: int | None
) -> None:
    dispensed = {"expectedSupplyDuration": duration, "numberOfRepeatsAllowed": repeats}
    given = prescription(codes.MORPHINE, 50, dispenseRequest=dispensed)
    assert covered(given) == (50, end)
    assert facts_of([given])["meds.strong_opioid"] is True


@pytest.mark.parametrize(
    ("members", "days"),
    [
        ({"effectiveDateTime": ago(50)}, (50, None)),
        ({"effectivePeriod": {"start": ago(50), "end": ago(20)}}, (50, 20)),
        ({"effectivePeriod": {"start": ago(50)}, "dateAsserted": ago(5)}, (50, None)),
        ({"dateAsserted": ago(5)}, (5, None)),
        ({}, (None, None)),
    ],
)
def test_a_statement_covers_its_period(members: dict[str, Any], days: tuple[int | None, int | None]) -> None:
    assert covered(statement(**members)) == days


@pytest.mark.parametrize(
    ("given", "active"),
    [
        (prescription(codes.MORPHINE, 5), True),
        (prescription(codes.MORPHINE, 5, status="on-hold"), True),
        (prescription(codes.MORPHINE, 5, status=None), True),
        (prescription(codes.MORPHINE, 5, status="completed"), False),
        (prescription(codes.MORPHINE, 5, status="stopped"), False),
        (statement(), True),
        (statement(status="recorded"), True),
        (statement(status="completed"), False),
    ],
)
def test_a_medicine_is_active_by_its_status(given: Json, active: bool) -> None:
    (medicine,) = record_of([given]).medicines
    assert medicine.active is active


@pytest.mark.parametrize(
    "given",
    [
        *(
            prescription(codes.MORPHINE, 5, status=s)
            for s in ("cancelled", "draft", "entered-in-error", "unknown")
        ),
        *(statement(status=s) for s in ("not-taken", "intended", "entered-in-error", "unknown")),
        prescription("http://www.nlm.nih.gov/research/umls/rxnorm|161", 5),
    ],
)
def test_what_is_no_medicine_of_interest(given: Json) -> None:
    assert record_of([given]).medicines == []


# -- orders --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [concept(codes.MRI_LUMBAR), {"concept": concept(codes.MRI_LUMBAR)}])
def test_an_order_is_read_in_r4_and_r5(code: Json) -> None:
    (order,) = record_of([{**service_request(None, 5), "code": code}]).orders
    assert order.sets == {"imaging-mri-lumbar"}
    assert order.status == "active"


def test_an_order_has_the_day_it_was_written_else_the_day_it_is_for() -> None:
    record = record_of(
        [
            service_request(codes.MRI_LUMBAR, 5, occurrenceDateTime=ago(2)),
            service_request(codes.MRI_LUMBAR, None, occurrenceDateTime=ago(2)),
            service_request(codes.MRI_LUMBAR, None, occurrencePeriod={"start": ago(3)}),
            service_request(codes.MRI_LUMBAR),
        ]
    )
    days = [None if order.day is None else order.day.date.isoformat() for order in record.orders]
    assert days == [ago(5), ago(2), ago(3), None]


@pytest.mark.parametrize(
    "given",
    [
        service_request("http://ehr.example|1", 5),
        service_request(None, 5),
        resource("Task", status="requested", code=concept("http://ehr.example|1")),
        *(
            resource("Task", status=status, code=concept(codes.ONCOLOGY_REFERRAL))
            for status in ("rejected", "cancelled", "failed", "draft", "entered-in-error")
        ),
    ],
)
def test_what_is_no_order_of_interest(given: Json) -> None:
    record = record_of([given])
    assert record.orders == []
    assert record.evidence == {}


# -- drafts --------------------------------------------------------------------------------------------


def test_the_reason_of_a_draft_is_a_finding_of_today() -> None:
    draft = service_request(
        codes.MRI_LUMBAR, status="draft", id="d1", reasonCode=[concept(codes.URINARY_RETENTION)]
    )
    record = record_of([], drafts=[draft])
    (entry,) = record.of("urinary-retention")
    assert entry.seen is not None
    assert entry.seen.date == NOW.date()
    assert entry.start is None
    assert entry.source.resource == "ServiceRequest/d1"
    assert entry.source.key == "context.draftOrders"
    # Nobody says since when, and only a new retention is a sign.
    assert facts_of([], drafts=[draft])["neuro.urinary_retention"] is None


@pytest.mark.parametrize(
    "reasons", [None, [], [concept(codes.OSTEOPOROSIS)], concept("http://ehr.example|1")]
)
def test_other_reasons_are_no_findings(reasons: Any) -> None:
    draft = {**service_request(codes.MRI_LUMBAR, status="draft"), "reasonCode": reasons}
    assert record_of([], drafts=[draft]).evidence == {}


def test_a_draft_keeps_the_resource_it_came_from() -> None:
    (order,) = record_of([], drafts=[service_request(codes.MRI_LUMBAR, status="draft", id="d1")]).drafts
    assert order.resource.id == "d1"
    assert order.status == "draft"
    assert order.day is None
