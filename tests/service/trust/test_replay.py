"""SEC-13: a jti counts once, over threads, tasks and processes; what if that cannot be known."""

import asyncio
import multiprocessing
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.errors import Overloaded
from service.trust.replay import LocalMemory, ReplayFailed, ReplayGuard, ReplayMemory, SharedMemory

AT = 1_000_000.0
CALLS = 10_000


@pytest.fixture(params=["local", "shared"])
def memory(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ReplayMemory]:
    made: ReplayMemory = (
        LocalMemory() if request.param == "local" else SharedMemory(tmp_path / "state" / "replay.db")
    )
    yield made
    made.close()


def test_a_digest_is_new_once(memory: ReplayMemory) -> None:
    assert memory.remember(b"a", AT + 300, AT)
    assert not memory.remember(b"a", AT + 300, AT)
    assert not memory.remember(b"a", AT + 300, AT + 299)
    assert memory.remember(b"b", AT + 300, AT)


def test_the_shared_file_is_for_its_user_only(tmp_path: Path) -> None:
    path = tmp_path / "replay.db"
    memory = SharedMemory(path)
    memory.prepare()
    memory.close()
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_has_expired_is_forgotten(memory: ReplayMemory) -> None:
    memory.remember(b"a", AT + 5, AT)
    assert memory.remember(b"b", AT + 100, AT + 60)
    assert memory.remember(b"a", AT + 100, AT + 60)


def test_of_10_000_calls_in_threads_one_is_first(memory: ReplayMemory) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: memory.remember(b"same", AT + 300, AT), range(CALLS)))
    assert answers.count(True) == 1


def test_local_memory_is_bounded_and_recovers() -> None:
    memory = LocalMemory(capacity=2)
    memory.remember(b"a", AT + 20, AT)
    memory.remember(b"b", AT + 20, AT)
    with pytest.raises(ReplayFailed):
        memory.remember(b"c", AT + 20, AT)
    assert not memory.remember(b"a", AT + 20, AT)
    assert memory.remember(b"c", AT + 100, AT + 30)


def _worker(path: Path, start: "multiprocessing.synchronize.Barrier", calls: int, answers: Path) -> None:
    memory = SharedMemory(path, busy_s=10)
    start.wait()
    memory.prepare()
    first = sum(memory.remember(b"same", AT + 300, AT) for _ in range(calls))
    memory.close()
    answers.write_text(str(first))


