"""Where a call comes from, for pilots at named places.

Read is the Encounter that the hook's context names, from the data at hand: its locations at which the patient
is, and its service provider. A userId of the kind PractitionerRole has places too, but no hook sends that
resource along. Without the Encounter the place is unknown, and an unknown place is in no such pilot.
"""

from collections.abc import Iterable, Iterator

from service.facts.record import Record
from service.resources import Bundle, Encounter, Resource

__all__ = ["places"]

# Where the patient is not yet, or no longer (value set encounter-location-status).
_ELSEWHERE = ("planned", "completed")


def places(encounter_id: str | None, record: Record, resources: Iterable[Resource]) -> frozenset[str]:
    """`Location/id` and `Organization/id` of the encounter of a call, versions and servers left out; empty
    when it is not among the resources, or is another patient's.
    """
    for encounter in _encounters(resources) if encounter_id else ():
        if encounter.id == encounter_id and (
            encounter.subject is None or record.is_patient(encounter.subject)
        ):
            at = [one.location for one in encounter.location or () if one.status not in _ELSEWHERE]
            named = {record.target(reference) for reference in (*at, encounter.serviceProvider)}
            return frozenset(named - {""})
    return frozenset()


def _encounters(resources: Iterable[Resource]) -> Iterator[Encounter]:
    for resource in resources:
        held = (
            [entry.resource for entry in resource.entry or ()] if isinstance(resource, Bundle) else [resource]
        )
        yield from (one for one in held if isinstance(one, Encounter))
