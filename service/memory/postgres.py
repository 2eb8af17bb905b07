"""The store in PostgreSQL, shared by workers and replicas, through psycopg 3.

A worker has two connections, one for its writing thread and one for reading, each made again when it is lost.
Source: stack.md 4.
"""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from service.memory.store import LEVEL, Store, StoreFailed, StoreRefused
from service.memory.upgrade import current_layout, migrate

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["PostgresStore"]

_CONNECT_S = 2
# A statement, or a lock, takes no longer than this many milliseconds.
_PATIENCE = "SET statement_timeout = 2000; SET lock_timeout = 2000"
# One replica brings the schema up to date while the others wait. The number is ours and otherwise means
# nothing.
_UPGRADE_LOCK = 7_365_310_442
_REFUSED = (psycopg.IntegrityError, psycopg.DataError)


class PostgresStore(Store):
    """`url` is a libpq connection string, which may hold a password and is never shown."""

    mark = "%s"
    inline = False
    day = "CAST(FLOOR(at / 86400) AS INTEGER)"
    joined = "STRING_AGG(DISTINCT c.rule, ',')"

    def __init__(self, url: str) -> None:
        self._url = url
        self._writer = _Line(url)
        self._reader = _Line(url)

    def open(self) -> None:
        with self.transaction() as cursor:
            done = _up_to_date(cursor)
        if not done:
            with _said():
                self._upgrade()

    def close(self) -> None:
        self._writer.close()
        self._reader.close()

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        with (
            _said(),
            self._writer.use() as connection,
            connection.transaction(),
            connection.cursor() as cursor,
        ):
            yield cursor

    @contextmanager
    def reading(self) -> Iterator[Any]:
        with _said(), self._reader.use() as connection, connection.cursor() as cursor:
            yield cursor

    @property
    def url(self) -> str:
        return self._url

    @contextmanager
    def inspecting(self) -> "Iterator[Connection]":
        from sqlalchemy import NullPool, create_engine

        engine = create_engine("postgresql+psycopg://", creator=self._connect, poolclass=NullPool)
        with _said(), engine.connect() as lent, lent.begin():
            yield lent

    def _upgrade(self) -> None:
        from sqlalchemy import text

        with self.inspecting() as lent:
            lent.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _UPGRADE_LOCK})
            with closing(lent.connection.cursor()) as cursor:
                done = _up_to_date(cursor)
            if not done:
                migrate(lent)

    def _connect(self) -> "psycopg.Connection[Any]":
        return psycopg.connect(self._url, connect_timeout=_CONNECT_S)


def _up_to_date(cursor: Any) -> bool:
    cursor.execute("SELECT to_regclass('layout')")
    if cursor.fetchone()[0] is None:
        return False
    layout = current_layout(cursor)
    return layout is not None and layout[0] >= LEVEL


class _Line:
    """One connection in autocommit mode, made when it is used and after it was lost."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None
        self._lock = threading.Lock()

    @contextmanager
    def use(self) -> Iterator["psycopg.Connection[Any]"]:
        with self._lock:
            if self._connection is None or self._connection.closed:
                self._connection = psycopg.connect(
                    self._url, autocommit=True, connect_timeout=_CONNECT_S, application_name="tocsin"
                )
                self._connection.execute(_PATIENCE)
            try:
                yield self._connection
            except psycopg.OperationalError:
                # Whatever happened to it, the next use gets a fresh one.
                self._connection.close()
                raise

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None


@contextmanager
def _said() -> Iterator[None]:
    """Driver errors as StoreError. The message of none of them goes on: it may quote values or
    the address.
    """
    try:
        yield
    except _REFUSED as error:
        raise StoreRefused(type(error).__name__) from error
    except (psycopg.Error, OSError, TypeError) as error:
        # SQLAlchemy fails with a TypeError on a database without an encoding (SQL_ASCII).
        raise StoreFailed(type(error).__name__) from error
