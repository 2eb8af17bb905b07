"""What a person put into the playground, as the body of a hook call.

A bundled patient, a hook request, a FHIR Bundle about one patient, or a patient of a FHIR server. Hook and a
draft order can be set on top of each, so that one patient can be tried at every moment. Nothing here is kept.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from rules.engine import OrderTemplate
from service import demo
from service.bodies import InputRefused, add_drafts, at_hook, call, read_body
from service.queries import Query

__all__ = ["HOOKS", "Input", "body_of", "read_input"]

HOOKS = ("patient-view", "order-select", "order-sign")
"""The hooks rules are written for; the others run the same rules as one of these."""

Json = dict[str, Any]
_USER = "Practitioner/playground"


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
        at_hook(body, wanted.hook, user=_USER)
    if wanted.order:
        if wanted.order not in orders:
            raise InputRefused("There is no such order. Pick one of the list.")
        add_drafts(body, orders[wanted.order].resources, today, user=_USER)
    return body


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
