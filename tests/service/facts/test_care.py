from typing import Any

import pytest

from service.facts.record import PALLIATIVE_SOURCES
from tests.service.facts import codes
from tests.service.facts.build import (
    AVAILABLE,
    Json,
    ago,
    concept,
    condition,
    encounter,
    facts_of,
    procedure,
    resource,
    service_request,
)

WITH_PLANS = PALLIATIVE_SOURCES | {"CarePlan", "Flag"}
DISCHARGE = {"palliative-ended": [("http://snomed.info/sct", "306597006")]}
DISCHARGED = "http://snomed.info/sct|306597006"


def plan(code: str, days: int, status: str = "active") -> Json:
    period = {"start": ago(days)}
    return resource("CarePlan", status=status, category=[concept(code)], period=period)


# -- palliative ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "tier"),
    [(codes.PALLIATIVE_CARE, "palliative"), (codes.HOSPICE, "hospice"), (codes.TERMINAL_CARE, "terminal")],
)
@pytest.mark.parametrize("form", ["Encounter", "Procedure", "Condition", "ServiceRequest"])
def test_decision_7_the_status_has_the_tier_of_its_code(code: str, tier: str, form: str) -> None:
    given = {
        "Encounter": encounter(20, kind=[code]),
        "Procedure": procedure(code, 20),
        "Condition": condition(code, recorded=20),
        "ServiceRequest": service_request(code, 20),
    }
    assert facts_of([given[form]])["care.palliative"] == tier


def test_nothing_palliative_on_record_is_none() -> None:
    assert facts_of([])["care.palliative"] == "none"
    assert facts_of([], available=AVAILABLE - {"encounters"})["care.palliative"] is None


def test_trap_a_terminal_care_plan_counts_only_where_the_site_says_so() -> None:
    given = [plan(codes.TERMINAL_CARE, 20), condition(codes.LUNG_CANCER)]
    assert facts_of(given)["care.palliative"] == "none"
    assert facts_of(given, palliative=WITH_PLANS)["care.palliative"] == "terminal"


@pytest.mark.parametrize("status", ["revoked", "draft", "completed", "entered-in-error"])
def test_a_care_plan_that_does_not_run_is_none(status: str) -> None:
    facts = facts_of([plan(codes.TERMINAL_CARE, 20, status)], palliative=WITH_PLANS)
    assert facts["care.palliative"] == "none"


def test_a_care_plan_is_read_by_its_activities_too() -> None:
    activity = [{"detail": {"code": concept(codes.PALLIATIVE_CARE)}}, {"detail": {}}, {}]
    given = resource("CarePlan", status="active", created=ago(9), activity=activity)
    facts = facts_of([given], palliative=WITH_PLANS)
    assert facts["care.palliative"] == "palliative"


@pytest.mark.parametrize(("status", "tier"), [("active", "hospice"), ("inactive", "none")])
def test_decision_34_a_flag_counts_only_where_the_site_says_so(status: str, tier: str) -> None:
    flag = resource("Flag", status=status, code=concept(codes.HOSPICE), period={"start": ago(9)})
    assert facts_of([flag])["care.palliative"] == "none"
    assert facts_of([flag], palliative=WITH_PLANS)["care.palliative"] == tier


def test_trap_no_resuscitation_is_not_palliative() -> None:
    assert facts_of([condition(codes.NO_RESUSCITATION)])["care.palliative"] == "none"


def test_the_newest_status_wins() -> None:
    given = [procedure(codes.HOSPICE, 100), procedure(codes.PALLIATIVE_CARE, 20)]
    assert facts_of(given)["care.palliative"] == "palliative"


def test_of_two_statuses_of_one_day_the_furthest_wins() -> None:
    given = [procedure(codes.PALLIATIVE_CARE, 20), encounter(20, kind=[codes.HOSPICE])]
    assert facts_of(given)["care.palliative"] == "hospice"


def test_a_palliative_diagnosis_has_no_window_and_an_event_a_year() -> None:
    assert facts_of([condition(codes.PALLIATIVE_CARE, recorded=900)])["care.palliative"] == "palliative"
    for days, tier in ((365, "palliative"), (366, "none")):
        assert facts_of([procedure(codes.PALLIATIVE_CARE, days)])["care.palliative"] == tier
        assert facts_of([encounter(days, kind=[codes.PALLIATIVE_CARE])])["care.palliative"] == tier


