"""Draft orders as a person names them: an order of the rules, a code, or a file with FHIR resources."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from rules.engine import Bundle
from service.bodies import InputRefused, opened

__all__ = ["drafts", "is_file"]

Json = Mapping[str, Any]
_SYSTEMS = {
    "loinc": "http://loinc.org",
    "snomed": "http://snomed.info/sct",
    "rxnorm": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "atc": "http://www.whocc.no/atc",
    "cpt": "http://www.ama-assn.org/go/cpt",
}
_LOINC_CODE = re.compile(r"\d{1,7}-\d\Z")
_MEDICINES = frozenset({_SYSTEMS["rxnorm"], _SYSTEMS["atc"]})
_FILE = re.compile(r".*\.json(\.gz)?\Z|-\Z", re.DOTALL)


def is_file(named: str) -> bool:
    """Whether the text names a file: `-`, or a name that ends in .json or .json.gz."""
    return _FILE.match(named) is not None


def drafts(named: str, rules: Bundle, content: bytes | None = None) -> list[Json]:
    """The resources of one order: `content` of the file it names, an order of `rules`, or a code, which may
    have its system, a URI or a short name, before a `|`. Raises InputRefused.
    """
    if content is not None:
        return _from_file(content)
    if named in rules.orders:
        return list(rules.orders[named].resources)
    system, mark, code = named.rpartition("|")
    if not code:
        raise InputRefused("The order has no code. Write it as SYSTEM|CODE.")
    return [_order(_SYSTEMS.get(system.lower(), system) if mark else _system(code, rules), code)]


def _from_file(content: bytes) -> list[Json]:
    try:
        given = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise InputRefused("The file with the order is not JSON.") from error
    values = given if isinstance(given, list) else [given]
    found: list[Json] = []
    for value in values:
        kind = value.get("resourceType") if isinstance(value, dict) else None
        if kind == "Bundle":
            found += opened(value)
        elif isinstance(kind, str):
            found.append(value)
    if not found:
        raise InputRefused("The file with the order holds no FHIR resource.")
    return found


def _system(code: str, rules: Bundle) -> str:
    """The one system of orders in which the value sets have a code; LOINC shows by its form."""
    if _LOINC_CODE.match(code):
        return _SYSTEMS["loinc"]
    rows = (row for name in rules.codes.titles for row in rules.codes.codes_of(name) if row.code == code)
    systems = {row.system for row in rows}.intersection(_SYSTEMS.values())
    if len(systems) == 1:
        return systems.pop()
    raise InputRefused(
        "The order is neither one of the rules nor a code they know. Write a code as SYSTEM|CODE, with "
        f"{', '.join(_SYSTEMS)} or a URI, name a file, or one of: {', '.join(rules.orders)}."
    )


def _order(system: str, code: str) -> Json:
    concept = {"coding": [{"system": system, "code": code}]}
    draft = {"status": "draft", "intent": "proposal"}
    if system in _MEDICINES:
        return {"resourceType": "MedicationRequest", **draft, "medicationCodeableConcept": concept}
    return {"resourceType": "ServiceRequest", **draft, "code": concept}
