"""What a site's overlay changes in the bundled rules."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from rules.engine.bundle import Bundle
from rules.engine.overlay import PALLIATIVE_SOURCES, QUIET_DAYS
from rules.engine.rule import Rule
from rules.engine.text import number, quantity

__all__ = ["Difference", "site_diff"]


class Difference(msgspec.Struct, frozen=True):
    """One setting that is not the bundled one, both in words."""

    what: str
    bundled: str
    site: str


def site_diff(bundle: Bundle) -> list[Difference]:
    """Everything the overlay of the bundle sets, rules first, in order of rule id."""
    found = [one for _, rule in sorted(bundle.rules.items()) for one in _rule(bundle, rule)]
    overlay = bundle.overlay
    found += [Difference(f"{name} rules", "on", f"off: {why}") for name, why in overlay.modules_off.items()]
    found += [Difference(f"contact {name}", "none", text) for name, text in overlay.contacts.items()]
    found += [
        Difference(
            f"value set {name}", "bundled codes", ", ".join(f"and {system}|{code}" for system, code in codes)
        )
        for name, codes in overlay.codes.items()
    ]
    if overlay.palliative_sources != PALLIATIVE_SOURCES:
        found.append(
            Difference(
                "palliative sources", ", ".join(PALLIATIVE_SOURCES), ", ".join(overlay.palliative_sources)
            )
        )
    found += [
        Difference(
            f"upper limit of {name}",
            "the laboratory's range only",
            _limit(bundle, name, limit.female, limit.male),
        )
        for name, limit in overlay.upper_limits.items()
    ]
    found += [
        Difference(f"question {theirs}", "not read", f"read as {ours}")
        for theirs, ours in overlay.questionnaire.items()
    ]
    found += [
        Difference(f"quiet after '{reason}'", f"{QUIET_DAYS} days", f"{days} days")
        for reason, days in overlay.quiet_days.items()
    ]
    found += [
        Difference(f"unit of {name}", f"'{spelling}' not read", f"read as {unit}")
        for name, spellings in overlay.units.items()
        for spelling, unit in spellings.items()
    ]
    return found


def _rule(bundle: Bundle, rule: Rule) -> Iterator[Difference]:
    if rule.mode != "live":
        yield Difference(f"{rule.id}: mode", "live", rule.mode)
    if rule.max_indicator != "critical":
        yield Difference(f"{rule.id}: highest indicator", rule.urgency, rule.max_indicator)
    for spec in rule.params.values():
        if spec.value != spec.default:
            default, value = (quantity(number(one), spec.unit) for one in (spec.default, spec.value))
            yield Difference(f"{rule.id}: {spec.name}", default, value)
    for urgency, texts in bundle.overlay.settings(rule.id).card.items():
        yield Difference(f"{rule.id}: {urgency} card", "bundled words", f"own {', '.join(texts)}")


def _limit(bundle: Bundle, analyte: str, female: float, male: float) -> str:
    unit = bundle.units.canonical(analyte)
    if female == male:
        return quantity(number(male), unit)
    return f"{quantity(number(female), unit)} (women), {quantity(number(male), unit)} (men)"
