"""Facts about care: palliative status, oncology contact, referrals, physiotherapy, radiotherapy, medicines.

Source: facts.yaml (care context, medicines); decisions 7, 33 and 34 on the clinical material.
"""

from rules.engine.facts import Span
from service.facts.cancer import cancers, sites_of
from service.facts.dates import Day
from service.facts.derivation import Derivation, confirmed, earliest
from service.facts.entries import Evidence, Medicine
from service.facts.pain import hurts

__all__ = ["derive"]

# How long an event (a visit, a procedure, an order) keeps a palliative status going without a later one.
EVENT_DAYS = 365
_PALLIATIVE = ("palliative-hospice", "terminal-illness", "palliative-ended")
_TIERS = ("palliative", "hospice", "terminal")
_TYPE_OF_KIND = {
    "problem": "Condition",
    "encounter-diagnosis": "Condition",
    "visit": "Encounter",
    "procedure": "Procedure",
    "request": "ServiceRequest",
    "plan": "CarePlan",
    "flag": "Flag",
}
# Sites whose history is enough to infer a pelvic field, by the set a history code names.
_PELVIC_SITES = frozenset(
    {"cancer-cervix", "cancer-gynae-other", "cancer-prostate", "cancer-bladder-urinary"}
)
_LONG_TERM_STEROID = "Z7952"
STEROID_GAP_DAYS = 30
OPEN_SUPPLY_DAYS = 365


def derive(d: Derivation) -> None:
    if d.on_record(*_PALLIATIVE) and d.wants("care.palliative"):
        _palliative(d)
    if d.on_record("oncology-contact"):
        _known_and_managed(d, _oncology_contact(d))
    if d.record.orders and d.wants("care.cancer_referral_active"):
        _referral(d)
    _physiotherapy(d)
    if d.on_record("radiotherapy-procedure", "history-of-radiotherapy"):
        _radiotherapy(d)
    if d.wants("meds.glucocorticoid_days"):
        _glucocorticoid(d)
    if d.record.medicines:
        _medicines(d)


def _palliative(d: Derivation) -> None:
    """The newest status wins; a discharge from hospice or palliative care ends it."""
    entries: list[tuple[int, str, Evidence]] = []
    for entry in d.record.of(*_PALLIATIVE):
        kind = _TYPE_OF_KIND.get(entry.kind)
        if kind not in d.record.palliative_sources or entry.present is not True or entry.suspected:
            continue
        if entry.active is False or entry.end is not None:
            continue
        day, tier = entry.seen or entry.start, _tier(d, entry)
        passing = entry.kind in ("visit", "procedure", "request") and tier != "none"
        if passing and not d.calendar.within(day, EVENT_DAYS):
            continue
        entries.append((day.mid if day is not None else 0, tier, entry))
    if not entries:
        return
    newest = max(day for day, _, _ in entries)
    latest = [(tier, entry) for day, tier, entry in entries if day == newest]
    if any(tier == "none" for tier, _ in latest):
        return
    tier, entry = max(latest, key=lambda pair: _TIERS.index(pair[0]))
    d.put("care.palliative", tier, [entry])


def _tier(d: Derivation, entry: Evidence) -> str:
    if "palliative-ended" in entry.sets:
        return "none"
    if "terminal-illness" in entry.sets:
        return "terminal"
    tiers = [tier for system, code in entry.codes if (tier := d.record.codes.tier(system, code)) in _TIERS]
    return tiers[0] if tiers and tiers[0] is not None else "palliative"


def _oncology_contact(d: Derivation) -> Day | None:
    visits = [e for e in d.record.of("oncology-contact") if e.kind == "visit" and e.start is not None]
    latest = max((e.start for e in visits if e.start is not None), default=None)
    d.put_days("care.oncology_contact_days", latest, [e for e in visits if e.start == latest])
    return latest


def _referral(d: Derivation) -> None:
    found = [
        Evidence("request", order.source, order.sets, (), True, order.day, order.day)
        for order in d.record.orders
        if "referral-cancer-oncology" in order.sets
        and order.status in ("active", "on-hold", "completed")
        and d.calendar.within(order.day, 30)
    ]
    if found:
        d.put("care.cancer_referral_active", True, found)


def _known_and_managed(d: Derivation, contact: Day | None) -> None:
    """S2: bone metastases known for more than 30 days and an oncology contact within 90."""
    if not d.wants("care.known_and_managed") or contact is None or not d.calendar.within(contact, 90):
        return
    active, past, _ = cancers(d)
    bone = [entry for entry in (*active, *past) if "secondary-malignancy-bone" in entry.sets]
    first = earliest(entry.start or entry.seen for entry in bone)
    if first is not None and d.calendar.within(first, 30) is False:
        d.put("care.known_and_managed", True, bone)


