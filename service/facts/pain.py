"""Pain facts: which regions hurt now, since when, and how.

An episode begins with the first record of a region's pain that is followed by another within 180 days, up
to now. Source: facts.yaml (pain); decisions 3, 14, 25 and 27 on the clinical material.
"""

from collections.abc import Iterable
from typing import NamedTuple

from rules.engine.facts import Span
from rules.engine.spans import known_mid
from service.facts.dates import Day
from service.facts.derivation import Derivation, Finding, any_of, dated, earliest, last_denial, overruled
from service.facts.entries import Evidence, Medicine
from service.facts.person import age_on
from service.facts.results import Result

__all__ = ["BACK", "HIP", "derive", "hurts", "onset_days"]

BACK = ("low-back-pain", "back-pain-unspecified", "thoracic-back-pain", "sciatica-radiculopathy")
HIP = ("hip-pain", "groin-thigh-buttock-pain")
PELVIC = ("pelvic-pain",)
BONE = ("bone-pain",)
REGIONS = {"back": BACK, "hip": HIP, "pelvic": PELVIC, "bone": BONE}
CURRENT_DAYS = 90
GAP_DAYS = 180
NEEDS = frozenset({"conditions", "encounters", "observations"})
_CODED_AT_VISITS = frozenset({"problem", "encounter-diagnosis", "visit"})
SEVERE = 7.0


def derive(d: Derivation) -> None:
    onsets: dict[str, tuple[Day | None, list[Evidence]]] = {}
    found: dict[str, Finding] = {}
    for region, sets in REGIONS.items():
        entries = _entries(d, region, sets)
        current, evidence = found[region] = _current(d, entries)
        if entries:
            d.put(
                f"pain.{region}.current",
                current,
                evidence,
                note="" if evidence else "recorded earlier, not now",
            )
        if current:
            onset = _episode(entries, evidence)
            onsets[region] = onset, evidence
            d.put_days(f"pain.{region}.days", onset, evidence)
    _axial(d, found, onsets)
    for name, sets in (
        ("pain.thoracic.current", ("thoracic-back-pain",)),
        ("pain.lumbar.current", ("low-back-pain",)),
        ("pain.radicular.current", ("sciatica-radiculopathy",)),
        ("pain.groin_thigh.current", ("groin-thigh-buttock-pain",)),
    ):
        d.put_finding(name, _current(d, d.record.of(*sets)))
    if d.wants("pain.onset_age") and "back" in onsets:
        _onset_age(d, onsets["back"][0])
    _character(d, found)


def hurts(d: Derivation) -> bool | None:
    """Whether there is pain of back, hip, pelvis or bone now, whatever facts the rules read."""
    parts = [_current(d, _entries(d, region, sets)) for region, sets in REGIONS.items()]
    return _together([*parts, _current(d, d.record.of("neoplasm-related-pain"))])


def onset_days(d: Derivation) -> dict[str, Day]:
    """Onset of the current episode of each region that hurts, where one is recorded."""
    days: dict[str, Day] = {}
    for region, sets in REGIONS.items():
        entries = _entries(d, region, sets)
        current, evidence = _current(d, entries)
        onset = _episode(entries, evidence) if current else None
        if onset is not None:
            days[region] = onset
    return days


def _entries(d: Derivation, region: str, sets: tuple[str, ...]) -> list[Evidence]:
    entries = d.record.of(*sets)
    if region == "back" and "degenerative-spine-diagnosis" in d.record.evidence:
        # Many visits for back pain are coded only as degenerative disease. On a problem list it says nothing.
        known = {id(entry) for entry in entries}
        entries = [
            *entries,
            *(
                entry
                for entry in d.record.of("degenerative-spine-diagnosis")
                if entry.kind in ("encounter-diagnosis", "visit")
                and id(entry) not in known
                and d.calendar.within(entry.seen or entry.start, CURRENT_DAYS)
            ),
        ]
    return [entry for entry in entries if entry.kind not in ("request", "procedure", "plan")]


