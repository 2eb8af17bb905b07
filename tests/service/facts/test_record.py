import pytest

from service.datatypes import Reference
from tests.service.facts import codes
from tests.service.facts.build import (
    PATIENT,
    Json,
    ago,
    bundle,
    condition,
    encounter,
    facts_of,
    lab,
    observation,
    patient,
    prescription,
    procedure,
    record_of,
    report,
    resource,
    service_request,
)

URN = "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"
OTHER_URN = "urn:uuid:7b0e2d2c-8a0d-4f7e-9d4a-1f3f4d0c2a11"
MINE = [
    f"Patient/{PATIENT}",
    f"Patient/{PATIENT}/_history/3",
    f"https://ehr.example/fhir/Patient/{PATIENT}",
    f"https://ehr.example/fhir/Patient/{PATIENT}/_history/3",
    f"#{PATIENT}",
    f"urn:uuid:{PATIENT}",
]
OTHERS = [
    "Patient/p2",
    "Patient/p11",
    f"Patient/x{PATIENT}",
    f"Patient/p2/_history/{PATIENT}",
    "https://ehr.example/fhir/Patient/p2",
    "https://ehr.example/fhir/Patient/p2/_history/1",
    f"https://ehr.example/fhir/Group/{PATIENT}",
    f"Group/{PATIENT}",
    "#p2",
    "urn:uuid:p2",
    OTHER_URN,
]


@pytest.mark.parametrize("reference", MINE)
def test_decision_35_references_to_the_patient(reference: str) -> None:
    facts = facts_of([condition(codes.PROSTATE_CANCER, subject={"reference": reference})])
    assert facts["cancer.any"] is True


@pytest.mark.parametrize("reference", OTHERS)
def test_decision_35_references_to_another_patient(reference: str) -> None:
    record = record_of([condition(codes.PROSTATE_CANCER, subject={"reference": reference})])
    assert record.dropped["other-patient"] == 1
    assert record.of("cancer-prostate") == []


def test_decision_35_a_urn_is_resolved_inside_the_bundle() -> None:
    mine = condition(codes.PROSTATE_CANCER, subject={"reference": URN})
    other = condition(codes.LUNG_CANCER, subject={"reference": OTHER_URN})
    given = bundle(patient(), patient(id="p2"), mine, other, urls={PATIENT: URN, "p2": OTHER_URN})
    assert facts_of([given])["cancer.sites"] == ["prostate"]


def test_a_urn_counts_when_the_patient_was_given_under_another_key_first() -> None:
    mine = condition(codes.PROSTATE_CANCER, subject={"reference": URN})
    given = {"patient": [patient()], "conditions": [bundle(mine, patient(), urls={PATIENT: URN})]}
    assert facts_of(given)["cancer.any"] is True


@pytest.mark.parametrize("subject", [None, {}, {"display": "somebody"}])
def test_no_reference_is_taken_for_the_patient(subject: Json | None) -> None:
    assert facts_of([condition(codes.PROSTATE_CANCER, subject=subject)])["cancer.any"] is True


def test_another_patient_is_dropped_and_counted() -> None:
    record = record_of([patient(), patient(id="p2")])
    assert record.patient is not None
    assert record.patient.id == PATIENT
    assert record.dropped["other-patient"] == 1


@pytest.mark.parametrize(
    "other",
    [
        condition(codes.PROSTATE_CANCER),
        observation(codes.SADDLE_ANAESTHESIA, valueBoolean=True),
        encounter(1, reason=[codes.LOW_BACK_PAIN]),
        procedure(codes.PHYSIOTHERAPY, 1),
        report(codes.MRI_LUMBAR, 1),
        resource(
            "ImagingStudy",
            status="available",
            started=ago(1),
            procedureCode=[{"coding": [{"system": "http://loinc.org", "code": "24968-0"}]}],
        ),
        prescription(codes.MORPHINE, 1),
        resource(
            "MedicationStatement",
            status="active",
            medicationCodeableConcept={
                "coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "7052"}]
            },
        ),
        service_request(codes.ONCOLOGY_REFERRAL, 1),
        resource("Flag", status="active", code={"coding": [{"code": "1"}]}),
        resource("CarePlan", status="active"),
        resource("QuestionnaireResponse", status="completed"),
        resource(
            "Task",
            status="accepted",
            code={"coding": [{"system": "http://snomed.info/sct", "code": "183529009"}]},
            **{"for": {"reference": "Patient/p2"}},
        ),
        resource(
            "Appointment",
            status="fulfilled",
            participant=[{"actor": {"reference": "Patient/p2"}}],
            subject=None,
        ),
    ],
    ids=lambda given: str(given["resourceType"]),
)
def test_every_resource_of_another_patient_is_dropped(other: Json) -> None:
    theirs = {**other, "subject": {"reference": "Patient/p2"}}
    record = record_of([theirs])
    assert dict(record.dropped) == {"other-patient": 1}
    assert record.evidence == {}
    assert [*record.medicines, *record.orders, *record.imaging, *record.analytes, *record.answers] == []


