"""Reads the rule folders: one rule.yaml and one tests.yaml each."""

from __future__ import annotations

from pathlib import Path as FilePath

import msgspec

from rules.engine.cases import TestFile, parse_tests
from rules.engine.documents import Document, read_document, schema_problems
from rules.engine.emit import Module
from rules.engine.errors import Problem
from rules.engine.overlay import Overlay
from rules.engine.program import Unit, compile_leaves
from rules.engine.rule import Rule, parse_rule
from rules.engine.schemas import schema
from rules.engine.vocabulary import Vocabulary

__all__ = ["RuleFile", "read_catalogue", "read_rule"]


class RuleFile(msgspec.Struct):
    """One folder as read. `rule` is there when its schema holds, `unit` when every criterion compiles,
    `tests` when they can be read.
    """

    folder: str
    document: Document
    rule: Rule | None = None
    unit: Unit | None = None
    tests: TestFile | None = None
    tests_document: Document | None = None
    problems: list[Problem] = []


def read_catalogue(
    root: FilePath, overlay: Overlay, vocabulary: Vocabulary, module: Module
) -> list[RuleFile]:
    """Every folder below `root`/catalogue, in order of name. Problems are collected in each file's entry."""
    folders = sorted(path for path in (root / "catalogue").glob("*") if path.is_dir())
    return [_read(folder, overlay, vocabulary, module) for folder in folders]


def _read(folder: FilePath, overlay: Overlay, vocabulary: Vocabulary, module: Module) -> RuleFile:
    name = f"catalogue/{folder.name}"
    document = read_document(folder / "rule.yaml", f"{name}/rule.yaml")
    file = read_rule(folder.name, document, overlay, vocabulary, module)
    if (folder / "tests.yaml").exists():
        _read_tests(file, read_document(folder / "tests.yaml", f"{name}/tests.yaml"))
    return file


def read_rule(
    folder: str, document: Document, overlay: Overlay, vocabulary: Vocabulary, module: Module
) -> RuleFile:
    """The rule of a document, as far as it can be used; what is wrong with it is in `problems`."""
    file = RuleFile(folder, document)
    file.problems += document.problems or schema_problems(document, schema("rule"))
    if not file.problems:
        file.rule = parse_rule(document, overlay.settings(folder))
        file.unit, faults = compile_leaves(file.rule, vocabulary, module)
        file.problems += [Problem(document.name, f.line, f.code, f.message) for f in faults]
    return file


def _read_tests(file: RuleFile, document: Document) -> None:
    file.tests_document = document
    problems = document.problems or schema_problems(document, schema("tests"))
    file.problems += problems
    if problems:
        return
    try:
        file.tests = parse_tests(document)
    except ValueError:
        file.problems.append(document.problem("R037", "now: no such day", ("now",)))
