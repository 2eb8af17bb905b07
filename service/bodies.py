"""Bodies of hook calls, made from what a person has at hand: a FHIR Bundle, a captured request, a patient id.

The playground and `tocsin try` both put these to the service. Source: CDS Hooks 2.0.1, HTTP Request; FHIR R4,
Bundle (references inside a transaction are by `fullUrl`).
"""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from hooks import REGISTRY
from hooks.hook import Kind
from service.errors import TocsinError
from service.queries import Query

__all__ = [
    "InputRefused",
    "SeveralPatients",
    "add_drafts",
    "at_hook",
    "call",
    "opened",
    "prefetched",
    "read_body",
]

Json = dict[str, Any]
_VIEW, _SELECT, _DISPATCH = "patient-view", "order-select", "order-dispatch"
_PERFORMER = "Practitioner/performer"
_MEDICINE = "MedicationRequest"
_URN = ("urn:uuid:", "urn:oid:")


class InputRefused(TocsinError):
    """What was put in cannot be tried; the text says why and what to do. It never repeats the input."""


class SeveralPatients(InputRefused):
    """A Bundle holds more than one patient; `ids` are theirs."""

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__("The Bundle has more than one Patient. Paste the data of one.")
        self.ids = tuple(ids)


def call(patient_id: str, user: str, instance: str, prefetch: Mapping[str, Any] | None = None) -> Json:
    """A patient-view call; without `prefetch` its data has to be fetched."""
    context = {"userId": user, "patientId": patient_id}
    body: Json = {"hook": _VIEW, "hookInstance": instance, "context": context}
    return body if prefetch is None else {**body, "prefetch": dict(prefetch)}


def read_body(
    text: str | bytes, plan: Iterable[Query], *, user: str, instance: str, patient: str = ""
) -> Json:
    """The call that a Bundle or a captured request stands for; a request loses the server it names.

    `plan` has the prefetch keys a Bundle is laid out under, `patient` chooses among several in a Bundle.
    Raises InputRefused, SeveralPatients.
    """
    given = _read(text)
    if given.get("resourceType") == "Bundle":
        return _from_bundle(given, plan, user, instance, patient)
    if "hook" not in given or not isinstance(given.get("context"), dict):
        raise InputRefused("This is neither a hook request (hook, context) nor a FHIR Bundle.")
    given.setdefault("hookInstance", instance)
    # Nobody is called, whatever server and token a captured request names.
    given.pop("fhirServer", None)
    given.pop("fhirAuthorization", None)
    return given


def at_hook(body: Json, hook: str, *, user: str, encounter: str = "", otherwise: str = "") -> None:
    """Turn a call into one of another hook, with the context fields that hook must have.

    An encounter that is not given is the first one in the prefetch, or `otherwise`. Raises InputRefused for a
    hook that is not known, or whose encounter is nowhere.
    """
    if hook not in REGISTRY:
        raise InputRefused(f"The hook is none of {', '.join(REGISTRY)}.")
    body["hook"] = hook
    context = body["context"]
    context.setdefault("userId", user)
    if encounter:
        context["encounterId"] = encounter
    drafts = opened(context.get(REGISTRY[hook].resources_field))
    for field in REGISTRY[hook].fields:
        if field.kind is Kind.RESOURCES and field.required and not isinstance(context.get(field.name), dict):
            context[field.name] = {"resourceType": "Bundle", "type": "collection", "entry": []}
        elif field.name == "encounterId" and field.required and not context.get(field.name):
            context[field.name] = _encounter(body) or otherwise
            if not context[field.name]:
                raise InputRefused("This hook is about an encounter, and none is on record. Name one.")
    if hook == _SELECT:
        context["selections"] = [f"{one.get('resourceType')}/{one.get('id')}" for one in drafts]
    elif hook == _DISPATCH:
        context.setdefault("dispatchedOrders", _orders(body))
        context.setdefault("performer", _PERFORMER)


def add_drafts(
    body: Json, resources: Iterable[Mapping[str, Any]], today: dt.date, *, user: str, prefix: str = "draft"
) -> None:
    """Add resources to the drafts of the call, about its patient and of today. A hook that has no drafts
    becomes order-select.
    """
    field = _drafts_of(body["hook"])
    at_hook(body, body["hook"] if field else _SELECT, user=user)
    field = field or _drafts_of(_SELECT)
    context = body["context"]
    drafts = [
        {**one, "id": f"{prefix}-{number}", **_about(one, str(context.get("patientId")), today)}
        for number, one in enumerate(resources)
    ]
    entries = [{"resource": one} for one in [*opened(context[field]), *drafts]]
    context[field] = {**context[field], "entry": entries}
    at_hook(body, body["hook"], user=user)


