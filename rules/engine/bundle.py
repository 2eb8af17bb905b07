"""The bundle: everything the rules are made of, loaded and checked together, named by one digest."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path as FilePath

import msgspec

from rules.engine.catalogue import RuleFile, read_rule
from rules.engine.codes import CodeIndex
from rules.engine.emit import Module
from rules.engine.errors import BundleError, Problem
from rules.engine.outcome import Outcome, Reason
from rules.engine.overlay import Overlay
from rules.engine.parts import Parts, read_parts
from rules.engine.program import Program, build_programs
from rules.engine.registers import Evidence, OrderTemplate
from rules.engine.rule import HOOK_ALIASES, Rule
from rules.engine.text import placeholders
from rules.engine.units import Units

__all__ = ["Bundle", "Schedule", "bundled_root", "check", "load"]


def bundled_root() -> FilePath:
    """The directory of the bundled rules."""
    return FilePath(str(resources.files("rules")))


class Schedule(msgspec.Struct, frozen=True):
    """What one hook evaluates: rules of the first phase, rules that read what others did, and rules that are
    switched off.

    `beside` are the rules of other hooks, which those of the second phase have to know about: a red flag that
    is shown when a chart is opened is no less there when an order is picked. It is empty without a second
    phase.
    """

    first: tuple[Program, ...]
    second: tuple[Program, ...]
    off: Mapping[str, Outcome]
    beside: tuple[Program, ...] = ()


class Bundle:
    """Loaded rules with all they point to. Read-only after loading, so every thread may share it.

    `digest` is "sha256:<hex>" over the content of rules, tests excepted, codes, units, facts, orders,
    evidence and overlay.
    """

    def __init__(self, parts: Parts) -> None:
        content = parts.content
        self.version = parts.version
        self.digest = parts.digest
        self.vocabulary = content.vocabulary
        self.codes: CodeIndex = parts.codes
        self.units: Units = parts.units
        self.evidence: Mapping[str, Evidence] = content.evidence
        self.orders: Mapping[str, OrderTemplate] = content.orders
        self.overlay = content.overlay
        self.files: Mapping[str, RuleFile] = {file.folder: file for file in parts.files}
        self.programs = build_programs(
            [file.unit for file in parts.files if file.unit is not None], parts.module
        )
        self.warnings = tuple(sorted(problem for problem in parts.problems if problem.severity == "warning"))
        self._schedules: dict[str, Schedule] = {}
        self._needed: dict[str, frozenset[str]] = {}

    def with_rule(self, file: RuleFile, program: Program, digest: str) -> Bundle:
        """The same bundle with one rule in the place of the one in its folder; this one stays as it is."""
        other = copy.copy(self)
        other.digest = digest
        other.files = {**self.files, file.folder: file}
        other.programs = {**self.programs, file.folder: program}
        other._schedules, other._needed = {}, {}
        return other

    def without_overlay(self) -> Bundle:
        """The same rules as they are without a site's file; local codes and spellings of units stay."""
        if not self.overlay.data:
            return self
        module = Module()
        plain = Overlay()
        files = [
            read_rule(file.folder, file.document, plain, self.vocabulary, module)
            for file in self.files.values()
        ]
        for file in files:
            before = self.files[file.folder]
            file.tests, file.tests_document = before.tests, before.tests_document
        other = copy.copy(self)
        other.overlay = plain
        other.files = {file.folder: file for file in files}
        other.programs = build_programs([file.unit for file in files if file.unit is not None], module)
        other._schedules, other._needed = {}, {}
        return other

    @property
    def rules(self) -> Mapping[str, Rule]:
        """Every rule by id, retired ones included."""
        return {rule_id: program.rule for rule_id, program in self.programs.items()}

    def schedule(self, hook: str) -> Schedule:
        """The programs of a hook. A hook no rule names, and which stands for no other, has none."""
        if hook not in self._schedules:
            self._schedules[hook] = self._plan(HOOK_ALIASES.get(hook, hook))
        return self._schedules[hook]

    def needed(self, hook: str) -> frozenset[str]:
        """Facts that the hook's rules read, show or ask for; nothing else has to be extracted."""
        if hook not in self._needed:
            plan = self.schedule(hook)
            names = {name for program in (*plan.first, *plan.second) for name in self._facts_of(program)}
            names.update(name for program in plan.beside for name in program.facts)
            self._needed[hook] = frozenset(name for name in names if not self.vocabulary.spec(name).engine)
        return self._needed[hook]

    def _plan(self, hook: str) -> Schedule:
        first: list[Program] = []
        second: list[Program] = []
        beside: list[Program] = []
        off = {}
        for program in self.programs.values():
            here = hook in program.rule.hooks
            if program.rule.status == "retired":
                continue
            reason = self.switched_off(program.rule)
            reads_others = any(self.vocabulary.spec(name).engine for name in program.facts)
            if reason is not None:
                if here:
                    off[program.rule.id] = program.outcome("excluded", reason)
            elif not here:
                beside += [] if reads_others else [program]
            else:
                (second if reads_others else first).append(program)
        return Schedule(tuple(first), tuple(second), off, tuple(beside) if second else ())

    def _facts_of(self, program: Program) -> Iterator[str]:
        yield from program.facts
        yield from program.rule.show
        yield from program.rule.ask
        for card in program.rule.card.values():
            for text in card.texts:
                yield from (name[5:] for name in placeholders(text) if name.startswith("fact:"))
        for order in program.rule.suggest:
            yield from self.orders[order].results

    def switched_off(self, rule: Rule) -> Reason | None:
        """Why the site does not run the rule; None when it does."""
        why = self.overlay.modules_off.get(rule.module)
        if why is not None:
            return Reason("MODULE", f"The {rule.module} rules are switched off at this site: {why}")
        return Reason("MODE", "Switched off at this site") if rule.mode == "off" else None


def load(
    root: FilePath | None = None,
    *,
    overlay: Overlay | None = None,
    snomed_extension: bool = True,
    now: datetime.date | None = None,
) -> Bundle:
    """Load the rules at `root` (the bundled ones by default) with a site's overlay.

    BundleError with every error found anywhere. Warnings, among them rules past their review date when `now`
    is given, stay in `Bundle.warnings`.
    """
    parts = read_parts(root or bundled_root(), overlay or Overlay(), snomed_extension, now)
    errors = [problem for problem in parts.problems if problem.severity == "error"]
    if errors:
        raise BundleError(errors)
    return Bundle(parts)


def check(
    root: FilePath | None = None,
    *,
    overlay: Overlay | None = None,
    snomed_extension: bool = True,
    now: datetime.date | None = None,
) -> list[Problem]:
    """Everything `load` would complain or warn about, sorted by place."""
    parts = read_parts(root or bundled_root(), overlay or Overlay(), snomed_extension, now)
    return sorted(set(parts.problems))
