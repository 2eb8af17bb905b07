"""What every store does, SQLite and PostgreSQL alike."""

from collections.abc import Mapping

import pytest

from service.memory import statements as sql
from service.memory.rows import AnswerRow, CardRow, FeedbackRow, SwitchRow, UnmappedRow
from service.memory.store import LEVEL, Batch, Store, StoreFailed, StoreRefused, StoreTooNew
from tests.service.memory.conftest import store_at
from tests.service.memory.samples import AT, CARD, bundle_row, call_row, card_row, feedback_row

LATER = AT + 3600


def write(
    store: Store, *cards: CardRow, feedback: FeedbackRow | None = None, settle: float | None = None
) -> Mapping[str, str]:
    entries = [feedback] if feedback is not None else []
    return store.write(Batch([bundle_row()], [call_row()], list(cards), entries), settle).states


def test_what_is_written_is_read(store: Store) -> None:
    write(store, card_row())
    assert [row for _, row in store.calls(AT, LATER)] == [call_row()]
    assert store.calls_of(call_row().instance) == [call_row()]
    assert store.cards_of(call_row().instance) == [card_row()]
    assert store.bundles() == {"sha256:b": bundle_row()}
    assert (store.count(AT, LATER), store.count(LATER, LATER + 1)) == (1, 0)


def test_calls_come_in_pages_in_order(store: Store) -> None:
    store.write(Batch(calls=[call_row(total_ms=float(number)) for number in range(1203)]))
    assert [row.total_ms for _, row in store.calls(0, LATER)] == [float(number) for number in range(1203)]


def test_writing_a_bundle_again_changes_nothing(store: Store) -> None:
    write(store)
    write(store)
    assert (store.count(0, LATER), len(store.bundles())) == (2, 1)


def test_feedback_answers_every_rule_of_its_card(store: Store) -> None:
    states = write(store, card_row(), card_row(rule="r2", role="folded"), feedback=feedback_row())
    assert states == {"f1": "known"}
    answers = store.answers(["k.p1"], 0)
    assert {answer.rule for answer in answers} == {"r1", "r2"}
    assert answers[0] == AnswerRow("r1", AT + 60, "overridden", "warning", "k.u1", "{}", "patient-refuses")
    assert store.answers(["k.other", "k.p1"], AT + 61) == []
    assert store.feedback_of([CARD]) == [(feedback_row(), "known", 0)]
    assert store.feedback_of([]) == []


def test_the_reason_of_an_answer_is_the_latest_of_its_outcome(store: Store) -> None:
    write(store, card_row(), feedback=feedback_row())
    write(store, feedback=feedback_row(id="f2", at=AT + 90, reason="record-wrong"))
    write(store, feedback=feedback_row(id="f3", at=AT + 120, outcome="accepted", reason=""))
    found = {answer.outcome: answer.reason for answer in store.answers(["k.p1"], 0)}
    assert found == {"overridden": "record-wrong", "accepted": ""}


def test_feedback_sent_again_counts_once(store: Store) -> None:
    write(store, card_row(), feedback=feedback_row())
    assert write(store, feedback=feedback_row(at=LATER)) == {"f1": "repeated"}
    assert store.feedback_of([CARD]) == [(feedback_row(), "known", 1)]
    assert [answer.at for answer in store.answers(["k.p1"], 0)] == [AT + 60]


def test_a_second_answer_to_a_card_is_the_newest(store: Store) -> None:
    write(store, card_row(), feedback=feedback_row())
    write(store, feedback=feedback_row(id="f2", outcome="accepted", at=LATER))
    assert sorted((a.outcome, a.at) for a in store.answers(["k.p1"], 0)) == [
        ("accepted", LATER),
        ("overridden", AT + 60),
    ]


def test_an_unknown_card_is_kept_apart_and_answers_nothing(store: Store) -> None:
    assert write(store, feedback=feedback_row()) == {"f1": "unknown"}
    assert store.answers(["k.p1"], 0) == []
    assert store.feedback_of([CARD]) == [(feedback_row(), "unknown", 0)]


def test_another_clients_card_is_unknown(store: Store) -> None:
    assert write(store, card_row(), feedback=feedback_row(client="stranger")) == {"f1": "unknown"}