def opened(bundle: object) -> list[Json]:
    """The resources in a Bundle, and in Bundles inside it, as a batch response has them; with the ids and
    references a server would give them.
    """
    found: list[Json] = []
    names: dict[str, str] = {}
    waiting = [bundle]
    while waiting:
        holder = waiting.pop(0)
        entries = holder.get("entry") if isinstance(holder, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            resource = entry.get("resource") if isinstance(entry, dict) else None
            if not isinstance(resource, dict):
                continue
            if resource.get("resourceType") == "Bundle":
                waiting.append(resource)
                continue
            found.append(_named(resource, entry.get("fullUrl"), names))
    return [_renamed(resource, names) for resource in found] if names else found


# -- reading -----------------------------------------------------------------------------------------


def _read(text: str | bytes) -> Json:
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InputRefused(
            f"The text is not JSON: it breaks off or goes wrong at line {error.lineno}, column {error.colno}."
        ) from error
    if not isinstance(given, dict):
        raise InputRefused("The JSON is no object. Paste a hook request or a FHIR Bundle.")
    try:
        # What is read can be nested deeper than what is written, and a call wraps it once more.
        orjson.dumps([[[[given]]]])
    except orjson.JSONEncodeError as error:
        raise InputRefused("The JSON is nested deeper than FHIR resources are.") from error
    return given


def _from_bundle(bundle: Json, plan: Iterable[Query], user: str, instance: str, patient: str) -> Json:
    resources = opened(bundle)
    if not resources:
        raise InputRefused("The Bundle has no entries.")
    person, others = _patient(resources, patient)
    left = [one for one in resources if others.isdisjoint(_subjects(one))]
    prefetch: Json = {}
    for query in plan:
        kinds = (
            {query.resource_type, "Medication"} if query.resource_type == _MEDICINE else {query.resource_type}
        )
        mine = [one for one in left if one.get("resourceType") in kinds]
        left = [one for one in left if one.get("resourceType") not in kinds]
        prefetch[query.key] = person if query.is_read else _searchset(mine)
    return call(person["id"], user, instance, prefetch)


def _patient(resources: Iterable[Json], wanted: str) -> tuple[Json, set[str]]:
    """The patient a Bundle is about, and references to the others in it."""
    by_id: dict[str, Json] = {}
    for one in resources:
        if one.get("resourceType") == "Patient" and one.get("id") and isinstance(one["id"], str):
            by_id[one["id"]] = one
    if not by_id:
        raise InputRefused("The Bundle has no Patient with an id, so it cannot be told who it is about.")
    wanted = wanted.removeprefix("Patient/")
    if wanted and wanted not in by_id:
        raise InputRefused("The Bundle has no Patient with that id.")
    if not wanted and len(by_id) > 1:
        raise SeveralPatients(sorted(by_id))
    person = by_id[wanted or next(iter(by_id))]
    return person, {f"Patient/{name}" for name in by_id if name != person["id"]}


def _subjects(resource: Json) -> set[str]:
    """`Patient/id` of whom a resource is about, whatever server the reference names."""
    found = set()
    for name in ("subject", "patient"):
        reference = resource.get(name)
        text = reference.get("reference") if isinstance(reference, dict) else None
        if isinstance(text, str):
            found.add("/".join(text.split("/_history/")[0].split("/")[-2:]))
    return found


def _searchset(resources: list[Json]) -> Json | None:
    if not resources:
        return None
    entries = [{"resource": resource} for resource in resources]
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries}


def _named(resource: Json, url: object, names: dict[str, str]) -> Json:
    """The resource with an id; `names` gets what references call it."""
    if not (isinstance(url, str) and url.startswith(_URN)):
        return resource
    identifier = resource.get("id") or url.rpartition(":")[2]
    names[url] = f"{resource.get('resourceType')}/{identifier}"
    return {**resource, "id": identifier}


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            name: names.get(inner, inner)
            if name == "reference" and isinstance(inner, str)
            else _renamed(inner, names)
            for name, inner in value.items()
        }
    return [_renamed(inner, names) for inner in value] if isinstance(value, list) else value


# -- contexts ----------------------------------------------------------------------------------------


def _drafts_of(hook: str) -> str:
    """The context field that a call of the hook must have for drafts; empty where it has none."""
    found = REGISTRY[hook].fields if hook in REGISTRY else ()
    return next((field.name for field in found if field.kind is Kind.RESOURCES and field.required), "")


def _about(resource: Mapping[str, Any], patient_id: str, today: dt.date) -> Json:
    """Members that put a draft on this patient and this day, as its type has them."""
    reference = {"reference": f"Patient/{patient_id}"}
    kind = resource.get("resourceType")
    if kind == "Appointment":
        others = [one for one in resource.get("participant", ()) if "/Patient/" not in f"/{_actor(one)}"]
        return {"participant": [{"actor": reference, "status": "needs-action"}, *others]}
    if kind == "Condition":
        return {"subject": reference, "recordedDate": today.isoformat()}
    return {"subject": reference, "authoredOn": today.isoformat()}


def _actor(participant: object) -> str:
    actor = participant.get("actor") if isinstance(participant, dict) else None
    return str(actor.get("reference", "")) if isinstance(actor, dict) else ""


def prefetched(body: Json, kind: str) -> list[Json]:
    """The resources of a type in the prefetch of a call."""
    prefetch = body.get("prefetch")
    values = prefetch.values() if isinstance(prefetch, dict) else ()
    return [one for value in values for one in opened(value) if one.get("resourceType") == kind]


def _encounter(body: Json) -> str:
    """The id of the first encounter in the prefetch; empty where there is none."""
    found = (one["id"] for one in prefetched(body, "Encounter") if isinstance(one.get("id"), str))
    return next(found, "")


def _orders(body: Json) -> list[str]:
    active = [one for one in prefetched(body, "ServiceRequest") if one.get("status") == "active"]
    return [f"ServiceRequest/{one.get('id')}" for one in active]
