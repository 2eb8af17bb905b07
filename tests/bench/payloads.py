"""Hook calls of a given size for the benchmark: a patient with a card to answer, or with nothing to say,
among everyday resources.

Deterministic and made up. Sizes are near what EHRs send: about 0.9 kB a resource with display texts and
metadata.
"""

import datetime as dt
from typing import Any

import orjson

__all__ = ["payload"]

PATIENT = "bench-patient"
_LOINC = "http://loinc.org"
_SNOMED = "http://snomed.info/sct"
_ICD = "http://hl7.org/fhir/sid/icd-10-cm"
_UCUM = "http://unitsofmeasure.org"
_HL7 = "http://terminology.hl7.org/CodeSystem/"

_RELEVANT = [
    ("279039007", "M54.50", "Low back pain", 70),
    ("254837009", "C50.919", "Malignant tumor of breast", 2900),
]
_EVERYDAY = [
    ("38341003", "I10", "Hypertensive disorder"),
    ("44054006", "E11.9", "Diabetes mellitus type 2"),
    ("13644009", "E78.00", "Hypercholesterolemia"),
    ("40930008", "E03.9", "Hypothyroidism"),
    ("195967001", "J45.909", "Asthma"),
    ("235595009", "K21.9", "Gastroesophageal reflux disease"),
    ("193462001", "G47.00", "Insomnia"),
]
_SERIES = [
    ("1988-5", "C reactive protein [Mass/volume] in Serum or Plasma", "mg/L", 4.0),
    ("4537-7", "Erythrocyte sedimentation rate by Westergren method", "mm/h", 18.0),
    ("718-7", "Hemoglobin [Mass/volume] in Blood", "g/dL", 12.1),
    ("29463-7", "Body weight", "kg", 78.0),
    ("8480-6", "Systolic blood pressure", "mm[Hg]", 138.0),
    ("17861-6", "Calcium [Mass/volume] in Serum or Plasma", "mg/dL", 9.4),
    ("2345-7", "Glucose [Mass/volume] in Serum or Plasma", "mg/dL", 97.0),
    ("2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "mg/dL", 0.9),
]


def payload(resources: int, today: dt.date, *, silent: bool = False) -> bytes:
    """A patient-view call with so many resources in its prefetch: a patient, a third Conditions, the rest
    results. `silent` leaves out what the card rests on.
    """
    conditions = max(2, (resources - 1) // 3)
    observations = resources - 1 - conditions
    first = len(_RELEVANT) if silent else 0
    prefetch = {
        "patient": _patient(today),
        "conditions": _bundle([_condition(first + number, today) for number in range(conditions)]),
        "encounters": None,
        "labs": _bundle([_observation(number, today) for number in range(observations)]),
        "findings": None,
        "procedures": None,
        "medications": None,
        "imaging": None,
        "studies": None,
        "orders": None,
        "questionnaires": None,
    }
    return orjson.dumps(
        {
            "hook": "patient-view",
            "hookInstance": "7d5b0f55-2a7b-4f0e-9a51-6a7b7d3f9c10",
            "context": {"userId": "Practitioner/bench", "patientId": PATIENT},
            "prefetch": prefetch,
        }
    )


def _bundle(resources: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": len(resources),
        "entry": [
            {
                "fullUrl": f"https://fhir.example.org/r4/{resource['resourceType']}/{resource['id']}",
                "resource": resource,
                "search": {"mode": "match"},
            }
            for resource in resources
        ],
    }


def _patient(today: dt.date) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": PATIENT,
        "gender": "female",
        "birthDate": f"{today.year - 67}-03-02",
        "name": [{"use": "official", "family": "Bench", "given": ["Berta"]}],
    }


def _condition(number: int, today: dt.date) -> dict[str, Any]:
    if number < len(_RELEVANT):
        snomed, icd, text, days = _RELEVANT[number]
    else:
        snomed, icd, text = _EVERYDAY[number % len(_EVERYDAY)]
        days = 400 + 13 * number
    onset = today - dt.timedelta(days=days)
    return {
        "resourceType": "Condition",
        "id": f"condition-{number}",
        "meta": {"versionId": "1", "lastUpdated": f"{onset.isoformat()}T09:00:00Z"},
        "clinicalStatus": {
            "coding": [{"system": _HL7 + "condition-clinical", "code": "active", "display": "Active"}]
        },
        "verificationStatus": {
            "coding": [{"system": _HL7 + "condition-ver-status", "code": "confirmed", "display": "Confirmed"}]
        },
        "category": [
            {
                "coding": [
                    {"system": _HL7 + "condition-category", "code": "problem-list-item", "display": "List"}
                ]
            }
        ],
        "code": {
            "coding": [
                {"system": _SNOMED, "code": snomed, "display": text},
                {"system": _ICD, "code": icd, "display": text},
            ],
            "text": text,
        },
        "subject": {"reference": f"Patient/{PATIENT}"},
        "onsetDateTime": onset.isoformat(),
        "recordedDate": f"{onset.isoformat()}T09:12:00Z",
    }


def _observation(number: int, today: dt.date) -> dict[str, Any]:
    code, display, unit, base = _SERIES[number % len(_SERIES)]
    taken = today - dt.timedelta(days=20 + 7 * (number // len(_SERIES)))
    return {
        "resourceType": "Observation",
        "id": f"observation-{number}",
        "meta": {"versionId": "1", "lastUpdated": f"{taken.isoformat()}T08:00:00Z"},
        "status": "final",
        "category": [
            {
                "coding": [
                    {"system": _HL7 + "observation-category", "code": "laboratory", "display": "Laboratory"}
                ]
            }
        ],
        "code": {"coding": [{"system": _LOINC, "code": code, "display": display}], "text": display},
        "subject": {"reference": f"Patient/{PATIENT}"},
        "effectiveDateTime": f"{taken.isoformat()}T07:40:00Z",
        "issued": f"{taken.isoformat()}T11:05:00Z",
        "performer": [{"reference": "Organization/laboratory", "display": "Central laboratory"}],
        "valueQuantity": {
            "value": round(base + 0.1 * (number % 5), 2),
            "unit": unit,
            "system": _UCUM,
            "code": unit,
        },
        "referenceRange": [
            {"low": {"value": base * 0.5, "unit": unit}, "high": {"value": base * 1.4, "unit": unit}}
        ],
    }
