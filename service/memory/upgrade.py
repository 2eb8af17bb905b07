"""Bringing a store's schema up to date, and refusing one that is too new.

A store has a table `layout` with its level and the oldest level of code that may still use it. Changes only
ever add, so that the version before goes on serving while and after the schema is changed (N and N-1).
Alembic makes the changes; it is imported only when there is one to make.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from service.memory.statements import LAYOUT
from service.memory.store import LEVEL, StoreTooNew

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["borrowed", "bring_up_to_date", "current_layout", "migrate"]


def current_layout(cursor: Any) -> tuple[int, int] | None:
    """Level and oldest level of a store whose table `layout` exists. Raises StoreTooNew."""
    cursor.execute(LAYOUT)
    row = cursor.fetchone()
    if row is None:
        return None
    level, oldest = int(row[0]), int(row[1])
    if oldest > LEVEL:
        raise StoreTooNew(
            f"the store has level {level} and needs a program of level {oldest}; this is {LEVEL}"
        )
    return level, oldest


def bring_up_to_date(connection: sqlite3.Connection) -> None:
    """Upgrade a SQLite database in one transaction; of several workers one does it and the others wait.

    Raises StoreTooNew, sqlite3.Error.
    """
    if _up_to_date(connection):
        return
    # Inside a transaction that is already begun Alembic makes none of its own. The driver begins one only
    # when told so, and IMMEDIATE makes other workers wait here.
    with borrowed(connection) as lent:
        lent.exec_driver_sql("BEGIN IMMEDIATE")
        if not _up_to_date(connection):
            migrate(lent)


@contextmanager
def borrowed(connection: sqlite3.Connection) -> "Iterator[Connection]":
    """A SQLite connection as SQLAlchemy's, inside a transaction of SQLAlchemy's."""
    from sqlalchemy import StaticPool, create_engine

    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    with engine.connect() as lent, lent.begin():
        yield lent


def _up_to_date(connection: sqlite3.Connection) -> bool:
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'layout'").fetchone()
    if there is None:
        return False
    layout = current_layout(connection.cursor())
    return layout is not None and layout[0] >= LEVEL


def migrate(connection: "Connection", target: str = "head", location: str | None = None) -> None:
    """Run Alembic on an open SQLAlchemy connection up to `target`. `location` is another folder of
    migrations.
    """
    from importlib.resources import files

    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", location or str(files("service.memory") / "schema"))
    config.attributes["connection"] = connection
    command.upgrade(config, target)
