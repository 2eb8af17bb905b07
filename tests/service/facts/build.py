"""FHIR JSON of one patient, dated back from NOW, and the facts read from it."""

import datetime as dt
import itertools
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import yaml

from rules.engine import FactSet, Vocabulary, bundled_root
from rules.engine.codes import CodeIndex
from rules.engine.units import Units
from service.facts.dates import Calendar
from service.facts.derivation import Derivation
from service.facts.extract import extract
from service.facts.questionnaires import Questions
from service.facts.reading import read, read_drafts
from service.facts.record import PALLIATIVE_SOURCES, Record
from service.resources import Resource

__all__ = [
    "AVAILABLE",
    "NOW",
    "PATIENT",
    "Json",
    "ago",
    "answers",
    "bundle",
    "code_index",
    "concept",
    "condition",
    "derivation_of",
    "encounter",
    "facts_of",
    "lab",
    "observation",
    "on",
    "patient",
    "prescription",
    "procedure",
    "questions",
    "record_of",
    "report",
    "resource",
    "service_request",
    "units",
    "values_of",
    "vocabulary",
]

Json = dict[str, Any]
Site = Mapping[str, Iterable[tuple[str, str]]]

NOW = dt.datetime(2026, 11, 25, 10, 0, tzinfo=dt.UTC)
PATIENT = "p1"
AVAILABLE = frozenset(
    {
        "patient",
        "conditions",
        "encounters",
        "observations",
        "procedures",
        "medications",
        "imaging",
        "orders",
        "questionnaires",
    }
)
_numbers = itertools.count(1)
_resource = msgspec.json.Decoder(Resource)


@lru_cache(maxsize=1)
def vocabulary() -> Vocabulary:
    return Vocabulary.load(bundled_root() / "facts.yaml")


@lru_cache(maxsize=1)
def units() -> Units:
    return Units.load(bundled_root() / "units.yaml")


@lru_cache(maxsize=16)
def code_index(local: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()) -> CodeIndex:
    """The bundled value sets with a site's own codes."""
    return CodeIndex.load(bundled_root() / "codes", local=dict(local))


OURS = "https://tocsin.org/Questionnaire/red-flags"


@lru_cache(maxsize=1)
def questions() -> Questions:
    """The bundled questionnaire, and a site's own item "our-17" for whether the patient can bear weight."""
    bundled = yaml.safe_load((bundled_root() / "questionnaire" / "map.yaml").read_text("utf-8"))
    return Questions(OURS, bundled, {"our-17": bundled["weight-bearing"]})


# -- dates ---------------------------------------------------------------------------------------------


def ago(days: int) -> str:
    """The date so many days before NOW, in UTC."""
    return (NOW.date() - dt.timedelta(days=days)).isoformat()


def on(when: int | str | None) -> str | None:
    """A date as FHIR text: days before NOW, or the text itself."""
    return ago(when) if isinstance(when, int) else when


# -- resources -----------------------------------------------------------------------------------------


def concept(*codings: str, text: str | None = None) -> Json:
    """A CodeableConcept of `system|code` texts."""
    pairs = [coding.rsplit("|", 1) for coding in codings]
    return _kept(coding=[{"system": system, "code": code} for system, code in pairs] or None, text=text)


def resource(kind: str, **members: Any) -> Json:
    """A resource of the patient with an id of its own; members that are None are left out."""
    given = {"id": f"r{next(_numbers)}", "subject": {"reference": f"Patient/{PATIENT}"}, **members}
    return {"resourceType": kind, **_kept(**given)}


def patient(**members: Any) -> Json:
    given = {"id": PATIENT, "gender": "female", "birthDate": "1960-05-17", **members}
    return {"resourceType": "Patient", **_kept(**given)}


def condition(
    *codings: str,
    onset: int | str | None = None,
    recorded: int | str | None = None,
    clinical: str | None = "active",
    verification: str | None = None,
    category: str | None = "problem-list-item",
    **members: Any,
) -> Json:
    return resource(
        "Condition",
        code=concept(*codings),
        clinicalStatus=_status(clinical),
        verificationStatus=_status(verification),
        category=[_status(category)] if category else None,
        onsetDateTime=on(onset),
        recordedDate=on(recorded),
        **members,
    )


def observation(
    code: str | None, when: int | str | None = 1, *, status: str | None = "final", **members: Any
) -> Json:
    if code is not None:
        members["code"] = concept(code)
    return resource("Observation", status=status, effectiveDateTime=on(when), **members)


def lab(
    code: str,
    value: float,
    unit: str | None,
    when: int | str | None = 1,
    *,
    comparator: str | None = None,
    high: float | None = None,
    low: float | None = None,
    **members: Any,
) -> Json:
    """A result with its unit as a UCUM code; `high` and `low` are the laboratory's range in the same unit."""
    limits = {name: {"value": limit} for name, limit in (("low", low), ("high", high)) if limit is not None}
    if limits:
        members["referenceRange"] = [limits]
    quantity = _kept(value=value, code=unit, unit=unit, comparator=comparator)
    return observation(code, when, valueQuantity=quantity, **members)


