"""What a person put into the playground, as the body of a hook call.

A bundled patient, a hook request, a FHIR Bundle about one patient, or a patient of a FHIR server. Hook and a
draft order can be set on top of each, so that one patient can be tried at every moment: what the context of a
hook is about and the record does not have is made up. Nothing here is kept.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from hooks import REGISTRY
from rules.engine import OrderTemplate
from service import demo
from service.bodies import InputRefused, add_drafts, at_hook, call, opened, prefetched, read_body
from service.queries import Query

__all__ = ["HOOKS", "Input", "body_of", "read_input"]

HOOKS = tuple(REGISTRY)
"""The hooks a call can be put at: all there are."""

Json = dict[str, Any]
_USER = "Practitioner/playground"
_MADE_UP = "playground"
_APPOINTMENT = {"resourceType": "Appointment", "status": "proposed"}
_WITH_ORDERS = tuple(name for name, hook in REGISTRY.items() if hook.resources_field == "draftOrders")


class Input(msgspec.Struct, frozen=True):
    """The fields of the page. `data` is pasted or uploaded text; it goes before `server`, the base URL of a
    FHIR server with `person`, the id of a patient there, and that before `patient`, a bundled one. `rule` and
    `text` are a rule to try with other text.
    """

    patient: str = ""
    data: str = ""
    server: str = ""
    person: str = ""
    hook: str = ""
    order: str = ""
    profile: str = ""
    rule: str = ""
    text: str = ""

    @property
    def is_empty(self) -> bool:
        return not (self.patient or self.data.strip() or self.server or self.person)

    @property
    def fetches(self) -> bool:
        """Whether the data is to be read from a FHIR server."""
        named = self.person or (self.server and not self.patient)
        return not self.data.strip() and bool(named)

    @property
    def is_bundled(self) -> bool:
        """Whether a bundled patient is tried."""
        return bool(self.patient) and not self.data.strip() and not self.fetches


def read_input(fields: Mapping[str, str]) -> Input:
    """The input of a form or a query; an uploaded file counts as pasted."""
    given = {
        name: fields[name].strip()
        for name in ("patient", "server", "person", "hook", "order", "profile", "rule")
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
    if wanted.data.strip():
        body = read_body(wanted.data, plan, user=_USER, instance=instance)
    elif wanted.fetches:
        body = _named(wanted, instance)
    else:
        body = _bundled(wanted, today, instance)
    if wanted.hook:
        if wanted.hook not in HOOKS:
            raise InputRefused(f"The hook is none of {', '.join(HOOKS)}.")
        _put_at(body, wanted.hook, today)
    if wanted.order:
        if wanted.order not in orders:
            raise InputRefused("There is no such order. Pick one of the list.")
        if body["hook"] not in _WITH_ORDERS:
            at_hook(body, _WITH_ORDERS[0], user=_USER)
        add_drafts(body, orders[wanted.order].resources, today, user=_USER)
    return body


def _put_at(body: Json, hook: str, today: dt.date) -> None:
    """Put the call at a hook, with something that the hook is about.

    Orders and problems are those on record; an encounter, an order or an appointment that is not is made up.
    """
    at_hook(body, hook, user=_USER, otherwise=_MADE_UP)
    context = body["context"]
    if hook == "order-dispatch":
        context["dispatchedOrders"] = context["dispatchedOrders"] or [f"ServiceRequest/{_MADE_UP}"]
    elif hook == "appointment-book" and not opened(context["appointments"]):
        add_drafts(body, [_APPOINTMENT], today, user=_USER)
    elif hook == "problem-list-item-create" and not opened(context["conditions"]):
        problems = sorted(prefetched(body, "Condition"), key=_recorded)
        context["conditions"]["entry"] = [{"resource": one} for one in problems[-1:]]


def _recorded(condition: Json) -> str:
    return str(condition.get("recordedDate") or condition.get("onsetDateTime") or "")


def _bundled(wanted: Input, today: dt.date, instance: str) -> Json:
    patient = next((one for one in demo.load() if one.id == wanted.patient), None)
    if patient is None:
        raise InputRefused("There is no such patient. Pick one of the list.")
    return demo.to_request(patient, today, instance)


def _named(wanted: Input, instance: str) -> Json:
    if not wanted.server:
        raise InputRefused("No FHIR server is named for this patient id. Name one of the list.")
    if not wanted.person:
        raise InputRefused("No patient is named. Enter the id the FHIR server gives the patient.")
    body = call(wanted.person, _USER, instance)
    return {**body, "fhirServer": wanted.server}
