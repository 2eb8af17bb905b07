"""The slice of FHIR R4 that facts are read from, as msgspec Structs.

Only consumed elements are declared, so that a resource is refused only when something we would read has the
wrong JSON type; everything else in it is skipped without being built. R4B agrees with these shapes, and R5
where a second element name is given beside the R4 one. Every element is optional: real records break the
cardinalities of the specification daily.

Source: HL7 FHIR R4 (4.0.1) resource definitions; FHIR R5 for `medication`, `occurrence*` and `class`.
"""

from typing import TYPE_CHECKING, Union

import msgspec

from service.datatypes import (
    CodeableConcept,
    CodeableReference,
    Coding,
    Concepts,
    Period,
    Quantity,
    Reference,
    ReferenceRange,
    Status,
)
from service.unread import UNREAD

__all__ = [
    "Appointment",
    "Bundle",
    "CarePlan",
    "Component",
    "Condition",
    "DiagnosticReport",
    "Encounter",
    "Entry",
    "Flag",
    "ImagingStudy",
    "Medication",
    "MedicationRequest",
    "MedicationStatement",
    "Observation",
    "OperationOutcome",
    "Other",
    "Patient",
    "Procedure",
    "QuestionnaireResponse",
    "Resource",
    "ServiceRequest",
    "Task",
]


class Patient(msgspec.Struct, tag_field="resourceType", tag="Patient", gc=False):
    id: str | None = None
    gender: str | None = None
    birthDate: str | None = None
    deceasedBoolean: bool | None = None
    deceasedDateTime: str | None = None


class Condition(msgspec.Struct, tag_field="resourceType", tag="Condition", gc=False):
    id: str | None = None
    clinicalStatus: Status = None
    verificationStatus: Status = None
    category: Concepts = None
    code: CodeableConcept | None = None
    bodySite: Concepts = None
    subject: Reference | None = None
    encounter: Reference | None = None
    onsetDateTime: str | None = None
    onsetPeriod: Period | None = None
    onsetAge: Quantity | None = None
    abatementDateTime: str | None = None
    abatementPeriod: Period | None = None
    abatementBoolean: bool | None = None
    recordedDate: str | None = None


class Component(msgspec.Struct, gc=False):
    code: CodeableConcept | None = None
    valueQuantity: Quantity | None = None
    valueCodeableConcept: CodeableConcept | None = None
    valueBoolean: bool | None = None
    valueString: str | None = None
    valueInteger: int | None = None
    dataAbsentReason: CodeableConcept | None = None
    interpretation: Concepts = None
    referenceRange: list[ReferenceRange] | None = None


class Observation(msgspec.Struct, tag_field="resourceType", tag="Observation", gc=False):
    id: str | None = None
    status: str | None = None
    code: CodeableConcept | None = None
    subject: Reference | None = None
    effectiveDateTime: str | None = None
    effectivePeriod: Period | None = None
    effectiveInstant: str | None = None
    issued: str | None = None
    valueQuantity: Quantity | None = None
    valueCodeableConcept: CodeableConcept | None = None
    valueBoolean: bool | None = None
    valueString: str | None = None
    valueInteger: int | None = None
    dataAbsentReason: CodeableConcept | None = None
    interpretation: Concepts = None
    bodySite: CodeableConcept | None = None
    referenceRange: list[ReferenceRange] | None = None
    component: list[Component] | None = None


class DiagnosticReport(msgspec.Struct, tag_field="resourceType", tag="DiagnosticReport", gc=False):
    id: str | None = None
    status: str | None = None
    category: Concepts = None
    code: CodeableConcept | None = None
    subject: Reference | None = None
    encounter: Reference | None = None
    effectiveDateTime: str | None = None
    effectivePeriod: Period | None = None
    issued: str | None = None
    conclusionCode: Concepts = None


class ImagingStudy(msgspec.Struct, tag_field="resourceType", tag="ImagingStudy", gc=False):
    id: str | None = None
    status: str | None = None
    subject: Reference | None = None
    encounter: Reference | None = None
    started: str | None = None
    procedureCode: Concepts = None
    procedure: list[CodeableReference] | None = None


class Procedure(msgspec.Struct, tag_field="resourceType", tag="Procedure", gc=False):
    id: str | None = None
    status: str | None = None
    code: CodeableConcept | None = None
    subject: Reference | None = None
    encounter: Reference | None = None
    performedDateTime: str | None = None
    performedPeriod: Period | None = None
    occurrenceDateTime: str | None = None
    occurrencePeriod: Period | None = None
    bodySite: Concepts = None


class Medication(msgspec.Struct, tag_field="resourceType", tag="Medication", gc=False):
    id: str | None = None
    code: CodeableConcept | None = None


class Dispense(msgspec.Struct, gc=False):
    validityPeriod: Period | None = None
    expectedSupplyDuration: Quantity | None = None
    numberOfRepeatsAllowed: int | None = None


class MedicationRequest(msgspec.Struct, tag_field="resourceType", tag="MedicationRequest", gc=False):
    id: str | None = None
    status: str | None = None
    intent: str | None = None
    medicationCodeableConcept: CodeableConcept | None = None
    medicationReference: Reference | None = None
    medication: CodeableReference | None = None
    subject: Reference | None = None
    authoredOn: str | None = None
    reasonCode: Concepts = None
    dispenseRequest: Dispense | None = None
    contained: "list[Resource] | None" = None


