"""Laboratory facts: the result that counts, how old it is, and whether one is on file.

The latest readable result within the window counts; of several on one day the worst for what the analyte
is read for (decision 24). A pending result is on file but has no value; one that cannot be read is neither,
and is listed (decisions 16 and 22). Source: facts.yaml (labs), units-thresholds.yaml.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import chain
from typing import NamedTuple

from rules.engine.facts import Span
from rules.engine.spans import known_mid, less, less_or_equal
from service.facts.derivation import Derivation
from service.facts.meanings import OTHER_HOUR_ANALYTE
from service.facts.results import NO_VALUE, Corrected, Result

__all__ = ["derive", "unreadable"]

ON_FILE_DAYS = 90
ALBUMIN_DAYS = 30
HB_LOW_MEN, HB_LOW_OTHERS = 130.0, 120.0
CRP_RAISED = 10.0
CRP_CARDIAC = 3.0
_CORRECTED = "calcium-corrected"


class Analyte(NamedTuple):
    """How the facts of one analyte are made: its name in the unit table, the window of its value in days,
    which end is worse, and whether a preliminary value counts (a critical rule reads it).
    """

    name: str
    window: int
    worse: str
    preliminary: bool
    value: str
    days: str
    on_file: str


def _analyte(stem: str, window: int, worse: str, *, preliminary: bool = False) -> Analyte:
    facts = (f"labs.{stem}.{part}" for part in ("value", "days", "on_file"))
    return Analyte(stem.replace("_", "-"), window, worse, preliminary, *facts)


_ANALYTES = (
    _analyte("crp", 90, "high"),
    _analyte("esr", 90, "high"),
    _analyte("plasma_viscosity", 90, "high"),
    _analyte("haemoglobin", 180, "low"),
    _analyte("calcium_corrected", 90, "high"),
    _analyte("calcium_ionised", 30, "high", preliminary=True),
    _analyte("alp", 180, "high"),
    _analyte("psa", 365, "high"),
    _analyte("wbc", 90, "low"),
    _analyte("platelets", 180, "high"),
    _analyte("creatinine", 90, "high"),
    _analyte("ldh", 90, "high"),
    _analyte("m_protein", 365, "high"),
    _analyte("free_light_chain_ratio", 365, "far"),
)


# The critical rule takes a preliminary result; the others must not (units-thresholds.yaml policy).
_REPORTED = Analyte(
    "calcium-corrected",
    90,
    "high",
    True,
    "labs.calcium_corrected.reported",
    "labs.calcium_corrected.reported_days",
    "",
)


def derive(d: Derivation, upper_limits: Mapping[str, float]) -> None:
    """`upper_limits` are the site's default upper limits of normal by analyte, in canonical units."""
    present = set(d.record.analytes)
    if "calcium-total" in present:
        present.add(_CORRECTED)
    for analyte in _ANALYTES:
        if analyte.name in present:
            _one(d, analyte, _results(d, analyte), upper_limits)
    if _CORRECTED in present:
        _reported(d, upper_limits)
    if not present.isdisjoint(_CALCIUM) and "labs.calcium.on_file" in d.wanted:
        _on_file(
            d, "labs.calcium.on_file", chain.from_iterable(d.record.newest(n, ON_FILE_DAYS) for n in _CALCIUM)
        )
    if OTHER_HOUR_ANALYTE in present:
        # A reading at another hour cannot be compared, but it was done (value set note).
        for result in d.record.newest(OTHER_HOUR_ANALYTE, ON_FILE_DAYS):
            _put(d, "labs.esr.on_file", True, result)
            break
    if not present.isdisjoint(_PARAPROTEIN):
        _followed_up(d)


_CALCIUM = ("calcium-total", _CORRECTED, "calcium-ionised")
_FINAL = {
    _REPORTED.value: "labs.calcium_corrected.value",
    _REPORTED.days: "labs.calcium_corrected.days",
}
_CORRECTING = ("calcium-total", _CORRECTED, "albumin")
_PARAPROTEIN = ("m-protein", "free-light-chain-ratio")


_Results = Callable[[int], Iterable[Result]]