def _current(d: Derivation, entries: Iterable[Evidence]) -> Finding:
    """Active, or last seen within 90 days and not abated; None without evidence when nothing is on record,
    and when what is on record is over but other data could not be read.
    """
    given = list(entries)
    if not given:
        return None, given
    denied = last_denial(given)
    yes: list[Evidence] = []
    unclear: list[Evidence] = []
    no = False
    for entry in given:
        verdict = False if overruled(entry, denied) else _is_current(d, entry)
        if verdict:
            yes.append(entry)
        elif verdict is None:
            unclear.append(entry)
        else:
            no = True
    if yes:
        return True, yes
    if unclear:
        return None, unclear
    return (False if no and d.available >= NEEDS else None), []


def _is_current(d: Derivation, entry: Evidence) -> bool | None:
    if entry.present is not True:
        return entry.present
    if entry.end is not None or entry.active is False:
        return False
    if entry.active:
        return True
    return d.calendar.within(entry.seen or entry.start, CURRENT_DAYS)


def _episode(entries: Iterable[Evidence], current: Iterable[Evidence]) -> Day | None:
    """Onset of the current episode, walking back over those that ended at most 180 days before it."""
    onset = earliest(entry.start or entry.seen for entry in current)
    if onset is None:
        return None
    earlier = sorted(
        (
            (entry.start, entry.end or entry.seen or entry.start)
            for entry in entries
            if entry.present and entry.start is not None and entry.start < onset
        ),
        key=lambda span: span[1],
        reverse=True,
    )
    for start, end in earlier:
        if onset.mid - end.mid > GAP_DAYS:
            break
        onset = min(onset, start)
    return onset


def _axial(
    d: Derivation, found: dict[str, Finding], onsets: dict[str, tuple[Day | None, list[Evidence]]]
) -> None:
    related = _current(d, d.record.of("neoplasm-related-pain"))
    parts = [*found.values(), related]
    if any(value is not None or entries for value, entries in parts):
        evidence = [entry for value, entries in parts if value for entry in entries]
        d.put("pain.axial.current", _together(parts), evidence)
    begun = [(onset, entries) for onset, entries in onsets.values() if onset is not None]
    if related[0]:
        onset = earliest(entry.start or entry.seen for entry in related[1])
        if onset is not None:
            begun.append((onset, related[1]))
    if begun:
        longest, newest = min(begun, key=lambda pair: pair[0]), max(begun, key=lambda pair: pair[0])
        d.put_days("pain.axial.days", *longest)
        d.put_days("pain.axial.newest_days", *newest)


def _together(parts: Iterable[Finding]) -> bool | None:
    """Whether any region hurts, of those on record; None when none is."""
    values = [value for value, entries in parts if value is not None or entries]
    return any_of(*values) if values else None


def _onset_age(d: Derivation, onset: Day | None) -> None:
    patient = d.record.patient
    born = d.calendar.parse(patient.birthDate) if patient is not None and patient.birthDate else None
    if born is not None and onset is not None and born.high <= onset.mid:
        d.put("pain.onset_age", age_on(born, onset.mid))


def _character(d: Derivation, found: dict[str, Finding]) -> None:
    if not d.wants(
        "pain.suspicious_character",
        "pain.progressive",
        "pain.score",
        "pain.night",
        "pain.straining",
        "pain.tenderness",
    ):
        return
    scores = _scores(d)
    score = _score(scores, d)
    if score is not None:
        d.put("pain.score", score.value, [score.evidence])
    night = d.finding(("night-pain",), CURRENT_DAYS, fact="pain.night", standing=True)
    straining = d.finding(("pain-on-straining",), CURRENT_DAYS, fact="pain.straining", standing=True)
    tenderness = d.finding(("spinal-tenderness",), CURRENT_DAYS, fact="pain.tenderness", standing=True)
    progressive = _progressive(scores, d)
    d.put_finding("pain.night", night)
    d.put_finding("pain.straining", straining)
    d.put_finding("pain.tenderness", tenderness)
    d.put_finding("pain.progressive", progressive)
    thoracic = _current(d, d.record.of("thoracic-back-pain"))
    severe: Finding = (None, [])
    if score is not None:
        severe = _at_least(score.value, SEVERE), [score.evidence]
    parts = {
        "thoracic": thoracic,
        "at night": night,
        "severe": severe,
        "getting worse": progressive,
        "on straining": straining,
        "tender spine": tenderness,
    }
    evidence = [entry for value, entries in parts.values() if value for entry in entries]
    value = any_of(*(value for value, _ in parts.values()))
    if value is not None or any(entries for _, entries in parts.values()):
        kinds = ", ".join(kind for kind, (holds, _) in parts.items() if holds)
        d.put("pain.suspicious_character", value, evidence, note=kinds)


