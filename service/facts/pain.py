"""Pain facts: which regions hurt now, since when, and how.

An episode begins with the first record of a region's pain that is followed by another within 180 days, up
to now. Source: facts.yaml (pain); decisions 3, 14, 25 and 27 on the clinical material.
"""

from collections.abc import Iterable

from rules.engine.facts import Span
from service.facts.dates import Day
from service.facts.derivation import Derivation, Finding, any_of, earliest
from service.facts.entries import Evidence, Medicine
from service.facts.person import age_on

__all__ = ["BACK", "HIP", "derive", "onset_days"]

BACK = ("low-back-pain", "back-pain-unspecified", "thoracic-back-pain", "sciatica-radiculopathy")
HIP = ("hip-pain", "groin-thigh-buttock-pain")
PELVIC = ("pelvic-pain",)
BONE = ("bone-pain",)
REGIONS = {"back": BACK, "hip": HIP, "pelvic": PELVIC, "bone": BONE}
CURRENT_DAYS = 90
GAP_DAYS = 180
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
        ("pain.radicular.current", ("sciatica-radiculopathy",)),
        ("pain.groin_thigh.current", ("groin-thigh-buttock-pain",)),
    ):
        d.put_finding(name, _current(d, d.record.of(*sets)))
    if d.wants("pain.onset_age") and "back" in onsets:
        _onset_age(d, onsets["back"][0])
    _character(d, found)


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
    if region == "back":
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
    """Active, or last seen within 90 days and not abated; None without evidence when nothing is on record."""
    yes: list[Evidence] = []
    unclear: list[Evidence] = []
    no = False
    for entry in entries:
        verdict = _is_current(d, entry)
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
    return (False if no else None), []


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
    evidence = [entry for value, entries in parts if value for entry in entries]
    stated = any(value is not None or entries for value, entries in parts)
    if stated:
        values = [value for value, entries in parts if value is not None or entries]
        d.put("pain.axial.current", any_of(*values), evidence)
    dated = [(onset, entries) for onset, entries in onsets.values() if onset is not None]
    if related[0]:
        onset = earliest(entry.start or entry.seen for entry in related[1])
        if onset is not None:
            dated.append((onset, related[1]))
    if dated:
        longest, newest = min(dated, key=lambda pair: pair[0]), max(dated, key=lambda pair: pair[0])
        d.put_days("pain.axial.days", *longest)
        d.put_days("pain.axial.newest_days", *newest)


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
    score, score_evidence = _score(d)
    if score is not None:
        d.put("pain.score", score, score_evidence)
    night = d.finding(("night-pain",), CURRENT_DAYS, fact="pain.night")
    straining = d.finding(("pain-on-straining",), CURRENT_DAYS, fact="pain.straining")
    tenderness = d.finding(("spinal-tenderness",), CURRENT_DAYS, fact="pain.tenderness")
    progressive = _progressive(d)
    d.put_finding("pain.night", night)
    d.put_finding("pain.straining", straining)
    d.put_finding("pain.tenderness", tenderness)
    d.put_finding("pain.progressive", progressive)
    thoracic = _current(d, d.record.of("thoracic-back-pain"))
    severe: Finding = (None if score is None else _at_least(score, SEVERE), score_evidence)
    parts = (thoracic, night, severe, progressive, straining, tenderness)
    evidence = [entry for value, entries in parts if value for entry in entries]
    value = any_of(*(value for value, _ in parts))
    if value is not None or any(entries for _, entries in parts):
        d.put("pain.suspicious_character", value, evidence)


def _at_least(score: float | Span, cut: float) -> bool | None:
    if isinstance(score, Span):
        return True if score.low >= cut else None if score.high >= cut else False
    return score >= cut


def _scores(d: Derivation) -> list[tuple[Day, float | Span, Evidence]]:
    by_source = {entry.source: entry for entry in d.record.of("pain-score")}
    scores = [
        (result.day, result.value, by_source[result.source])
        for result in d.record.results.get("pain-score", ())
        if result.day is not None and result.value is not None and result.source in by_source
    ]
    return sorted(scores, key=lambda score: score[0])


def _score(d: Derivation) -> tuple[float | Span | None, list[Evidence]]:
    """Latest score of the last 30 days, the worst of its day."""
    recent = [score for score in _scores(d) if d.calendar.within(score[0], 30)]
    if not recent:
        return None, []
    last = recent[-1][0].mid
    same = [score for score in recent if score[0].mid == last]
    worst = max(same, key=lambda score: score[1].mid if isinstance(score[1], Span) else score[1])
    return worst[1], [worst[2]]


def _progressive(d: Derivation) -> Finding:
    coded = d.finding(("pain-worsening",), CURRENT_DAYS, fact="pain.progressive")
    if coded[0]:
        return coded
    rising = _rising(d)
    if rising[0]:
        return rising
    days = _visit_days(d)
    if days:
        return True, days
    steps = _opioid_steps(d)
    if steps:
        return True, steps
    return coded if coded[1] else rising


def _rising(d: Derivation) -> Finding:
    """A score three or more points above one of the 42 days before it, the later one within 42 days of
    today.
    """
    scores = [score for score in _scores(d) if isinstance(score[1], float)]
    if len(scores) < 2 or not d.calendar.within(scores[-1][0], 42):
        return None, []
    last_day, last, entry = scores[-1]
    before = [s for s in scores[:-1] if 0 <= last_day.mid - s[0].mid <= 42 and isinstance(s[1], float)]
    if not before or not isinstance(last, float):
        return None, []
    lowest = min(before, key=lambda score: score[1] if isinstance(score[1], float) else 0.0)
    assert isinstance(lowest[1], float)
    return last - lowest[1] >= 3.0, [lowest[2], entry]


def _visit_days(d: Derivation) -> list[Evidence]:
    """Three different days within 30 on which one region's pain was coded; same-day copies count once."""
    for region, sets in REGIONS.items():
        entries: dict[int, Evidence] = {}
        for entry in _entries(d, region, sets):
            day = entry.seen or entry.start
            if entry.present and day is not None and not day.imprecise and d.calendar.within(day, 30):
                entries.setdefault(day.mid, entry)
        if len(entries) >= 3:
            return list(entries.values())
    return []


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