def _one(d: Derivation, analyte: Analyte, results: _Results, upper_limits: Mapping[str, float]) -> None:
    chosen = _counting(results(analyte.window), analyte)
    if chosen is None:
        _note_unreadable(d, analyte, results(analyte.window))
        _on_file(d, analyte.on_file, results(ON_FILE_DAYS))
        return
    day, wanted, put = chosen.day, d.wanted, d.facts.set
    date, sources = day.date, (chosen.source,)
    if analyte.value in wanted:
        put(analyte.value, chosen.value, date=date, sources=sources, note=chosen.recorded)
    if analyte.days in wanted:
        put(analyte.days, d.calendar.days_since(day), date=date, sources=sources)
    if analyte.on_file in wanted:
        if d.calendar.within(day, ON_FILE_DAYS):
            put(analyte.on_file, True, date=date, sources=sources)
        else:
            _on_file(d, analyte.on_file, results(ON_FILE_DAYS))
    derived = _DERIVED.get(analyte.name)
    if derived is not None and derived[0] in d.wanted:
        _put(d, derived[0], derived[1](d, chosen, upper_limits), chosen)


def _reported(d: Derivation, upper_limits: Mapping[str, float]) -> None:
    """The corrected calcium with preliminary results; without any it is the one of the others."""
    window = _REPORTED.window + ALBUMIN_DAYS
    waiting = any(result.pending for name in _CORRECTING for result in d.record.newest(name, window))
    if waiting or not d.wanted.issuperset(_FINAL.values()):
        _one(d, _REPORTED, _results(d, _REPORTED), upper_limits)
        return
    for name, final in _FINAL.items():
        fact = d.facts.get(final)
        if name in d.wanted:
            d.facts.set(name, fact.value, date=fact.date, sources=fact.sources, note=fact.note)


def _results(d: Derivation, analyte: Analyte) -> _Results:
    """Results of an analyte in a window of days, newest first; of calcium the corrected ones, reported or
    worked out, whose two windows are the same.
    """
    if analyte.name == _CORRECTED:
        corrected = _corrected(d, ON_FILE_DAYS, preliminary=analyte.preliminary)
        return lambda window: corrected
    return partial(d.record.newest, analyte.name)


def unreadable(d: Derivation, *, newest_only: bool) -> list[Result]:
    """Results of the last 90 days that stand but cannot be read, for the Decision and the cards.

    With `newest_only` those that no later readable result of the analyte has made good, and that hold
    something a person could read.
    """
    found: list[Result] = []
    for analyte in d.record.analytes:
        if analyte == OTHER_HOUR_ANALYTE:
            continue
        for result in d.record.newest(analyte, ON_FILE_DAYS):
            if result.value is not None:
                if newest_only:
                    break
            elif not result.pending and not (newest_only and result.reason == NO_VALUE):
                found.append(result)
    return found


def _counting(results: Iterable[Result], analyte: Analyte) -> Result | None:
    """Of results newest first, those of the latest day with a readable one, and of these the worst."""
    same: list[Result] = []
    for result in results:
        if same and result.day.mid != same[0].day.mid:
            break
        if (analyte.preliminary or not result.pending) and result.value is not None:
            same.append(result)
    if len(same) < 2:
        return same[0] if same else None
    # A correction replaces what it corrects, whichever of the two is worse.
    corrected = [result for result in same if result.status in ("corrected", "amended")]
    return _worst(corrected or same, analyte.worse)


def _worst(results: list[Result], worse: str) -> Result:
    if worse == "low":
        return min(results, key=lambda result: _end(result, high=False))
    if worse == "high":
        return max(results, key=lambda result: _end(result, high=True))
    # A ratio is abnormal on either side of one.
    return max(results, key=lambda result: abs(known_mid(result.value or 0.0) - 1.0))


def _end(result: Result, *, high: bool) -> float:
    value = result.value
    if isinstance(value, Span):
        return value.high if high else value.low
    return value or 0.0


def _put(d: Derivation, name: str, value: object, result: Result) -> None:
    if name in d.wanted:
        d.facts.set(name, value, date=result.day.date, sources=(result.source,))


def _note_unreadable(d: Derivation, analyte: Analyte, results: Iterable[Result]) -> None:
    if analyte.value not in d.wanted:
        return
    for result in results:
        if result.value is None:
            sources = (result.source,)
            d.facts.set(analyte.value, None, date=result.day.date, sources=sources, note=result.reason)
            return


def _on_file(d: Derivation, name: str, results: Iterable[Result]) -> None:
    """On file is what can be read, and what is pending (decision 22)."""
    for result in results:
        if result.pending or result.value is not None:
            _put(d, name, True, result)
            return


def _corrected(d: Derivation, window: int, *, preliminary: bool) -> list[Result]:
    """The laboratory's own corrected calcium; on days without one, total calcium with an albumin near it. A
    total without an albumin comes in only where there is nothing better.
    """
    reported = list(d.record.newest(_CORRECTED, window))
    albumin = _Albumin(d, window, preliminary=preliminary)
    days = {result.day.mid for result in reported if result.value is not None}
    totals = [
        Corrected(total, albumin.near)
        for total in d.record.newest("calcium-total", window)
        if total.day.mid not in days
    ]
    better = [*reported, *(total for total in totals if not total.without_albumin)]
    readable = any(result.value is not None and (preliminary or not result.pending) for result in better)
    return sorted(better if readable else [*reported, *totals], key=lambda result: -result.day.mid)


