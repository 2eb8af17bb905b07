"""What a worker remembers: what it tells of itself, and what happens when its store does not work."""

import threading
import time
from pathlib import Path
from typing import Any

import orjson
import pytest

from hooks.feedback import parse as parse_feedback
from service.errors import Overloaded
from service.memory import memory as memory_module
from service.memory.memory import Memory
from service.memory.rows import AnswerRow
from service.memory.sqlite import SqliteStore
from service.memory.store import LEVEL, Batch, StoreFailed
from service.metrics import Metrics
from tests.service.facts.build import PATIENT
from tests.service.memory.samples import AT, CLIENT, PSEUDONYMS, answer_on, batch_of, call_row, record

ANSWER = answer_on(*record())
CARD = ANSWER.cards[0].uuid


def memory_of(store: SqliteStore, **options: Any) -> Memory:
    return Memory(store, PSEUDONYMS, Metrics(), **options)


async def recall(memory: Memory) -> list[AnswerRow]:
    patients = PSEUDONYMS.every(CLIENT, PATIENT)
    return await memory.read(lambda store: store.answers(patients, 0)) or []


class Broken(SqliteStore):
    def __init__(self) -> None:
        super().__init__(None)

    def open(self) -> None:
        raise StoreFailed("SQLITE_CANTOPEN")


class Slow(SqliteStore):
    """Reads beside the event loop, and does so only when it is let."""

    inline = False

    def __init__(self) -> None:
        super().__init__(None)
        self.gate = threading.Event()
        self.asked = 0

    def answers(self, *_: Any) -> Any:
        self.asked += 1
        self.gate.wait(5)
        return super().answers(*_)


async def test_a_call_and_its_feedback_are_kept() -> None:
    memory = memory_of(SqliteStore(None))
    await memory.keep(ANSWER, CLIENT)
    kept = await memory.feedback(batch_of(CARD), CLIENT, AT)
    assert list(kept.states.values()) == ["known"]
    (found,) = await recall(memory)
    assert (found.rule, found.outcome) == ("cancer-history-new-back-pain", "overridden")
    assert memory.standing() == {"store": "ok", "waiting": 0, "lost": 0}
    assert memory.warnings() == []
    await memory.aclose()


async def test_a_comment_and_a_reason_that_is_no_code_are_not_kept() -> None:
    memory = memory_of(SqliteStore(None))
    entry = {
        "card": "PLANTED-CARD Jane",
        "outcome": "overridden",
        "overrideReason": {
            "reason": {"code": "PLANTED reason of Jane", "system": "PLANTED system"},
            "userComment": "PLANTED comment",
        },
        "outcomeTimestamp": "PLANTED time",
    }
    await memory.feedback(parse_feedback(orjson.dumps(entry)), CLIENT, AT)
    with memory.store.reading() as cursor:
        (row,) = cursor.execute("SELECT * FROM feedback").fetchall()
    assert "PLANTED" not in repr(row)
    assert "other" in row
    await memory.aclose()


async def test_the_same_feedback_again_is_a_repetition() -> None:
    memory = memory_of(SqliteStore(None))
    for expected in ("unknown", "repeated"):
        kept = await memory.feedback(batch_of(CARD), CLIENT, AT)
        assert list(kept.states.values()) == [expected]
    await memory.aclose()


async def test_with_commit_the_record_is_there_when_keeping_ends() -> None:
    memory = memory_of(SqliteStore(None), commit_calls=True)
    await memory.keep(ANSWER, CLIENT)
    assert memory.store.count(0, 1e12) == 1
    await memory.aclose()


async def test_a_store_that_cannot_be_opened_fails_no_call_and_is_told() -> None:
    memory = memory_of(Broken())
    await memory.keep(ANSWER, CLIENT)
    assert await recall(memory) == []
    with pytest.raises(Overloaded):
        await memory.feedback(batch_of(CARD), CLIENT, AT)
    assert not await memory.settle()
    assert memory.standing()["store"] == "failing"
    assert memory.warnings() == [
        "The store of decisions cannot be written; answered cards may be shown again."
    ]
    assert b"tocsin_store_up 0.0" in memory.metrics.render()
    await memory.aclose()


async def test_a_store_of_a_newer_version_is_left_alone_and_named(tmp_path: Path) -> None:
    path = tmp_path / "tocsin.sqlite"
    newer = SqliteStore(path)
    newer.open()
    with newer.transaction() as cursor:
        cursor.execute(f"UPDATE layout SET level = {LEVEL + 1}, oldest = {LEVEL + 1}")
    memory = memory_of(SqliteStore(path))
    await memory.keep(ANSWER, CLIENT)
    assert not await memory.settle()
    (warning,) = memory.warnings()
    assert "Nothing is recorded" in warning
    assert f"level {LEVEL + 1}" in warning
    assert newer.count(0, 1e12) == 0
    newer.close()
    await memory.aclose()


async def test_a_read_that_hangs_holds_up_one_call_and_not_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "_READ_S", 0.02)
    store = Slow()
    memory = memory_of(store)
    for _ in range(3):
        started = time.perf_counter()
        assert await recall(memory) == []
        assert time.perf_counter() - started < 0.5
    assert store.asked == 1
    store.gate.set()
    monkeypatch.setattr(memory_module, "_PAUSE_S", 0.0)
    monkeypatch.setattr(memory, "_resume_at", 0.0)
    end = time.monotonic() + 5
    while store.asked < 2 and time.monotonic() < end:
        await recall(memory)
    assert store.asked == 2
    await memory.aclose()


async def test_calls_that_were_lost_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = memory_of(SqliteStore(None))
    await memory.settle()
    monkeypatch.setattr(memory._writer, "lost", 2)
    assert memory.warnings() == ["2 calls could not be recorded since the start."]
    assert await memory.settle()
    assert b"tocsin_store_lost_calls_total 2.0" in memory.metrics.render()
    await memory.aclose()


async def test_an_unused_memory_opens_nothing(tmp_path: Path) -> None:
    memory = memory_of(SqliteStore(tmp_path / "tocsin.sqlite"))
    await memory.aclose()
    assert list(tmp_path.iterdir()) == []


async def test_someone_who_stops_waiting_does_not_hold_up_the_writer() -> None:
    memory = memory_of(SqliteStore(None))
    await memory.keep(ANSWER, CLIENT)
    assert not await memory.settle(0.0)
    assert await memory.settle(5.0)
    assert memory.store.count(0, 1e12) == 1
    assert memory.warnings() == []
    await memory.aclose()


async def test_once_a_day_what_is_too_old_goes_and_the_desk_is_reminded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_module, "_FIRST_PRUNE_S", 0.0)
    reminded: list[int] = []
    store = SqliteStore(None)
    store.open()
    store.write(Batch(calls=[call_row(at=time.time() - 40 * 86_400), call_row(at=time.time())]))
    memory = memory_of(store, retention_days=31, daily=lambda: reminded.append(1))
    for _ in range(3):
        await memory.settle()
    assert (store.count(0, 1e12), reminded) == (1, [1])
    await memory.aclose()
