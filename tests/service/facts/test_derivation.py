import datetime as dt

import msgspec
import pytest

from rules.engine import FactSet, Source, Span
from service.facts.dates import Day
from service.facts.derivation import (
    Derivation,
    any_of,
    confirmed,
    dated,
    earliest,
    last_denial,
    overruled,
)
from service.facts.entries import Evidence
from tests.service.facts import codes
from tests.service.facts.build import (
    AVAILABLE,
    NOW,
    Json,
    condition,
    encounter,
    observation,
    record_of,
    vocabulary,
)

NO: Json = {"valueBoolean": False}
TODAY = NOW.date().toordinal()


def derivation(*given: Json, wanted: frozenset[str] = frozenset({"context.fatigue"})) -> Derivation:
    return Derivation(record_of(given), FactSet(vocabulary()), wanted, AVAILABLE)


def evidence(days: int | None = 1, *, present: bool | None = True, kind: str = "observation") -> Evidence:
    day = Day(*[TODAY - days] * 3) if days is not None else None
    source = Source(f"Observation/{days}")
    return Evidence(kind, source, frozenset(), (), present, day, day)


# -- writing -------------------------------------------------------------------------------------------


def test_a_fact_has_the_latest_date_and_at_most_six_sources() -> None:
    d = derivation()
    d.put("context.fatigue", True, [evidence(days) for days in range(3, 12)])
    fact = d.facts.get("context.fatigue")
    assert fact.value is True
    assert fact.date == NOW.date() - dt.timedelta(days=3)
    assert len(fact.sources) == 6


def test_a_fact_without_dated_evidence_has_no_date() -> None:
    d = derivation()
    d.put("context.fatigue", True, [evidence(None)], note="said")
    fact = d.facts.get("context.fatigue")
    assert fact.date is None
    assert fact.note == "said"


def test_a_fact_nobody_reads_is_not_written() -> None:
    d = derivation()
    d.put("context.night_sweats", True, [evidence()])
    d.put_days("pain.back.days", Day(TODAY, TODAY, TODAY))
    assert not any(fact.known for fact in d.facts.all_facts())


def test_days_are_written_with_their_date() -> None:
    d = derivation(wanted=frozenset({"pain.back.days"}))
    d.put_days("pain.back.days", None)
    assert d.facts.get("pain.back.days").known is False
    d.put_days("pain.back.days", Day(TODAY - 9, TODAY - 12, TODAY - 3), [evidence(9)])
    assert d.facts["pain.back.days"] == Span(3, 12, 9)
    assert d.facts.get("pain.back.days").sources == (Source("Observation/9"),)


@pytest.mark.parametrize(
    ("found", "value", "note"),
    [
        ((True, [evidence()]), True, ""),
        ((False, []), False, ""),
        ((None, [evidence()]), None, "recorded, but not as yes or no"),
        ((None, []), None, ""),
    ],
)
def test_a_finding_is_written_when_something_was_recorded(
    found: tuple[bool | None, list[Evidence]], value: bool | None, note: str
) -> None:
    d = derivation()
    d.put_finding("context.fatigue", found)
    fact = d.facts.get("context.fatigue")
    assert (fact.value, fact.note) == (value, note)


def test_a_diagnosis_is_written_only_with_evidence() -> None:
    d = derivation(wanted=frozenset({"context.paget"}))
    d.put_diagnosis("context.paget", (False, []))
    assert d.facts["context.paget"] is None
    d.put_diagnosis("context.paget", (True, [evidence()]))
    assert d.facts["context.paget"] is True


# -- asking --------------------------------------------------------------------------------------------


def test_wants_asks_for_any_of_the_facts() -> None:
    d = derivation()
    assert d.wants("person.age", "context.fatigue")
    assert not d.wants("person.age")


def test_on_record_asks_for_any_of_the_sets() -> None:
    d = derivation(condition(codes.FATIGUE))
    assert d.on_record("fever", "fatigue-malaise")
    assert not d.on_record("fever")
    assert not d.on_record("fever", answers=["pain.night"])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], None),
        ([observation(codes.FATIGUE, 10)], True),
        ([observation(codes.FATIGUE, 10, **NO)], False),
        ([observation(codes.FATIGUE, 31)], None),
        ([observation(codes.FATIGUE, 31, **NO)], None),
        ([observation(codes.FATIGUE, 10, valueString="some")], None),
        ([observation(codes.FATIGUE, 31), observation(codes.FATIGUE, 10, **NO)], False),
        ([observation(codes.FATIGUE, 10), observation(codes.FATIGUE, 5, **NO)], False),
        ([observation(codes.FATIGUE, 5), observation(codes.FATIGUE, 10, **NO)], True),
        ([observation(codes.FATIGUE, 5, **NO), observation(codes.FATIGUE, 5, valueString="?")], None),
        ([condition(codes.FATIGUE, recorded=10, clinical="resolved")], False),
        ([condition(codes.FATIGUE, recorded=10, verification="provisional")], True),
        ([encounter(10, reason=[codes.FATIGUE])], True),
    ],
)
def test_a_finding_within_30_days(given: list[Json], expected: bool | None) -> None:
    assert derivation(*given).finding(("fatigue-malaise",), 30)[0] is expected