def _at_least(score: float | Span, cut: float) -> bool | None:
    if isinstance(score, Span):
        return True if score.low >= cut else None if score.high >= cut else False
    return score >= cut


class Score(NamedTuple):
    """A dated pain score and the result it comes from."""

    day: Day
    value: float | Span
    result: Result

    @property
    def evidence(self) -> Evidence:
        return Evidence("observation", self.result.source, frozenset(), (), True, self.day, self.day)


def _scores(d: Derivation) -> list[Score]:
    """Scores of the last 84 days (42, and the 42 before them), oldest first."""
    scores = [
        Score(result.day, value, result)
        for result in d.record.newest("pain-score", 84)
        if (value := result.value) is not None and not result.pending
    ]
    scores.reverse()
    return scores


def _score(scores: list[Score], d: Derivation) -> Score | None:
    """Latest score of the last 30 days, the worst of its day."""
    if not scores or not d.calendar.within(scores[-1].day, 30):
        return None
    same = [score for score in scores if score.day.mid == scores[-1].day.mid]
    return max(same, key=lambda score: known_mid(score.value))


def _progressive(scores: list[Score], d: Derivation) -> Finding:
    coded = d.finding(("pain-worsening",), CURRENT_DAYS, fact="pain.progressive", recorded=True)
    if coded[0]:
        return coded
    rising = _rising(scores, d)
    if rising[0]:
        return rising
    days = _visit_days(d)
    if days:
        return True, days
    steps = _opioid_steps(d)
    if steps:
        return True, steps
    return coded if coded[1] else rising


def _rising(scores: list[Score], d: Derivation) -> Finding:
    """A score three or more points above one of the 42 days before its day, itself within 42 days of today.

    Of several on one day the worst counts: of the last day the highest, of earlier ones the lowest.
    """
    exact = [score for score in scores if not isinstance(score.value, Span)]
    if len(exact) < 2 or not d.calendar.within(exact[-1].day, 42):
        return None, []
    latest = exact[-1].day.mid
    last = max((s for s in exact if s.day.mid == latest), key=lambda score: known_mid(score.value))
    before = [score for score in exact if 0 < latest - score.day.mid <= 42]
    if not before:
        return None, []
    lowest = min(before, key=lambda score: known_mid(score.value))
    rise = known_mid(last.value) - known_mid(lowest.value)
    return rise >= 3.0, [lowest.evidence, last.evidence]


def _visit_days(d: Derivation) -> list[Evidence]:
    """Three different days within 30 on which pain of any region was coded; same-day copies count once.

    The day of a Condition is its onset: an old pain written down again is no new one (decision 27).
    """
    days: dict[int, Evidence] = {}
    for region, sets in REGIONS.items():
        for entry in _entries(d, region, sets):
            day = dated(entry)
            if entry.kind not in _CODED_AT_VISITS:
                continue
            if entry.present and day is not None and not day.imprecise and d.calendar.within(day, 30):
                days.setdefault(day.mid, entry)
    return list(days.values()) if len(days) >= 3 else []


def _opioid_steps(d: Derivation) -> list[Evidence]:
    """Two steps up in 60 days: from none to a weaker opioid, then to a strong one."""
    starts: dict[str, tuple[Day, Medicine]] = {}
    for medicine in d.record.medicines:
        if medicine.start is None or "opioid-any" not in medicine.sets:
            continue
        if not d.calendar.within(medicine.start, 60):
            return []
        step = "strong" if "opioid-strong" in medicine.sets else "weak"
        if step not in starts or medicine.start < starts[step][0]:
            starts[step] = medicine.start, medicine
    if len(starts) < 2 or not starts["weak"][0] < starts["strong"][0]:
        return []
    return [
        Evidence("medicine", medicine.source, medicine.sets, (), True, day, day)
        for day, medicine in starts.values()
    ]
