"""Medicines that a MedicationRequest only refers to.

A prefetch search may not use `_include` (PF-07), and some EHRs, Epic among them, always refer; without the
Medication nobody knows what was prescribed.
"""

from collections.abc import Iterable, Iterator

from service.resources import Bundle, Medication, MedicationRequest, Resource

__all__ = ["MOST_READ", "unresolved"]

MOST_READ = 20
"""Medications that are read for one call; more prescriptions than these leave something unknown."""


def unresolved(values: Iterable[Resource]) -> list[str]:
    """`Medication/id` of each Medication that is referred to and not here, in order, each once.

    References into `contained`, and to anything that is not addressed by type and id, are left out.
    """
    known: set[str] = set()
    wanted: dict[str, None] = {}
    for resource in _each(values):
        if isinstance(resource, Medication):
            known.add(f"Medication/{resource.id}")
        elif isinstance(resource, MedicationRequest):
            name = _target(resource)
            if name:
                wanted[name] = None
    return [name for name in wanted if name not in known]


def _each(values: Iterable[Resource]) -> Iterator[Resource]:
    for value in values:
        if isinstance(value, Bundle):
            for entry in value.entry or ():
                if entry.resource is not None:
                    yield entry.resource
        else:
            yield value


def _target(request: MedicationRequest) -> str:
    concept = request.medicationCodeableConcept
    if concept is not None and concept.coding:
        return ""
    reference = request.medicationReference
    if reference is None and request.medication is not None:
        reference = request.medication.reference
    parts = (reference.reference or "" if reference is not None else "").split("/_history/")[0].split("/")
    return "/".join(parts[-2:]) if len(parts) >= 2 and parts[-2] == "Medication" else ""