class MedicationStatement(msgspec.Struct, tag_field="resourceType", tag="MedicationStatement", gc=False):
    id: str | None = None
    status: str | None = None
    medicationCodeableConcept: CodeableConcept | None = None
    medicationReference: Reference | None = None
    medication: CodeableReference | None = None
    subject: Reference | None = None
    effectiveDateTime: str | None = None
    effectivePeriod: Period | None = None
    dateAsserted: str | None = None
    contained: "list[Resource] | None" = None


class ServiceRequest(msgspec.Struct, tag_field="resourceType", tag="ServiceRequest", gc=False):
    id: str | None = None
    status: str | None = None
    intent: str | None = None
    doNotPerform: bool | None = None
    code: CodeableReference | None = None
    subject: Reference | None = None
    authoredOn: str | None = None
    occurrenceDateTime: str | None = None
    occurrencePeriod: Period | None = None
    reasonCode: Concepts = None


class EncounterLocation(msgspec.Struct, gc=False):
    location: Reference | None = None
    status: str | None = None


class Encounter(msgspec.Struct, tag_field="resourceType", tag="Encounter", gc=False):
    id: str | None = None
    status: str | None = None
    type: Concepts = None
    serviceType: list[CodeableReference] | CodeableReference | None = None
    subject: Reference | None = None
    period: Period | None = None
    actualPeriod: Period | None = None
    reasonCode: Concepts = None
    location: list[EncounterLocation] | None = None
    serviceProvider: Reference | None = None


class ActivityDetail(msgspec.Struct, gc=False):
    code: CodeableConcept | None = None


class Activity(msgspec.Struct, gc=False):
    detail: ActivityDetail | None = None


class CarePlan(msgspec.Struct, tag_field="resourceType", tag="CarePlan", gc=False):
    id: str | None = None
    status: str | None = None
    category: Concepts = None
    subject: Reference | None = None
    period: Period | None = None
    created: str | None = None
    activity: list[Activity] | None = None


class Flag(msgspec.Struct, tag_field="resourceType", tag="Flag", gc=False):
    id: str | None = None
    status: str | None = None
    code: CodeableConcept | None = None
    subject: Reference | None = None
    period: Period | None = None


class Answer(msgspec.Struct, gc=False):
    valueBoolean: bool | None = None
    valueCoding: Coding | None = None
    item: "list[Item] | None" = None


class Item(msgspec.Struct, gc=False):
    linkId: str | None = None
    answer: list[Answer] | None = None
    item: "list[Item] | None" = None


class QuestionnaireResponse(msgspec.Struct, tag_field="resourceType", tag="QuestionnaireResponse", gc=False):
    id: str | None = None
    status: str | None = None
    questionnaire: str | None = None
    subject: Reference | None = None
    authored: str | None = None
    item: list[Item] | None = None


class Participant(msgspec.Struct, gc=False):
    actor: Reference | None = None


class Appointment(msgspec.Struct, tag_field="resourceType", tag="Appointment", gc=False):
    id: str | None = None
    status: str | None = None
    serviceType: Concepts = None
    start: str | None = None
    participant: list[Participant] | None = None


class Task(msgspec.Struct, tag_field="resourceType", tag="Task", gc=False):
    id: str | None = None
    status: str | None = None
    code: CodeableConcept | None = None
    for_: Reference | None = msgspec.field(name="for", default=None)
    authoredOn: str | None = None


class Issue(msgspec.Struct, gc=False):
    severity: str | None = None
    code: str | None = None


class OperationOutcome(msgspec.Struct, tag_field="resourceType", tag="OperationOutcome", gc=False):
    id: str | None = None
    issue: list[Issue] | None = None


class Search(msgspec.Struct, gc=False):
    mode: str | None = None


class BundleLink(msgspec.Struct, gc=False):
    relation: str | None = None
    url: str | None = None


class Entry(msgspec.Struct, gc=False):
    fullUrl: str | None = None
    resource: "Resource | None" = None
    search: Search | None = None


class Bundle(msgspec.Struct, tag_field="resourceType", tag="Bundle", gc=False):
    id: str | None = None
    type: str | None = None
    total: int | None = None
    entry: list[Entry] | None = None
    link: list[BundleLink] | None = None


class Other(msgspec.Struct, tag_field="resourceType", tag="Other", gc=False):
    """Any resource type no fact is read from; only its id is kept, so that it can be counted."""

    id: str | None = None


_READ = (
    Patient, Condition, Observation, DiagnosticReport, ImagingStudy, Procedure, Medication, MedicationRequest,
    MedicationStatement, ServiceRequest, Encounter, CarePlan, Flag, QuestionnaireResponse, Appointment, Task,
    OperationOutcome, Bundle,
)  # fmt: skip

OTHERS: tuple[type[msgspec.Struct], ...] = tuple(
    msgspec.defstruct(name, [], bases=(Other,), tag_field="resourceType", tag=name, gc=False)
    for name in UNREAD
)

if TYPE_CHECKING:
    Resource = (
        Patient
        | Condition
        | Observation
        | DiagnosticReport
        | ImagingStudy
        | Procedure
        | Medication
        | MedicationRequest
        | MedicationStatement
        | ServiceRequest
        | Encounter
        | CarePlan
        | Flag
        | QuestionnaireResponse
        | Appointment
        | Task
        | OperationOutcome
        | Bundle
        | Other
    )
else:
    Resource = Union[(*_READ, *OTHERS)]
