"""From settings to a Memory: which store, which keys."""

import secrets
from collections.abc import Callable
from pathlib import Path

from service.errors import SettingProblem, SettingsError
from service.memory.killswitch import FILE
from service.memory.memory import Memory
from service.memory.patients import Pseudonyms, key_file
from service.memory.sqlite import SqliteStore
from service.memory.store import Store
from service.metrics import Metrics
from service.settings import Settings

__all__ = ["open_memory", "open_store", "pseudonyms"]


def open_memory(settings: Settings, metrics: Metrics, daily: Callable[[], None] | None = None) -> Memory:
    """The memory of a worker. `daily` is called at the start and once a day.

    Raises SettingsError when the patient key cannot be read or made.
    """
    return Memory(
        open_store(settings),
        pseudonyms(settings),
        metrics,
        commit_calls=settings.durability != "async",
        retention_days=settings.retention_days,
        switch_file=settings.state_dir / FILE if settings.state_dir is not None else None,
        daily=daily,
    )


def open_store(settings: Settings) -> Store:
    """The store that the settings name, not opened yet."""
    url = settings.store_url
    if url.startswith("postgres"):
        # Imported late: most sites have no PostgreSQL driver to load.
        from service.memory.postgres import PostgresStore

        return PostgresStore(url)
    path = None if url == "memory:" else Path(url.removeprefix("sqlite:///"))
    return SqliteStore(path, durability=settings.durability)


def pseudonyms(settings: Settings) -> Pseudonyms:
    """The keys of PATIENT_KEY, or the one beside the SQLite file; in memory one that ends with
    the process.
    """
    if settings.patient_key is not None:
        return Pseudonyms([key.encode() for key in settings.patient_key.get_secret_value().split(",")])
    url = settings.store_url
    if url == "memory:":
        return Pseudonyms([secrets.token_bytes(32)])
    file = Path(url.removeprefix("sqlite:///")).with_name("patient.key")
    try:
        return Pseudonyms([key_file(file)])
    except OSError as error:
        name = "TOCSIN_STATE_DIR" if settings.database_url is None else "TOCSIN_DATABASE_URL"
        action = "Let the user of the process write there, or set TOCSIN_PATIENT_KEY."
        raise SettingsError(
            [SettingProblem(name, "Its folder cannot be written, or the key in it not read.", action)]
        ) from error
