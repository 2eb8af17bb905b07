"""Medicines a prescription only refers to."""

from service.datatypes import CodeableConcept, CodeableReference, Coding, Reference
from service.references import unresolved
from service.resources import Bundle, Entry, Medication, MedicationRequest, Patient, Resource


def _request(reference: str | None) -> MedicationRequest:
    return MedicationRequest(medicationReference=Reference(reference))


def test_each_medication_that_is_not_here_is_named_once_in_order() -> None:
    bundle = Bundle(
        entry=[
            Entry(resource=_request("Medication/b")),
            Entry(resource=_request("https://ehr.example.org/fhir/Medication/a")),
            Entry(resource=_request("Medication/b/_history/2")),
            Entry(resource=_request("Medication/known")),
            Entry(resource=Medication(id="known")),
            Entry(),
        ]
    )
    single = MedicationRequest(medication=CodeableReference(reference=Reference("Medication/r5")))
    arrived: list[Resource] = [bundle, Patient(), single]
    assert unresolved(arrived) == ["Medication/b", "Medication/a", "Medication/r5"]


def test_what_is_coded_contained_or_not_addressed_is_left_out() -> None:
    coded = MedicationRequest(
        medicationCodeableConcept=CodeableConcept(coding=[Coding("s", "1")]),
        medicationReference=Reference("Medication/a"),
    )
    requests = [
        coded,
        MedicationRequest(),
        *map(_request, (None, "", "#m", "urn:uuid:1", "Patient/1", "Medication")),
    ]
    assert unresolved(requests) == []
