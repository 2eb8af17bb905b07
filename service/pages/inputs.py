"""What a person put into the playground, as the body of a hook call.

A bundled patient, a hook request, or a FHIR Bundle about one patient. Hook and a draft order can be set on
top of each, so that one patient can be tried at every moment. Nothing here is kept.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import orjson

from rules.engine import OrderTemplate
from service import demo
from service.errors import TocsinError
from service.queries import Query

__all__ = ["HOOKS", "Input", "InputRefused", "body_of", "read_input"]

HOOKS = ("patient-view", "order-select", "order-sign")
"""The hooks rules are written for; the others run the same rules as one of these."""

Json = dict[str, Any]
_USER = "Practitioner/playground"
_MEDICINE = "MedicationRequest"


class InputRefused(TocsinError):
    """What was put in cannot be tried; the text says why and what to do. It never repeats the input."""


class Input(msgspec.Struct, frozen=True):
    """The fields of the page. `data` is pasted or uploaded text and goes before `patient`; `rule` and `text`
    are a rule to try with other text.
    """

    patient: str = ""
    data: str = ""
    hook: str = ""
    order: str = ""
    profile: str = ""
    rule: str = ""
    text: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.patient or self.data.strip())


def read_input(fields: Mapping[str, str]) -> Input:
    """The input of a form or a query; an uploaded file counts as pasted."""
    given = {
        name: fields[name].strip()
        for name in ("patient", "hook", "order", "profile", "rule")
        if name in fields
    }
    text = "" if "load" in fields else fields.get("text", "").replace("\r\n", "\n")
    return Input(**given, data=fields.get("file") or fields.get("data", ""), text=text)


def body_of(
    wanted: Input,
    *,
    plan: Iterable[Query],
    orders: Mapping[str, OrderTemplate],
    today: dt.date,
    instance: str,
) -> Json:
    """The hook call for an input. `plan` has the prefetch keys a Bundle is laid out under.

    Raises InputRefused.
    """
    body = _pasted(wanted.data, plan, instance) if wanted.data.strip() else _bundled(wanted, today, instance)
    if wanted.hook:
        _at_hook(body, wanted.hook)
    if wanted.order:
        _ordering(body, wanted.order, orders, today)
    return body


def _bundled(wanted: Input, today: dt.date, instance: str) -> Json:
    patient = next((one for one in demo.load() if one.id == wanted.patient), None)
    if patient is None:
        raise InputRefused("There is no such patient. Pick one of the list.")
    return demo.to_request(patient, today, instance)


def _pasted(text: str, plan: Iterable[Query], instance: str) -> Json:
    try:
        given = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InputRefused(
            f"The text is not JSON: it breaks off or goes wrong at line {error.lineno}, column {error.colno}."
        ) from error
    if not isinstance(given, dict):
        raise InputRefused("The JSON is no object. Paste a hook request or a FHIR Bundle.")
    if given.get("resourceType") == "Bundle":
        return _from_bundle(given, plan, instance)
    if "hook" not in given or not isinstance(given.get("context"), dict):
        raise InputRefused("This is neither a hook request (hook, context) nor a FHIR Bundle.")
    given.setdefault("hookInstance", instance)
    # The page calls nobody, whatever server and token a captured request names.
    given.pop("fhirServer", None)
    given.pop("fhirAuthorization", None)
    return given


def _from_bundle(bundle: Json, plan: Iterable[Query], instance: str) -> Json:
    resources = _resources(bundle)
    if not resources:
        raise InputRefused("The Bundle has no entries.")
    patients = [one for one in resources if one.get("resourceType") == "Patient" and one.get("id")]
    if not patients:
        raise InputRefused("The Bundle has no Patient with an id, so it cannot be told who it is about.")
    if len(patients) > 1:
        raise InputRefused("The Bundle has more than one Patient. Paste the data of one.")
    left = list(resources)
    prefetch: Json = {}
    for query in plan:
        kinds = (
            {query.resource_type, "Medication"} if query.resource_type == _MEDICINE else {query.resource_type}
        )
        mine = [one for one in left if one.get("resourceType") in kinds]
        left = [one for one in left if one.get("resourceType") not in kinds]
        prefetch[query.key] = patients[0] if query.is_read else _searchset(mine)
    context = {"userId": _USER, "patientId": patients[0]["id"]}
    return {"hook": HOOKS[0], "hookInstance": instance, "context": context, "prefetch": prefetch}


def _resources(bundle: Json) -> list[Json]:
    """What is in a Bundle, and in Bundles inside it, as a batch response has them."""
    found: list[Json] = []
    waiting = [bundle]
    while waiting:
        entries = waiting.pop().get("entry")
        for entry in entries if isinstance(entries, list) else ():
            resource = entry.get("resource") if isinstance(entry, dict) else None
            if isinstance(resource, dict):
                kept = waiting if resource.get("resourceType") == "Bundle" else found
                kept.append(resource)
    return found


def _searchset(resources: list[Json]) -> Json | None:
    if not resources:
        return None
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [{"resource": resource} for resource in resources],
    }


def _at_hook(body: Json, hook: str) -> None:
    if hook not in HOOKS:
        raise InputRefused(f"The hook is none of {', '.join(HOOKS)}.")
    body["hook"] = hook
    context = body["context"]
    context.setdefault("userId", _USER)
    if hook == HOOKS[0]:
        return
    if not isinstance(context.get("draftOrders"), dict):
        context["draftOrders"] = {"resourceType": "Bundle", "type": "collection", "entry": []}
    if hook == HOOKS[1]:
        context["selections"] = [
            f"{one.get('resourceType')}/{one.get('id')}" for one in _resources(context["draftOrders"])
        ]


def _ordering(body: Json, name: str, orders: Mapping[str, OrderTemplate], today: dt.date) -> None:
    """Add an order of the bundle to the drafts. A hook without drafts becomes order-select."""
    if name not in orders:
        raise InputRefused("There is no such order. Pick one of the list.")
    _at_hook(body, body["hook"] if body["hook"] in HOOKS[1:] else HOOKS[1])
    context = body["context"]
    drafts = [
        {
            **resource,
            "id": f"draft-{number}",
            "subject": {"reference": f"Patient/{context.get('patientId')}"},
            "authoredOn": today.isoformat(),
        }
        for number, resource in enumerate(orders[name].resources)
    ]
    entries = [{"resource": one} for one in [*_resources(context["draftOrders"]), *drafts]]
    context["draftOrders"] = {**context["draftOrders"], "entry": entries}
    _at_hook(body, body["hook"])
