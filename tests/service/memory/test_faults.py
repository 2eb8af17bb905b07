"""Faults that are really caused: full disk, locked database, lost server, kill -9, jumping clocks,
migrations.
"""

import asyncio
import contextlib
import datetime as dt
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from service.memory.sqlite import SqliteStore
from service.memory.store import LEVEL, Batch, Store, StoreFailed
from service.memory.upgrade import current_layout, migrate
from tests.service.memory.conftest import store_at
from tests.service.memory.http import Site, site
from tests.service.memory.load import Load, Service
from tests.service.memory.postgres import Server
from tests.service.memory.samples import call_row, record

ENOUGH = 200


async def until(worker: Site, met: Callable[[], bool], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < end, "it did not happen"
        await worker.desk.memory.settle(0.2)


async def keeps_answering(worker: Site) -> None:
    """While its store fails, a worker answers calls, refuses feedback, and tells at /readyz and
    in metrics.
    """
    cards = await worker.call(*record())
    assert len(cards) == 1
    assert (await worker.answer(*cards)).status_code == 503
    ready = await worker.client.get("/readyz")
    assert ready.status_code == 200
    assert ready.json()["memory"]["store"] == "failing"
    assert "The store of decisions cannot be written" in ready.text
    assert "tocsin_store_up 0.0" in (await worker.client.get("/metrics")).text


async def recovers(worker: Site, calls: int) -> None:
    """Everything that waited is written, and feedback is taken again."""
    store = worker.desk.memory.store
    await until(worker, lambda: worker.desk.memory.standing()["store"] == "ok")
    assert store.count(0, 1e12) == calls
    cards = await worker.call(*record())
    assert (await worker.answer(*cards)).status_code == 200
    end = time.monotonic() + 5
    while await worker.call(*record()):
        # Just after a failure nothing is read, so that no call waits for it again.
        assert time.monotonic() < end, "the card did not become quiet"
        await asyncio.sleep(0.1)
    assert worker.desk.memory.standing()["lost"] == 0


async def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own limit stands for the disk: the error is the one that a full disk gives."""
    async with site(monkeypatch, state_dir=tmp_path) as worker:
        await worker.call(*record())
        await worker.desk.memory.settle()
        store = worker.desk.memory.store
        with store.transaction() as cursor:
            pages = cursor.execute("PRAGMA page_count").fetchone()[0]
            cursor.execute(f"PRAGMA max_page_count = {pages}")
            cursor.execute("SELECT page_size FROM pragma_page_size")
        for _ in range(40):
            await worker.call(*record())
        await until(worker, lambda: worker.desk.memory.standing()["store"] == "failing")
        await keeps_answering(worker)
        with store.transaction() as cursor:
            cursor.execute("PRAGMA max_page_count = 1000000")
        await recovers(worker, 42)
        assert isinstance(store, SqliteStore)
        assert store.integrity() == "ok"


async def test_a_database_that_someone_else_has_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(monkeypatch, state_dir=tmp_path) as worker:
        worker.desk.memory.start()
        with worker.desk.memory.store.transaction() as cursor:
            cursor.execute("SELECT 1")
        monkeypatch.setattr(worker.desk.memory.store, "_busy_s", 0.05)
        worker.desk.memory.store.close()
        worker.desk.memory.store.open()
        other = sqlite3.connect(tmp_path / "tocsin.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        await worker.call(*record())
        await until(worker, lambda: worker.desk.memory.standing()["store"] == "failing")
        await keeps_answering(worker)
        other.execute("ROLLBACK")
        other.close()
        await recovers(worker, 2)


@pytest.fixture
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that a test may stop, with room for six connections."""
    server = Server(
        tmp_path_factory.mktemp("own"),
        "max_connections=6",
        "superuser_reserved_connections=0",
        "max_wal_senders=0",
        "autovacuum=off",
    )
    yield server
    server.stop()


async def test_a_server_that_stops_and_comes_back_under_load(
    own_postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site(monkeypatch, database_url=own_postgres.url, patient_key="k" * 16) as worker:
        for _ in range(20):
            await worker.call(*record())
        await worker.desk.memory.settle(5.0)
        own_postgres.stop()
        for _ in range(20):
            started = time.monotonic()
            assert len(await worker.call(*record())) == 1
            assert time.monotonic() - started < 1.0
        await until(worker, lambda: worker.desk.memory.standing()["store"] == "failing")
        await keeps_answering(worker)
        own_postgres.start()
        await recovers(worker, 41)


async def test_a_server_without_a_free_connection(
    own_postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[psycopg.Connection[Any]] = []
    with contextlib.suppress(psycopg.OperationalError):
        while len(taken) < 10:
            taken.append(psycopg.connect(own_postgres.url))
    assert len(taken) == 6
    async with site(monkeypatch, database_url=own_postgres.url, patient_key="k" * 16) as worker:
        await worker.call(*record())
        await until(worker, lambda: worker.desk.memory.standing()["store"] == "failing")
        await keeps_answering(worker)
        for connection in taken:
            connection.close()
        await recovers(worker, 2)


def test_kill_9_loses_no_feedback_and_leaves_the_file_whole(tmp_path: Path) -> None:
    service = Service({"TOCSIN_STATE_DIR": str(tmp_path)})
    service.wait()
    load = Load(service.port)
    end = time.monotonic() + 20
    while len(load.told.feedback) < ENOUGH and time.monotonic() < end:
        time.sleep(0.05)
    service.kill()
    told = load.stop()
    assert len(told.feedback) >= ENOUGH
    store = SqliteStore(tmp_path / "tocsin.sqlite")
    store.open()
    assert store.integrity() == "ok"
    kept = set()
    for at in range(0, len(told.feedback), 500):
        found = store.feedback_of(told.feedback[at : at + 500])
        kept |= {row.card for row, state, _ in found if state == "known"}
    assert kept >= set(told.feedback)
    # Of the calls at most the last moment is missing; those whose card was answered are all there.
    assert store.count(0, 1e12) >= len(told.feedback)
    store.close()


async def test_clocks_that_jump(monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(monkeypatch) as worker:
        noon = worker.now
        await worker.answer(*(await worker.call(*record())))
        for hours, shown in ((0, False), (-1, True), (-24 * 400, True), (0, False), (24 * 31, True)):
            worker.now = noon + dt.timedelta(hours=hours)
            assert bool(await worker.call(*record())) is shown, hours
        assert (await worker.client.get("/readyz")).json()["memory"]["store"] == "ok"


_NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade():
    op.add_column("calls", sa.Column("site", sa.Text, nullable=True))
    op.create_table("notes", sa.Column("id", sa.Text, primary_key=True))
    op.execute("UPDATE layout SET level = %d, oldest = %d")
"""


@pytest.fixture
def next_version(repository: Path, tmp_path: Path) -> str:
    """The migrations of the version after this one: a column and a table more, and this one may go on."""
    folder = tmp_path / "next"
    shutil.copytree(
        repository / "service" / "memory" / "schema", folder, ignore=shutil.ignore_patterns("__pycache__")
    )
    (folder / "versions" / "r0003_next.py").write_text(_NEXT % (LEVEL + 1, LEVEL))
    return str(folder)


@pytest.mark.parametrize("store_url", ["sqlite", "postgres"], indirect=True)
def test_a_migration_while_this_version_serves(store: Store, store_url: str, next_version: str) -> None:
    """The next version changes the schema while this one writes; it writes on, and opens the store again."""
    written: list[int] = []
    failed: list[StoreFailed] = []
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            try:
                store.write(Batch(calls=[call_row()]))
                written.append(1)
            except StoreFailed as error:
                failed.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    migrator = store_at(store_url)
    migrator.open()
    with migrator.inspecting() as connection:
        migrate(connection, location=next_version)
    before = len(written)
    end = time.monotonic() + 10
    while len(written) < before + 20 and time.monotonic() < end:
        time.sleep(0.01)
    stop.set()
    thread.join()
    migrator.close()
    assert failed == []
    store.open()
    with store.reading() as cursor:
        assert current_layout(cursor) == (LEVEL + 1, LEVEL)
    assert store.count(0, 1e12) == len(written) >= before + 20
