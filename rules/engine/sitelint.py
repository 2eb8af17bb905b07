"""Checks of a site overlay against the bundle it is laid over, and of the order templates against the value
sets.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rules.engine.catalogue import RuleFile
from rules.engine.content import Content
from rules.engine.errors import Problem
from rules.engine.overlay import Overlay
from rules.engine.rule import Rule

__all__ = ["site_problems"]

_CHOICES = ("percent", "users", "clients", "locations")


def site_problems(files: Sequence[RuleFile], content: Content) -> list[Problem]:
    """What the site's settings say that the bundle cannot follow, and the contacts its cards still miss."""
    rules = {file.folder: file.rule for file in files if file.rule is not None}
    overlay = content.overlay
    found = list(_unknown(overlay, "rules", overlay.rules, {file.folder for file in files}, "R050", "rule"))
    if content.sets:
        found += _unknown(overlay, "codes", overlay.codes, content.sets, "R053", "value set")
        found += _order_sets(content)
    if content.analytes:
        found += _unknown(overlay, "upper_limits", overlay.upper_limits, content.analytes, "R056", "analyte")
        found += _unknown(overlay, "units", overlay.units, content.analytes, "R056", "analyte")
    return [
        *found,
        *_params(overlay, rules),
        *_trials(overlay),
        *_contacts(overlay, rules.values()),
    ]


def _unknown(
    overlay: Overlay, key: str, names: Iterable[str], known: Iterable[str], code: str, what: str
) -> Iterator[Problem]:
    for name in names:
        if name not in known:
            yield overlay.problem(code, f"no {what} is called {name}", (key, name))


def _params(overlay: Overlay, rules: Mapping[str, Rule]) -> Iterator[Problem]:
    for rule_id, settings in overlay.rules.items():
        rule = rules.get(rule_id)
        for name in settings.params if rule else ():
            path = ("rules", rule_id, "params", name)
            spec = rule.params.get(name) if rule else None
            if spec is None:
                yield overlay.problem("R051", f"{rule_id} has no parameter {name}", path)
            elif not spec.min <= settings.params[name] <= spec.max:
                yield overlay.problem("R052", f"{name} must lie between {spec.min} and {spec.max}", path)
            elif spec.value != settings.params[name]:
                yield overlay.problem("R052", f"{name} must be a whole number", path)


def _trials(overlay: Overlay) -> Iterator[Problem]:
    """Rules on trial without an end, pilots that include nobody, and people chosen for what is no pilot."""
    for rule_id, settings in overlay.rules.items():
        path = ("rules", rule_id)
        if settings.until and not _is_day(settings.until):
            yield overlay.problem("R059", f"there is no day {settings.until}", (*path, "until"))
        elif settings.mode in ("silent", "pilot") and not settings.until:
            message = f"{rule_id} is {settings.mode} without an end; give its last day as until"
            yield overlay.problem("R059", message, path, warning=True)
        chosen = [name for name in _CHOICES if getattr(settings, name)]
        if settings.mode == "pilot" and not chosen:
            message = f"the pilot of {rule_id} includes nobody; give one of {', '.join(_CHOICES)}"
            yield overlay.problem("R060", message, path, warning=True)
        for name in chosen if settings.mode != "pilot" else ():
            message = f"{name} says who is in a pilot, and {rule_id} is {settings.mode}"
            yield overlay.problem("R061", message, (*path, name), warning=True)


def _is_day(text: str) -> bool:
    try:
        dt.date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _order_sets(content: Content) -> Iterator[Problem]:
    for name, order in content.orders.items():
        for one in order.sets:
            if one not in content.sets:
                yield content.orders_document.problem(
                    "R028", f"no value set is called {one}", ("orders", name, "sets")
                )


def _contacts(overlay: Overlay, rules: Iterable[Rule]) -> Iterator[Problem]:
    """A card that tells people to call must know whom; without the number it points to the on-call list.

    A site file is told which cards each of its gaps concerns. Without one all are missing: that is said once.
    """
    users: dict[str, list[str]] = {}
    for rule in rules:
        for name in rule.contacts:
            users.setdefault(name, []).append(rule.id)
    missing = {name: ids for name, ids in users.items() if name not in overlay.contacts}
    if missing and overlay.document is None:
        message = f"contacts have no number, cards point to the on-call list: {', '.join(sorted(missing))}"
        yield overlay.problem("R055", message, ("contacts",), warning=True)
        missing = {}
    for name, ids in missing.items():
        message = f"contact '{name}' has no number; cards of {', '.join(ids)} point to the on-call list"
        yield overlay.problem("R055", message, ("contacts",), warning=True)
    for name in overlay.contacts:
        if name not in users:
            yield overlay.problem(
                "R054", f"no card names the contact '{name}'", ("contacts", name), warning=True
            )