@pytest.mark.parametrize(("onset", "inside"), [(30, True), (31, False)])
def test_a_finding_counts_by_its_onset_whenever_it_was_recorded(onset: int, inside: bool) -> None:
    d = derivation(condition(codes.FATIGUE, onset=onset, recorded=1))
    assert d.finding(("fatigue-malaise",), 30)[0] is (True if inside else None)
    assert d.finding(("fatigue-malaise",), 30, new=True)[0] is inside
    assert d.finding(("fatigue-malaise",), 30, recorded=True)[0] is True
    assert d.finding(("fatigue-malaise",), 30, standing=True)[0] is True


@pytest.mark.parametrize(("recorded", "expected"), [(30, False), (31, None)])
def test_that_a_finding_is_over_was_said_when_it_was_recorded(recorded: int, expected: bool | None) -> None:
    d = derivation(condition(codes.FATIGUE, onset=400, recorded=recorded, clinical="resolved"))
    assert d.finding(("fatigue-malaise",), 30)[0] is expected


def test_a_finding_may_be_taken_out_by_another_set() -> None:
    d = derivation(condition(codes.FATIGUE, codes.FEVER, recorded=10))
    assert d.finding(("fatigue-malaise",), 30, unless="fever") == (None, [])


@pytest.mark.parametrize(
    ("given", "options", "expected"),
    [
        ([condition(codes.PAGET_DISEASE)], {}, True),
        ([condition(codes.PAGET_DISEASE, clinical="resolved")], {}, False),
        ([condition(codes.PAGET_DISEASE, clinical="resolved")], {"even_over": True}, True),
        ([condition(codes.PAGET_DISEASE, recorded=30)], {"window": 30}, True),
        ([condition(codes.PAGET_DISEASE, recorded=31)], {"window": 30}, False),
        ([condition(codes.PAGET_DISEASE, onset=31, recorded=1)], {"window": 30}, False),
        ([condition(codes.PAGET_DISEASE, onset=30, recorded=90)], {"window": 30}, True),
        ([condition(codes.PAGET_DISEASE, recorded="2026-10")], {"window": 30}, None),
        ([condition(codes.PAGET_DISEASE)], {"window": 30}, None),
        ([observation(codes.PAGET_DISEASE, 5)], {}, False),
        ([], {}, False),
    ],
)
def test_a_diagnosis(given: list[Json], options: dict[str, int], expected: bool | None) -> None:
    window = options.get("window")
    found = derivation(*given).diagnosis(
        "paget-disease-bone", window=window, even_over=bool(options.get("even_over"))
    )
    assert found[0] is expected
    assert bool(found[1]) is (expected is not False)


# -- small questions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((), False),
        ((False, False), False),
        ((False, None), None),
        ((None, True), True),
        ((True, False), True),
    ],
)
def test_any_of_is_kleenes_or(values: tuple[bool | None, ...], expected: bool | None) -> None:
    assert any_of(*values) is expected


@pytest.mark.parametrize(
    ("kind", "days"),
    [
        ("problem", 9),
        ("encounter-diagnosis", 9),
        ("visit", 4),
        ("procedure", 4),
        ("medicine", 4),
    ],
)
def test_a_condition_is_of_its_onset_and_what_was_done_of_its_end(kind: str, days: int) -> None:
    first, last = (Day(*[TODAY - day] * 3) for day in (9, 4))
    entry = Evidence(kind, Source("X/1"), frozenset(), (), True, first, last)
    assert dated(entry) == Day(*[TODAY - days] * 3)
    assert dated(msgspec.structs.replace(entry, seen=None)) == first
    assert dated(msgspec.structs.replace(entry, start=None)) == last


def test_a_fact_has_the_onset_of_a_condition_for_its_date() -> None:
    d = derivation(condition(codes.FATIGUE, onset=20, recorded=3))
    d.put_finding("context.fatigue", d.finding(("fatigue-malaise",), 30))
    assert d.facts.get("context.fatigue").date == NOW.date() - dt.timedelta(days=20)


def test_the_earliest_day_of_those_known() -> None:
    first, second = Day(1, 1, 1), Day(2, 2, 2)
    assert earliest([second, None, first]) == first
    assert earliest([None]) is None


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (evidence(kind="problem"), True),
        (evidence(kind="encounter-diagnosis"), True),
        (evidence(kind="visit"), True),
        (evidence(kind="observation"), False),
        (evidence(kind="problem", present=False), False),
    ],
)
def test_a_diagnosis_is_confirmed_in_the_forms_a_diagnosis_has(entry: Evidence, expected: bool) -> None:
    assert confirmed(entry) is expected


def test_the_last_denial_is_the_latest_dated_one() -> None:
    given = [
        evidence(9, present=False),
        evidence(4, present=False),
        evidence(None, present=False),
        evidence(1),
    ]
    denied = last_denial(given)
    assert denied is not None
    assert TODAY - denied.mid == 4
    assert last_denial([evidence(1)]) is None


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (evidence(9), True),
        (evidence(9, kind="answer"), True),
        (evidence(4), False),
        (evidence(9, kind="problem"), False),
        (evidence(None), False),
    ],
)
def test_a_later_denial_overrules_what_passes(entry: Evidence, expected: bool) -> None:
    denied = Day(*[TODAY - 4] * 3)
    assert overruled(entry, denied) is expected
    assert not overruled(entry, None)
