"""Facts about other diseases and circumstances that change what pain may mean. Source: facts.yaml (other
conditions).
"""

import datetime as dt
from typing import NamedTuple

from rules.engine.facts import Span
from service.facts.dates import Day
from service.facts.derivation import Derivation, Finding, any_of, earliest
from service.facts.entries import Evidence
from service.facts.results import Result

__all__ = ["derive"]

FEVER_CELSIUS = 38.0
LOSS_PERCENT = 5.0
IMPLAUSIBLE_PERCENT = 25.0
_INFLAMMATORY = ("axial-spondyloarthritis", "polymyalgia-rheumatica-gca", "rheumatoid-arthritis")
_INFECTION = ("vertebral-infection", "psoas-abscess", "bacteraemia-endocarditis")


def derive(d: Derivation) -> None:
    _diagnoses(d)
    _fractures(d)
    _examination(d)
    _fever(d)
    _weight(d)
    d.put_finding("context.fatigue", d.finding(("fatigue-malaise",), 180))
    d.put_finding("context.night_sweats", d.finding(("night-sweats",), 180))
    if d.wants("context.smoker"):
        _smoker(d)
    d.put_finding("context.hla_b27", d.finding(("hla-b27",), 36500))


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
    _trauma(d)
    bacteraemia = d.diagnosis("bacteraemia-endocarditis", window=90, even_over=True)
    d.put_diagnosis("context.bacteraemia_recent", bacteraemia)
    for fact, sets in (
        ("context.axspa_days", ("axial-spondyloarthritis",)),
        ("context.pmr_days", ("polymyalgia-rheumatica-gca",)),
    ):
        if d.wants(fact):
            entries = d.diagnosis(*sets)[1]
            d.put_days(fact, earliest(_recorded(entry) for entry in entries), entries)
    if d.wants("context.inflammation_explained"):
        _inflammation(d)
    if d.wants("context.anaemia_explained"):
        explained = d.diagnosis("anaemia-explained")[1]
        treated = [
            entry
            for entry in d.record.of("radiotherapy-procedure")
            if entry.kind == "procedure" and d.calendar.within(entry.seen, 180)
        ]
        if explained or treated:
            d.put("context.anaemia_explained", True, [*explained, *treated])
    if d.wants("context.immunosuppressed"):
        _immunosuppressed(d)
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
    entries = [entry for entry in d.record.of("trauma-recent") if entry.present and not entry.suspected]
    recent = [entry for entry in entries if d.calendar.within(entry.start or entry.seen, 30)]
    if recent:
        d.put("context.trauma_recent", True, recent)


def _inflammation(d: Derivation) -> None:
    """A disease that explains raised markers: lasting ones, or an infection that began before the sample."""
    lasting = d.diagnosis(*_INFLAMMATORY)[1]
    samples = [
        result.day
        for analyte in ("crp", "esr")
        for result in d.record.results.get(analyte, ())
        if result.day is not None and d.calendar.within(result.day, 90)
    ]
    newest = max(samples) if samples else None
    acute = [
        entry
        for entry in d.diagnosis(*_INFECTION, "acute-infection")[1]
        if newest is not None
        and entry.start is not None
        and entry.start <= newest
        and d.calendar.within(entry.start, 180)
    ]
    if lasting or acute:
        d.put("context.inflammation_explained", True, [*lasting, *acute])


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
    pathological = d.diagnosis("pathological-fracture-neoplastic", window=180, even_over=True)
    d.put_diagnosis("fracture.pathological", pathological)
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
            d.put("fracture.unexplained", True, found)


def _injured(d: Derivation, fractures: list[Evidence]) -> bool:
    """Whether an injury is on record within 30 days before one of the fractures, or since."""
    days = [day.mid for entry in fractures if (day := entry.start or entry.seen) is not None]
    return any(
        entry.present
        and (day := entry.start or entry.seen) is not None
        and day.mid >= min(days, default=0) - 30
        for entry in d.record.of("trauma-recent")
    )


def _examination(d: Derivation) -> None:
    d.put_finding(
        "exam.hip_flexion_restricted",
        d.finding(("hip-flexion-restriction",), 90, fact="exam.hip_flexion_restricted"),
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
        for result in d.record.results.get("temperature", ())
        if result.value is not None and not result.pending and d.calendar.within(result.day, 14)
    ]
    hot: bool | None = None
    if recent:
        latest = max(recent, key=lambda result: result.day or Day(0, 0, 0))
        _put_result(d, "context.temperature", latest)
        hot = any_of(*(_at_least(result, FEVER_CELSIUS) for result in recent))
    coded = d.finding(("fever",), 14)
    evidence = [entry for entry in coded[1] if coded[0]]
    value = any_of(coded[0], hot) if hot is not None and coded[1] else coded[0] if coded[1] else hot
    if value is None and not coded[1]:
        return
    if "context.fever_recent" in d.wanted:
        sources = [entry.source for entry in evidence] + [
            r.source for r in recent if _at_least(r, FEVER_CELSIUS)
        ]
        days = [r.day for r in recent if r.day is not None] + [e.seen for e in evidence if e.seen is not None]
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
            for result in d.record.results.get("weight", ())
            if isinstance(result.value, float) and result.day is not None and not result.day.imprecise
        ),
        key=lambda weight: weight[:2],
    )
    if not weights or d.calendar.today - weights[-1].day > 180:
        return False, None, None
    newest = weights[-1]
    for other in weights[:-1]:
        change = abs(newest.kilograms - other.kilograms) / other.kilograms * 100
        if newest.day - other.day < 30 and change > IMPLAUSIBLE_PERCENT:
            return False, None, None
    before = [other for other in weights[:-1] if 30 <= newest.day - other.day <= 365]
    if not before:
        return False, None, None
    heaviest = max(before, key=lambda weight: weight.kilograms)
    # One part in a billion absorbs what pounds to kilograms leaves in the last digit.
    lost = (heaviest.kilograms - newest.kilograms) / heaviest.kilograms * 100 >= LOSS_PERCENT - 1e-7
    return lost, heaviest, newest


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