def test_one_resource_under_two_keys_counts_once() -> None:
    visit = encounter(3, reason=[codes.LOW_BACK_PAIN])
    record = record_of({"conditions": [bundle(visit)], "encounters": [visit, bundle(visit)]})
    assert len(record.of("low-back-pain")) == 1


def test_resources_without_an_id_all_count() -> None:
    record = record_of([condition(codes.HIP_PAIN, id=None), condition(codes.HIP_PAIN, id=None)])
    assert len(record.of("hip-pain")) == 2


def test_equal_ids_of_two_types_are_two_resources() -> None:
    record = record_of([condition(codes.HIP_PAIN, id="a"), encounter(1, reason=[codes.HIP_PAIN], id="a")])
    assert len(record.of("hip-pain")) == 2


def test_bundles_in_bundles_are_opened() -> None:
    assert facts_of([bundle(bundle(condition(codes.PROSTATE_CANCER)), {"resourceType": "Slot"})])[
        "cancer.any"
    ]


def test_an_entry_without_a_resource_is_passed_over() -> None:
    given = bundle(condition(codes.PROSTATE_CANCER))
    given["entry"].insert(0, {"fullUrl": URN})
    assert facts_of([given])["cancer.any"] is True


def test_the_source_names_resource_code_and_key() -> None:
    facts = facts_of({"problems": [condition(codes.PROSTATE_CANCER, id="c1")]})
    (source,) = facts.get("cancer.prostate").sources
    assert (source.resource, source.code, source.key) == ("Condition/c1", codes.PROSTATE_CANCER, "problems")


def test_an_entry_in_several_sets_is_listed_once() -> None:
    record = record_of([condition(codes.LUMBAGO_WITH_SCIATICA)])
    assert len(record.of("low-back-pain", "sciatica-radiculopathy")) == 1


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (None, ""),
        ("Encounter/e1", "Encounter/e1"),
        ("https://ehr.example/fhir/Encounter/e1", "Encounter/e1"),
        ("Encounter/e1/_history/2", "Encounter/e1"),
        ("#e1", "#e1"),
        (URN, "Patient/p1"),
        (OTHER_URN, OTHER_URN),
    ],
)
def test_a_reference_leads_to_type_and_id(reference: str | None, expected: str) -> None:
    record = record_of([bundle(patient(), urls={PATIENT: URN})])
    assert record.target(Reference(reference)) == expected


def test_no_reference_leads_nowhere() -> None:
    assert record_of([]).target(None) == ""


@pytest.mark.parametrize(
    "reference", ["Encounter/e1", "https://ehr.example/fhir/Encounter/e1/_history/4", URN]
)
def test_an_undated_diagnosis_has_the_day_of_its_visit(reference: str) -> None:
    diagnosis = condition(
        codes.LOW_BACK_PAIN,
        clinical=None,
        category="encounter-diagnosis",
        encounter={"reference": reference},
    )
    facts = facts_of([bundle(diagnosis, encounter(50, id="e1"), urls={"e1": URN})])
    assert facts["pain.back.current"] is True
    assert facts["pain.back.days"] == 50


def test_everyday_resources_are_left_alone() -> None:
    record = record_of([resource("Immunization"), resource("Claim"), resource("DocumentReference")])
    assert record.evidence == {}
    assert not record.dropped


def test_results_are_kept_by_analyte() -> None:
    record = record_of([lab(codes.CRP, 12, "mg/L"), lab(codes.CRP, 13, "mg/L"), lab(codes.PSA, 2, "ng/mL")])
    assert {name: len(list(record.newest(name, 90))) for name in record.analytes} == {"crp": 2, "psa": 1}
    assert list(record.newest("esr", 90)) == []


def test_results_come_newest_first_within_their_window() -> None:
    given = [lab(codes.CRP, days, "mg/L", days) for days in (40, 91, 3, 90)]
    record = record_of([*given, lab(codes.CRP, 5, "mg/L", None)])
    assert [result.value for result in record.newest("crp", 90)] == [3.0, 40.0, 90.0]