def test_of_10_000_calls_in_processes_one_is_first(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    start = spawn.Barrier(4)
    files = [tmp_path / f"answer-{number}" for number in range(4)]
    workers = [
        spawn.Process(target=_worker, args=(tmp_path / "replay.db", start, CALLS // 4, file))
        for file in files
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert sorted(file.read_text() for file in files) == ["0", "0", "0", "1"]


def test_two_openings_of_one_file_share_what_they_know(tmp_path: Path) -> None:
    one, other = SharedMemory(tmp_path / "replay.db"), SharedMemory(tmp_path / "replay.db")
    assert one.remember(b"a", AT + 300, AT)
    assert not other.remember(b"a", AT + 300, AT)
    one.close()
    other.close()


def test_two_that_look_before_either_writes_have_one_first(tmp_path: Path) -> None:
    class Slow(SharedMemory):
        """Lets the other write between its look and its own write."""

        def _insert(self, database: sqlite3.Connection, digest: bytes, expires: float) -> bool:
            assert other.remember(digest, expires, AT)
            return super()._insert(database, digest, expires)

    other = SharedMemory(tmp_path / "replay.db")
    slow = Slow(tmp_path / "replay.db")
    assert not slow.remember(b"a", AT + 300, AT)
    slow.close()
    other.close()


def test_the_file_holds_no_jti(tmp_path: Path) -> None:
    async def use() -> None:
        guard = ReplayGuard(SharedMemory(tmp_path / "replay.db"))
        assert await guard.first_use("https://ehr.example", "very-secret-jti", AT + 300, AT)
        guard.close()

    asyncio.run(use())
    held = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"secret" not in held
    assert b"ehr.example" not in held


@pytest.mark.parametrize("broken", ["not a database", "folder", "below a file"])
def test_a_file_that_cannot_be_used_is_a_failure_each_time(tmp_path: Path, broken: str) -> None:
    path = tmp_path / "replay.db"
    if broken == "folder":
        path.mkdir()
    elif broken == "not a database":
        path.write_bytes(b"certainly not SQLite" * 100)
    else:
        path.write_text("")
        path = path / "replay.db"
    memory = SharedMemory(path)
    for _ in range(2):
        with pytest.raises(ReplayFailed):
            memory.remember(b"a", AT + 300, AT)
    memory.close()


def test_a_file_held_at_the_start_is_opened_when_it_is_let_go(tmp_path: Path) -> None:
    holder = sqlite3.connect(tmp_path / "replay.db", isolation_level=None, check_same_thread=False)
    holder.execute("CREATE TABLE other (x)")
    holder.execute("BEGIN EXCLUSIVE")
    memory = SharedMemory(tmp_path / "replay.db", busy_s=0.01)
    with pytest.raises(ReplayFailed):
        memory.remember(b"a", AT + 300, AT)
    release = threading.Timer(0.1, holder.execute, ["ROLLBACK"])
    release.start()
    memory.prepare()
    assert memory.remember(b"a", AT + 300, AT)
    release.join()
    holder.close()
    memory.close()


def test_a_file_held_by_another_writer_is_a_failure_that_passes(tmp_path: Path) -> None:
    memory = SharedMemory(tmp_path / "replay.db", busy_s=0.01)
    memory.remember(b"a", AT + 300, AT)
    holder = sqlite3.connect(tmp_path / "replay.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(ReplayFailed):
        memory.remember(b"b", AT + 300, AT)
    assert not memory.remember(b"a", AT + 300, AT)
    holder.execute("ROLLBACK")
    assert memory.remember(b"b", AT + 300, AT)
    holder.close()
    memory.close()


@pytest.mark.parametrize("shared", [True, False])
async def test_of_10_000_concurrent_calls_one_is_first(tmp_path: Path, shared: bool) -> None:
    guard = ReplayGuard(SharedMemory(tmp_path / "replay.db") if shared else None)
    calls = (guard.first_use("iss", "jti", AT + 300, AT) for _ in range(CALLS))
    assert (await asyncio.gather(*calls)).count(True) == 1
    guard.close()


async def test_workers_that_share_a_file_share_what_they_have_seen(tmp_path: Path) -> None:
    guards = [ReplayGuard(SharedMemory(tmp_path / "replay.db")) for _ in range(2)]
    calls = (guards[n % 2].first_use("iss", f"jti-{n // 20}", AT + 300, AT) for n in range(1000))
    assert (await asyncio.gather(*calls)).count(True) == 50
    for guard in guards:
        assert not guard.failing
        guard.close()


async def test_a_jti_counts_per_issuer() -> None:
    guard = ReplayGuard()
    assert await guard.first_use("iss-1", "2jti", AT + 300, AT)
    assert await guard.first_use("iss-12", "jti", AT + 300, AT)
    assert await guard.first_use("iss-", "12jti", AT + 300, AT)
    guard.close()


class _Broken:
    """A memory that fails until it is mended."""

    def __init__(self) -> None:
        self.mended = False
        self.asked = 0

    def remember(self, digest: bytes, expires: float, now: float) -> bool:
        self.asked += 1
        if not self.mended:
            raise ReplayFailed("broken")
        return True

    def close(self) -> None:
        self.mended = False


async def test_by_default_a_failure_accepts_and_the_worker_remembers_by_itself() -> None:
    broken = _Broken()
    failures: list[None] = []
    guard = ReplayGuard(broken, failed=lambda: failures.append(None))
    assert await guard.first_use("iss", "jti", AT + 300, AT)
    assert (guard.failing, len(failures)) == (True, 1)
    assert not await guard.first_use("iss", "jti", AT + 300, AT)
    broken.mended = True
    assert await guard.first_use("iss", "other", AT + 300, AT)
    assert (guard.failing, len(failures)) == (False, 1)
    guard.close()


async def test_on_wish_a_failure_refuses_and_the_same_token_may_come_again() -> None:
    broken = _Broken()
    guard = ReplayGuard(broken, on_failure="refuse")
    with pytest.raises(Overloaded):
        await guard.first_use("iss", "jti", AT + 300, AT)
    broken.mended = True
    assert await guard.first_use("iss", "jti", AT + 300, AT)
    assert broken.asked == 2
    guard.close()


async def test_a_full_local_memory_leaves_the_shared_one_to_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = _Broken()
    broken.mended = True
    guard = ReplayGuard(broken)
    monkeypatch.setattr(guard, "_local", LocalMemory(capacity=0))
    assert await guard.first_use("iss", "jti", AT + 300, AT)
    assert broken.asked == 1
    assert not guard.failing
    guard.close()


class _Hanging:
    """A memory on a disk that does not answer until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked = 0
        self.closed = False

    def remember(self, digest: bytes, expires: float, now: float) -> bool:
        self.asked += 1
        self.go.wait(10)
        return True

    def close(self) -> None:
        self.closed = True


async def test_a_memory_that_hangs_holds_up_nobody_for_long() -> None:
    hanging = _Hanging()
    failures: list[None] = []
    guard = ReplayGuard(hanging, timeout_s=0.02, failed=lambda: failures.append(None))
    first = await asyncio.gather(*(guard.first_use("iss", f"a-{n}", AT + 300, AT) for n in range(20)))
    assert all(first)
    assert len(failures) == 20
    async with asyncio.timeout(0.2):
        for n in range(20):
            assert await guard.first_use("iss", f"b-{n}", AT + 300, AT)
    assert hanging.asked == 1
    hanging.go.set()
    await asyncio.sleep(0.02)
    assert await guard.first_use("iss", "c", AT + 300, AT)
    assert not guard.failing
    guard.close()
    assert hanging.closed


async def test_a_loop_that_is_late_itself_still_takes_the_answer() -> None:
    class Seen(_Broken):
        def remember(self, digest: bytes, expires: float, now: float) -> bool:
            return False

    guard = ReplayGuard(Seen(), timeout_s=0.01)
    asked = asyncio.create_task(guard.first_use("iss", "jti", AT + 300, AT))
    await asyncio.sleep(0)
    time.sleep(0.05)
    assert not await asked
    assert not guard.failing
    guard.close()


async def test_closing_does_not_wait_for_a_memory_that_hangs() -> None:
    hanging = _Hanging()
    guard = ReplayGuard(hanging, timeout_s=0.01)
    await guard.first_use("iss", "jti", AT + 300, AT)
    guard.close()
    assert not hanging.closed
    hanging.go.set()
