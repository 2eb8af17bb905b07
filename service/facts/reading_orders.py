"""Reading medicines and orders, those on record and those being entered.

A draft may lack subject, code or reason (order-select fires early). Source: facts.yaml (medicines, orders).
"""

from collections.abc import Sequence
from typing import Any

from rules.engine.facts import Source
from service.datatypes import CodeableConcept, Reference
from service.facts import concepts
from service.facts.dates import Day
from service.facts.entries import Evidence, Medicine, Order
from service.facts.record import Record
from service.resources import (
    Dispense,
    Medication,
    MedicationRequest,
    MedicationStatement,
    Resource,
    ServiceRequest,
    Task,
)

__all__ = [
    "read_draft_medication",
    "read_draft_service",
    "read_medication",
    "read_service_request",
    "read_statement",
    "read_task",
]

_NONE: frozenset[str] = frozenset()

# What somebody suggested, or could choose, has not been ordered (FHIR request-intent).
_NOT_ORDERED = frozenset({"proposal", "directive", "option"})


def read_medication(record: Record, resource: MedicationRequest, key: str) -> None:
    if resource.status in ("entered-in-error", "cancelled", "draft", "unknown"):
        return
    sets, codes = _product(record, resource)
    if not sets or not record.mine(resource.subject):
        return
    calendar = record.calendar
    dispense = resource.dispenseRequest
    start = calendar.past(resource.authoredOn)
    end: Day | None = None
    if dispense is not None:
        start = calendar.start(dispense.validityPeriod) or start
        if dispense.validityPeriod is not None and dispense.validityPeriod.end:
            end = calendar.parse(dispense.validityPeriod.end)
        elif start is not None:
            end = _supplied(start, dispense)
    source = Source(concepts.named("MedicationRequest", resource.id), concepts.label(codes), key)
    active = resource.status in ("active", "on-hold", None)
    record.medicines.append(Medicine(source, sets, codes[0][1], start, end, active))


def read_statement(record: Record, resource: MedicationStatement, key: str) -> None:
    if resource.status in ("entered-in-error", "not-taken", "unknown", "intended"):
        return
    sets, codes = _product(record, resource)
    if not sets or not record.mine(resource.subject):
        return
    calendar = record.calendar
    start = (
        calendar.past(resource.effectiveDateTime)
        or calendar.start(resource.effectivePeriod)
        or calendar.past(resource.dateAsserted)
    )
    period = resource.effectivePeriod
    end = calendar.parse(period.end) if period is not None and period.end else None
    source = Source(concepts.named("MedicationStatement", resource.id), concepts.label(codes), key)
    active = resource.status in ("active", "recorded", None)
    record.medicines.append(Medicine(source, sets, codes[0][1], start, end, active))


def _product(
    record: Record, resource: MedicationRequest | MedicationStatement
) -> tuple[frozenset[str], tuple[tuple[str, str], ...]]:
    concept = resource.medicationCodeableConcept
    reference = resource.medicationReference
    if resource.medication is not None:
        concept = concept or resource.medication.concept
        reference = reference or resource.medication.reference
    if concept is None and reference is not None and reference.reference:
        concept = _referenced(record, reference, resource.contained)
    if concept is None or not concept.coding:
        record.uncoded["Medication"] += 1
        return _NONE, ()
    return record.meaning(concept).sets, concepts.codings((concept,))


def _referenced(
    record: Record, reference: Reference, contained: Sequence[Resource] | None
) -> CodeableConcept | None:
    name = record.target(reference)
    if name.startswith("#"):
        for inner in contained or ():
            # The specification lets the contained id go without `#`; some senders write it there too.
            if isinstance(inner, Medication) and (inner.id or "").removeprefix("#") == name[1:]:
                return inner.code
        return None
    return record.medications.get(name)