def encounter(
    when: int | str | None, *, reason: Iterable[str] = (), kind: Iterable[str] = (), **members: Any
) -> Json:
    given = {
        "status": "finished",
        "period": {"start": on(when)} if when is not None else None,
        "reasonCode": [concept(code) for code in reason] or None,
        "type": [concept(code) for code in kind] or None,
        **members,
    }
    return resource("Encounter", **given)


def procedure(code: str, when: int | str | None, **members: Any) -> Json:
    given = {"status": "completed", "performedDateTime": on(when), **members}
    return resource("Procedure", code=concept(code), **given)


def report(
    code: str,
    when: int | str | None,
    *,
    conclusion: Iterable[str] = (),
    status: str | None = "final",
    **members: Any,
) -> Json:
    found = [concept(code) for code in conclusion] or None
    return resource(
        "DiagnosticReport",
        code=concept(code),
        status=status,
        effectiveDateTime=on(when),
        conclusionCode=found,
        **members,
    )


def prescription(
    code: str | None, authored: int | str | None = None, *, supply: int | None = None, **members: Any
) -> Json:
    """A MedicationRequest; `supply` is the duration of what was dispensed, in days."""
    given: Json = {"status": "active", "intent": "order", "authoredOn": on(authored), **members}
    if code is not None:
        given["medicationCodeableConcept"] = concept(code)
    if supply is not None:
        given["dispenseRequest"] = {"expectedSupplyDuration": {"value": supply, "code": "d"}}
    return resource("MedicationRequest", **given)


def service_request(code: str | None, authored: int | str | None = None, **members: Any) -> Json:
    given: Json = {"status": "active", "intent": "order", "authoredOn": on(authored), **members}
    if code is not None:
        given["code"] = concept(code)
    return resource("ServiceRequest", **given)


def answers(when: int | str | None, **members: Any) -> Json:
    """A QuestionnaireResponse with one item for each keyword; `_` in a name stands for `-` in its linkId."""
    items = [
        {"linkId": name.replace("_", "-"), "answer": [value]} if value is not None else {"linkId": name}
        for name, value in members.items()
    ]
    return resource(
        "QuestionnaireResponse", questionnaire=OURS, status="completed", authored=on(when), item=items
    )


def bundle(*resources: Json, urls: Mapping[str, str] | None = None) -> Json:
    """A Bundle; `urls` are the full URLs by resource id."""
    known = urls or {}
    entries = [_kept(fullUrl=known.get(str(one.get("id"))), resource=one) for one in resources]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


# -- facts ---------------------------------------------------------------------------------------------


def record_of(
    resources: Iterable[Json] | Mapping[str, Iterable[Json]],
    drafts: Iterable[Json] = (),
    *,
    now: dt.datetime = NOW,
    zone: str = "UTC",
    site: Site | None = None,
    palliative: frozenset[str] = PALLIATIVE_SOURCES,
) -> Record:
    """The record of resources under one prefetch key, or under the keys of a mapping."""
    by_key = resources if isinstance(resources, Mapping) else {"data": resources}
    local = tuple((name, tuple(pairs)) for name, pairs in (site or {}).items())
    record = Record(
        PATIENT,
        calendar=Calendar(now, ZoneInfo(zone)),
        codes=code_index(local),
        units=units(),
        palliative_sources=palliative,
        questions=questions(),
    )
    read(record, [(key, _decoded(one)) for key, given in by_key.items() for one in given])
    read_drafts(record, [_decoded(one) for one in drafts])
    return record


def derivation_of(
    resources: Iterable[Json] | Mapping[str, Iterable[Json]],
    drafts: Iterable[Json] = (),
    *,
    wanted: Iterable[str] | None = None,
    available: frozenset[str] = AVAILABLE,
    upper_limits: Mapping[str, float] | None = None,
    **record: Any,
) -> Derivation:
    """Everything read and written for a call; `wanted` is every fact unless named."""
    everything = (spec.name for spec in vocabulary() if not spec.engine)
    return extract(
        record_of(resources, drafts, **record),
        vocabulary(),
        frozenset(everything if wanted is None else wanted),
        available,
        upper_limits or {},
    )


def facts_of(
    resources: Iterable[Json] | Mapping[str, Iterable[Json]], drafts: Iterable[Json] = (), **options: Any
) -> FactSet:
    return derivation_of(resources, drafts, **options).facts


def values_of(facts: FactSet) -> dict[str, Any]:
    """Value and date of every fact, by name: what must not depend on how the data came."""
    return {fact.name: (fact.value, fact.date) for fact in facts.all_facts()}


def _decoded(given: Json) -> Any:
    return _resource.decode(msgspec.json.encode(given))


def _status(code: str | None) -> Json | None:
    return {"coding": [{"code": code}]} if code else None


def _kept(**members: Any) -> Json:
    return {name: value for name, value in members.items() if value is not None}