def _physiotherapy(d: Derivation) -> None:
    if not d.wants("care.physiotherapy_sessions", "care.conservative_failed"):
        return
    sessions = [
        entry
        for entry in d.record.of("physiotherapy-manual-therapy")
        if entry.kind in ("procedure", "visit", "appointment") and entry.start is not None
    ]
    days = sorted({entry.start.mid for entry in sessions if entry.start is not None})
    # Sessions of an earlier episode say nothing about this one.
    days = [day for day in days if d.calendar.today - day <= 365]
    if days or {"procedures", "encounters"} <= d.available:
        d.put("care.physiotherapy_sessions", len(days), sessions)
    current = hurts(d)
    tried = len(days) >= 4 and days[-1] - days[0] >= 21 and d.calendar.today - days[0] >= 28
    if tried and current is not False:
        d.put(
            "care.conservative_failed",
            current,
            sessions,
            note="" if current else "whether pain goes on is not recorded",
        )


def _radiotherapy(d: Derivation) -> None:
    given = [e for e in d.record.of("radiotherapy-procedure") if e.kind == "procedure" or confirmed(e)]
    history = [e for e in d.record.of("history-of-radiotherapy") if confirmed(e)]
    pelvic = [e for e in given if "pelvic-body-site" in e.sets]
    unsited = [e for e in given if "body-site-stated" not in e.sets]
    assumed: list[Evidence] = []
    if not pelvic and (unsited or history) and _pelvic_primary(d):
        assumed = [*unsited, *history]
        pelvic = assumed
    if not pelvic:
        return
    d.put("radiotherapy.pelvic", True, pelvic)
    if assumed:
        d.put("radiotherapy.pelvic_assumed", True, assumed)
    procedures = [e.seen for e in pelvic if e.kind == "procedure" and e.seen is not None]
    if procedures:
        d.put_days("radiotherapy.pelvic_days", max(procedures), pelvic)
        return
    recorded = [e.seen or e.start for e in pelvic if (e.seen or e.start) is not None]
    if recorded:
        # A history code dates the entry, not the treatment, which was then or any time before.
        day = max(day for day in recorded if day is not None)
        days = d.calendar.days_since(day)
        low = days.low if isinstance(days, Span) else days
        d.facts.set(
            "radiotherapy.pelvic_days",
            Span(low, 36500, low),
            date=day.date,
            sources=[e.source for e in pelvic],
            note="date of the entry; the treatment was then or before",
        )


def _pelvic_primary(d: Derivation) -> bool:
    active, past, _ = cancers(d)
    for entry in (*active, *past):
        if "pelvic-primary-for-radiotherapy" in entry.sets or not sites_of(d, entry).isdisjoint(
            _PELVIC_SITES
        ):
            return True
    return False


def _glucocorticoid(d: Derivation) -> None:
    """Days of the continuous span that reaches the last 30 days; gaps of up to 30 days do not break it."""
    medicines = [m for m in d.record.medicines if "glucocorticoid-systemic" in m.sets]
    spans = sorted(_covered(d, medicine) for medicine in medicines if medicine.start is not None)
    begin: int | None = None
    reach = 0
    for start, end in spans:
        if begin is None or start - reach > STEROID_GAP_DAYS:
            begin, reach = start, end
        else:
            reach = max(reach, end)
    today = d.calendar.today
    days = min(reach, today) - begin if begin is not None and today - reach <= STEROID_GAP_DAYS else 0
    coded = [
        entry
        for entry in d.record.of("glucocorticoid-systemic")
        if confirmed(entry)
        and entry.active is not False
        and any(_bare(code) == _LONG_TERM_STEROID for _, code in entry.codes)
    ]
    sources = [medicine.source for medicine in medicines][:6] + [entry.source for entry in coded]
    if coded and days < 90:
        d.facts.set(
            "meds.glucocorticoid_days", Span(90, 36500, 90), sources=sources, note="coded as long-term use"
        )
    elif days == 0 and any(m.active and m.start is None for m in medicines):
        d.facts.set(
            "meds.glucocorticoid_days", None, sources=sources, note="taken, but since when is not recorded"
        )
    elif days > 0 or {"medications", "conditions"} <= d.available:
        d.facts.set("meds.glucocorticoid_days", max(0, days), sources=sources)


def _covered(d: Derivation, medicine: Medicine) -> tuple[int, int]:
    assert medicine.start is not None
    start, today = medicine.start.mid, d.calendar.today
    if medicine.end is not None:
        return start, max(start, medicine.end.mid)
    if medicine.active:
        return start, min(today, start + OPEN_SUPPLY_DAYS)
    return start, start


def _medicines(d: Derivation) -> None:
    for fact, group in (
        ("meds.strong_opioid", "opioid-strong"),
        ("meds.bone_modifying_agent", "bone-modifying-agent"),
    ):
        if not d.wants(fact):
            continue
        window = 30 if fact == "meds.strong_opioid" else 365
        found = [
            Evidence("medicine", m.source, m.sets, (), True, m.start, m.end or m.start)
            for m in d.record.medicines
            if group in m.sets and (m.active or d.calendar.within(m.end or m.start, window))
        ]
        if found:
            d.put(fact, True, found)


def _bare(code: str) -> str:
    return code.replace(".", "").strip().upper()
