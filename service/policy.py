"""What of the fired rules is shown: suppression S1 to S9, folding, and at most three cards (S10).

The order is fixed and every step leaves its reason in the Decision: who is covered (S9, death), palliative
care (S1), known and managed disease (S2), an open referral (S5), an order already on its way (S4), imaging
already done (S3), and last the site's mode. No step but the first and the last silences a critical rule; S1
lowers it. A site's limit on the urgency is in the outcome already and holds beside all of this. Source:
rules.yaml suppression_codes and merge_policy; decisions 9, 17, 30, 31 and 34 on the clinical material. S6
(answered before) is the memory's: service.memory.
"""

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from rules.engine import Bundle, Decision, FactSet, KeyImaging, Outcome, Reason, Rule, Urgency, severity
from service.facts.imaging import MODALITIES

__all__ = [
    "MAX_CARDS",
    "Coverage",
    "Shown",
    "between_phases",
    "case_policy",
    "coverage",
    "elsewhere",
    "fold",
    "imaged_on",
    "suppress",
    "worded_at",
]

MAX_CARDS = 3
SPINE_DAYS, PELVIS_DAYS = 90, 180
_WITHIN = ("now", "24 h", "48 h", "2 weeks", "routine")
_LUMBAR = frozenset({"lumbar-spine", "whole-spine"})
_THORACIC = frozenset({"thoracic-spine", "whole-spine"})
_SPINE = _LUMBAR | _THORACIC | {"sacroiliac"}
_PELVIS = frozenset({"pelvis", "hip", "femur"})
_ANYWHERE = frozenset({"abdomen", "chest", "whole-body"})
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


def between_phases(decision: Decision, beside: Decision, today: dt.date) -> dict[str, list[str]]:
    """What the second phase of rules reads, as the rules behind it: what fires at all, and which red flags
    stand. `beside` holds the rules of other hooks.

    Suppression runs between the two: a rule silenced by it still makes imaging no low-value imaging, but it
    is no open red flag. A red flag lowered for want of a coded result is still open.
    """
    both = (decision, beside)
    anything = [outcome.rule for one in both for outcome in one.fired()]
    for one in both:
        suppress(one, today)
    return {
        "fired.any": anything,
        "fired.critical_or_warning": [
            outcome.rule for one in both for outcome in one.fired() if outcome.base_urgency != "info"
        ],
    }


def suppress(decision: Decision, today: dt.date) -> None:
    """Silence, or lower, the fired rules that a suppression holds for. A rule this has lowered before is left
    alone, so that suppressing twice is suppressing once.
    """
    for outcome in decision.fired():
        if outcome.lowered is None or outcome.lowered.code == "SITE":
            _judge(decision, outcome, today)


def case_policy(decision: Decision, context: Mapping[str, Any]) -> None:
    """Suppression for the test cases of rules, on the day they are set on. Cases need no context for it."""
    suppress(decision, decision.now.date())


def _judge(decision: Decision, outcome: Outcome, today: dt.date) -> None:
    """The first reason that silences a rule wins; else the first that lowers it, and never above the site's
    limit.
    """
    rule = decision.bundle.programs[outcome.rule].rule
    lowered: tuple[Urgency, Reason] | None = None
    for step in _STEPS:
        reason = step(rule, decision.facts, today)
        if reason is None:
            continue
        if reason.lowers_to is None:
            decision.suppress(rule.id, reason)
            return
        lowered = lowered or (max(reason.lowers_to, outcome.urgency, key=severity), reason)
    if lowered is not None:
        decision.lower(rule.id, *lowered)


def worded_at(decision: Decision, rule_id: str) -> Urgency:
    """The urgency whose words the card of a rule takes.

    The words of a lower urgency say what in the patient's state lowers it. A site's limit says nothing of
    the patient and changes the indicator alone, unless the site has words of its own for it.
    """
    outcome, rule = decision[rule_id], decision.bundle.programs[rule_id].rule
    if outcome.lowered is None or outcome.urgency in decision.bundle.overlay.settings(rule_id).card:
        return outcome.urgency
    return outcome.lowered.lowers_to or rule.urgency


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
    lower: Urgency = "info" if tier in _LAST_TIERS else "warning"
    lowers_to = lower if rule.urgency == "critical" else None
    return Reason("S1", f"Palliative status: {tier}", fact.sources, lowers_to)


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
        placed = keys.intersection(facts[name] or ())
        if placed and placed - _elsewhere(rule, facts):
            return Reason("S4", f"The key order is {where}", sources=facts.get(name).sources)
    return None


def _elsewhere(rule: Rule, facts: FactSet) -> set[str]:
    """Key orders of imaging that cover none of the rule's pains: a hip's MRI is no answer for the back."""
    painful = frozenset[str]().union(*(area for _, area in _areas(rule, facts)))
    return elsewhere(painful, {name: MODALITIES[name][1] for name in rule.key_orders if name in MODALITIES})


def elsewhere(painful: frozenset[str], imaging: Mapping[str, Iterable[str]]) -> set[str]:
    """Of imaging by name with its regions, what covers nothing that hurts.

    The abdomen, chest or whole body is imaged for what may hurt elsewhere. Where none covers a pain, or
    nobody knows where it hurts, one place is asked about and all of them stand.
    """
    apart = {name for name, regions in imaging.items() if (painful | _ANYWHERE).isdisjoint(regions)}
    return apart if painful and apart != imaging.keys() else set()


