"""Facts about other diseases and circumstances that change what pain may mean. Source: facts.yaml (other
conditions).
"""

import datetime as dt
from itertools import combinations
from typing import NamedTuple

from rules.engine.facts import Span
from rules.engine.spans import known_mid
from service.facts.dates import Day
from service.facts.derivation import Derivation, Finding, any_of, dated, earliest
from service.facts.entries import Evidence
from service.facts.results import Result

__all__ = ["derive"]

FEVER_CELSIUS = 38.0
LOSS_PERCENT = 5.0
IMPLAUSIBLE_PERCENT = 25.0
WEIGHT_DAYS = 545  # the newest within 180 days, compared with the 365 before it
_INFLAMMATORY = ("axial-spondyloarthritis", "polymyalgia-rheumatica-gca", "rheumatoid-arthritis")
_INFECTION = ("vertebral-infection", "psoas-abscess", "bacteraemia-endocarditis")
_ACUTE_INFECTION = "acute-infection"
_MARKERS = {"crp": "context.crp_explained", "esr": "context.esr_explained"}
ACUTE_DAYS = 30


def derive(d: Derivation) -> None:
    if d.on_record(*_DISEASES):
        _diagnoses(d)
    if d.on_record("trauma-recent"):
        _trauma(d)
    if d.on_record(*_INFLAMMATORY, *_INFECTION, _ACUTE_INFECTION) and d.wants(*_MARKERS.values()):
        _inflammation(d)
    if d.on_record("anaemia-explained", "radiotherapy-procedure") and d.wants("context.anaemia_explained"):
        _anaemia(d)
    if (d.record.medicines or d.on_record("immunosuppression")) and d.wants("context.immunosuppressed"):
        _immunosuppressed(d)
    if d.on_record("spinal-procedure"):
        _procedures(d)
    if d.on_record("pathological-fracture-neoplastic", "vertebral-fracture"):
        _fractures(d)
    if d.on_record(*_EXAMINED, answers=_EXAMINATION):
        _examination(d)
    _fever(d)
    _weight(d)
    for fact, group, window in _SYMPTOMS:
        if d.on_record(group):
            d.put_finding(fact, d.finding((group,), window, recorded=True))
    if d.on_record("smoker-current", "smoking-status") and d.wants("context.smoker"):
        _smoker(d)


# They have no window in the reference: an entry is good for so long after it was last recorded.
_SYMPTOMS = (
    ("context.fatigue", "fatigue-malaise", 180),
    ("context.night_sweats", "night-sweats", 180),
    ("context.hla_b27", "hla-b27", 36500),
)
_EXAMINED = ("hip-flexion-restriction", "lumbosacral-plexopathy", "cannot-bear-weight")
_EXAMINATION = ("exam.hip_flexion_restricted", "exam.cannot_bear_weight")
_DISEASES = (
    "osteoporosis",
    "axial-spondyloarthritis",
    "polymyalgia-rheumatica-gca",
    "spa-feature",
    "injection-drug-use",
    "liver-disease-alp",
    "paget-disease-bone",
    "bacteraemia-endocarditis",
)


def _diagnoses(d: Derivation) -> None:
    for fact, sets, window in (
        ("context.osteoporosis", ("osteoporosis",), None),
        ("context.axspa", ("axial-spondyloarthritis",), None),
        ("context.pmr", ("polymyalgia-rheumatica-gca",), None),
        ("context.spa_feature", ("spa-feature",), None),
        ("context.injection_drug_use", ("injection-drug-use",), None),
        ("context.liver_disease", ("liver-disease-alp",), None),
        ("context.paget", ("paget-disease-bone",), None),
    ):
        if d.wants(fact):
            d.put_diagnosis(fact, d.diagnosis(*sets, window=window))
    bacteraemia = d.diagnosis("bacteraemia-endocarditis", window=90, even_over=True)
    d.put_diagnosis("context.bacteraemia_recent", bacteraemia)
    for fact, sets in (
        ("context.axspa_days", ("axial-spondyloarthritis",)),
        ("context.pmr_days", ("polymyalgia-rheumatica-gca",)),
    ):
        if d.wants(fact):
            entries = d.diagnosis(*sets)[1]
            d.put_days(fact, earliest(_recorded(entry) for entry in entries), entries)


def _anaemia(d: Derivation) -> None:
    explained = d.diagnosis("anaemia-explained")[1]
    treated = [
        entry
        for entry in d.record.of("radiotherapy-procedure")
        if entry.kind == "procedure" and d.calendar.within(entry.seen, 180)
    ]
    if explained or treated:
        d.put("context.anaemia_explained", True, [*explained, *treated])


def _procedures(d: Derivation) -> None:
    procedures = [
        entry
        for entry in d.record.of("spinal-procedure")
        if entry.kind == "procedure" and d.calendar.within(entry.seen, 90)
    ]
    if procedures:
        d.put("context.spinal_procedure_recent", True, procedures)


