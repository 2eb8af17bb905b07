from typing import Any

import pytest

from tests.service.facts import codes
from tests.service.facts.build import (
    AVAILABLE,
    Json,
    concept,
    condition,
    facts_of,
    prescription,
    record_of,
    service_request,
)


def draft_order(code: str | None, **members: Any) -> Json:
    return service_request(code, **{"status": "draft", **members})


def draft_medicine(code: str | None, **members: Any) -> Json:
    return prescription(code, **{"status": "draft", **members})


def test_drafts_are_read_as_value_sets() -> None:
    facts = facts_of([], drafts=[draft_order(codes.XRAY_LUMBAR), draft_medicine(codes.MORPHINE)])
    assert facts["orders.draft"] == ["imaging-xray-spine", "opioid-any", "opioid-strong"]
    assert {source.key for source in facts.get("orders.draft").sources} == {"context.draftOrders"}


def test_no_draft_is_an_empty_list() -> None:
    assert facts_of([])["orders.draft"] == []


@pytest.mark.parametrize(
    "draft",
    [
        draft_order(None),
        draft_order("https://fhir.ehr.example/codeSet/200|2578"),
        {**draft_order(None), "code": {"text": "MRI L-spine"}},
        draft_medicine(None),
        draft_medicine(None, medicationCodeableConcept={"text": "Morphine"}),
    ],
)
def test_a_draft_without_a_known_code_is_no_order_and_never_guessed(draft: Json) -> None:
    record = record_of([], drafts=[draft])
    assert len(record.drafts) == 1
    assert sum(record.uncoded.values()) == 1
    assert facts_of([], drafts=[draft])["orders.draft"] == []


def test_a_draft_without_a_subject_is_the_patients() -> None:
    facts = facts_of([], drafts=[draft_order(codes.XRAY_LUMBAR, subject=None)])
    assert facts["orders.draft"] == ["imaging-xray-spine"]


@pytest.mark.parametrize(
    "draft",
    [draft_order(codes.XRAY_LUMBAR), draft_medicine(codes.MORPHINE), condition(codes.PROSTATE_CANCER)],
)
def test_another_patients_draft_is_dropped(draft: Json) -> None:
    theirs = {**draft, "subject": {"reference": "Patient/p2"}}
    record = record_of([], drafts=[theirs])
    assert record.drafts == []
    assert record.dropped["other-patient"] == 1
    facts = facts_of([], drafts=[theirs])
    assert facts["orders.draft"] == []
    assert facts["cancer.any"] is False


@pytest.mark.parametrize(
    "draft",
    [
        draft_order(codes.XRAY_LUMBAR, status="entered-in-error"),
        draft_order(codes.XRAY_LUMBAR, status="revoked"),
        draft_order(codes.XRAY_LUMBAR, doNotPerform=True),
        draft_medicine(codes.MORPHINE, status="cancelled"),
        draft_medicine(codes.MORPHINE, status="stopped"),
        {"resourceType": "NutritionOrder", "id": "n1"},
    ],
)
def test_a_draft_that_is_no_order(draft: Json) -> None:
    assert facts_of([], drafts=[draft])["orders.draft"] == []


def test_a_draft_problem_is_read_as_a_problem() -> None:
    assert facts_of([], drafts=[condition(codes.PROSTATE_CANCER)])["cancer.any"] is True


@pytest.mark.parametrize(("days", "active"), [(29, True), (30, True), (31, False)])
@pytest.mark.parametrize("status", ["active", "on-hold"])
def test_an_order_is_active_for_30_days(days: int, active: bool, status: str) -> None:
    facts = facts_of([service_request(codes.MRI_LUMBAR, days, status=status)])
    assert facts["orders.active"] == (["imaging-mri-lumbar"] if active else [])


@pytest.mark.parametrize("status", ["completed", "revoked", "draft", "entered-in-error"])
def test_an_order_that_is_not_active(status: str) -> None:
    assert facts_of([service_request(codes.MRI_LUMBAR, 5, status=status)])["orders.active"] == []


@pytest.mark.parametrize(
    ("intent", "active"),
    [
        ("order", True),
        ("plan", True),
        ("filler-order", True),
        (None, True),
        ("proposal", False),
        ("option", False),
    ],
)
def test_what_was_only_proposed_is_no_order(intent: str | None, active: bool) -> None:
    facts = facts_of([service_request(codes.MRI_LUMBAR, 5, intent=intent)])
    assert facts["orders.active"] == (["imaging-mri-lumbar"] if active else [])


def test_active_orders_are_unknown_when_orders_were_not_read() -> None:
    assert facts_of([], available=AVAILABLE - {"orders"})["orders.active"] is None


def test_an_order_without_a_date_is_not_known_to_be_recent() -> None:
    assert facts_of([service_request(codes.MRI_LUMBAR)])["orders.active"] == []


# -- strong opioids ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("taken", "new"),
    [
        ([], True),
        ([prescription(codes.MORPHINE, 100)], False),
        ([prescription(codes.FENTANYL, 100)], True),
        ([prescription(codes.TRAMADOL, 100)], True),
        ([prescription(codes.MORPHINE, 30, status="completed")], False),
        ([prescription(codes.MORPHINE, 31, status="completed")], True),
        ([prescription(codes.MORPHINE, 60, supply=30, status="completed")], False),
        ([prescription(codes.MORPHINE, 5, status="entered-in-error")], True),
    ],
)
def test_a_strong_opioid_is_new_unless_the_same_product_is_taken(taken: list[Json], new: bool) -> None:
    facts = facts_of(taken, drafts=[draft_medicine(codes.MORPHINE)])
    assert facts["orders.draft_strong_opioid_new"] is new


@pytest.mark.parametrize("code", [codes.TRAMADOL, codes.PREDNISOLONE])
def test_another_medicine_is_no_strong_opioid(code: str) -> None:
    assert facts_of([], drafts=[draft_medicine(code)])["orders.draft_strong_opioid_new"] is False


def test_a_new_opioid_is_unknown_when_medicines_were_not_read_and_none_is_drafted() -> None:
    some = AVAILABLE - {"medications"}
    assert facts_of([], available=some)["orders.draft_strong_opioid_new"] is None


# -- steroids for polymyalgia --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (codes.PREDNISOLONE, codes.POLYMYALGIA, True),
        (codes.PREDNISOLONE, codes.RHEUMATOID_ARTHRITIS, False),
        (codes.PREDNISOLONE, None, False),
        (codes.MORPHINE, codes.POLYMYALGIA, False),
    ],
)
def test_a_steroid_for_polymyalgia_by_the_reason_of_the_draft(
    code: str, reason: str | None, expected: bool
) -> None:
    reasons = [concept(reason)] if reason else None
    facts = facts_of([], drafts=[draft_medicine(code, reasonCode=reasons)])
    assert facts["orders.draft_steroid_for_pmr"] is expected


def test_the_reason_of_a_draft_is_no_diagnosis() -> None:
    reasons = [concept(codes.POLYMYALGIA), concept(codes.PROSTATE_CANCER)]
    facts = facts_of([], drafts=[draft_medicine(codes.PREDNISOLONE, reasonCode=reasons)])
    assert facts["context.pmr"] is False
    assert facts["cancer.any"] is False
