"""Laboratory facts: the result that counts, how old it is, and whether one is on file.

The latest readable result within the window counts; of several on one day the worst for what the analyte
is read for (decision 24). A pending result is on file but has no value; one that cannot be read is neither,
and is listed (decisions 16 and 22). Source: facts.yaml (labs), units-thresholds.yaml.
"""

from collections.abc import Iterable

from rules.engine.facts import Span
from service.facts.dates import Day
from service.facts.derivation import Derivation
from service.facts.results import Result

__all__ = ["derive", "unreadable"]

ON_FILE_DAYS = 90
ALBUMIN_DAYS = 30
# fact stem -> analyte, window in days, which end is worse
ANALYTES: dict[str, tuple[str, int, str]] = {
    "crp": ("crp", 90, "high"),
    "esr": ("esr", 90, "high"),
    "plasma_viscosity": ("plasma-viscosity", 90, "high"),
    "haemoglobin": ("haemoglobin", 180, "low"),
    "calcium_corrected": ("calcium-corrected", 90, "high"),
    "calcium_ionised": ("calcium-ionised", 30, "high"),
    "alp": ("alp", 180, "high"),
    "psa": ("psa", 365, "high"),
    "wbc": ("wbc", 90, "low"),
    "platelets": ("platelets", 180, "high"),
    "creatinine": ("creatinine", 90, "high"),
    "ldh": ("ldh", 90, "high"),
    "m_protein": ("m-protein", 365, "high"),
    "free_light_chain_ratio": ("free-light-chain-ratio", 365, "far"),
}
# Severe hypercalcaemia is a critical rule, and those may read a preliminary value.
_PRELIMINARY_COUNTS = frozenset({"calcium_corrected", "calcium_ionised"})
HB_LOW_MEN, HB_LOW_OTHERS = 130.0, 120.0
CRP_RAISED = 10.0


def derive(d: Derivation, upper_limits: dict[str, float]) -> None:
    """`upper_limits` are the site's default upper limits of normal by analyte, in canonical units."""
    results = dict(d.record.results)
    results["calcium-corrected"] = _corrected_calcium(d)
    for stem, (analyte, window, worse) in ANALYTES.items():
        if (
            not d.wants(f"labs.{stem}.value", f"labs.{stem}.days", f"labs.{stem}.on_file")
            and stem not in _DERIVED
        ):
            continue
        given = results.get(analyte, [])
        chosen = _counting(d, given, window, worse, stem in _PRELIMINARY_COUNTS)
        if chosen is not None:
            _put(d, f"labs.{stem}.value", chosen.value, chosen)
            if chosen.day is not None and f"labs.{stem}.days" in d.wanted:
                d.facts.set(
                    f"labs.{stem}.days",
                    d.calendar.days_since(chosen.day),
                    date=chosen.day.date,
                    sources=[chosen.source],
                )
        else:
            _note_unreadable(d, stem, given, window)
        _on_file(d, f"labs.{stem}.on_file", given)
        if chosen is not None:
            _derived(d, stem, chosen, upper_limits, given)
    calcium = [
        r for name in ("calcium-total", "calcium-corrected", "calcium-ionised") for r in results.get(name, ())
    ]
    _on_file(d, "labs.calcium.on_file", calcium)
    if d.wants("labs.esr.on_file"):
        # A reading at another hour cannot be compared, but it was done (value set note).
        _on_file(
            d,
            "labs.esr.on_file",
            [*results.get("esr", ()), *results.get("esr-other", ())],
            or_unreadable=True,
        )
    _followed_up(d, results)


_DERIVED = frozenset({"haemoglobin", "crp", "alp", "ldh", "creatinine"})


def unreadable(d: Derivation) -> list[Result]:
    """Results of the last 90 days that stand but cannot be read, for the Decision and the cards."""
    known = {analyte for analyte, _, _ in ANALYTES.values()} | {"calcium-total", "temperature", "weight"}
    return [
        result
        for analyte, results in d.record.results.items()
        if analyte in known
        for result in results
        if result.value is None and not result.pending and d.calendar.within(result.day, ON_FILE_DAYS)
    ]


def _counting(
    d: Derivation, results: Iterable[Result], window: int, worse: str, preliminary: bool
) -> Result | None:
    usable = [
        result
        for result in results
        if result.value is not None
        and result.day is not None
        and (preliminary or not result.pending)
        and d.calendar.within(result.day, window)
    ]
    if not usable:
        return None
    last = max(result.day.mid for result in usable if result.day is not None)
    same = [result for result in usable if result.day is not None and result.day.mid == last]
    # A correction replaces what it corrects, whichever of the two is worse.
    corrected = [result for result in same if result.status in ("corrected", "amended")]
    same = corrected or same
    return _worst(same, worse)


def _worst(results: list[Result], worse: str) -> Result:
    if worse == "low":
        return min(results, key=lambda result: _low(result.value))
    if worse == "high":
        return max(results, key=lambda result: _high(result.value))
    # A ratio is abnormal on either side of one.
    return max(results, key=lambda result: abs(_mid(result.value) - 1.0))


def _low(value: float | Span | None) -> float:
    return value.low if isinstance(value, Span) else value if value is not None else 0.0


def _high(value: float | Span | None) -> float:
    return value.high if isinstance(value, Span) else value if value is not None else 0.0


def _mid(value: float | Span | None) -> float:
    return value.mid if isinstance(value, Span) else value if value is not None else 0.0


def _put(d: Derivation, name: str, value: object, result: Result) -> None:
    if name in d.wanted:
        date = result.day.date if result.day is not None else None
        d.facts.set(name, value, date=date, sources=[result.source])