def read_service_request(record: Record, resource: ServiceRequest, key: str) -> None:
    if resource.status in ("entered-in-error", "revoked", "draft") or resource.doNotPerform:
        return
    if resource.intent in _NOT_ORDERED:
        return
    concept = concepts.concept_of(resource.code)
    sets = record.meaning(concept).sets
    if not sets or not record.mine(resource.subject):
        return
    codes = concepts.codings((concept,))
    calendar = record.calendar
    day = (
        calendar.past(resource.occurrenceDateTime)
        or calendar.start(resource.occurrencePeriod)
        or calendar.past(resource.authoredOn)
    )
    authored = calendar.past(resource.authoredOn) or day
    source = Source(concepts.named("ServiceRequest", resource.id), concepts.label(codes), key)
    record.orders.append(Order(source, sets, resource.status or "active", authored))
    record.add(
        Evidence(
            "request",
            source,
            sets,
            codes,
            True,
            authored,
            authored,
            status=resource.status or "",
        )
    )


def read_task(record: Record, resource: Task, key: str) -> None:
    if resource.status in (
        "entered-in-error",
        "rejected",
        "cancelled",
        "failed",
        "draft",
    ):
        return
    sets = record.meaning(resource.code).sets
    if not sets or not record.mine(resource.for_):
        return
    codes = concepts.codings((resource.code,))
    day = record.calendar.past(resource.authoredOn)
    source = Source(concepts.named("Task", resource.id), concepts.label(codes), key)
    status = "completed" if resource.status == "completed" else "active"
    record.orders.append(Order(source, sets, status, day))


def read_draft_service(record: Record, draft: ServiceRequest, key: str) -> None:
    if draft.status in ("entered-in-error", "revoked") or draft.doNotPerform:
        return
    concept = concepts.concept_of(draft.code)
    sets = record.meaning(concept).sets
    codes = concepts.codings((concept,))
    if not sets:
        record.uncoded["draft order"] += 1
    source = Source(concepts.named("ServiceRequest", draft.id), concepts.label(codes), key)
    reasons = _reasons(record, draft.reasonCode, source, key)
    record.drafts.append(Order(source, sets, draft.status or "draft", None, reasons, resource=draft))


def read_draft_medication(record: Record, draft: MedicationRequest, key: str) -> None:
    if draft.status in ("entered-in-error", "cancelled", "stopped"):
        return
    sets, codes = _product(record, draft)
    source = Source(concepts.named("MedicationRequest", draft.id), concepts.label(codes), key)
    reasons = _reasons(record, draft.reasonCode, source, key)
    code = codes[0][1] if codes else ""
    record.drafts.append(Order(source, sets, draft.status or "draft", None, reasons, code, draft))


def _reasons(record: Record, given: Any, source: Source, key: str) -> frozenset[str]:
    """Value sets of an order's reasons. A symptom given as the reason is a statement of today."""
    stated = concepts.each(given)
    sets = concepts.meanings(stated, record.codes)
    codes = concepts.codings(stated)
    findings = frozenset(name for name in sets if concepts.is_finding(name))
    if findings:
        today = Day(record.calendar.today, record.calendar.today, record.calendar.today)
        reason = Source(source.resource, concepts.label(codes), key)
        record.add(Evidence("visit", reason, findings, codes, True, None, today))
    return sets


def _supplied(start: Day, dispense: Dispense) -> Day | None:
    """End of the supply from its duration in days and the repeats allowed."""
    supply = dispense.expectedSupplyDuration
    if supply is None or supply.value is None:
        return None
    unit = (supply.code or supply.unit or "d").lower()
    days = {
        "d": 1,
        "day": 1,
        "days": 1,
        "wk": 7,
        "week": 7,
        "weeks": 7,
        "mo": 30,
        "month": 30,
        "months": 30,
    }.get(unit)
    if days is None:
        return None
    # Nothing is dispensed for longer than this; the limit keeps a mistyped number inside the calendar.
    length = int(
        min(max(0.0, supply.value) * days * (1 + max(0, dispense.numberOfRepeatsAllowed or 0)), 3650)
    )
    return Day(start.mid + length, start.low + length, start.high + length)
