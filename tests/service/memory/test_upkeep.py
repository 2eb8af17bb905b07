"""Copies of a PostgreSQL store, and checks that hold for both; SQLite's are in test_cli_db."""

import shutil
from pathlib import Path

import pytest

from service.memory.postgres import PostgresStore
from service.memory.sqlite import SqliteStore
from service.memory.store import Batch, Store
from service.memory.upkeep import BackupError, back_up, problems, restore, retention_start
from tests.service.memory.postgres import Server
from tests.service.memory.samples import call_row


def test_a_new_store_has_no_problems(store: Store) -> None:
    assert problems(store) == []


def test_an_empty_layout_and_a_lost_column_are_problems(store: Store) -> None:
    with store.transaction() as cursor:
        cursor.execute("DELETE FROM layout")
        cursor.execute("ALTER TABLE calls DROP COLUMN spent")
    assert problems(store) == ["The table `layout` is empty.", "The schema lacks something: add_column."]


def test_a_postgresql_store_is_copied_and_put_back(postgres: Server, tmp_path: Path) -> None:
    if shutil.which("pg_dump") is None:
        pytest.skip("needs pg_dump (package postgresql-client), which is not installed here")
    store = PostgresStore(postgres.new_database("copied"))
    store.open()
    store.write(Batch(calls=[call_row()]))
    back_up(store, tmp_path / "copy")
    store.write(Batch(calls=[call_row()]))
    store.close()
    restore(store, tmp_path / "copy")
    assert store.count(0, 1e12) == 1
    store.close()


def test_what_is_no_copy_of_a_postgresql_store_is_refused(postgres: Server, tmp_path: Path) -> None:
    (tmp_path / "copy").write_text("nothing of the kind")
    with pytest.raises(BackupError, match="pg_restore"):
        restore(PostgresStore(postgres.url), tmp_path / "copy")


def test_without_the_client_programs_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackupError, match="install PostgreSQL's client programs"):
        back_up(PostgresStore("postgresql://tocsin@127.0.0.1:1/none"), tmp_path / "copy")


def test_a_store_in_memory_cannot_be_put_back(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="in memory"):
        restore(SqliteStore(None), tmp_path / "copy")


def test_the_retention_time_is_in_days() -> None:
    assert retention_start(864_000.0, 3) == 604_800.0