@pytest.mark.parametrize(
    "over",
    [
        {"clinical": "resolved"},
        {"clinical": None, "abatementDateTime": ago(5)},
        {"verification": "provisional"},
    ],
)
def test_a_palliative_diagnosis_that_is_over_or_suspected_is_none(over: dict[str, Any]) -> None:
    assert facts_of([condition(codes.PALLIATIVE_CARE, recorded=50, **over)])["care.palliative"] == "none"


@pytest.mark.parametrize(
    ("began", "discharged", "tier"),
    [(100, 20, "none"), (20, 20, "none"), (10, 20, "hospice"), (900, 400, "none")],
)
def test_a_discharge_by_the_site_map_ends_the_status(began: int, discharged: int, tier: str) -> None:
    given = [condition(codes.HOSPICE, recorded=began), encounter(discharged, kind=[DISCHARGED])]
    assert facts_of(given, site=DISCHARGE)["care.palliative"] == tier


# -- oncology ------------------------------------------------------------------------------------------


def test_the_last_oncology_contact_counts() -> None:
    given = [encounter(days, kind=[codes.ONCOLOGY]) for days in (200, 30, 90)]
    assert facts_of(given)["care.oncology_contact_days"] == 30


def test_an_oncology_location_comes_through_the_site_map() -> None:
    place = [{"location": {"reference": "Location/onc-day-unit"}}, {}]
    given = [encounter(12, location=place)]
    assert facts_of(given)["care.oncology_contact_days"] is None
    site = {"oncology-contact": [("Location", "onc-day-unit")]}
    assert facts_of(given, site=site)["care.oncology_contact_days"] == 12


def test_an_oncology_service_type_counts() -> None:
    service = concept(codes.ONCOLOGY)
    assert facts_of([encounter(12, serviceType=service)])["care.oncology_contact_days"] == 12
    assert facts_of([encounter(12, serviceType=[{"concept": service}])])["care.oncology_contact_days"] == 12


@pytest.mark.parametrize("status", ["planned", "cancelled", "entered-in-error"])
def test_a_visit_that_did_not_take_place_is_no_contact(status: str) -> None:
    facts = facts_of([encounter(12, kind=[codes.ONCOLOGY], status=status)])
    assert facts["care.oncology_contact_days"] is None


def test_a_visit_without_a_date_is_no_contact() -> None:
    assert facts_of([encounter(None, kind=[codes.ONCOLOGY])])["care.oncology_contact_days"] is None


@pytest.mark.parametrize(("days", "active"), [(29, True), (30, True), (31, False)])
@pytest.mark.parametrize("status", ["active", "on-hold", "completed"])
def test_a_cancer_referral_is_active_for_30_days(days: int, active: bool, status: str) -> None:
    given = [service_request(codes.ONCOLOGY_REFERRAL, days, status=status)]
    assert facts_of(given)["care.cancer_referral_active"] is active


@pytest.mark.parametrize("status", ["revoked", "entered-in-error", "draft", "unknown"])
def test_a_referral_that_does_not_stand_is_none(status: str) -> None:
    given = [service_request(codes.ONCOLOGY_REFERRAL, 5, status=status)]
    assert facts_of(given)["care.cancer_referral_active"] is False


def test_a_referral_not_to_be_made_is_none() -> None:
    given = [service_request(codes.ONCOLOGY_REFERRAL, 5, doNotPerform=True)]
    assert facts_of(given)["care.cancer_referral_active"] is False


@pytest.mark.parametrize(
    ("status", "active"), [("in-progress", True), ("completed", True), ("rejected", False)]
)
def test_a_referral_may_be_a_task(status: str, active: bool) -> None:
    task = resource(
        "Task", status=status, code=concept(codes.ONCOLOGY_REFERRAL), authoredOn=ago(5), subject=None
    )
    task["for"] = {"reference": "Patient/p1"}
    assert facts_of([task])["care.cancer_referral_active"] is active


@pytest.mark.parametrize(
    ("known", "contact", "managed"),
    [
        (31, 90, True),
        (30, 90, False),
        (31, 91, False),
        (31, None, False),
        ("2026-10", 9, False),
        ("2026-09", 9, True),
    ],
)
def test_known_and_managed(known: int | str, contact: int | None, managed: bool) -> None:
    given = [condition(codes.BONE_METASTASIS, onset=known)]
    if contact is not None:
        given.append(encounter(contact, kind=[codes.ONCOLOGY]))
    assert facts_of(given)["care.known_and_managed"] is managed


def test_oncology_contact_without_bone_metastases_is_not_known_and_managed() -> None:
    given = [condition(codes.BREAST_CANCER, onset=900), encounter(9, kind=[codes.ONCOLOGY])]
    assert facts_of(given)["care.known_and_managed"] is False
