"""What of the fired rules is shown: suppression S1 to S9, folding, and at most three cards (S10).

The order is fixed and every step leaves its reason in the Decision: who is covered (S9, death), palliative
care (S1), known and managed disease (S2), an open referral (S5), an order already on its way (S4), imaging
already done (S3), and last what the site wants (mode, highest indicator). No step but the first and the
site's mode silences a critical rule; S1 lowers it. Source: rules.yaml suppression_codes and merge_policy;
decisions 9, 17, 30, 31 and 34 on the clinical material. S6 (answered before) needs the feedback store and
comes with it.
"""

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from rules.engine import Bundle, Decision, FactSet, Outcome, Reason, Rule, Urgency, severity

__all__ = ["MAX_CARDS", "Coverage", "Shown", "between_phases", "coverage", "fold", "suppress"]

MAX_CARDS = 3
SPINE_DAYS, PELVIS_DAYS = 90, 180
_WITHIN = ("now", "24 h", "48 h", "2 weeks", "routine")
_SPINE = frozenset({"lumbar-spine", "thoracic-spine", "whole-spine", "sacroiliac"})
_PELVIS = frozenset({"pelvis", "hip", "femur"})
_CLEAN = frozenset({"normal", "degenerative"})
_LAST_TIERS = ("hospice", "terminal")


class Coverage(msgspec.Struct, frozen=True):
    """Whether the patient is one the rules speak about, so that silence is never read as "no red flags"."""

    covered: bool
    code: str = ""
    reason: str = ""


class Shown(msgspec.Struct, frozen=True):
    """A card to be: its lead rule, the rules folded into it, and those left for the "also consider" line."""

    lead: str
    folded: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


def coverage(facts: FactSet) -> Coverage:
    """Decision 17: under 18, deceased, or no current pain on record is not covered."""
    age = facts["person.age"]
    if facts["person.deceased"]:
        return Coverage(False, "deceased", "The record says that the patient has died.")
    if age is not None and age < 18:
        return Coverage(False, "under-18", "The rules are written for adults; the patient is under 18.")
    if facts["pain.axial.current"] is None:
        return Coverage(False, "no-pain-recorded", "No back, hip, pelvic or bone pain is on record.")
    if facts["pain.axial.current"] is False:
        return Coverage(
            False, "no-current-pain", "Back, hip, pelvic or bone pain is on record, but not current."
        )
    return Coverage(True)


Step = Callable[[Rule, FactSet, dt.date], "Reason | None"]


def between_phases(decision: Decision, today: dt.date) -> dict[str, bool]:
    """What the second phase of rules reads: whether anything fired at all, and whether a red flag stands.

    Suppression runs between the two: a rule silenced by it still makes imaging no low-value imaging, but it
    is no open red flag. A red flag lowered for want of a coded result is still open.
    """
    anything = bool(decision.fired())
    suppress(decision, today)
    return {
        "fired.any": anything,
        "fired.critical_or_warning": any(outcome.base_urgency != "info" for outcome in decision.fired()),
    }


def suppress(decision: Decision, today: dt.date) -> None:
    """Silence, or lower, the fired rules that a suppression holds for. Rules already lowered are left
    alone.
    """
    for outcome in decision.fired():
        if outcome.lowered is not None:
            continue
        rule = decision.bundle.programs[outcome.rule].rule
        for step in _STEPS:
            reason = step(rule, decision.facts, today)
            if reason is None:
                continue
            urgency = _lowered(rule, reason, decision.facts)
            if urgency is None:
                decision.suppress(rule.id, reason)
            else:
                decision.lower(rule.id, urgency, reason)
            break


def _lowered(rule: Rule, reason: Reason, facts: FactSet) -> Urgency | None:
    """The urgency a reason lowers a rule to, or None when it silences it."""
    if reason.code == "S1" and rule.urgency == "critical":
        return "info" if facts["care.palliative"] in _LAST_TIERS else "warning"
    if reason.code == "S3" and reason.text.startswith(_UNREAD):
        return "info"
    if reason.code == "INDICATOR":
        return rule.max_indicator
    return None


