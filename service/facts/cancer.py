"""Cancer facts: active, past, suspected, where, and how far it has spread.

An exclusion (in situ, benign, non-melanoma skin, family history) holds for the Condition that carries it,
never for the patient: the same man may have a carcinoma in situ and a cancer of the prostate on his list.
Only Conditions make a cancer; a metastasis named in an imaging result does not (decision 8). Source:
facts.yaml (cancer).
"""

from service.facts.dates import Day
from service.facts.derivation import Derivation, earliest
from service.facts.entries import Evidence

__all__ = ["cancers", "derive", "sites_of"]

EXCLUSIONS = ("exclude-nmsc-in-situ-benign", "exclude-family-history-cancer")
HISTORY = ("history-of-cancer", "history-of-metastatic-cancer")
ABDOMINOPELVIC = frozenset(
    {
        "cancer-bladder-urinary",
        "cancer-cervix",
        "cancer-colorectal",
        "cancer-gastric",
        "cancer-gynae-other",
        "cancer-kidney",
        "cancer-liver-biliary",
        "cancer-pancreas",
        "cancer-prostate",
        "cancer-testis-penis",
    }
)
_NOT_A_CANCER = frozenset({"cancer-care-plan", "cancer-any-icd", "cancer-recurrence"})
_CONDITIONS = frozenset({"problem", "encounter-diagnosis"})


def derive(d: Derivation) -> None:
    active, past, suspected = cancers(d)
    if active:
        d.put("cancer.active", True, active)
    if past:
        d.put("cancer.history", True, past)
    known = [*active, *past]
    if known:
        d.put("cancer.any", True, known)
    if suspected:
        d.put("cancer.suspected", True, suspected)
    sites = sorted({site for entry in known for site in sites_of(d, entry)})
    if sites:
        d.put("cancer.sites", [site.removeprefix("cancer-") for site in sites], known)
    for fact, site in (("cancer.prostate", "cancer-prostate"), ("cancer.lung", "cancer-lung")):
        with_site = [entry for entry in known if site in sites_of(d, entry)]
        if with_site:
            d.put(fact, True, with_site)
    spread = [entry for entry in active if not ABDOMINOPELVIC.isdisjoint(sites_of(d, entry))]
    if spread:
        d.put("cancer.abdominopelvic_active", True, spread)
    _metastases(d, known)
    d.put_diagnosis("cancer.mgus", d.diagnosis("mgus"))


def excluded(entry: Evidence) -> bool:
    """S7: the Condition states something that is not an invasive cancer of this patient."""
    return not entry.sets.isdisjoint(EXCLUSIONS)


def cancers(d: Derivation) -> tuple[list[Evidence], list[Evidence], list[Evidence]]:
    """Entries of active cancer, of past cancer, and of suspected cancer."""
    names = [name for name in d.record.evidence if is_cancer_set(name)]
    active: list[Evidence] = []
    past: list[Evidence] = []
    suspected: list[Evidence] = []
    for entry in d.record.of(*names, *HISTORY) if names else d.record.of(*HISTORY):
        if excluded(entry) or entry.present is not True:
            continue
        history = not entry.sets.isdisjoint(HISTORY)
        if entry.kind not in _CONDITIONS and not (history and entry.kind == "observation"):
            continue
        if entry.suspected:
            suspected.append(entry)
        elif history or entry.active is False or entry.end is not None:
            past.append(entry)
        else:
            active.append(entry)
    suspected += [entry for entry in d.record.of("suspected-cancer") if entry.present and not excluded(entry)]
    # A suspicion that was closed has been answered, one way or the other.
    suspected = [entry for entry in suspected if entry.active is not False and entry.end is None]
    return active, past, suspected


def is_cancer_set(name: str) -> bool:
    """Whether a value set of this name holds invasive cancers."""
    return (
        (name.startswith("cancer-") and name != "cancer-care-plan")
        or name.startswith("secondary-malignancy-")
        or name == "multiple-myeloma"
    )


def sites_of(d: Derivation, entry: Evidence) -> set[str]:
    """Primary sites a cancer or history entry names, as value set names."""
    sites = {name for name in entry.sets if name.startswith("cancer-") and name not in _NOT_A_CANCER}
    if not entry.sets.isdisjoint(HISTORY):
        sites |= {site for system, code in entry.codes if (site := d.record.codes.tier(system, code))}
    if "multiple-myeloma" in entry.sets:
        sites.add("multiple-myeloma")
    return sites


def _metastases(d: Derivation, known: list[Evidence]) -> None:
    bone = [entry for entry in known if "secondary-malignancy-bone" in entry.sets]
    if bone:
        d.put("cancer.bone_metastases", True, bone)
        first: Day | None = earliest(entry.start or entry.seen for entry in bone)
        d.put_days("cancer.bone_metastases_days", first, bone)
    behind = [entry for entry in known if "secondary-malignancy-psoas-retroperitoneum" in entry.sets]
    if behind:
        d.put("cancer.retroperitoneal", True, behind)
