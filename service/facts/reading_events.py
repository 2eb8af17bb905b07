"""Reading what happened: visits, procedures, imaging, care plans, flags and appointments.

Statuses that mean "this never stood" are left out. Source: facts.yaml conventions; HL7 FHIR R4 status codes.
"""

from typing import Any

from rules.engine.facts import Source
from service.datatypes import Reference
from service.facts import concepts
from service.facts.dates import Day
from service.facts.entries import Evidence, Imaging
from service.facts.record import Record
from service.resources import (
    Appointment,
    CarePlan,
    DiagnosticReport,
    Encounter,
    Flag,
    ImagingStudy,
    Procedure,
)

__all__ = [
    "add_imaging",
    "read_appointment",
    "read_care_plan",
    "read_encounter",
    "read_flag",
    "read_procedure",
    "read_report",
    "read_study",
]


def read_encounter(record: Record, resource: Encounter, key: str) -> None:
    if resource.status in (
        "entered-in-error",
        "cancelled",
        "planned",
    ) or not record.mine(resource.subject):
        return
    period = resource.period or resource.actualPeriod
    day = record.calendar.start(period)
    name = concepts.named("Encounter", resource.id)
    if day is not None:
        record.visit_days[name] = day
    reasons = concepts.each(resource.reasonCode)
    for concept in reasons:
        sets = record.meaning(concept).sets
        if sets:
            codes = concepts.codings((concept,))
            source = Source(name, concepts.label(codes), key)
            record.add(Evidence("visit", source, sets, codes, True, day, day, encounter=name))
    kinds = [*concepts.each(resource.type), *concepts.each(resource.serviceType)]
    met = concepts.meanings(kinds, record.codes)
    places = [_location(record, entry.location) for entry in resource.location or ()]
    met = met.union(*places) if places else met
    if met:
        end = record.calendar.end(period)
        codes = concepts.codings(kinds)
        source = Source(name, concepts.label(codes), key)
        record.add(Evidence("visit", source, met, codes, True, day, end or day, encounter=name))


def _location(record: Record, reference: Reference | None) -> frozenset[str]:
    """A site may name whole locations, e.g. its oncology day unit, as codes of the system `Location`."""
    place = record.target(reference)
    return record.codes.sets("Location", place.rsplit("/", 1)[-1]) if place else frozenset()


def read_procedure(record: Record, resource: Procedure, key: str) -> None:
    if resource.status in (
        "entered-in-error",
        "not-done",
        "preparation",
        "unknown",
        "on-hold",
    ):
        return
    sets = record.meaning(resource.code).sets
    if not sets or not record.mine(resource.subject):
        return
    codes = concepts.codings((resource.code,))
    calendar = record.calendar
    period = resource.performedPeriod or resource.occurrencePeriod
    day = calendar.past(resource.performedDateTime) or calendar.past(resource.occurrenceDateTime)
    start, end = (day, day) if day is not None else (calendar.start(period), calendar.end(period))
    source = Source(concepts.named("Procedure", resource.id), concepts.label(codes), key)
    if resource.bodySite is not None:
        sets = sets | concepts.meanings(concepts.each(resource.bodySite), record.codes) | {"body-site-stated"}
    record.add(
        Evidence(
            "procedure",
            source,
            sets,
            codes,
            True,
            start or end,
            end,
            encounter=record.target(resource.encounter),
        )
    )
    if end is not None and any(name.startswith("imaging-") for name in sets):
        add_imaging(record, source, sets, end, "available", None, record.target(resource.encounter))


def read_report(record: Record, resource: DiagnosticReport, key: str) -> None:
    if resource.status in ("entered-in-error", "cancelled", "unknown"):
        return
    sets = record.meaning(resource.code).sets
    if not any(name.startswith("imaging-") for name in sets) or not record.mine(resource.subject):
        return
    codes = concepts.codings((resource.code,))
    calendar = record.calendar
    day = (
        calendar.past(resource.effectiveDateTime)
        or calendar.end(resource.effectivePeriod)
        or calendar.past(resource.issued)
    )
    if day is None:
        return
    source = Source(concepts.named("DiagnosticReport", resource.id), concepts.label(codes), key)
    add_imaging(
        record,
        source,
        sets,
        day,
        resource.status,
        resource.conclusionCode,
        record.target(resource.encounter),
    )


def read_study(record: Record, resource: ImagingStudy, key: str) -> None:
    if resource.status in (
        "entered-in-error",
        "cancelled",
        "unknown",
        "registered",
        "inactive",
    ):
        return
    named = [*concepts.each(resource.procedureCode), *concepts.each(resource.procedure)]
    sets = concepts.meanings(named, record.codes)
    day = record.calendar.past(resource.started)
    if not sets or day is None or not record.mine(resource.subject):
        return
    codes = concepts.codings(named)
    source = Source(concepts.named("ImagingStudy", resource.id), concepts.label(codes), key)
    add_imaging(record, source, sets, day, "available", None, record.target(resource.encounter))


def add_imaging(
    record: Record,
    source: Source,
    sets: frozenset[str],
    day: Day,
    status: str | None,
    conclusion: Any,
    encounter: str,
) -> None:
    concluded = concepts.each(conclusion)
    found = tuple(concepts.meanings([concept], record.codes) for concept in concluded)
    final = status in ("final", "amended", "corrected", "appended", None)
    record.imaging.append(
        Imaging(
            source,
            sets,
            day,
            final,
            status in ("registered", "partial", "preliminary"),
            found,
            bool(concepts.codings(concluded)),
            encounter,
        )
    )


def read_care_plan(record: Record, resource: CarePlan, key: str) -> None:
    if resource.status not in ("active", "on-hold", None) or not record.mine(resource.subject):
        return
    activities = [entry.detail.code for entry in resource.activity or () if entry.detail is not None]
    named = [
        *concepts.each(resource.category),
        *(code for code in activities if code is not None),
    ]
    sets = concepts.meanings(named, record.codes)
    codes = concepts.codings(named)
    if sets:
        day = record.calendar.start(resource.period) or record.calendar.past(resource.created)
        source = Source(concepts.named("CarePlan", resource.id), concepts.label(codes), key)
        record.add(Evidence("plan", source, sets, codes, True, day, day, active=True))


def read_flag(record: Record, resource: Flag, key: str) -> None:
    if resource.status != "active" or not record.mine(resource.subject):
        return
    sets = record.meaning(resource.code).sets
    codes = concepts.codings((resource.code,))
    if sets:
        day = record.calendar.start(resource.period)
        source = Source(concepts.named("Flag", resource.id), concepts.label(codes), key)
        record.add(Evidence("flag", source, sets, codes, True, day, day, active=True))


def read_appointment(record: Record, resource: Appointment, key: str) -> None:
    if resource.status != "fulfilled":
        return
    actors = [entry.actor for entry in resource.participant or () if entry.actor is not None]
    if not any(actor.reference and record.is_patient(actor) for actor in actors):
        record.dropped["other-patient"] += 1
        return
    kinds = concepts.each(resource.serviceType)
    sets = concepts.meanings(kinds, record.codes)
    codes = concepts.codings(kinds)
    if sets:
        day = record.calendar.past(resource.start)
        source = Source(concepts.named("Appointment", resource.id), concepts.label(codes), key)
        record.add(Evidence("appointment", source, sets, codes, True, day, day))