def _imaged(rule: Rule, facts: FactSet, today: dt.date) -> Reason | None:
    """S3 holds when every painful area the rule speaks of was imaged after the pain began and got worse.

    Clean results silence the rule; results that are not coded lower it, since nobody knows what they say.
    """
    if "S3" not in rule.suppression or rule.urgency == "critical":
        return None
    studies = _key_studies(rule, facts, today)
    if not studies:
        return None
    day = _read_day(studies, today).isoformat()
    sources = facts.get("imaging.studies").sources
    if not _unread(studies):
        return Reason("S3", f"Imaging of {day} after the pain began shows nothing suspicious", sources)
    return Reason("S3", f"Imaging done, result not coded ({day})", sources, lowers_to="info")


def imaged_on(rule: Rule, facts: FactSet, today: dt.date) -> dt.date | None:
    """The day of the examination that answers a rule's question (S3), the newest with a report to read; None
    without one.
    """
    studies = _key_studies(rule, facts, today)
    return _read_day(studies, today) if studies else None


def _read_day(studies: Sequence[Mapping[str, Any]], today: dt.date) -> dt.date:
    return today - dt.timedelta(days=min(study["days"] for study in _unread(studies) or studies))


def _unread(studies: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [study for study in studies if study.get("result") not in _CLEAN]


def _key_studies(rule: Rule, facts: FactSet, today: dt.date) -> list[Mapping[str, Any]]:
    """One examination for each painful area of a rule; empty when an area has none."""
    if rule.key_imaging is None:
        return []
    found = [_newest(rule.key_imaging, facts, today, *area) for area in _areas(rule, facts)]
    studies = [study for study in found if study is not None]
    return studies if len(studies) == len(found) else []


def _areas(rule: Rule, facts: FactSet) -> list[tuple[str, frozenset[str]]]:
    """What a rule's imaging must cover: each pain with the regions of which one will do (decision 31).

    A rule whose key imaging leaves out the spine asks about one place, whatever hurts: the psoas, or a pelvis
    that was irradiated. There the key imaging itself answers for the back and for bone pain. Else bone pain,
    whose code names no bone, needs an examination of the whole body.
    """
    keys = frozenset(rule.key_imaging.regions if rule.key_imaging is not None else ())
    one_place = bool(keys) and keys.isdisjoint(_LUMBAR | _THORACIC)
    areas: list[tuple[str, frozenset[str]]] = []
    if rule.region in ("back", "both") and facts["pain.back.current"]:
        areas += [("back", keys if one_place else part) for part in _painful_spine(facts)]
    if rule.region in ("hip", "both"):
        if facts["pain.hip.current"]:
            areas.append(("hip", _PELVIS))
        if facts["pain.pelvic.current"]:
            areas.append(("pelvic", _PELVIS | {"sacroiliac"}))
    if rule.region == "both" and facts["pain.bone.current"]:
        areas.append(("bone", keys if one_place else frozenset({"whole-body"})))
    return areas


def _painful_spine(facts: FactSet) -> list[frozenset[str]]:
    """The parts of the spine that hurt; any part will do when no code of the pain says which."""
    parts = [_THORACIC] if facts["pain.thoracic.current"] else []
    if facts["pain.lumbar.current"] or facts["pain.radicular.current"]:
        parts.append(_LUMBAR)
    return parts or [_SPINE]


def _newest(
    key: KeyImaging, facts: FactSet, today: dt.date, pain: str, area: frozenset[str]
) -> Mapping[str, Any] | None:
    """The newest key imaging of an area that still answers for a pain there; None when there is none."""
    limit = PELVIS_DAYS if area & _PELVIS else SPINE_DAYS
    keys = frozenset(key.regions)
    usable = [
        study
        for study in facts["imaging.studies"] or ()
        if study["modality"] in key.modalities
        and area.intersection(study["regions"])
        and keys.intersection(study["regions"])
        and study.get(f"since_{pain}")
        and study["days"] <= limit
        and not study.get("pending")
        and not _since(facts, "neuro.any_new", today, study["days"])
        and not _since(facts, "pain.progressive", today, study["days"])
    ]
    if not usable:
        return None
    # Of two of one day the one that nobody has read.
    newest: Mapping[str, Any] = min(usable, key=lambda study: (study["days"], study.get("result") in _CLEAN))
    if newest.get("result") in _CLEAN:
        return newest
    # What an earlier examination found is not gone because a later one has no result yet.
    return newest if all(study.get("result") in (*_CLEAN, None) for study in usable) else None


def _since(facts: FactSet, name: str, today: dt.date, days: int) -> bool:
    """Whether a true fact is newer than an examination so many days ago; when its day is unknown, it is."""
    fact = facts.get(name)
    return bool(fact.value) and (fact.date is None or fact.date > today - dt.timedelta(days=days))


def _site(rule: Rule, facts: FactSet, today: dt.date) -> Reason | None:
    if rule.mode == "silent":
        return Reason("MODE", "This rule runs silently at this site: recorded, not shown")
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


def _priority(bundle: Bundle, outcome: Outcome) -> tuple[int, int, int, str]:
    rule = bundle.programs[outcome.rule].rule
    return severity(outcome.urgency), _WITHIN.index(rule.act_within), rule.rank, rule.id


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
