"""The store in a SQLite file, or in memory for trials.

The write-ahead log lets calls be read while the writer writes, and several workers of one machine share the
file: one of them writes at a time, the others wait for their turn. It must be on a local disk. Source:
stack.md 4.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from service.files import make_private
from service.memory.store import Store, StoreFailed, StoreRefused
from service.memory.upgrade import borrowed, bring_up_to_date

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["SqliteStore"]

Durability = Literal["async", "commit", "fsync"]
# What the data is at fault for; everything else is the disk, a lock, or the file.
_REFUSED = (sqlite3.IntegrityError, sqlite3.DataError)


class SqliteStore(Store):
    """`path` None keeps everything in this process, and loses it with it."""

    def __init__(
        self,
        path: Path | None,
        *,
        durability: Durability = "async",
        busy_s: float = 5.0,
        read_s: float = 0.05,
    ) -> None:
        """`busy_s` is how long a write waits for other workers, `read_s` how long a read does, in seconds."""
        self.path = path
        self._durability = durability
        self._busy_s = busy_s
        self._read_s = read_s
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._writing = threading.RLock()
        # In memory there is one connection for both, so reading waits for writing.
        self._reading = threading.RLock() if path is not None else self._writing

    def open(self) -> None:
        with self._writing, self._reading, _said():
            if self._writer is None:
                self._writer = self._connect(self._busy_s)
            bring_up_to_date(self._writer)
            if self._reader is None:
                self._reader = self._writer if self.path is None else self._connect(self._read_s)

    def close(self) -> None:
        with self._writing, self._reading:
            for connection in (self._reader, self._writer):
                if connection is not None:
                    connection.close()
            self._writer = self._reader = None

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        with self._writing, _said():
            connection = self._opened(self._writer)
            cursor = connection.cursor()
            cursor.execute("BEGIN IMMEDIATE")
            try:
                yield cursor
                cursor.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.rollback()
                raise

    @contextmanager
    def reading(self) -> Iterator[Any]:
        with self._reading, _said():
            yield self._opened(self._reader).cursor()

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}" if self.path is not None else "memory:"

    @contextmanager
    def inspecting(self) -> "Iterator[Connection]":
        with self._writing, _said(), borrowed(self._opened(self._writer)) as connection:
            yield connection

    def back_up(self, target: Path) -> None:
        """A consistent copy in a new file, while calls go on."""
        with self._reading, _said():
            copy = sqlite3.connect(target)
            try:
                self._opened(self._reader).backup(copy)
            finally:
                copy.close()

    def integrity(self) -> str:
        """ "ok", or what SQLite finds wrong with the file."""
        with self.reading() as cursor:
            cursor.execute("PRAGMA quick_check")
            return str(cursor.fetchone()[0])

    def _opened(self, connection: sqlite3.Connection | None) -> sqlite3.Connection:
        if connection is None:
            raise StoreFailed("the store is not open")
        return connection

    def _connect(self, wait_s: float) -> sqlite3.Connection:
        if self.path is not None:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            make_private(self.path)
        connection = sqlite3.connect(
            self.path or ":memory:", timeout=wait_s, isolation_level=None, check_same_thread=False
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # FULL waits for the disk at each commit; NORMAL loses at most what a power cut takes.
            connection.execute(f"PRAGMA synchronous = {'FULL' if self._durability == 'fsync' else 'NORMAL'}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection


@contextmanager
def _said() -> Iterator[None]:
    """Driver errors as StoreError. The message of none of them goes on: it may quote values."""
    try:
        yield
    except _REFUSED as error:
        raise StoreRefused(type(error).__name__) from error
    except (sqlite3.Error, OSError) as error:
        raise StoreFailed(getattr(error, "sqlite_errorname", type(error).__name__)) from error
