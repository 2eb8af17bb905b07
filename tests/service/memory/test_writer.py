"""The writing thread: batches, bounds, what waits while the store fails, and that faults cost
records only.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from service.memory.recorder import Passage, Recorder
from service.memory.rows import FeedbackRow
from service.memory.sqlite import SqliteStore
from service.memory.store import Kept, StoreFailed, StoreRefused
from service.memory.writer import Counted, Writer
from tests.service.memory.samples import CLIENT, PSEUDONYMS, answer_on, feedback_row, record

ANSWER = answer_on(*record())
PASSAGE = Passage.of(ANSWER, CLIENT)
CARD = ANSWER.cards[0].uuid


class Faulty(SqliteStore):
    """A store in memory that can be made to fail or to hang."""

    def __init__(self) -> None:
        super().__init__(None)
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.written = 0

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        self.gate.wait(5)
        if self.error is not None:
            raise self.error
        with super().transaction() as cursor:
            yield cursor
        self.written += 1


class Bench:
    """A writer on a faulty store, and what it told."""

    def __init__(self, **options: Any) -> None:
        self.store = Faulty()
        self.store.open()
        self.seen: list[int] = []
        self.kept: list[dict[str, str]] = []
        self.ticks = 0
        self.options = {"interval_s": 0.01, **options}
        self.writer = Writer(
            self.store,
            Recorder(PSEUDONYMS),
            seen=self._seen,
            kept=self._kept,
            tick=self._tick,
            **self.options,
        )
        self.writer.start()

    def _seen(self, batch: Sequence[Counted]) -> None:
        self.seen.append(len(batch))

    def _kept(self, rows: Sequence[FeedbackRow], kept: Kept) -> None:
        self.kept.append({row.id: kept.states[row.id] for row in rows})

    def _tick(self) -> None:
        self.ticks += 1

    def count(self) -> int:
        return self.store.count(0, 1e12)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.store.error = None
    made.store.gate.set()
    made.writer.stop()
    made.store.close()


def until(met: Callable[[], bool], seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)


def test_calls_are_written_in_the_background_and_counted_once(bench: Bench) -> None:
    for _ in range(3):
        bench.writer.put(PASSAGE)
    until(lambda: bench.count() == 3)
    assert sum(bench.seen) == 3
    assert bench.ticks > 0
    assert (bench.writer.waiting, bench.writer.lost, bench.writer.failing) == (0, 0, None)


def test_feedback_comes_after_the_calls_before_it_and_is_committed(bench: Bench) -> None:
    bench.writer.put(PASSAGE)
    kept = bench.writer.submit([feedback_row(card=CARD)]).result(5)
    assert kept.states == {"f1": "known"}
    until(lambda: bench.kept == [{"f1": "known"}])


def test_stopping_writes_what_is_queued() -> None:
    bench = Bench(interval_s=60.0)
    bench.writer.put(PASSAGE)
    bench.writer.stop()
    assert bench.count() == 1
    bench.store.close()


def test_while_the_store_fails_calls_wait_and_feedback_is_not_acknowledged(bench: Bench) -> None:
    bench.store.error = StoreFailed("disk full")
    bench.writer.put(PASSAGE)
    with pytest.raises(StoreFailed):
        bench.writer.submit([feedback_row(card=CARD)]).result(5)
    until(lambda: bench.writer.waiting == 1 and bench.writer.failing is not None)
    assert bench.writer.failures >= 1
    bench.store.error = None
    assert bench.writer.submit([feedback_row(card=CARD)]).result(5).states == {"f1": "known"}
    until(lambda: bench.writer.failing is None)
    assert (bench.count(), bench.writer.lost) == (1, 0)


def test_a_store_that_comes_back_is_written_without_being_asked(bench: Bench) -> None:
    bench.store.error = StoreFailed("gone")
    bench.writer.put(PASSAGE)
    until(lambda: bench.writer.failing is not None)
    bench.store.error = None
    until(lambda: bench.count() == 1)


def test_what_goes_over_the_bound_is_lost_oldest_first_and_counted() -> None:
    bench = Bench(capacity=2)
    bench.store.error = StoreFailed("gone")
    for number in range(5):
        bench.writer.put(Passage.of(answer_on(*record(), instance=f"call-{number}"), CLIENT))
        bench.writer.submit().exception(5)
    until(lambda: bench.writer.lost == 3)
    bench.store.error = None
    bench.writer.stop()
    assert bench.count() == 2
    bench.store.close()


def test_a_queue_that_nobody_empties_is_bounded() -> None:
    bench = Bench(queue=2, interval_s=60.0)
    for _ in range(5):
        bench.writer.put(PASSAGE)
    assert (bench.writer.waiting, bench.writer.lost) == (2, 3)
    bench.writer.stop()
    bench.store.close()


def test_rows_the_store_refuses_are_dropped_and_the_next_are_written(bench: Bench) -> None:
    bench.store.error = StoreRefused("a value it cannot hold")
    bench.writer.put(PASSAGE)
    until(lambda: bench.writer.lost == 1)
    bench.store.error = None
    bench.writer.put(PASSAGE)
    until(lambda: bench.count() == 1)


def test_a_record_that_cannot_be_made_costs_only_itself(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Recorder.rows
    broken = Passage.of(answer_on(*record(), instance="broken"), CLIENT)

    def rows(self: Recorder, passage: Passage) -> Any:
        if passage is broken:
            raise RuntimeError("a fault of ours")
        return made(self, passage)

    monkeypatch.setattr(Recorder, "rows", rows)
    bench.writer.put(broken)
    bench.writer.put(PASSAGE)
    until(lambda: bench.count() == 1)
    assert bench.writer.lost == 1


def test_a_fault_in_the_thread_fails_the_feedback_and_not_the_thread(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.store.error = RuntimeError("a fault of ours")
    with pytest.raises(StoreRefused):
        bench.writer.submit([feedback_row()]).result(5)
    bench.store.error = None
    assert bench.writer.submit([feedback_row()]).result(5).states == {"f1": "unknown"}


def test_large_backlogs_are_written_in_batches() -> None:
    bench = Bench(interval_s=60.0)
    for _ in range(1100):
        bench.writer.put(PASSAGE)
    bench.writer.stop(30)
    assert bench.count() == 1100
    assert bench.store.written == 3
    bench.store.close()


def test_the_call_never_waits_for_a_store_that_hangs(bench: Bench) -> None:
    bench.store.gate.clear()
    bench.writer.submit()
    started = time.perf_counter()
    for _ in range(1000):
        bench.writer.put(PASSAGE)
    assert time.perf_counter() - started < 0.05
