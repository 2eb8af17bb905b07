"""Imaging facts: what was done, where, since when, and what a coded conclusion says.

Free text is never read: a report without a coded conclusion has the result `unknown`, which is neither
clean nor suspicious. Source: facts.yaml (imaging); decisions 8, 9 and 31 on the clinical material.
"""

from typing import Any

import msgspec

from rules.engine.facts import Source
from service.facts.cancer import cancers
from service.facts.dates import Day
from service.facts.derivation import Derivation
from service.facts.entries import Imaging
from service.facts.pain import onset_days

__all__ = ["MODALITIES", "Study", "derive"]

UNKNOWN = "unknown"
LOOK_BACK_DAYS = 1095
SUSPICIOUS = frozenset(
    {"cord-compression", "pathological-fracture", "lytic-lesion", "bone-metastasis", "metastasis"}
)
_HARMLESS = frozenset({"degenerative", "normal"})
SUSPICIOUS_DAYS = 180
_PAINS = ("back", "hip", "pelvic", "bone")
_SPINE = ("lumbar-spine", "thoracic-spine")
# What each value set of imaging is and covers. Sets named by region order several regions at once.
MODALITIES: dict[str, tuple[str, tuple[str, ...]]] = {
    "imaging-mri-lumbar": ("mri", ("lumbar-spine",)),
    "imaging-mri-whole-spine": ("mri", ("whole-spine", *_SPINE)),
    "imaging-mri-thoracic": ("mri", ("thoracic-spine",)),
    "imaging-mri-pelvis-hip": ("mri", ("pelvis", "hip")),
    "imaging-mri-sacroiliac": ("mri", ("sacroiliac",)),
    "imaging-ct-spine": ("ct", _SPINE),
    "imaging-ct-abdomen-pelvis": ("ct", ("abdomen", "pelvis")),
    "imaging-xray-spine": ("xray", _SPINE),
    "imaging-xray-pelvis-hip-femur": ("xray", ("pelvis", "hip", "femur")),
    "imaging-xray-chest": ("xray", ("chest",)),
    "imaging-bone-scan": ("nuclear", ("whole-body", *_SPINE, "pelvis", "hip", "femur")),
    "imaging-pet-skeletal-survey": ("pet", ("whole-body", *_SPINE, "pelvis", "hip", "femur")),
    "imaging-dxa": ("dxa", ()),
}
_CONCLUSIONS: tuple[tuple[str, str], ...] = (  # what one code says: the first set it is in
    ("spinal-cord-compression", "cord-compression"),
    ("cauda-equina-syndrome", "cord-compression"),
    ("pathological-fracture-neoplastic", "pathological-fracture"),
    ("secondary-malignancy-spine", "metastasis"),  # a bone, but a vertebra: nothing that a leg stands on
    ("secondary-malignancy-bone", "bone-metastasis"),
    ("secondary-malignancy-any", "metastasis"),
    ("secondary-malignancy-psoas-retroperitoneum", "metastasis"),
    ("multiple-myeloma", "lytic-lesion"),
    ("cancer-bone-soft-tissue-primary", "lytic-lesion"),
    ("vertebral-infection", "infection"),
    ("psoas-abscess", "infection"),
    ("vertebral-fracture", "fracture"),
    ("hip-pelvis-fracture", "fracture"),
    ("insufficiency-fracture-pelvis", "fracture"),
    ("degenerative-spine-diagnosis", "degenerative"),
    ("osteoarthritis-hip", "degenerative"),
    ("imaging-normal", "normal"),
)
# Of several codes the first of these is the result, so that spread elsewhere hides no bone that may break.
_RANK = {
    result: rank
    for rank, result in enumerate(
        (
            "cord-compression",
            "pathological-fracture",
            "lytic-lesion",
            "bone-metastasis",
            "metastasis",
            "infection",
            "fracture",
            "degenerative",
            "normal",
            UNKNOWN,
        )
    )
}


class Study(msgspec.Struct):
    """One examination: a report, its study and its procedure of one kind and day. While `pending` its result
    is one that a preliminary report gives, and a grave one.
    """

    modality: str
    regions: tuple[str, ...]
    day: Day
    source: Source
    result: str = UNKNOWN
    final: bool = False
    pending: bool = False


def derive(d: Derivation) -> None:
    if not d.wants("imaging.studies", "imaging.suspicious_open", "imaging.suspicious_open_days"):
        return
    studies = _merged(d)
    if studies and "imaging.studies" in d.wanted:
        onsets = onset_days(d)
        records = [_as_record(d, study, onsets) for study in studies]
        latest = max(study.day for study in studies)
        d.facts.set("imaging.studies", records, date=latest.date, sources=[s.source for s in studies[-6:]])
    _suspicious(d, studies)


