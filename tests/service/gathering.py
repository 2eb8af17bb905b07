"""A small plan and a FHIR server of empty searches, for tests of gathering."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import respx

from service.access import AccessRefused, Grant
from service.addresses import parse_base
from service.decode import Problem, decode_resource
from service.fhir import Access, FhirClient
from service.fhir_version import FhirVersion
from service.prefetch import Gathered, gather
from service.queries import Query
from service.resources import Resource
from tests.service.searches import Json, condition, searchset

__all__ = ["BASE", "EMPTY", "NEEDS", "PATIENT", "PLAN", "WHOLE", "answer_emptily", "gathered"]

BASE = parse_base("https://ehr.example.org/fhir")
PATIENT: Json = {"resourceType": "Patient", "id": "p1"}
EMPTY = searchset()
_COUNT = (("_count", "50"),)
PLAN = (
    Query("patient", "patient", "Patient"),
    Query("conditions", "conditions", "Condition", _COUNT, newest_suffices=False),
    Query("labs", "observations", "Observation", _COUNT, "code", ("http://loinc.org|1988-5",)),
    Query("medications", "medications", "MedicationRequest", _COUNT),
    Query("imaging", "imaging", "DiagnosticReport", _COUNT),
    Query("studies", "imaging", "ImagingStudy", _COUNT, essential=False),
)
NEEDS = frozenset({"patient", "conditions", "observations", "medications", "imaging"})
WHOLE: Mapping[str, Json | None] = {
    "patient": PATIENT,
    "conditions": searchset(condition(1)),
    "labs": searchset({"resourceType": "Observation", "id": "o1"}),
    "medications": searchset({"resourceType": "MedicationRequest", "id": "m1"}),
    "imaging": EMPTY,
    "studies": None,
}


def answer_emptily(router: respx.Router) -> None:
    """Let the server know the patient and find nothing; each route has the name of its key."""
    router.get(f"{BASE.url}/metadata", name="metadata").respond(json={"fhirVersion": "4.0.1"})
    router.get(f"{BASE.url}/Patient/p1", name="patient").respond(json=PATIENT)
    for query in PLAN[1:]:
        url = f"{BASE.url}/{query.resource_type}"
        router.get(url, params={"patient": "p1"}, name=query.key).respond(json=EMPTY)


async def gathered(
    client: FhirClient,
    given: Mapping[str, Any],
    *,
    fetching: bool = True,
    plan: Sequence[Query] = PLAN,
    seconds: float = 1.0,
    version: FhirVersion | None = FhirVersion.R4,
) -> Gathered:
    """What `gather` makes of prefetch given as JSON, with or without a server to ask."""
    values: dict[str, Resource | None] = {}
    problems: list[Problem] = []
    for key, value in given.items():
        decoded, found = (None, ()) if value is None else decode_resource(orjson.dumps(value), key)
        problems += found
        if value is None or decoded is not None:  # as decode_call does: what cannot be read is absent
            values[key] = decoded
    access = Access(client, (lambda: Grant(BASE, "tok")) if fetching else _refuse)
    return await gather(
        values, plan, patient_id="p1", access=access, seconds=seconds, version=version, problems=problems
    )


def _refuse() -> Grant:
    raise AccessRefused("no-fhir-server")
