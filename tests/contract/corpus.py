"""The reference material as hook calls: vignettes, patients, requests, and our prefetch keys answered from a
record.
"""

import copy
import datetime as dt
import gzip
import importlib.util
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import httpx

from service.app import create_app
from service.desk import Desk
from service.knowledge import Knowledge
from service.settings import Settings
from tests.files import globbed

__all__ = [
    "SERVICE",
    "Faults",
    "Json",
    "client",
    "keys_of",
    "patients",
    "requests",
    "resources_of",
    "rules_shown",
    "searchset",
    "vignette",
    "vignettes",
]

Json = dict[str, Any]
Faults = Callable[[object], list[str]]
SERVICE = "/cds-services/red-flags"


@asynccontextmanager
async def client(site: Path | None = None, public_url: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    """A caller of a whole application, which answers an error as it would over a socket."""
    settings = Settings(auth=False, site=site, public_url=public_url, log_level="error", explain="on")
    desk = Desk(settings, Knowledge.load(settings, dt.date.today()))
    transport = httpx.ASGITransport(create_app(settings, desk), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as opened:
        yield opened
    await desk.aclose()


# -- vignettes ---------------------------------------------------------------------------------------


@cache
def _generator(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_vignettes", folder / "vignettes.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def vignettes(shared: Path) -> dict[str, Json]:
    """The open vignettes as they are written, by id."""
    folder = shared / "vignettes"
    found = {one["id"]: one for one in _generator(folder).load_set(folder / "open.yaml")}
    assert found
    return found


def vignette(shared: Path, written: Json) -> Json:
    """One vignette as a record of today: hook, context, bundle."""
    built: Json = _generator(shared / "vignettes").build(written)
    return built


# -- corpus ------------------------------------------------------------------------------------------


def requests(shared: Path) -> dict[str, Json]:
    """Bodies of hook calls that others have published or sent, by file name."""
    folder = shared / "corpus" / "cds-requests"
    return {file.stem: json.loads(file.read_bytes()) for file in globbed(folder, "*.json")}


def patients(shared: Path) -> Iterator[tuple[str, list[Json]]]:
    """Every patient of the corpus with the resources of the file; a file may hold more than one.

    A resource without an id has that of its `fullUrl`, which references to it use.
    """
    for file in globbed(shared / "corpus" / "patients", "*.json.gz"):
        whole = json.loads(gzip.decompress(file.read_bytes()))
        for entry in whole.get("entry", ()):
            entry["resource"].setdefault("id", entry.get("fullUrl", "").rpartition(":")[2])
        resources = list(resources_of(whole))
        for resource in resources:
            if resource["resourceType"] == "Patient":
                yield resource["id"], resources


def resources_of(value: Any) -> Iterator[Json]:
    """The resources of a Bundle, those in inner Bundles included, or the resource itself."""
    if value.get("resourceType") != "Bundle":
        yield value
        return
    for entry in value.get("entry", ()):
        if "resource" in entry:
            yield from resources_of(entry["resource"])


def searchset(resources: Sequence[Json]) -> Json:
    entries = [{"resource": one, "search": {"mode": "match"}} for one in resources]
    return {"resourceType": "Bundle", "type": "searchset", "total": len(entries), "entry": entries}


# -- our prefetch keys -------------------------------------------------------------------------------


def keys_of(templates: Mapping[str, str], resources: Sequence[Json], patient: str) -> dict[str, list[Json]]:
    """What a FHIR server holding these resources finds for each template, by key.

    Type and token parameters are applied. Subjects are not: the corpora spell references in many ways, and
    who another patient is, is for the service to see.
    """
    return {key: list(_found(template, resources, patient)) for key, template in templates.items()}


def _found(template: str, resources: Iterable[Json], patient: str) -> Iterator[Json]:
    kind, _, query = template.partition("?")
    if not query:
        yield from (one for one in resources if one["resourceType"] == "Patient" and one["id"] == patient)
        return
    wanted = {
        name: {unquote(token) for token in value.split(",")}
        for name, value in (pair.split("=", 1) for pair in query.split("&"))
        if name in ("code", "category")
    }
    for one in resources:
        if one["resourceType"] == kind and all(_tokens(one, name) & found for name, found in wanted.items()):
            yield copy.deepcopy(one)


def _tokens(resource: Json, member: str) -> set[str]:
    given = resource.get(member, [])
    return {
        f"{coding.get('system', '')}|{coding.get('code', '')}"
        for concept in (given if isinstance(given, list) else [given])
        for coding in concept.get("coding", ())
    }


def rules_shown(cards: Iterable[Json]) -> list[dict[str, str]]:
    """The lead rule and urgency of each card, in order."""
    leads = (card["extension"]["org.tocsin.findings"][0] for card in cards)
    return [{"rule": lead["rule"], "urgency": lead["urgency"]} for lead in leads]
