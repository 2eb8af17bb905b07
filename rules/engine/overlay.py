"""The site overlay: what one hospital sets on top of the bundled rules, in one YAML file of its own.

A site moves thresholds within the bounds a rule declares, sets modes and the highest indicator, words cards,
switches a module off with a reason, names its contacts, and adds its own codes, questionnaire items, unit
spellings and upper limits. It cannot change logic.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any, Literal

import msgspec

from rules.engine.documents import Document, Path, read_document, schema_problems
from rules.engine.errors import BundleError, Problem
from rules.engine.schemas import schema

__all__ = ["QUIET_DAYS", "Mode", "Overlay", "RuleSettings", "UpperLimit", "parse_overlay"]

# off: not evaluated. silent: evaluated and recorded, never shown. pilot: shown to the callers the service
# chooses. live: shown.
Mode = Literal["off", "silent", "pilot", "live"]

QUIET_DAYS = 30  # rules.yaml suppression_codes S6
PALLIATIVE_SOURCES = ("Encounter", "Procedure", "Condition", "ServiceRequest")  # decisions 7 and 34


class RuleSettings(msgspec.Struct, frozen=True):
    """What the site says about one rule. `card` holds, per urgency, the texts to put in place.

    `until` is the last day (ISO 8601) of a silent or pilot mode. A pilot includes `percent` of the patients,
    and all calls of `users` ("Practitioner/id"), `clients`, and encounters at `locations` ("Location/id" or
    "Organization/id").
    """

    mode: Mode = "live"
    max_indicator: Literal["critical", "warning", "info"] = "critical"
    params: Mapping[str, int | float] = {}
    card: Mapping[str, Mapping[str, Any]] = {}
    until: str = ""
    percent: int = 0
    users: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    locations: tuple[str, ...] = ()


class UpperLimit(msgspec.Struct, frozen=True):
    """Upper limit of normal of an analyte, in its canonical unit, used when a result carries no range."""

    female: float
    male: float


class Overlay(msgspec.Struct, frozen=True):
    """The site's settings. `Overlay()` changes nothing.

    `modules_off`: module -> reason. `codes`: value set -> (system, code) pairs. `questionnaire`: the site's
    linkId -> the bundled linkId it answers. `units`: analyte -> spelling -> unit of the table. `quiet_days`:
    code of an override reason -> days for which a rule that was overridden with it stays quiet. `data` is the
    file as read, part of the bundle digest.
    """

    site: str = ""
    rules: Mapping[str, RuleSettings] = {}
    modules_off: Mapping[str, str] = {}
    contacts: Mapping[str, str] = {}
    codes: Mapping[str, tuple[tuple[str, str], ...]] = {}
    palliative_sources: tuple[str, ...] = PALLIATIVE_SOURCES
    upper_limits: Mapping[str, UpperLimit] = {}
    questionnaire: Mapping[str, str] = {}
    units: Mapping[str, Mapping[str, str]] = {}
    quiet_days: Mapping[str, int] = {}
    data: Mapping[str, Any] = {}
    document: Document | None = None

    @classmethod
    def load(cls, path: FilePath) -> Overlay:
        """Read a site file; BundleError with every problem in it. What it says about rules is checked when a
        bundle is loaded with it.
        """
        document = read_document(path, path.name)
        overlay, problems = parse_overlay(document)
        if problems:
            raise BundleError(problems)
        return overlay

    def settings(self, rule_id: str) -> RuleSettings:
        return self.rules.get(rule_id, _DEFAULT)

    def quiet_after(self, reason: str) -> int:
        """Days for which a rule stays quiet after an override with a reason, or with none."""
        return self.quiet_days.get(reason, QUIET_DAYS)

    @property
    def longest_quiet(self) -> int:
        """Days after which no answer counts any more."""
        return max(QUIET_DAYS, *self.quiet_days.values(), 0)

    def without_module(self, module: str, reason: str) -> Overlay:
        """The same overlay with one module of rules switched off, as a service setting may ask; the digest
        shows it.
        """
        data = {
            **self.data,
            "modules": {**self.data.get("modules", {}), module: {"mode": "off", "reason": reason}},
        }
        return msgspec.structs.replace(self, modules_off={**self.modules_off, module: reason}, data=data)

    def problem(self, code: str, message: str, path: Path, *, warning: bool = False) -> Problem:
        """A problem at a place of the site file, or at none when the overlay was not read from one."""
        place, line = (
            (self.document.name, self.document.key_line(path)) if self.document else ("no site file", 0)
        )
        return Problem(place, line, code, message, "warning" if warning else "error")


_DEFAULT = RuleSettings()


def parse_overlay(document: Document) -> tuple[Overlay, list[Problem]]:
    """The overlay of a document, and what its schema says against it; a bad file gives the empty overlay."""
    problems = document.problems or schema_problems(document, schema("site"))
    if problems:
        return Overlay(), list(problems)
    raw: dict[str, Any] = document.data
    overlay = Overlay(
        site=raw["site"],
        rules={rule_id: RuleSettings(**settings) for rule_id, settings in raw.get("rules", {}).items()},
        modules_off={name: entry["reason"] for name, entry in raw.get("modules", {}).items()},
        contacts=raw.get("contacts", {}),
        codes={
            name: tuple((entry["system"], entry["code"]) for entry in entries)
            for name, entries in raw.get("codes", {}).items()
        },
        palliative_sources=tuple(raw.get("palliative_sources", PALLIATIVE_SOURCES)),
        upper_limits={name: _limit(entry) for name, entry in raw.get("upper_limits", {}).items()},
        questionnaire=raw.get("questionnaire", {}),
        units=raw.get("units", {}),
        quiet_days=raw.get("quiet_days", {}),
        data=raw,
        document=document,
    )
    return overlay, []


def _limit(raw: Any) -> UpperLimit:
    if isinstance(raw, dict):
        return UpperLimit(float(raw["female"]), float(raw["male"]))
    return UpperLimit(float(raw), float(raw))
