"""Requests and contexts for the tests, with FHIR resources as plain dictionaries."""

from collections.abc import Callable
from typing import Any

import msgspec

from hooks.hook import Context
from hooks.registry import hook
from hooks.request import Envelope

Resource = dict[str, Any]

ENVELOPE = msgspec.json.Decoder(Envelope[Resource])
RESOURCE = msgspec.json.Decoder(Resource)

INSTANCE = "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea"
ORDER = {"resourceType": "ServiceRequest", "id": "o1", "status": "draft"}
TASK = {"resourceType": "Task", "id": "t1"}
TOKEN = "s3cr3t-t0k3n"
AUTHORIZATION = {
    "access_token": TOKEN,
    "token_type": "Bearer",
    "expires_in": 300,
    "scope": "user/Patient.read user/Observation.read",
    "subject": "tocsin",
}


def body(name: str = "patient-view", context: object = None, **members: object) -> dict[str, Any]:
    """A request body; members can be replaced or added."""
    usual = {"userId": "Practitioner/u1", "patientId": "p1"} if context is None else context
    return {"hook": name, "hookInstance": INSTANCE, "context": usual, **members}


def envelope(given: object) -> Envelope[Resource]:
    return ENVELOPE.decode(msgspec.json.encode(given))


def read(
    name: str, context: object, decode: Callable[[msgspec.Raw], Resource | None] = RESOURCE.decode
) -> Context[Resource]:
    """The context of a hook, read from its JSON."""
    return hook(name).read(msgspec.Raw(msgspec.json.encode(context)), decode)
