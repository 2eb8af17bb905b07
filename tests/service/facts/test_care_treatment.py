import pytest

from rules.engine import Span
from tests.service.facts import codes
from tests.service.facts.build import (
    AVAILABLE,
    Json,
    ago,
    concept,
    condition,
    encounter,
    facts_of,
    prescription,
    procedure,
    resource,
    service_request,
)


def plan(code: str, days: int, status: str = "active") -> Json:
    period = {"start": ago(days)}
    return resource("CarePlan", status=status, category=[concept(code)], period=period)


# -- physiotherapy -------------------------------------------------------------------------------------


PAIN = condition(codes.LOW_BACK_PAIN, onset=100)


def sessions(*days: int | str) -> list[Json]:
    return [procedure(codes.PHYSIOTHERAPY, day) for day in days]


@pytest.mark.parametrize(
    ("days", "failed"),
    [
        ((28, 20, 14, 7), True),
        ((27, 20, 14, 6), False),
        ((28, 20, 14, 8), False),
        ((28, 20, 7), False),
        ((28, 20, 20, 7), False),
        ((366, 20, 14, 7), False),
        ((365, 20, 14, 7), True),
    ],
)
def test_conservative_care_failed(days: tuple[int, ...], failed: bool) -> None:
    assert facts_of([PAIN, *sessions(*days)])["care.conservative_failed"] is failed


@pytest.mark.parametrize(
    ("pain", "failed"),
    [
        ([condition(codes.HIP_PAIN, onset=5)], True),
        ([condition(codes.LOW_BACK_PAIN, onset=100, clinical="resolved")], False),
        ([], None),
    ],
)
def test_conservative_care_failed_only_while_it_hurts(pain: list[Json], failed: bool | None) -> None:
    given = [*pain, *sessions(28, 20, 14, 7)]
    assert facts_of(given)["care.conservative_failed"] is failed
    assert facts_of(given, wanted=["care.conservative_failed"])["care.conservative_failed"] is failed


def test_sessions_are_different_days_of_procedures_visits_and_kept_appointments() -> None:
    appointment = resource(
        "Appointment",
        status="fulfilled",
        serviceType=[concept(codes.PHYSIOTHERAPY)],
        start=ago(5),
        participant=[{"actor": {"reference": "Patient/p1"}}],
        subject=None,
    )
    given = [*sessions(9, 9), encounter(7, kind=[codes.PHYSIOTHERAPY]), appointment]
    assert facts_of(given)["care.physiotherapy_sessions"] == 3


@pytest.mark.parametrize(
    "given",
    [
        service_request(codes.PHYSIOTHERAPY, 9),
        plan(codes.PHYSIOTHERAPY, 9),
        procedure(codes.PHYSIOTHERAPY, 9, status="not-done"),
        procedure(codes.PHYSIOTHERAPY, None),
        resource("Appointment", status="booked", serviceType=[concept(codes.PHYSIOTHERAPY)], start=ago(9)),
        resource(
            "Appointment",
            status="fulfilled",
            serviceType=[concept(codes.PHYSIOTHERAPY)],
            start=ago(9),
            participant=[{"actor": {"reference": "Patient/p2"}}, {"actor": {"display": "Dr A"}}, {}],
        ),
    ],
    ids=["referral", "plan", "not done", "undated", "booked", "another patient's"],
)
def test_what_is_no_session(given: Json) -> None:
    assert facts_of([given])["care.physiotherapy_sessions"] == 0


def test_sessions_are_unknown_when_procedures_were_not_read() -> None:
    some = AVAILABLE - {"procedures"}
    assert facts_of([], available=some)["care.physiotherapy_sessions"] is None
    assert facts_of(sessions(9), available=some)["care.physiotherapy_sessions"] == 1


# -- radiotherapy --------------------------------------------------------------------------------------


def test_radiotherapy_of_the_pelvis() -> None:
    facts = facts_of([procedure(codes.RADIOTHERAPY, 200, bodySite=[concept(codes.PELVIS)])])
    assert facts["radiotherapy.pelvic"] is True
    assert facts["radiotherapy.pelvic_days"] == 200
    assert facts["radiotherapy.pelvic_assumed"] is False


def test_radiotherapy_counts_from_its_last_fraction() -> None:
    course = {"performedPeriod": {"start": ago(260), "end": ago(220)}, "bodySite": [concept(codes.PELVIS)]}
    facts = facts_of([procedure(codes.RADIOTHERAPY, None, **course)])
    assert facts["radiotherapy.pelvic_days"] == 220


@pytest.mark.parametrize(
    ("cancer", "assumed"),
    [
        (codes.CERVIX_CANCER, True),
        (codes.PROSTATE_CANCER, True),
        (codes.HISTORY_OF_PROSTATE_CANCER, True),
        (codes.BREAST_CANCER, False),
    ],
)
def test_a_field_without_a_site_is_assumed_from_the_primary(cancer: str, assumed: bool) -> None:
    facts = facts_of([procedure(codes.RADIOTHERAPY, 200), condition(cancer, clinical="remission")])
    assert facts["radiotherapy.pelvic"] is assumed
    assert facts["radiotherapy.pelvic_assumed"] is assumed
    assert facts["radiotherapy.pelvic_days"] == (200 if assumed else None)


def test_a_field_elsewhere_is_not_assumed_to_be_pelvic() -> None:
    given = [
        procedure(codes.RADIOTHERAPY, 200, bodySite=[concept(codes.THORAX)]),
        condition(codes.CERVIX_CANCER),
    ]
    assert facts_of(given)["radiotherapy.pelvic"] is False