def test_a_card_id_given_to_two_patients_silences_neither(store: Store) -> None:
    states = write(store, card_row(), card_row(patient="k.p2"), feedback=feedback_row())
    assert states == {"f1": "ambiguous"}
    assert store.answers(["k.p1", "k.p2"], 0) == []


def test_feedback_that_was_faster_than_its_card_is_joined_later(store: Store) -> None:
    first = store.write(Batch(feedback=[feedback_row()]), AT)
    assert first.unsettled
    second = store.write(Batch(cards=[card_row()]), AT)
    assert (second.answered, second.unsettled) == ((("r1", "overridden", "patient-refuses"),), False)
    assert len(store.answers(["k.p1"], 0)) == 1
    # Later still it is left alone.
    store.write(Batch(feedback=[feedback_row(id="f2", card="other")]))
    assert not store.write(Batch(cards=[card_row(card="other")]), LATER).answered


def test_a_card_shown_again_rests_on_what_it_rested_on_last(store: Store) -> None:
    write(store, card_row())
    write(store, card_row(fingerprint='{"marks":["a"]}', at=LATER), feedback=feedback_row(at=LATER))
    assert [answer.fingerprint for answer in store.answers(["k.p1"], 0)] == ['{"marks":["a"]}']


def test_a_batch_is_written_whole_or_not_at_all(store: Store) -> None:
    broken = call_row(at=None)
    with pytest.raises(StoreRefused):
        store.write(Batch(calls=[call_row(), broken]))
    assert store.count(0, LATER) == 0
    write(store)
    assert store.count(0, LATER) == 1


def test_switches_are_a_history(store: Store) -> None:
    thrown = SwitchRow(AT, "rule", "r1", 1, "jane", "false alarms")
    taken_back = SwitchRow(LATER, "rule", "r1", 0, "jane", "fixed")
    store.add_switch(thrown)
    store.add_switch(taken_back)
    assert store.switches() == [thrown, taken_back]


def test_pruning_deletes_what_is_older_and_says_how_much(store: Store) -> None:
    write(store, card_row(), feedback=feedback_row())
    store.write(Batch(calls=[call_row(at=LATER)]))
    for dry_run in (True, False):
        found = store.prune(LATER, dry_run=dry_run)
        assert (found.calls, found.cards, found.feedback, found.answers) == (1, 1, 1, 1)
        assert store.count(0, LATER + 1) == (2 if dry_run else 1)
    assert store.prune(LATER).calls == 0


@pytest.mark.parametrize("statement", [name for name in sql.__all__ if name.startswith("REPORT_")])
def test_the_reports_queries_run(store: Store, statement: str) -> None:
    write(store, card_row(), feedback=feedback_row())
    store.write(Batch(calls=[call_row(missing='["cancer.any"]', at=AT + 43_199)]))
    store.add_unmapped([UnmappedRow(AT, "snomed", "123456789", 5)])
    found = store.summary(getattr(sql, statement), 0, LATER * 2)
    assert found
    if statement == "REPORT_CALLS":
        (row,) = found
        assert row == ("sha256:b", "general-hospital", int(AT // 86400), "Fn", "{}", 2, 2)


def test_opening_again_changes_nothing(store_url: str) -> None:
    store = store_at(store_url)
    store.open()
    write(store)
    store.open()
    assert store.count(0, LATER) == 1
    store.close()


def test_a_store_of_a_later_version_that_still_serves_this_one_is_used(store: Store) -> None:
    with store.transaction() as cursor:
        cursor.execute(f"UPDATE layout SET level = {LEVEL + 1}, oldest = {LEVEL}")
        cursor.execute("ALTER TABLE calls ADD COLUMN later TEXT")
    store.open()
    write(store)
    assert store.calls_of(call_row().instance) == [call_row()]


def test_a_store_of_a_later_version_that_does_not_is_refused(store: Store) -> None:
    with store.transaction() as cursor:
        cursor.execute(f"UPDATE layout SET level = {LEVEL + 2}, oldest = {LEVEL + 1}")
    with pytest.raises(StoreTooNew, match=f"needs a program of level {LEVEL + 1}; this is {LEVEL}"):
        store.open()


def test_a_store_that_is_not_open_fails(store_url: str) -> None:
    store = store_at(store_url)
    with pytest.raises(StoreFailed):
        store.count(0, 1)
    store.close()
