"""Decisions of the bundled rules as a test wants them: which rules fired, over which facts."""

import datetime as dt
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from rules.engine import Bundle, Decision, FactSet, Overlay, RuleSettings, Urgency, load
from rules.engine.cases import case_facts
from rules.engine.overlay import Mode
from tests.rules.bundles import bundled

__all__ = ["BACK", "HIP", "TODAY", "decided", "facts", "site", "study"]

TODAY = dt.date(2026, 11, 25)
BACK: Mapping[str, Any] = {"person.age": 63, "pain.axial.current": True, "pain.back.current": True}
HIP: Mapping[str, Any] = {"person.age": 63, "pain.axial.current": True, "pain.hip.current": True}


def facts(written: Mapping[str, Any], dates: Mapping[str, int] | None = None) -> FactSet:
    """The facts in `written`; the others are what their absence means. `dates` are in days ago."""
    found = case_facts(bundled().vocabulary, written)
    for name, days in (dates or {}).items():
        found.set(name, found[name], date=TODAY - dt.timedelta(days=days))
    return found


def study(region: str | tuple[str, ...], days: int, result: str = "", **members: Any) -> dict[str, Any]:
    """One imaging record: an MRI after the onset of every pain, not coded unless it has a result."""
    regions = [region] if isinstance(region, str) else list(region)
    since = {f"since_{pain}": True for pain in ("back", "hip", "pelvic", "bone")}
    record = {"modality": "mri", "regions": regions, "days": days, **since, **members}
    return {**record, "result": result} if result else record


@cache
def site(rule: str, *, mode: Mode = "live", most: Urgency = "critical") -> Bundle:
    """The bundled rules at a site that sets the mode or the highest urgency of one of them."""
    return load(overlay=Overlay(rules={rule: RuleSettings(mode=mode, max_indicator=most)}))


def decided(
    fired: Iterable[str], given: FactSet, *, bundle: Bundle | None = None, hook: str = "patient-view"
) -> Decision:
    """A Decision in which exactly these rules fired."""
    rules = bundle or bundled()
    schedule = rules.schedule(hook)
    wanted = set(fired)
    outcomes = {
        program.rule.id: program.outcome("fired" if program.rule.id in wanted else "not-fired")
        for program in (*schedule.first, *schedule.second)
    }
    assert wanted <= outcomes.keys()
    return Decision(rules, given, hook, dt.datetime.combine(TODAY, dt.time(12), dt.UTC), outcomes)