_UNREAD = "Imaging was done, but its result is not coded"


def _scope(rule: Rule, facts: FactSet, today: dt.date) -> Reason | None:
    covered = coverage(facts)
    if covered.code in ("deceased", "under-18"):
        return Reason("S9" if covered.code == "under-18" else "DECEASED", covered.reason)
    return None


def _palliative(rule: Rule, facts: FactSet, today: dt.date) -> Reason | None:
    tier = facts["care.palliative"]
    if tier not in ("palliative", *_LAST_TIERS):
        return None
    exempt = "S1" not in rule.suppression or rule.s1_exempt == "palliative"
    if tier == "palliative" and rule.urgency != "critical" and exempt:
        return None
    fact = facts.get("care.palliative")
    return Reason("S1", f"Palliative status: {tier}", sources=fact.sources)


def _managed(rule: Rule, facts: FactSet, today: dt.date) -> Reason | None:
    if "S2" not in rule.suppression or rule.urgency == "critical" or not facts["care.known_and_managed"]:
        return None
    fact = facts.get("care.known_and_managed")
    return Reason("S2", "Bone metastases are known and under oncology care", sources=fact.sources)


def _referred(rule: Rule, facts: FactSet, today: dt.date) -> Reason | None:
    if "S5" not in rule.suppression or rule.urgency == "critical" or not facts["care.cancer_referral_active"]:
        return None
    fact = facts.get("care.cancer_referral_active")
    return Reason("S5", "A suspected-cancer or oncology referral is open", sources=fact.sources)


def _ordered(rule: Rule, facts: FactSet, today: dt.date) -> Reason | None:
    if "S4" not in rule.suppression or rule.urgency == "critical":
        return None
    keys = set(rule.key_orders)
    for name, where in (("orders.active", "already active"), ("orders.draft", "being entered now")):
        if keys.intersection(facts[name] or ()):
            return Reason("S4", f"The key order is {where}", sources=facts.get(name).sources)
    return None


def _imaged(rule: Rule, facts: FactSet, today: dt.date) -> Reason | None:
    """S3 holds when every painful area the rule speaks of was imaged after the pain began and got worse.

    Clean results silence the rule; results that are not coded lower it, since nobody knows what they say.
    """
    if "S3" not in rule.suppression or rule.urgency == "critical" or rule.key_imaging is None:
        return None
    verdicts = [_area(rule, facts, today, area) for area in _areas(rule, facts)]
    if not verdicts or any(verdict is None for verdict in verdicts):
        return None
    found = [verdict for verdict in verdicts if verdict is not None]
    day = today - dt.timedelta(days=min(study["days"] for study in found))
    sources = facts.get("imaging.studies").sources
    if all(study.get("result") in _CLEAN for study in found):
        return Reason(
            "S3",
            f"Imaging of {day.isoformat()} after the pain began shows nothing suspicious",
            sources=sources,
        )
    return Reason("S3", f"{_UNREAD} ({day.isoformat()})", sources=sources)


def _areas(rule: Rule, facts: FactSet) -> list[frozenset[str]]:
    """The painful areas a rule's imaging must cover, as sets of regions of which one will do."""
    areas: list[frozenset[str]] = []
    if rule.region in ("back", "both") and facts["pain.back.current"]:
        areas.append(frozenset({"thoracic-spine"}) if facts["pain.thoracic.current"] else _SPINE)
    if rule.region in ("hip", "both") and (facts["pain.hip.current"] or facts["pain.pelvic.current"]):
        areas.append(_PELVIS)
    keys = frozenset(rule.key_imaging.regions if rule.key_imaging is not None else ())
    return [area for area in areas if area & (keys | _wider(keys))]


def _wider(keys: frozenset[str]) -> frozenset[str]:
    return _SPINE if keys & _SPINE else frozenset()


