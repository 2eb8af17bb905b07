"""Stores to test with: SQLite in memory and in a file, and PostgreSQL where it is installed."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.memory.postgres import PostgresStore
from service.memory.sqlite import SqliteStore
from service.memory.store import Store
from tests.service.memory.postgres import Server

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("postgres"))
    yield server
    server.stop()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store that does not exist yet, of each kind in turn."""
    if request.param == "memory":
        return "memory:"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state' / 'tocsin.sqlite'}"
    server: Server = request.getfixturevalue("postgres")
    return server.new_schema(f"test{next(_NUMBERS)}")


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An open, empty store of each kind in turn."""
    made = store_at(store_url)
    made.open()
    yield made
    made.close()


def store_at(url: str) -> Store:
    if url.startswith("postgresql"):
        return PostgresStore(url)
    return SqliteStore(None if url == "memory:" else Path(url.removeprefix("sqlite:///")))