class _Albumin:
    """The albumins of a record, read when the first one is asked for."""

    def __init__(self, d: Derivation, window: int, *, preliminary: bool) -> None:
        self._d = d
        self._preliminary = preliminary
        self._window = window + ALBUMIN_DAYS
        self._values: list[tuple[int, float]] | None = None

    def near(self, day: int) -> float | None:
        """The albumin nearest to a day, within 30 days of it."""
        if self._values is None:
            self._values = [
                (result.day.mid, result.value)
                for result in self._d.record.newest("albumin", self._window)
                if isinstance(result.value, float) and (self._preliminary or not result.pending)
            ]
        if not self._values:
            return None
        apart, value = min((abs(when - day), value) for when, value in self._values)
        return value if apart <= ALBUMIN_DAYS else None


# -- facts made of one result and its limits ---------------------------------------------------------


def _below_range(d: Derivation, result: Result, upper_limits: Mapping[str, float]) -> bool | None:
    below = result.below
    if below is not None:
        return below
    patient = d.record.patient
    cut = HB_LOW_MEN if patient is not None and patient.gender == "male" else HB_LOW_OTHERS
    return less(result.value, cut) if result.value is not None else None


def _above_range(d: Derivation, result: Result, upper_limits: Mapping[str, float]) -> bool | None:
    # A range for the heart (hs-CRP, 1 to 3 mg/L) says nothing about inflammation (units-thresholds.yaml).
    cardiac = result.high is not None and result.high <= CRP_CARDIAC
    above = None if cardiac else result.above
    if above is None and result.value is not None:
        return less_or_equal(CRP_RAISED, result.value)
    return above


def _times_limit(d: Derivation, result: Result, upper_limits: Mapping[str, float]) -> float | Span | None:
    limit = result.high or upper_limits.get(result.analyte)
    value = result.value
    if not limit or value is None:
        return None
    if isinstance(value, Span):
        return Span(value.low / limit, value.high / limit, value.mid / limit, value.low_open, value.high_open)
    return value / limit


def _new_rise(d: Derivation, result: Result, upper_limits: Mapping[str, float]) -> bool | None:
    """Above the limit and at least 30 % over the last value 30 to 400 days earlier; without one, the flag
    decides.
    """
    limit = result.high or upper_limits.get(result.analyte)
    value = result.value
    if value is None:
        return None
    before = _value_before(d, result)
    if before is None:
        return True if result.flag == "H" else False if limit and less_or_equal(value, limit) else None
    above = less(limit, value) if limit is not None else result.flag == "H" if result.flag else None
    risen = less_or_equal(1.3 * before, value)
    return False if above is False or risen is False else above if risen else None


def _value_before(d: Derivation, result: Result) -> float | None:
    """The last readable value 30 to 400 days before a result, and the lowest of its day."""
    reach = d.calendar.today - result.day.mid + 400
    earlier = [
        (-other.day.mid, other.value)
        for other in d.record.newest(result.analyte, reach)
        if 30 <= result.day.mid - other.day.mid <= 400
        and not other.pending
        and isinstance(other.value, float)
    ]
    return min(earlier)[1] if earlier else None


_Derived = Callable[[Derivation, Result, Mapping[str, float]], object]
_DERIVED: dict[str, tuple[str, _Derived]] = {
    "haemoglobin": ("labs.haemoglobin.below_range", _below_range),
    "crp": ("labs.crp.above_range", _above_range),
    "alp": ("labs.alp.times_uln", _times_limit),
    "ldh": ("labs.ldh.times_uln", _times_limit),
    "creatinine": ("labs.creatinine.new_rise", _new_rise),
}


def _followed_up(d: Derivation) -> None:
    """A haematology or oncology contact or referral after the latest paraprotein result."""
    name = "labs.paraprotein.followed_up"
    if name not in d.wanted:
        return
    days = [
        result.day
        for analyte in _PARAPROTEIN
        for result in d.record.newest(analyte, 36500)
        if result.value is not None
    ]
    if not days:
        return
    latest = max(days)
    visits = [e for e in d.record.of("oncology-contact") if e.start is not None and e.start >= latest]
    referrals = [
        order
        for order in d.record.orders
        if "referral-cancer-oncology" in order.sets and order.day is not None and order.day >= latest
    ]
    sources = [entry.source for entry in visits] + [order.source for order in referrals]
    if sources:
        d.facts.set(name, True, sources=sources[:6])