def test_a_history_of_radiotherapy_is_as_old_as_its_record_or_older() -> None:
    facts = facts_of([condition(codes.HISTORY_OF_RADIOTHERAPY, recorded=50), condition(codes.CERVIX_CANCER)])
    assert facts["radiotherapy.pelvic_assumed"] is True
    assert facts["radiotherapy.pelvic_days"] == Span(50, 36500, 50)


def test_a_history_of_radiotherapy_in_a_month_or_without_a_date() -> None:
    cervix = condition(codes.CERVIX_CANCER)
    month = facts_of([condition(codes.HISTORY_OF_RADIOTHERAPY, recorded="2026-10"), cervix])
    assert month["radiotherapy.pelvic_days"] == Span(25, 36500, 25)
    undated = facts_of([condition(codes.HISTORY_OF_RADIOTHERAPY), cervix])
    assert undated["radiotherapy.pelvic"] is True
    assert undated["radiotherapy.pelvic_days"] is None


def test_no_radiotherapy_on_record_is_none() -> None:
    facts = facts_of([condition(codes.CERVIX_CANCER)])
    assert facts["radiotherapy.pelvic"] is False
    assert facts["radiotherapy.pelvic_days"] is None


# -- medicines -----------------------------------------------------------------------------------------


def steroid(start: int | str | None, supply: int | None, status: str = "completed") -> Json:
    return prescription(codes.PREDNISOLONE, start, supply=supply, status=status)


@pytest.mark.parametrize(
    ("given", "days"),
    [
        ([steroid(100, 100)], 100),
        ([steroid(100, 80)], 80),  # ended 20 days ago
        ([steroid(100, 70)], 70),  # ended 30 days ago
        ([steroid(100, 69)], 0),  # ended 31 days ago
        ([steroid(200, 100), steroid(70, 70)], 200),  # a gap of 30 days
        ([steroid(200, 100), steroid(69, 69)], 69),  # a gap of 31 days
        ([steroid(200, 180), steroid(190, 10), steroid(20, 20)], 200),
        ([steroid(120, 400)], 120),
        ([steroid(10, None)], 0),  # one day, long enough ago to be one dose, recent enough to be read
        ([], 0),
    ],
)
def test_steroids_are_one_span_over_gaps_of_30_days(given: list[Json], days: int) -> None:
    assert facts_of(given)["meds.glucocorticoid_days"] == days
    assert facts_of(given[::-1])["meds.glucocorticoid_days"] == days


@pytest.mark.parametrize(("start", "days"), [(50, 50), (365, 365), (390, 365), (400, 0)])
def test_decision_33_an_open_prescription_runs_for_a_year_at_most(start: int, days: int) -> None:
    assert facts_of([steroid(start, None, "active")])["meds.glucocorticoid_days"] == days


def test_repeats_lengthen_the_supply() -> None:
    dispensed = {"expectedSupplyDuration": {"value": 4, "unit": "wk"}, "numberOfRepeatsAllowed": 2}
    given = [prescription(codes.PREDNISOLONE, 80, status="completed", dispenseRequest=dispensed)]
    assert facts_of(given)["meds.glucocorticoid_days"] == 80


@pytest.mark.parametrize(
    ("recorded", "days"),
    [([], Span(90, 36500, 90)), ([steroid(20, 20)], Span(90, 36500, 90)), ([steroid(200, 200)], 200)],
)
def test_long_term_use_coded_is_90_days_or_more(recorded: list[Json], days: int | Span) -> None:
    facts = facts_of([condition(codes.STEROID_LONG_TERM, recorded=300), *recorded])
    assert facts["meds.glucocorticoid_days"] == days


def test_long_term_use_that_is_over_does_not_count() -> None:
    facts = facts_of([condition(codes.STEROID_LONG_TERM, recorded=300, clinical="resolved")])
    assert facts["meds.glucocorticoid_days"] == 0


def test_a_steroid_taken_since_nobody_knows_when_is_unknown() -> None:
    facts = facts_of([steroid(None, None, "active")])
    assert facts["meds.glucocorticoid_days"] is None
    assert facts.get("meds.glucocorticoid_days").sources


def test_steroids_are_unknown_when_medicines_were_not_read() -> None:
    some = AVAILABLE - {"medications"}
    assert facts_of([], available=some)["meds.glucocorticoid_days"] is None
    assert facts_of([steroid(900, 10)], available=some)["meds.glucocorticoid_days"] is None
    assert facts_of([steroid(100, 100)], available=some)["meds.glucocorticoid_days"] == 100


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (prescription(codes.MORPHINE, 20), True),
        (prescription(codes.MORPHINE, 30, status="completed"), True),
        (prescription(codes.MORPHINE, 31, status="completed"), False),
        (prescription(codes.MORPHINE, 50, supply=20, status="completed"), True),
        (prescription(codes.TRAMADOL, 5), False),
        (prescription(codes.MORPHINE, 5, status="entered-in-error"), False),
        (prescription(None, 5, medicationCodeableConcept={"text": "Morphine"}), False),
    ],
)
def test_a_strong_opioid_counts_for_30_days(given: Json, taken: bool) -> None:
    assert facts_of([given])["meds.strong_opioid"] is taken


@pytest.mark.parametrize(("days", "taken"), [(365, True), (366, False)])
def test_a_bone_agent_counts_for_a_year(days: int, taken: bool) -> None:
    given = [prescription(codes.BISPHOSPHONATE, days, status="completed")]
    assert facts_of(given)["meds.bone_modifying_agent"] is taken
