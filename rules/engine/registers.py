"""The two registers rules point into: evidence (evidence.yaml) and order templates (orders.yaml)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import msgspec

from rules.engine.documents import Document, read_document, schema_problems
from rules.engine.errors import Problem
from rules.engine.schemas import schema

__all__ = ["Evidence", "OrderTemplate", "read_evidence", "read_orders"]


class Evidence(msgspec.Struct, frozen=True):
    """One source. `measured` says in short what it reports, `status` how far it was checked; `short` is what
    a card calls it where the author's name would not do.
    """

    id: str
    citation: str
    kind: str
    measured: tuple[str, ...]
    limits: str
    status: str
    short: str = ""
    year: int | None = None
    pmid: str = ""
    pmcid: str = ""
    doi: str = ""
    url: str = ""


class OrderTemplate(msgspec.Struct, frozen=True):
    """One suggestible order. `resources` are FHIR resources without subject and dates; `sets` the value sets
    it satisfies when it is already active (S4); `in_pregnancy` the order to suggest instead (S8); `results`
    the facts that say how old its results are.
    """

    says: str
    kind: str
    sets: tuple[str, ...]
    resources: tuple[dict[str, Any], ...]
    modality: str = ""
    regions: tuple[str, ...] = ()
    sex: str = ""
    in_pregnancy: str = ""
    results: tuple[str, ...] = ()


def read_evidence(file: FilePath) -> tuple[Mapping[str, Evidence], Document, list[Problem]]:
    """Sources by id."""
    document = read_document(file, file.name)
    problems = document.problems or schema_problems(document, schema("evidence"))
    found: dict[str, Evidence] = {}
    for index, raw in enumerate(document.data["evidence"] if not problems else ()):
        if raw["id"] in found:
            problems.append(document.problem("R004", f"{raw['id']} is listed twice", ("evidence", index)))
        found[raw["id"]] = msgspec.convert(raw, Evidence)
    return found, document, problems


def read_orders(file: FilePath) -> tuple[Mapping[str, OrderTemplate], Document, list[Problem]]:
    """Order templates by id."""
    document = read_document(file, file.name)
    problems = document.problems or schema_problems(document, schema("orders"))
    if problems:
        return {}, document, problems
    found = {name: msgspec.convert(raw, OrderTemplate) for name, raw in document.data["orders"].items()}
    for name, order in found.items():
        if order.in_pregnancy and order.in_pregnancy not in found:
            path = ("orders", name, "in_pregnancy")
            problems.append(document.problem("R027", f"no order is called {order.in_pregnancy}", path))
    return found, document, problems
