"""Bundled synthetic patients, written out as FHIR R4 relative to a day. Nobody in them exists."""

import datetime as dt
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
import yaml

__all__ = ["Patient", "load", "resources", "to_request"]

_SYSTEMS = {
    "icd": "http://hl7.org/fhir/sid/icd-10-cm",
    "snomed": "http://snomed.info/sct",
    "loinc": "http://loinc.org",
    "rxnorm": "http://www.nlm.nih.gov/research/umls/rxnorm",
}
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_UCUM = "http://unitsofmeasure.org"


class Patient(msgspec.Struct, frozen=True):
    """One patient of patients.yaml. `record` holds one-key mappings of kind to details; `expect` the rules
    that lead the cards the bundled rules answer with."""

    id: str
    name: str
    age: int
    sex: str
    story: str
    hook: str
    record: list[dict[str, dict[str, Any]]]
    expect: list[str]


@cache
def load() -> tuple[Patient, ...]:
    """All bundled patients, in the order of the file."""
    text = (files("service.demo") / "patients.yaml").read_text(encoding="utf-8")
    return tuple(msgspec.convert(yaml.safe_load(text)["patients"], list[Patient]))


def resources(patient: Patient, today: dt.date) -> list[dict[str, Any]]:
    """The patient's record as FHIR R4 resources, without the draft orders."""
    return [
        _person(patient, today),
        *(resource for kind, resource in _entries(patient, today) if kind != "draft"),
    ]


def to_request(patient: Patient, today: dt.date, instance: str) -> dict[str, Any]:
    """A complete hook call for the patient, all data in the prefetch."""
    everything = resources(patient, today)
    prefetch: dict[str, Any] = {"patient": everything[0]}
    for key, kinds in _KEYS.items():
        found = [{"resource": resource} for resource in everything if resource["resourceType"] in kinds]
        prefetch[key] = {"resourceType": "Bundle", "type": "searchset", "entry": found} if found else None
    context: dict[str, Any] = {"userId": "Practitioner/demo", "patientId": patient.id}
    drafts = [resource for kind, resource in _entries(patient, today) if kind == "draft"]
    if patient.hook != "patient-view":
        entries = [{"resource": draft} for draft in drafts]
        context["draftOrders"] = {"resourceType": "Bundle", "type": "collection", "entry": entries}
        context["selections"] = [f"{draft['resourceType']}/{draft['id']}" for draft in drafts]
    return {"hook": patient.hook, "hookInstance": instance, "context": context, "prefetch": prefetch}


_KEYS = {
    "conditions": ("Condition",),
    "encounters": ("Encounter",),
    "labs": ("Observation",),
    "findings": (),
    "procedures": ("Procedure",),
    "medications": ("MedicationRequest",),
    "imaging": ("DiagnosticReport",),
    "studies": (),
    "orders": ("ServiceRequest",),
    "questionnaires": (),
}


def _person(patient: Patient, today: dt.date) -> dict[str, Any]:
    born = (today - dt.timedelta(days=120)).replace(day=15)
    given, family = patient.name.split(" ", 1)
    return {
        "resourceType": "Patient",
        "id": patient.id,
        "gender": patient.sex,
        "birthDate": born.replace(year=born.year - patient.age).isoformat(),
        "name": [{"family": family, "given": [given]}],
    }


def _entries(patient: Patient, today: dt.date) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, entry in enumerate(patient.record):
        for kind, details in entry.items():
            resource = _BUILDERS[kind](details, today)
            resource["id"] = f"{patient.id}-{number}"
            resource["subject"] = {"reference": f"Patient/{patient.id}"}
            yield kind, resource


def _concept(details: dict[str, Any]) -> dict[str, Any]:
    coding = [
        {"system": uri, "code": str(details[name])} for name, uri in _SYSTEMS.items() if name in details
    ]
    return {"coding": coding, "text": details["text"]}


def _day(today: dt.date, days: int) -> str:
    return (today - dt.timedelta(days=days)).isoformat()


def _condition(details: dict[str, Any], today: dt.date) -> dict[str, Any]:
    category = "encounter-diagnosis" if details.get("diagnosis") else "problem-list-item"
    return {
        "resourceType": "Condition",
        "clinicalStatus": {"coding": [{"system": _TERMINOLOGY + "condition-clinical", "code": "active"}]},
        "verificationStatus": {
            "coding": [{"system": _TERMINOLOGY + "condition-ver-status", "code": "confirmed"}]
        },
        "category": [{"coding": [{"system": _TERMINOLOGY + "condition-category", "code": category}]}],
        "code": _concept(details),
        "onsetDateTime": _day(today, details["onset"]),
    }


def _observation(details: dict[str, Any], today: dt.date) -> dict[str, Any]:
    quantity: dict[str, Any] = {"value": details["value"]}
    if "unit" in details:
        quantity |= {"unit": details["unit"], "system": _UCUM, "code": details["unit"]}
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": _concept(details),
        "effectiveDateTime": _day(today, details["day"]),
        "valueQuantity": quantity,
    }


def _procedure(details: dict[str, Any], today: dt.date) -> dict[str, Any]:
    return {
        "resourceType": "Procedure",
        "status": "completed",
        "code": _concept(details),
        "performedDateTime": _day(today, details["day"]),
        "bodySite": [_concept(details["body_site"])],
    }


def _report(details: dict[str, Any], today: dt.date) -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "category": [{"coding": [{"system": _TERMINOLOGY + "v2-0074", "code": "RAD"}]}],
        "code": _concept(details),
        "effectiveDateTime": _day(today, details["day"]),
        "conclusionCode": [_concept(details["conclusion"])],
    }


def _draft(details: dict[str, Any], today: dt.date) -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest",
        "status": "draft",
        "intent": "order",
        "code": _concept(details),
        "authoredOn": today.isoformat(),
    }


_BUILDERS = {
    "condition": _condition,
    "observation": _observation,
    "procedure": _procedure,
    "report": _report,
    "draft": _draft,
}
