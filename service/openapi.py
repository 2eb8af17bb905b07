"""The description of the API for programs: openapi.yaml, completed from the hooks and the error catalogue.

Contexts come from the hook registry, prefetch keys from discovery, errors from the catalogue, so none of them
can say another thing than the code. Source: OpenAPI 3.1.
"""

from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

import orjson
import yaml

from hooks import REGISTRY, Hook
from hooks.hook import Kind
from service import __version__
from service.desk import Desk
from service.errors import CatalogueRow, catalogue

__all__ = ["describe", "errors_of"]

Json = dict[str, Any]

_UNAUTHORISED = "unauthorised"
_ID = {"type": "string", "pattern": r"^[A-Za-z0-9.-][A-Za-z0-9._-]{0,63}$", "not": {"enum": [".", ".."]}}
_REFERENCE = {"type": "string", "pattern": r"^[A-Z][A-Za-z]{1,40}/[A-Za-z0-9-][A-Za-z0-9.-]{0,63}$"}
_RESOURCE = {"$ref": "#/components/schemas/Resource"}
_BUNDLE = {
    "type": "object",
    "required": ["resourceType"],
    "properties": {
        "resourceType": {"const": "Bundle"},
        "entry": {
            "type": "array",
            "items": {"type": "object", "required": ["resource"], "properties": {"resource": _RESOURCE}},
        },
    },
}
_KINDS: Mapping[Kind, Json] = {
    Kind.ID: _ID,
    Kind.REFERENCE: _REFERENCE,
    Kind.REFERENCES: {"type": "array", "items": _REFERENCE},
    Kind.RESOURCES: _BUNDLE,
}


def describe(desk: Desk) -> Json:
    """The OpenAPI document of the service as it is set up."""
    text = (files("service") / "openapi.yaml").read_text("utf-8")
    document: Json = yaml.safe_load(text)
    document["info"]["version"] = __version__
    document["servers"] = [{"url": desk.settings.public_url or "/"}]
    for path in document["paths"].values():
        for method in ("get", "post"):
            if method in path:
                _complete(path[method], signed=desk.settings.auth)
    prefetch = {entry["hook"]: entry["prefetch"] for entry in orjson.loads(desk.discover(None))["services"]}
    calls = [_call(hook, prefetch[name]) for name, hook in REGISTRY.items()]
    document["components"]["schemas"]["Call"] = {"oneOf": calls}
    return document


def errors_of(operation: Mapping[str, Any]) -> Iterator[CatalogueRow]:
    """The errors an operation can give, by status and code."""
    codes = set(operation["x-errors"])
    return (row for row in catalogue() if row.code in codes)


def _complete(operation: Json, *, signed: bool) -> None:
    """Give an operation its error answers, and its security where calls need a token."""
    security = _security(operation, signed)
    if security:
        operation["x-errors"].append(_UNAUTHORISED)
        operation["security"] = security
    rows = list(errors_of(operation))
    for status in dict.fromkeys(row.status for row in rows):
        alike = [row for row in rows if row.status == status]
        operation["responses"][str(status)] = _refusal(alike)


def _security(operation: Mapping[str, Any], signed: bool) -> list[Json]:
    """The ways to be let in; an empty one where a token may be left out. None where nobody is asked."""
    if operation.get("x-admin"):
        return [{"adminToken": []}]
    if signed and operation.get("x-optional-token"):
        return [{}, {"cdsHooksJwt": []}]
    return [{"cdsHooksJwt": []}] if signed and operation.get("x-signed") else []


def _refusal(rows: list[CatalogueRow]) -> Json:
    answer: Json = {"description": " ".join(f"{row.code}: {row.message}" for row in rows)}
    if rows[0].code != _UNAUTHORISED:
        schema = {"$ref": "#/components/schemas/OperationOutcome"}
        answer["content"] = {"application/fhir+json": {"schema": schema}}
    return answer


def _call(hook: Hook, prefetch: Mapping[str, str]) -> Json:
    """The schema of a call of one hook."""
    return {
        "title": hook.name,
        "type": "object",
        "required": ["hook", "hookInstance", "context"],
        "properties": {
            "hook": {"const": hook.name},
            "hookInstance": {"type": "string", "format": "uuid"},
            "context": _context(hook),
            "fhirServer": {"type": "string", "format": "uri", "pattern": "^https?://"},
            "fhirAuthorization": {"$ref": "#/components/schemas/FhirAuthorization"},
            "prefetch": {
                "type": ["object", "null"],
                "description": "A resource or null for each key; what cannot be read costs only its key.",
                "properties": {key: {"description": query} for key, query in prefetch.items()},
            },
        },
        "dependentRequired": {"fhirAuthorization": ["fhirServer"]},
    }


def _context(hook: Hook) -> Json:
    return {
        "type": "object",
        "required": [field.name for field in hook.fields if field.required and field.enforced],
        "properties": {field.name: _KINDS[field.kind] for field in hook.fields},
    }