def _recorded(entry: Evidence) -> Day | None:
    """When a diagnosis was first written down, which is what "new label" means; its onset where that is
    missing.
    """
    return entry.seen or entry.start


def _trauma(d: Derivation) -> None:
    recent: list[Evidence] = []
    unclear: list[Evidence] = []
    for entry in d.record.of("trauma-recent"):
        inside = d.calendar.within(entry.start or entry.seen, 30)
        if entry.present and not entry.suspected and inside is not False:
            (recent if inside else unclear).append(entry)
    if recent:
        d.put("context.trauma_recent", True, recent)
    elif unclear:
        d.put("context.trauma_recent", None, unclear, note="recorded, but when is not")


def _inflammation(d: Derivation) -> None:
    """Whether a disease with onset before the sample explains a marker.

    Each marker has its own sample: one may have been taken before the disease began, the other after.
    """
    for analyte, name in _MARKERS.items():
        # The sample of the value that rules read.
        sample = next(
            (r.day for r in d.record.newest(analyte, 90) if r.value is not None and not r.pending), None
        )
        if sample is None:
            continue
        lasting = d.diagnosis(*_INFLAMMATORY)[1]
        found = [
            *(entry for entry in lasting if _since(entry, sample) is not None),
            *(
                entry
                for entry in d.diagnosis(*_INFECTION)[1]
                if _since(entry, sample) is not None and d.calendar.within(dated(entry), 180)
            ),
            # Over by now or not, it was there when the sample was taken.
            *(
                entry
                for entry in d.diagnosis(_ACUTE_INFECTION, even_over=True)[1]
                if (days := _since(entry, sample)) is not None and days <= ACUTE_DAYS
            ),
        ]
        undated = [entry for entry in lasting if dated(entry) is None]
        if found:
            d.put(name, True, found)
        elif undated:
            d.put(name, None, undated, note="a disease is recorded, but since when is not")


def _since(entry: Evidence, sample: Day) -> int | None:
    """Days from the onset of a disease to a sample; None when it began later, or nobody knows when."""
    day = dated(entry)
    return sample.mid - day.mid if day is not None and day.mid <= sample.mid else None


def _immunosuppressed(d: Derivation) -> None:
    entries = d.diagnosis("immunosuppression")[1]
    medicines = [
        Evidence(
            "medicine",
            medicine.source,
            medicine.sets,
            (),
            True,
            medicine.start,
            medicine.end or medicine.start,
        )
        for medicine in d.record.medicines
        if "immunosuppressant-drug" in medicine.sets
        and (medicine.active or (medicine.end is not None and d.calendar.within(medicine.end, 90)))
    ]
    if entries or medicines:
        d.put("context.immunosuppressed", True, [*entries, *medicines])


def _fractures(d: Derivation) -> None:
    name = "pathological-fracture-neoplastic"
    pathological = d.diagnosis(name, window=180, even_over=True)
    d.put_diagnosis("fracture.pathological", _or_standing(d, pathological, name))
    vertebral = d.diagnosis("vertebral-fracture", window=180, even_over=True)
    d.put_diagnosis("fracture.vertebral", vertebral)
    if vertebral[1]:
        latest = max(
            (day for entry in vertebral[1] if (day := entry.start or entry.seen) is not None), default=None
        )
        d.put_days("fracture.vertebral_days", latest, vertebral[1])
    if d.wants("fracture.unexplained"):
        found = [*pathological[1], *vertebral[1]]
        if found and not d.diagnosis("osteoporosis")[0] and not _injured(d, found):
            d.put("fracture.unexplained", any_of(pathological[0], vertebral[0]), found)


def _or_standing(d: Derivation, recent: Finding, name: str) -> Finding:
    """A recent diagnosis, or one of whatever day that is still active on the problem list."""
    active = [entry for entry in d.diagnosis(name)[1] if entry.active]
    return (True, active) if active and not recent[0] else recent


def _injured(d: Derivation, fractures: list[Evidence]) -> bool:
    """Whether an injury is on record within 30 days before one of the fractures; a later one is no cause, but
    one may be written down a day late.
    """
    broken, hurt = (
        [day.mid for entry in entries if entry.present and (day := dated(entry)) is not None]
        for entries in (fractures, d.record.of("trauma-recent"))
    )
    return any(-1 <= fracture - injury <= 30 for fracture in broken for injury in hurt)


def _examination(d: Derivation) -> None:
    d.put_finding(
        "exam.hip_flexion_restricted",
        d.finding(("hip-flexion-restriction",), 90, fact="exam.hip_flexion_restricted", recorded=True),
    )
    plexus = d.diagnosis("lumbosacral-plexopathy")
    if plexus[1]:
        d.put("exam.lumbosacral_plexopathy", *plexus)
    d.put_finding(
        "exam.cannot_bear_weight", d.finding(("cannot-bear-weight",), 30, fact="exam.cannot_bear_weight")
    )


