"""Reading resources into a Record: the dispatch by resource type, and what people state about the patient.

Dates are tried in the order of facts.yaml, and several codings of one concept all count. Source: facts.yaml
conventions; decisions 18, 19, 20 and 26 on the clinical material.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rules.engine.facts import Source
from service.datatypes import CodeableConcept, Quantity
from service.facts import concepts
from service.facts.dates import Day
from service.facts.entries import Evidence
from service.facts.meanings import NOTHING, Meaning
from service.facts.reading_events import (
    add_imaging,
    read_appointment,
    read_care_plan,
    read_encounter,
    read_flag,
    read_procedure,
    read_report,
    read_study,
)
from service.facts.reading_orders import (
    read_draft_medication,
    read_draft_service,
    read_medication,
    read_service_request,
    read_statement,
    read_task,
)
from service.facts.record import Record
from service.facts.results import observed
from service.resources import (
    Appointment,
    CarePlan,
    Condition,
    DiagnosticReport,
    Encounter,
    Flag,
    ImagingStudy,
    Item,
    MedicationRequest,
    MedicationStatement,
    Observation,
    Patient,
    Procedure,
    QuestionnaireResponse,
    Resource,
    ServiceRequest,
    Task,
)

__all__ = ["read", "read_drafts"]

# WHO's M25.5 names no joint; the body site beside it does (clinical.md 4.3).
_UNSITED, _HIP = "joint-pain-unsited", "hip-body-site"
_NEVER_STOOD = frozenset({"entered-in-error", "cancelled", "unknown"})


def read(record: Record, arrived: Iterable[tuple[str, Resource]]) -> None:
    """Index (prefetch key, resource) pairs; a Bundle is opened, a resource that came twice counts once.

    The patient and the visits are read first, since others are dated by them.
    """
    piles = record.sort(arrived)
    for kind, reader in _READERS.items():
        for key, resource in piles.get(kind, ()):
            reader(record, resource, key)


def read_drafts(record: Record, drafts: Iterable[Resource], key: str = "context.draftOrders") -> None:
    """Index the orders being entered. A draft may lack subject, code or reason; another
    patient's is dropped.
    """
    for draft in drafts:
        subject = getattr(draft, "subject", None)
        if not record.is_patient(subject):
            record.dropped["other-patient"] += 1
        elif isinstance(draft, ServiceRequest):
            read_draft_service(record, draft, key)
        elif isinstance(draft, MedicationRequest):
            read_draft_medication(record, draft, key)
        elif isinstance(draft, Condition):
            _condition(record, draft, key)


def _read_patient(record: Record, resource: Patient, key: str) -> None:
    if resource.id == record.patient_id:
        record.patient = resource
    else:
        record.dropped["other-patient"] += 1


def _condition(record: Record, resource: Condition, key: str) -> None:
    if not record.mine(resource.subject):
        return
    concept = resource.code
    sets = record.meaning(concept).sets
    if _UNSITED in sets and any(
        _HIP in record.meaning(site).sets for site in concepts.each(resource.bodySite)
    ):
        sets |= {"hip-pain"}
    if not sets:
        if concept is None or not any(coding.code for coding in concept.coding or ()):
            record.uncoded["Condition"] += 1
        return
    verification = concepts.status(resource.verificationStatus)
    if verification in ("refuted", "entered-in-error"):
        record.dropped[verification] += 1
        return
    certainty = concepts.certainty(concept, record.codes)
    if certainty == "A":
        record.dropped["refuted"] += 1
        return
    codes = concepts.codings((concept,))
    clinical = concepts.status(resource.clinicalStatus)
    start, seen, end = _condition_days(record, resource)
    categories = concepts.codes(resource.category)
    active = None if not clinical else clinical in ("active", "recurrence", "relapse")
    if certainty == "Z":
        active = False
    record.add(
        Evidence(
            "encounter-diagnosis" if "encounter-diagnosis" in categories else "problem",
            Source(concepts.named("Condition", resource.id), concepts.label(codes), key),
            sets,
            codes,
            True,
            start,
            seen,
            end,
            active,
            verification in ("provisional", "differential", "unconfirmed") or certainty == "V",
            concepts.sides(resource.bodySite, codes),
            record.target(resource.encounter),
            clinical,
        )
    )


def _condition_days(record: Record, resource: Condition) -> tuple[Day | None, Day | None, Day | None]:
    calendar = record.calendar
    recorded = calendar.past(resource.recordedDate)
    onset = calendar.past(resource.onsetDateTime) or calendar.start(resource.onsetPeriod)
    if onset is None and resource.onsetAge is not None:
        onset = _at_age(record, resource.onsetAge)
    visit = (
        record.visit_days.get(record.target(resource.encounter)) if resource.encounter is not None else None
    )
    end = calendar.past(resource.abatementDateTime)
    if end is None and resource.abatementPeriod is not None:
        end = calendar.end(resource.abatementPeriod)
    if end is None and resource.abatementBoolean:
        end = recorded or onset or visit
    return onset or recorded or visit, _latest(recorded, visit) or onset, end


def _at_age(record: Record, age: Quantity) -> Day | None:
    """The year after a birthday. An age in another unit than years, or of nobody, is no date."""
    patient = record.patient
    born = record.calendar.parse(patient.birthDate) if patient is not None and patient.birthDate else None
    in_years = (age.code or age.unit or "a").strip().lower() in ("a", "y", "yr", "yrs", "year", "years")
    if born is None or age.value is None or not in_years or not 0 <= age.value <= 130:
        return None
    passed = int(age.value * 365.2425)
    day = Day(born.mid + passed + 182, born.low + passed, born.high + passed + 365)
    return day if day.low <= record.calendar.today else None


def _observation(record: Record, resource: Observation, key: str) -> None:
    if not record.mine(resource.subject):
        return
    concept = resource.code
    meaning = record.meaning(concept)
    value, components = resource.valueCodeableConcept, resource.component
    if meaning is NOTHING and value is None and components is None:
        return
    if resource.status in _NEVER_STOOD or concept is None:
        return
    if meaning.number_only:
        record.number(meaning.analyte, resource, resource, key)
    elif meaning is not NOTHING:
        _statement(record, resource, resource, concept, meaning, key)
    if value is not None:
        found = record.meaning(value).sets
        if found and not found & meaning.sets:
            _valued(record, resource, found, observed(record.calendar, resource), key)
    for component in components or ():
        inner = record.meaning(component.code)
        if inner is not NOTHING and component.code is not None:
            _statement(record, resource, component, component.code, inner, key)


def _statement(
    record: Record,
    resource: Observation,
    holder: Any,
    concept: CodeableConcept,
    meaning: Meaning,
    key: str,
) -> None:
    """One code of an Observation with its value: a measurement, a finding, or an imaging conclusion."""
    if meaning.analyte:
        record.number(meaning.analyte, resource, holder, key)
    if meaning.number_only:
        return
    day = observed(record.calendar, resource)
    codes = concepts.codings((concept,))
    source = Source(concepts.named("Observation", resource.id), concepts.label(codes), key)
    if meaning.imaging and day is not None:
        add_imaging(record, source, meaning.sets, day, resource.status, resource.valueCodeableConcept, "")
    record.add(
        Evidence(
            "observation",
            source,
            meaning.sets,
            codes,
            concepts.presence(holder),
            day,
            day,
            sides=concepts.sides(resource.bodySite, codes),
            status=resource.status or "",
        )
    )


def _valued(
    record: Record,
    resource: Observation,
    sets: frozenset[str],
    day: Day | None,
    key: str,
) -> None:
    """A general question answered with a finding, e.g. code "symptom", value "numbness of saddle area"."""
    codes = concepts.codings((resource.valueCodeableConcept,))
    # A diagnosis named as the value of any Observation is no diagnosis of the patient (it may be the
    # family's).
    kept = frozenset(name for name in sets if concepts.is_finding(name))
    if kept:
        source = Source(concepts.named("Observation", resource.id), concepts.label(codes), key)
        record.add(Evidence("observation", source, kept, codes, True, day, day))


def _questionnaire(record: Record, resource: QuestionnaireResponse, key: str) -> None:
    if resource.status not in ("completed", "amended", "in-progress", None):
        return
    if not record.mine(resource.subject):
        return
    questions = record.questions.of(resource.questionnaire)
    if questions:
        day = record.calendar.past(resource.authored)
        _items(
            record, resource.item, questions, concepts.named("QuestionnaireResponse", resource.id), day, key
        )


def _items(
    record: Record,
    items: list[Item] | None,
    questions: Mapping[str, str],
    name: str,
    day: Day | None,
    key: str,
) -> None:
    for item in items or ():
        fact = questions.get(item.linkId or "")
        if fact is not None and item.answer:
            present = concepts.answered(item.answer[0])
            source = Source(name, item.linkId or "", key)
            evidence = Evidence("answer", source, frozenset(), (), present, day, day)
            record.answers.setdefault(fact, []).append(evidence)
        _items(record, item.item, questions, name, day, key)
        for answer in item.answer or ():
            _items(record, answer.item, questions, name, day, key)


def _latest(*days: Day | None) -> Day | None:
    given = [day for day in days if day is not None]
    return max(given) if given else None


_READERS: dict[type, Callable[[Record, Any, str], None]] = {
    Patient: _read_patient,
    Encounter: read_encounter,
    Condition: _condition,
    Observation: _observation,
    Procedure: read_procedure,
    DiagnosticReport: read_report,
    ImagingStudy: read_study,
    MedicationRequest: read_medication,
    MedicationStatement: read_statement,
    ServiceRequest: read_service_request,
    Task: read_task,
    CarePlan: read_care_plan,
    Flag: read_flag,
    Appointment: read_appointment,
    QuestionnaireResponse: _questionnaire,
}
