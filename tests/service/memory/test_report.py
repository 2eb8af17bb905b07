"""The report over a simulated month: its sums are those of the store, by rule, client, day and reason."""

import pytest

from service.memory.report import Report, build_report
from service.memory.store import Store
from tests.service.memory.month import END, START, fill_month

CALLS = 28 * 60


@pytest.fixture
def found(store: Store) -> Report:
    fill_month(store)
    return build_report(store, START, END)


def test_the_sums(found: Report) -> None:
    steady, breaks, blind = (
        next(r for r in found.rules if r.rule == n) for n in ("steady", "breaks", "blind")
    )
    assert (found.calls, found.p95_ms, len(found.days), found.days[0]) == (CALLS, 58.0, 29, "2026-10-28")
    assert (steady.fires, steady.fires_per_1000) == (28 * 15, 250.0)
    # Every third of them is quiet.
    assert (steady.cards, steady.held_back) == (28 * 10, {"S6": 28 * 5})
    assert (steady.patients, steady.repeat_share) == (10, round(1 - 10 / 280, 3))
    assert breaks.fires == 21 * 6
    assert (blind.cannot_tell, blind.fires) == (21 * 6 + 7 * 30, 0)
    assert blind.cannot_tell_share == 1.0 * round((21 * 6 + 7 * 30) / CALLS, 3)
    assert sum(steady.daily) == steady.fires
    assert breaks.daily[20:28] == [6, 0, 0, 0, 0, 0, 0, 0]
    assert found.cards == steady.cards + breaks.cards
    assert found.missing == {"cancer.any": blind.cannot_tell, "neuro.any_new": blind.cannot_tell}


def test_what_came_of_the_cards(found: Report) -> None:
    for row in found.rules:
        assert row.accepted + row.overridden + row.ignored == row.cards
        assert sum(row.reasons.values()) == row.overridden
    answered = sum(row.accepted + row.overridden for row in found.rules)
    assert sum(one.accepted + one.overridden for one in found.clients) == answered
    assert found.feedback == {"known": answered, "repeated": 0}
    assert {one.client: one.calls for one in found.clients} == {"ward-0": CALLS // 2, "ward-1": CALLS // 2}


def test_what_looks_broken(found: Report) -> None:
    said = "\n".join(found.concerns)
    assert "breaks has gone silent: 126 fires before, none in the last 7 days." in said
    assert "blind can tell less" in said
    assert "steady: 2 people said that the record behind it is wrong." in said
    assert "steady has gone silent" not in said
    assert "steady fires far more" not in said


def test_an_empty_store_has_an_empty_report(store: Store) -> None:
    found = build_report(store, START, END)
    assert (found.calls, found.rules, found.clients, found.concerns, found.p95_ms) == (0, [], [], [], 0.0)
