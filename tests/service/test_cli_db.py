"""`tocsin db`: make, check, copy, put back and prune the store; sentences instead of tracebacks."""

import io
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from service.memory.rows import UnmappedRow
from service.memory.sqlite import SqliteStore
from service.memory.store import LEVEL, Batch
from tests.service.memory.samples import AT, bundle_row, call_row, card_row, feedback_row
from tests.service.terminal import tocsin

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("TOCSIN_STATE_DIR", str(tmp_path / "state"))
    return lambda *arguments: tocsin(capsys, "db", *arguments)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "tocsin.sqlite"


def fill(path: Path, calls: int = 3) -> None:
    store = SqliteStore(path)
    store.open()
    rows = [call_row(instance=f"i{number}") for number in range(calls)]
    store.write(Batch([bundle_row()], rows, [card_row()], [feedback_row()]))
    store.add_unmapped([UnmappedRow(AT, "snomed", "123", 7), UnmappedRow(AT, "snomed", "456", 1)])
    store.close()


def test_upgrade_makes_the_store_and_check_finds_it_whole(run: Run, path: Path) -> None:
    assert run("upgrade") == (0, f"The store is at level {LEVEL}.\n", "")
    fill(path)
    assert run("check") == (0, f"Level {LEVEL}, 3 calls, 0 problems.\n", "")


def test_without_a_store_there_is_nothing_to_check(run: Run, path: Path) -> None:
    code, _, said = run("check")
    assert code == 2
    assert f"There is no store at {path}, which follows from TOCSIN_STATE_DIR" in said
    assert "`tocsin db upgrade`" in said


def test_check_tells_what_the_schema_lacks(run: Run, path: Path) -> None:
    fill(path)
    with sqlite3.connect(path) as connection:
        connection.execute("DROP INDEX calls_at")
    code, said, wrong = run("check")
    assert code == 1
    assert "1 problems" in said
    assert wrong == "The schema lacks something: add_index.\n"


def test_check_tells_of_a_damaged_file(run: Run, path: Path) -> None:
    fill(path, calls=300)
    with path.open("r+b") as file:
        file.seek(4096 * 8)
        file.write(b"\xff" * 4096 * 4)
    code, said, wrong = run("check")
    assert code == 1
    assert "damaged" in wrong or "cannot be used" in wrong
    assert "Traceback" not in said + wrong


def test_a_store_of_a_newer_version_is_refused(run: Run, path: Path) -> None:
    fill(path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE layout SET level = {LEVEL + 1}, oldest = {LEVEL + 1}")
    for command in ("upgrade", "check"):
        code, _, wrong = run(command)
        assert code == 1
        assert f"needs a program of level {LEVEL + 1}" in wrong


def test_a_backup_can_be_put_back(run: Run, path: Path, tmp_path: Path) -> None:
    fill(path)
    copy = tmp_path / "copy.sqlite"
    assert run("backup", str(copy))[0] == 0
    assert copy.stat().st_mode & 0o777 == 0o600
    fill(path, calls=5)
    assert run("restore", str(copy), "--yes") == (0, "The store is the copy now.\n", "")
    assert run("check")[1] == f"Level {LEVEL}, 3 calls, 0 problems.\n"


def test_a_backup_replaces_no_file(run: Run, path: Path, tmp_path: Path) -> None:
    fill(path)
    code, _, wrong = run("backup", str(path))
    assert code == 1
    assert "is there already" in wrong


@pytest.mark.parametrize("content", [b"", b"no database at all" * 100])
def test_what_is_no_copy_is_not_put_back(run: Run, path: Path, tmp_path: Path, content: bytes) -> None:
    fill(path)
    copy = tmp_path / "copy.sqlite"
    copy.write_bytes(content)
    code, _, wrong = run("restore", str(copy), "--yes")
    assert code == 1
    assert "is no copy of a store" in wrong
    assert run("check")[1].startswith(f"Level {LEVEL}, 3 calls")


def test_restoring_asks_first(run: Run, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(path)
    run("backup", str(tmp_path / "copy.sqlite"))
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    code, said, _ = run("restore", str(tmp_path / "copy.sqlite"))
    assert (code, "Is the service stopped? (--yes asks nothing) [y/N]" in said) == (1, True)
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert run("restore", str(tmp_path / "copy.sqlite"))[0] == 1


def test_pruning_counts_first_and_deletes_then(run: Run, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: AT + 40 * 86_400)
    fill(path)
    counted = "3 calls, 1 cards, 1 feedback entries, 1 answers, 2 counts of unmapped codes."
    none = "0 calls, 0 cards, 0 feedback entries, 0 answers, 0 counts of unmapped codes."
    assert (
        run("prune", "--older-than", "39", "--dry-run")[1]
        == f"Older than 39 days, would be deleted: {counted}\n"
    )
    assert run("prune")[1] == f"Older than 365 days, deleted: {none}\n"
    assert run("prune", "--older-than", "39")[1] == f"Older than 39 days, deleted: {counted}\n"


def test_a_store_in_memory_cannot_be_looked_after(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, wrong = tocsin(capsys, "db", "check")
    assert code == 2
    assert "Set TOCSIN_STATE_DIR (after `make run` it is var) or TOCSIN_DATABASE_URL" in wrong


def test_a_wrong_address_is_named_and_not_repeated(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_DATABASE_URL", "mysql://user:PLANTED@host/db")
    code, _, wrong = tocsin(capsys, "db", "check")
    assert code == 2
    assert "TOCSIN_DATABASE_URL" in wrong
    assert "PLANTED" not in wrong
