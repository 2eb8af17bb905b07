"""Reads every file of a bundle, checks them together, and works out the digest."""

from __future__ import annotations

import datetime
import hashlib
import json
from pathlib import Path as FilePath
from typing import Any

import msgspec

from rules.engine.catalogue import RuleFile, read_catalogue
from rules.engine.codes import CodeIndex
from rules.engine.codetables import SNOMED_EXTENSION, Tables
from rules.engine.content import Content
from rules.engine.documents import Document, read_document
from rules.engine.emit import Module
from rules.engine.errors import BundleError, Problem
from rules.engine.lint import rule_problems
from rules.engine.overlay import Overlay
from rules.engine.registers import read_evidence, read_orders
from rules.engine.sitelint import site_problems
from rules.engine.units import Units
from rules.engine.vocabulary import parse_vocabulary

__all__ = ["Parts", "read_parts"]


class Parts(msgspec.Struct):
    """A bundle before it is known to be good."""

    version: str
    digest: str
    content: Content
    codes: CodeIndex
    units: Units
    files: list[RuleFile]
    module: Module
    problems: list[Problem]


def read_parts(root: FilePath, overlay: Overlay, snomed_extension: bool, now: datetime.date | None) -> Parts:
    """Read and check everything below `root`; whatever cannot be used is left out and explained in
    `problems`.
    """
    facts = read_document(root / "facts.yaml", "facts.yaml")
    vocabulary, problems = parse_vocabulary(facts)
    evidence, evidence_document, evidence_problems = read_evidence(root / "evidence.yaml")
    orders, orders_document, order_problems = read_orders(root / "orders.yaml")
    codes, code_problems = _codes(root / "codes", overlay, snomed_extension)
    units, unit_problems = _units(root / "units.yaml", overlay)
    version, version_problems = _version(root / "VERSION")
    module = Module()
    files = read_catalogue(root, overlay, vocabulary, module)
    content = Content(
        vocabulary=vocabulary,
        evidence=evidence,
        orders=orders,
        orders_document=orders_document,
        sets=frozenset(codes.titles),
        analytes=frozenset(units.analytes),
        overlay=overlay,
        now=now,
    )
    problems += [*evidence_problems, *order_problems, *code_problems, *unit_problems, *version_problems]
    problems += [*rule_problems(files, content), *site_problems(files, content)]
    documents = [facts, evidence_document, orders_document, *(file.document for file in files)]
    digest = _digest(root, documents, overlay, snomed_extension)
    return Parts(version, digest, content, codes, units, files, module, problems)


def _codes(directory: FilePath, overlay: Overlay, snomed_extension: bool) -> tuple[CodeIndex, list[Problem]]:
    """The value sets with the site's codes. Sets nobody knows are left to the overlay's own check, which has
    their lines.
    """
    index = CodeIndex(Tables((), {}, ()))
    try:
        index = CodeIndex.load(directory, snomed_extension=snomed_extension)
        known = {name: pairs for name, pairs in overlay.codes.items() if name in index.titles}
        if known:
            index = CodeIndex.load(directory, snomed_extension=snomed_extension, local=known)
    except BundleError as error:
        return index, list(error.problems)
    return index, []


def _units(file: FilePath, overlay: Overlay) -> tuple[Units, list[Problem]]:
    units = Units({})
    try:
        units = Units.load(file)
        known = {name: own for name, own in overlay.units.items() if name in units.analytes}
        if known:
            units = Units.load(file, spellings=known)
    except BundleError as error:
        return units, list(error.problems)
    return units, []


def _version(file: FilePath) -> tuple[str, list[Problem]]:
    try:
        return file.read_text(encoding="utf-8").strip(), []
    except OSError:
        return "", [Problem(file.name, 1, "R001", "file cannot be read as UTF-8 text")]


def _digest(root: FilePath, documents: list[Document], overlay: Overlay, snomed_extension: bool) -> str:
    """One hash over content, not over layout: comments, key order and line ends do not change it."""
    total = hashlib.sha256()
    units = read_document(root / "units.yaml", "units.yaml")
    for document in sorted([*documents, units], key=lambda one: one.name):
        _add(total, document.name, document.data)
    for table in sorted((root / "codes").glob("*.csv")):
        if snomed_extension or table.name != SNOMED_EXTENSION:
            _add(total, f"codes/{table.name}", table.read_text(encoding="utf-8").splitlines())
    _add(total, "overlay", overlay.data)
    return f"sha256:{total.hexdigest()}"


def _add(total: Any, name: str, content: Any) -> None:
    total.update(json.dumps([name, content], sort_keys=True, ensure_ascii=False).encode())
    total.update(b"\n")