def _area(rule: Rule, facts: FactSet, today: dt.date, area: frozenset[str]) -> Mapping[str, Any] | None:
    """The newest key imaging of an area that still answers for it; None when there is none."""
    assert rule.key_imaging is not None
    limit = PELVIS_DAYS if area & _PELVIS else SPINE_DAYS
    keys = frozenset(rule.key_imaging.regions)
    usable = [
        study
        for study in facts["imaging.studies"] or ()
        if study["modality"] in rule.key_imaging.modalities
        and area.intersection(study["regions"])
        and keys.intersection(study["regions"])
        and study["since_onset"]
        and study["days"] <= limit
        and not _since(facts, "neuro.any_new", today, study["days"])
        and not _since(facts, "pain.progressive", today, study["days"])
    ]
    if not usable:
        return None
    newest: Mapping[str, Any] = min(usable, key=lambda study: study["days"])
    return newest if newest.get("result") in (*_CLEAN, None) else None


def _since(facts: FactSet, name: str, today: dt.date, days: int) -> bool:
    """Whether a true fact is newer than an examination so many days ago; when its day is unknown, it is."""
    fact = facts.get(name)
    return bool(fact.value) and (fact.date is None or fact.date > today - dt.timedelta(days=days))


def _site(rule: Rule, facts: FactSet, today: dt.date) -> Reason | None:
    if rule.mode == "silent":
        return Reason("MODE", "This rule runs silently at this site: recorded, not shown")
    if severity(rule.max_indicator) > severity(rule.urgency):
        return Reason("INDICATOR", "The site limits the urgency of this rule")
    return None


_STEPS: tuple[Step, ...] = (_scope, _palliative, _managed, _referred, _ordered, _imaged, _site)


def fold(decision: Decision) -> list[Shown]:
    """Fold superseded rules into the cards of those that supersede them, and keep the three most urgent
    cards.
    """
    fired = sorted(decision.fired(), key=lambda outcome: _priority(decision.bundle, outcome))
    over = {outcome.rule: _superseded_by(decision.bundle, outcome, fired) for outcome in fired}
    leads = [outcome.rule for outcome in fired if not over[outcome.rule]]
    for outcome in fired:
        lead = _lead_of(outcome.rule, over, leads)
        if lead is not None:
            title = decision.bundle.programs[lead].rule.title
            decision.fold(outcome.rule, lead, Reason("SUPERSEDED", f"Shown under: {title}"))
    kept, extra = leads[:MAX_CARDS], leads[MAX_CARDS:]
    shown = [Shown(lead, decision[lead].folded) for lead in kept]
    if extra:
        last = shown[-1]
        for rule in extra:
            decision.fold(rule, last.lead, Reason("S10", "At most three cards; named on the last of them"))
        shown[-1] = Shown(last.lead, last.folded, tuple(extra))
    return shown


def _priority(bundle: Bundle, outcome: Outcome) -> tuple[int, int, str]:
    return (
        severity(outcome.urgency),
        _WITHIN.index(bundle.programs[outcome.rule].rule.act_within),
        outcome.rule,
    )


def _superseded_by(bundle: Bundle, outcome: Outcome, fired: list[Outcome]) -> list[str]:
    """Fired rules this one folds into. Nothing folds into a less urgent card, unless S1 lowered that
    (decision 34).
    """
    return [
        other.rule
        for other in fired
        if outcome.rule in bundle.programs[other.rule].rule.supersedes
        and (
            severity(other.urgency) <= severity(outcome.urgency)
            or (other.lowered is not None and other.lowered.code == "S1")
        )
    ]


def _lead_of(rule: str, over: Mapping[str, list[str]], leads: list[str]) -> str | None:
    """The most urgent card a rule ends in, following folded rules on to theirs; None when it leads itself."""
    seen, queue = {rule}, list(over[rule])
    found: list[int] = []
    while queue:
        name = queue.pop(0)
        if name in leads:
            found.append(leads.index(name))
        elif name not in seen:
            queue += over[name]
        seen.add(name)
    return leads[min(found)] if found else None