def _merged(d: Derivation) -> list[Study]:
    """Examinations in order of their day. Entries of one kind a day apart are the same one."""
    studies: dict[tuple[int, str], Study] = {}
    for item in sorted(d.record.imaging, key=lambda item: item.day.mid):
        if d.calendar.today - item.day.mid > LOOK_BACK_DAYS:
            continue
        for name in sorted(item.sets.intersection(MODALITIES)):
            modality, regions = MODALITIES[name]
            study = studies.get((item.day.mid, name)) or studies.get((item.day.mid - 1, name))
            if study is None:
                study = studies[item.day.mid, name] = Study(modality, regions, item.day, item.source)
            _conclude(d, study, item)
    return list(studies.values())


def _conclude(d: Derivation, study: Study, item: Imaging) -> None:
    if not item.final and not item.pending:
        return
    found = item.conclusions if item.coded else (*item.conclusions, *_written_at(d, item))
    result = min((_says(sets) for sets in found), key=_RANK.__getitem__, default=UNKNOWN)
    if item.pending and (study.final or result not in SUSPICIOUS):
        study.pending = not study.final
        return
    if item.final and study.pending:
        # What is final takes the place of what was preliminary.
        study.result, study.pending = UNKNOWN, False
    study.final, study.pending = study.final or item.final, item.pending
    if _RANK[result] < _RANK[study.result]:
        study.result = result
        study.source = item.source


def _says(sets: frozenset[str]) -> str:
    return next((result for name, result in _CONCLUSIONS if name in sets), UNKNOWN)


def _written_at(d: Derivation, item: Imaging) -> list[frozenset[str]]:
    """Value sets of each grave diagnosis entered at the visit of a report, on or after its day: what the
    report led to. A degenerative one says nothing of what else the report holds, and must not make it clean.
    """
    if not item.encounter:
        return []
    entries = d.record.of(*(name for name, result in _CONCLUSIONS if result not in _HARMLESS))
    return [
        entry.sets
        for entry in entries
        if entry.encounter == item.encounter
        and entry.kind in ("problem", "encounter-diagnosis")
        and not entry.suspected
        and (day := entry.seen or entry.start) is not None
        and day.mid >= item.day.mid
    ]


def _as_record(d: Derivation, study: Study, onsets: dict[str, Day]) -> dict[str, Any]:
    """The examination as rules read it: `since_back` and the like say whether it came after that pain began;
    unknown for a region that does not hurt, or nobody knows since when.
    """
    return {
        "modality": study.modality,
        "regions": list(study.regions),
        "days": max(0, d.calendar.today - study.day.mid),
        **{
            f"since_{region}": study.day.mid >= onsets[region].mid if region in onsets else None
            for region in _PAINS
        },
        "pending": study.pending,
        # Left out, and so unknown to every rule: nobody knows what an uncoded report says.
        **({} if study.result == UNKNOWN else {"result": study.result}),
    }


def _suspicious(d: Derivation, studies: list[Study]) -> None:
    recent = [s for s in studies if d.calendar.today - s.day.mid <= SUSPICIOUS_DAYS and s.modality != "dxa"]
    waiting = [s for s in recent if s.final and s.result in SUSPICIOUS and not _acted_on(d, s.day.mid)]
    if waiting:
        oldest = min(waiting, key=lambda study: study.day)
        days = d.calendar.today - oldest.day.mid
        _put(d, "imaging.suspicious_open", True, oldest, oldest.result.replace("-", " "))
        _put(d, "imaging.suspicious_open_days", days, oldest)
        return
    uncoded = [s for s in recent if s.pending or s.result == UNKNOWN]
    if uncoded:
        latest = max(uncoded, key=lambda study: study.day)
        note = "the report is not coded" if latest.final else "no final report"
        _put(d, "imaging.suspicious_open", None, latest, note)
    elif "imaging" in d.available:
        d.put("imaging.suspicious_open", False)


def _put(d: Derivation, name: str, value: object, study: Study, note: str = "") -> None:
    if name in d.wanted:
        d.facts.set(name, value, date=study.day.date, sources=[study.source], note=note)


def _acted_on(d: Derivation, day: int) -> bool:
    """An oncology referral or visit, or a cancer entered on the list, on or after the day of the result. A
    cancer that is past, entered again, is no answer to it.
    """
    if any(
        "referral-cancer-oncology" in o.sets and o.day is not None and o.day.mid >= day
        for o in d.record.orders
    ):
        return True
    if any(e.start is not None and e.start.mid >= day for e in d.record.of("oncology-contact")):
        return True
    dated = [entry.seen or entry.start for entry in cancers(d)[0]]
    return any(when is not None and when.mid >= day for when in dated)
