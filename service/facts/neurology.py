"""Neurological signs: new ones, how long ago, and whether anyone looked.

A sign is new by its onset: 90 days, bladder and bowel 30. What is not on record is not recorded, never
absent. Source: facts.yaml (neurology); NICE NG234; decisions 1, 2, 12 on the clinical material.
"""

from rules.engine.spans import known_mid
from service.facts.dates import Day
from service.facts.derivation import Derivation, Finding
from service.facts.entries import Evidence

__all__ = ["derive"]

NEW_DAYS = 90
BLADDER_BOWEL_DAYS = 30
_SIGNS: dict[str, tuple[str, int]] = {
    "neuro.leg_weakness": ("leg-weakness", NEW_DAYS),
    "neuro.sensory_loss": ("lower-limb-sensory-disturbance", NEW_DAYS),
    "neuro.gait_disturbance": ("gait-disturbance", NEW_DAYS),
    "neuro.urinary_retention": ("urinary-retention", BLADDER_BOWEL_DAYS),
    "neuro.faecal_incontinence": ("faecal-incontinence", BLADDER_BOWEL_DAYS),
    "neuro.saddle_anaesthesia": ("saddle-anaesthesia", NEW_DAYS),
}
_ANSWERS = (*_SIGNS, "neuro.leg_weakness_bilateral")
_ALL_SETS = (*(name for name, _ in _SIGNS.values()), "spinal-cord-compression", "cauda-equina-syndrome")
_RETENTION_EXPLAINED = "exclude-urinary-retention"
_FOOT_DROP = ("6077001", "M2137", "M213")
_DISC = "M51"


def derive(d: Derivation) -> None:
    _residual(d)
    if not d.on_record(*_ALL_SETS, "urinary-incontinence", answers=_ANSWERS):
        return
    found = {
        name: d.finding((group,), window, fact=name, new=True, unless=_RETENTION_EXPLAINED)
        for name, (group, window) in _SIGNS.items()
    }
    for name, finding in found.items():
        d.put_finding(name, finding)
    d.put_finding(
        "neuro.urinary_incontinence", d.finding(("urinary-incontinence",), BLADDER_BOWEL_DAYS, new=True)
    )
    coded = _coded(d)
    if coded[1]:
        d.put("neuro.cord_or_cauda_coded", *coded, note="" if coded[0] else "recorded, but since when is not")
    weakness = found["neuro.leg_weakness"]
    bilateral = _bilateral(d, weakness)
    d.put_finding("neuro.leg_weakness_bilateral", bilateral)
    parts = [*found.values(), bilateral, coded]
    _any_new(d, parts)
    _checked(d)
    if weakness[0] and _foot_drop_explained(d, weakness[1]):
        d.put("neuro.foot_drop_explained", True, weakness[1])


def _coded(d: Derivation) -> Finding:
    """A coded compression: a suspicion counts here, since to suspect it is to need the same answer today."""
    new: list[Evidence] = []
    unclear: list[Evidence] = []
    for entry in d.record.of("spinal-cord-compression", "cauda-equina-syndrome"):
        if entry.present and entry.active is not False and entry.end is None:
            inside = d.calendar.within(entry.start, NEW_DAYS)
            if inside:
                new.append(entry)
            elif inside is None:
                unclear.append(entry)
    return (True, new) if new else (None, unclear)


def _bilateral(d: Derivation, weakness: Finding) -> Finding:
    answered = d.finding((), NEW_DAYS, fact="neuro.leg_weakness_bilateral", new=True)
    if answered[0] is not None:
        return answered
    if not weakness[0]:
        return weakness[0], weakness[1]
    sides = frozenset[str]().union(*(entry.sides for entry in weakness[1]))
    if {"left", "right"} <= sides:
        return True, weakness[1]
    return (False if sides else None), weakness[1]


def _any_new(d: Derivation, parts: list[Finding]) -> None:
    yes = [entry for value, entries in parts if value for entry in entries]
    if yes:
        unique = {id(entry): entry for entry in yes}
        d.put("neuro.any_new", True, unique.values())
        return
    unclear = [entry for value, entries in parts if value is None for entry in entries]
    no = [entry for value, entries in parts if value is False for entry in entries]
    if unclear:
        d.put("neuro.any_new", None, unclear, note="recorded, but whether it is new is not")
    elif no and all(value is False for value, _ in parts[: len(_SIGNS)]):
        d.put("neuro.any_new", False, no)


def _checked(d: Derivation) -> None:
    entries = [*d.record.of(*_ALL_SETS)]
    for name in (*_SIGNS, "neuro.leg_weakness_bilateral"):
        entries += d.record.answers.get(name, ())
    dated: list[tuple[Day, Evidence]] = [
        (day, entry)
        for entry in entries
        if entry.present is not None and (day := entry.seen or entry.start) is not None
    ]
    if dated:
        day, entry = max(dated, key=lambda pair: pair[0])
        d.put_days("neuro.checked_days", day, [entry])


def _foot_drop_explained(d: Derivation, weakness: list[Evidence]) -> bool:
    """Foot drop on one side and nothing else of weakness, in a person with a known disc disorder."""
    drops = all(any(_bare(code).startswith(_FOOT_DROP) for _, code in entry.codes) for entry in weakness)
    sides = frozenset[str]().union(*(entry.sides for entry in weakness))
    if not drops or {"left", "right"} <= sides:
        return False
    disc = d.record.of("degenerative-spine-diagnosis", "sciatica-radiculopathy")
    return any(_bare(code).startswith(_DISC) for entry in disc for _, code in entry.codes)


def _residual(d: Derivation) -> None:
    recent = [
        (result.day, known_mid(result.value), result)
        for result in d.record.newest("post-void-residual", 7)
        if result.value is not None and not result.pending
    ]
    if recent and "neuro.post_void_residual" in d.wanted:
        day, _, result = max(recent, key=lambda one: one[:2])
        d.facts.set("neuro.post_void_residual", result.value, date=day.date, sources=[result.source])


def _bare(code: str) -> str:
    return code.replace(".", "").strip().upper()
