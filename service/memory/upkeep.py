"""Looking after a store: is it whole, copy it, put a copy back, delete what is too old.

A copy is made while the service runs. Putting one back is done with the service stopped.
"""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from service.memory.sqlite import SqliteStore
from service.memory.store import Store, StoreError
from service.memory.upgrade import current_layout

__all__ = ["BackupError", "back_up", "differences", "problems", "restore", "retention_start"]

_DAY_S = 86_400.0


class BackupError(StoreError):
    """A copy could not be made or put back."""


def problems(store: Store) -> list[str]:
    """What is wrong with an open store, in sentences; empty when it is whole. Raises StoreError."""
    found = []
    if isinstance(store, SqliteStore) and (said := store.integrity()) != "ok":
        found.append(f"SQLite finds the file damaged: {said}")
    with store.reading() as cursor:
        if current_layout(cursor) is None:
            found.append("The table `layout` is empty.")
    return found + differences(store)


def differences(store: Store) -> list[str]:
    """Where the schema of a store is not what this program has made of it. Raises StoreError."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from service.memory.schema.tables import METADATA

    with store.inspecting() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        found = compare_metadata(context, METADATA)
    # Columns and tables that a later version has added do no harm.
    return [
        f"The schema lacks something: {change[0]}." for change in found if str(change[0]).startswith("add_")
    ]


def back_up(store: Store, target: Path) -> None:
    """A consistent copy in a new file. Raises StoreError."""
    if target.exists():
        raise BackupError(f"{target} is there already")
    if isinstance(store, SqliteStore):
        store.back_up(target)
    else:
        _postgres("pg_dump", store.url, "--format=custom", f"--file={target}")
    target.chmod(0o600)


def restore(store: Store, source: Path) -> None:
    """Put a copy in place of what a store holds; the store must not be open anywhere. Raises StoreError."""
    if isinstance(store, SqliteStore):
        _restore_file(store, source)
    else:
        options = ("--clean", "--if-exists", "--no-owner", "--single-transaction")
        _postgres("pg_restore", store.url, *options, str(source))


def _restore_file(store: SqliteStore, source: Path) -> None:
    if store.path is None:
        raise BackupError("a store in memory cannot be restored")
    try:
        with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as copy:
            whole = copy.execute("PRAGMA quick_check").fetchone()[0] == "ok"
            current_layout(copy.cursor())
    except sqlite3.Error as error:
        raise BackupError(f"{source} is no copy of a store") from error
    if not whole:
        raise BackupError(f"{source} is damaged")
    store.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = store.path.with_name(f"{store.path.name}.restoring")
    shutil.copyfile(source, draft)
    draft.chmod(0o600)
    # The log of the old file must not be played into the new one.
    for suffix in ("-wal", "-shm"):
        store.path.with_name(store.path.name + suffix).unlink(missing_ok=True)
    os.replace(draft, store.path)


def _postgres(program: str, url: str, *options: str) -> None:
    """Run one of PostgreSQL's programs. The address goes by the environment: arguments show in
    process lists.
    """
    from psycopg.conninfo import conninfo_to_dict

    names = {"dbname": "PGDATABASE", "user": "PGUSER", "password": "PGPASSWORD"}
    given = {
        names.get(name, f"PG{name.upper()}"): str(value) for name, value in conninfo_to_dict(url).items()
    }
    if program == "pg_restore":
        options = (f"--dbname={given['PGDATABASE']}", *options)
    try:
        done = subprocess.run(
            [program, *options], env={**os.environ, **given}, capture_output=True, timeout=3600, check=False
        )
    except OSError as error:
        raise BackupError(f"{program} cannot be run: install PostgreSQL's client programs") from error
    if done.returncode:
        raise BackupError(f"{program} failed with status {done.returncode}")


def retention_start(now: float, days: int) -> float:
    """The time before which rows are older than so many days."""
    return now - days * _DAY_S