def _fever(d: Derivation) -> None:
    if not d.wants("context.fever_recent", "context.temperature"):
        return
    recent = [
        result
        for result in d.record.newest("temperature", 14)
        if result.value is not None and not result.pending
    ]
    coded = d.finding(("fever",), 14)
    stated = [coded[0]] if coded[1] else []
    if recent:
        latest = [result for result in recent if result.day == recent[0].day]
        _put_result(d, "context.temperature", max(latest, key=lambda result: known_mid(result.value or 0.0)))
        stated.append(any_of(*(_at_least(result, FEVER_CELSIUS) for result in recent)))
    if stated and "context.fever_recent" in d.wanted:
        value = any_of(*stated)
        evidence = [entry for entry in coded[1] if coded[0]]
        sources = [entry.source for entry in evidence] + [
            r.source for r in recent if _at_least(r, FEVER_CELSIUS)
        ]
        days = [r.day for r in recent] + [day for day in map(dated, evidence) if day is not None]
        d.facts.set("context.fever_recent", value, date=max(days).date if days else None, sources=sources)


def _at_least(result: Result, cut: float) -> bool | None:
    value = result.value
    if isinstance(value, Span):
        return True if value.low >= cut else None if value.high >= cut else False
    return value is not None and value >= cut


def _put_result(d: Derivation, name: str, result: Result) -> None:
    if name in d.wanted:
        d.facts.set(
            name,
            result.value,
            date=result.day.date if result.day is not None else None,
            sources=[result.source],
        )


class Weight(NamedTuple):
    """A dated weight: ordinal day, kilograms, and the result it comes from."""

    day: int
    kilograms: float
    result: Result


def _weight(d: Derivation) -> None:
    if not d.wants("context.weight_loss"):
        return
    coded: Finding = d.finding(("weight-loss",), 180)
    if coded[0]:
        d.put("context.weight_loss", True, coded[1])
        return
    lost, heaviest, newest = _weight_lost(d)
    if heaviest is None or newest is None:
        d.put_finding("context.weight_loss", coded)
        return
    d.facts.set(
        "context.weight_loss",
        lost,
        date=dt.date.fromordinal(newest.day),
        sources=[heaviest.result.source, newest.result.source],
        note=f"{heaviest.kilograms:.4g} kg to {newest.kilograms:.4g} kg" if lost else "",
    )


def _weight_lost(d: Derivation) -> tuple[bool, Weight | None, Weight | None]:
    """Loss between the newest weight (180 days at most) and the heaviest one 30 to 365 days before it.

    A change of more than a quarter within 30 days is taken for a wrong entry, and then nothing is concluded.
    """
    weights = sorted(
        (
            Weight(result.day.mid, result.value, result)
            for result in d.record.newest("weight", WEIGHT_DAYS)
            if isinstance(result.value, float) and not result.day.imprecise
        ),
        # Of several on one day the lowest comes last: it is the worst for what is asked (decision 24).
        key=lambda weight: (weight.day, -weight.kilograms),
    )
    if not weights or d.calendar.today - weights[-1].day > 180:
        return False, None, None
    newest = weights[-1]
    weights = [weight for weight in weights if newest.day - weight.day <= 365]
    before = [other for other in weights if newest.day - other.day >= 30]
    if not before or any(_jumps(*pair) for pair in combinations(weights, 2)):
        return False, None, None
    heaviest = max(before, key=lambda weight: weight.kilograms)
    # Weights are recorded to a tenth, in kilograms or pounds: a finer share than a tenth per cent is noise.
    lost = round((heaviest.kilograms - newest.kilograms) / heaviest.kilograms * 100, 1) >= LOSS_PERCENT
    return lost, heaviest, newest


def _jumps(earlier: Weight, later: Weight) -> bool:
    change = abs(later.kilograms - earlier.kilograms) / earlier.kilograms * 100
    return later.day - earlier.day < 30 and change > IMPLAUSIBLE_PERCENT


def _smoker(d: Derivation) -> None:
    entries = [
        entry for entry in d.record.of("smoker-current") if entry.present and entry.active is not False
    ]
    asked = [entry for entry in d.record.of("smoking-status") if entry.seen is not None]
    latest = max((entry.seen for entry in asked if entry.seen is not None), default=None)
    current = [
        e
        for e in entries
        if e.kind != "observation" or latest is None or (e.seen is not None and e.seen >= latest)
    ]
    if current:
        d.put("context.smoker", True, current)
    elif asked and any(entry.present for entry in asked if entry.seen == latest):
        d.put("context.smoker", False, asked)