def _note_unreadable(d: Derivation, stem: str, results: Iterable[Result], window: int) -> None:
    bad = [r for r in results if r.value is None and d.calendar.within(r.day, window)]
    name = f"labs.{stem}.value"
    if bad and name in d.wanted:
        latest = max(bad, key=lambda result: result.day or Day(0, 0, 0))
        date = latest.day.date if latest.day is not None else None
        d.facts.set(name, None, date=date, sources=[latest.source], note=latest.reason)


def _on_file(d: Derivation, name: str, results: Iterable[Result], *, or_unreadable: bool = False) -> None:
    if name not in d.wanted:
        return
    standing = [
        result
        for result in results
        if (result.value is not None or result.pending or (or_unreadable and result.analyte == "esr-other"))
        and d.calendar.within(result.day, ON_FILE_DAYS)
    ]
    if standing:
        latest = max(standing, key=lambda result: result.day or Day(0, 0, 0))
        _put(d, name, True, latest)


def _corrected_calcium(d: Derivation) -> list[Result]:
    """The laboratory's own corrected calcium; on days without one, total calcium with an albumin within 30
    days.

    corrected = total + 0.02 x (40 - albumin in g/L), mmol/L.
    """
    reported = list(d.record.results.get("calcium-corrected", ()))
    days = {result.day.mid for result in reported if result.day is not None and result.value is not None}
    albumins = [
        (result.day, result.value)
        for result in d.record.results.get("albumin", ())
        if result.day is not None and isinstance(result.value, float) and not result.pending
    ]
    for total in d.record.results.get("calcium-total", ()):
        if total.day is None or not isinstance(total.value, float) or total.day.mid in days:
            continue
        albumin = _nearest(albumins, total.day.mid)
        if albumin is None:
            reason = "total calcium without an albumin within 30 days"
            reported.append(
                Result(
                    "calcium-corrected",
                    None,
                    total.day,
                    total.status,
                    total.source,
                    reason=reason,
                    raw=total.raw,
                )
            )
            continue
        value = round(total.value + 0.02 * (40.0 - albumin), 3)
        reported.append(
            Result("calcium-corrected", value, total.day, total.status, total.source, raw=total.raw)
        )
    return reported


def _nearest(albumins: list[tuple[Day, float]], day: int) -> float | None:
    """The albumin nearest to a day, within 30 days of it."""
    apart = [(abs(when.mid - day), value) for when, value in albumins]
    return min(apart)[1] if apart and min(apart)[0] <= ALBUMIN_DAYS else None


def _derived(
    d: Derivation, stem: str, result: Result, upper_limits: dict[str, float], results: Iterable[Result]
) -> None:
    if stem == "haemoglobin" and d.wants("labs.haemoglobin.below_range"):
        _put(d, "labs.haemoglobin.below_range", _below_range(d, result), result)
    elif stem == "crp" and d.wants("labs.crp.above_range"):
        above = result.above
        if above is None and isinstance(result.value, float):
            above = result.value >= CRP_RAISED
        _put(d, "labs.crp.above_range", above, result)
    elif stem in ("alp", "ldh") and d.wants(f"labs.{stem}.times_uln"):
        limit = result.high or upper_limits.get(stem)
        if limit and result.value is not None:
            _put(d, f"labs.{stem}.times_uln", _over(result.value, limit), result)
    elif stem == "creatinine" and d.wants("labs.creatinine.new_rise"):
        _put(d, "labs.creatinine.new_rise", _new_rise(d, result, upper_limits, results), result)


def _below_range(d: Derivation, result: Result) -> bool | None:
    below = result.below
    if below is not None:
        return below
    patient = d.record.patient
    cut = HB_LOW_MEN if patient is not None and patient.gender == "male" else HB_LOW_OTHERS
    value = result.value
    if isinstance(value, Span):
        return True if value.high < cut else None if value.low < cut else False
    return value is not None and value < cut


def _over(value: float | Span, limit: float) -> float | Span:
    if isinstance(value, Span):
        return Span(value.low / limit, value.high / limit, value.mid / limit, value.low_open, value.high_open)
    return value / limit


def _new_rise(
    d: Derivation, result: Result, upper_limits: dict[str, float], results: Iterable[Result]
) -> bool | None:
    """Above the limit and at least 30 % over the last value 30 to 400 days earlier; without one, the flag
    decides.
    """
    limit = result.high or upper_limits.get("creatinine")
    if not isinstance(result.value, float) or result.day is None:
        return None
    earlier = [
        other
        for other in results
        if isinstance(other.value, float)
        and other.day is not None
        and 30 <= result.day.mid - other.day.mid <= 400
        and not other.pending
    ]
    if not earlier:
        return True if result.flag == "H" else False if limit is not None and result.value <= limit else None
    last = max(earlier, key=lambda other: other.day or Day(0, 0, 0))
    assert isinstance(last.value, float)
    above = result.value > limit if limit is not None else result.flag == "H" if result.flag else None
    risen = result.value >= 1.3 * last.value
    return False if above is False or not risen else above


def _followed_up(d: Derivation, results: dict[str, list[Result]]) -> None:
    """A haematology or oncology contact or referral after the latest paraprotein result."""
    name = "labs.paraprotein.followed_up"
    if name not in d.wanted:
        return
    days = [
        result.day
        for analyte in ("m-protein", "free-light-chain-ratio")
        for result in results.get(analyte, ())
        if result.value is not None and result.day is not None
    ]
    if not days:
        return
    latest = max(days)
    visits = [e for e in d.record.of("oncology-contact") if e.start is not None and e.start >= latest]
    referrals = [
        order
        for order in d.record.orders
        if "referral-cancer-oncology" in order.sets and order.day is not None
    ]
    sources = [e.source for e in visits] + [
        o.source for o in referrals if o.day is not None and o.day >= latest
    ]
    if sources:
        d.facts.set(name, True, sources=sources[:6])
