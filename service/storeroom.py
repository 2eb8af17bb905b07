"""What commands that look into the store have in common: opening it, spans of time, tables, progress."""

import csv
import datetime as dt
import io
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import orjson
import typer
from rich.console import Console
from rich.progress import track

from service.memory.opening import open_store
from service.memory.spans import read_time
from service.memory.store import Store, StoreError
from service.settings import Settings, examine
from service.workbench import CONTENT_WRONG, refuse

__all__ = ["Since", "Until", "console", "opened", "span", "store_settings", "write_rows"]

_WIDE = 200
_NEEDED = ("TOCSIN_DATABASE_URL", "TOCSIN_STATE_DIR", "TOCSIN_RETENTION_DAYS")

Since = Annotated[
    str, typer.Option("--since", metavar="TIME", help="28d, 6h, 90m ago, or a day or time in ISO 8601.")
]
Until = Annotated[str, typer.Option("--until", metavar="TIME", help="The end, written like --since.")]


def store_settings() -> Settings:
    """The settings of the environment; ends the command when one that says where the store is is wrong."""
    chosen, problems = examine()
    wrong = [str(problem) for problem in problems if problem.name in _NEEDED]
    if wrong:
        refuse("\n".join(wrong))
    if chosen.store_url == "memory:":
        refuse(
            "No store is named. Set TOCSIN_STATE_DIR (after `make run` it is var) or TOCSIN_DATABASE_URL as "
            "the service has it; without either it keeps decisions in its memory only."
        )
    return chosen


@contextmanager
def opened() -> Iterator[Store]:
    """The store of the settings, open. A store that cannot be used ends the command with one sentence."""
    settings = store_settings()
    path = Path(settings.store_url.removeprefix("sqlite:///"))
    store = open_store(settings)
    if store.inline and not path.exists():
        refuse(
            f"There is no store at {path}, which follows from TOCSIN_STATE_DIR or TOCSIN_DATABASE_URL. "
            "The service makes it when it starts, or `tocsin db upgrade` does."
        )
    try:
        store.open()
        yield store
    except StoreError as error:
        typer.secho(f"The store cannot be used: {error}.", fg=typer.colors.RED, err=True)
        raise typer.Exit(CONTENT_WRONG) from None
    finally:
        store.close()


def console() -> Console:
    """For tables: as wide as the terminal, and wide enough for every column where the output
    goes elsewhere.
    """
    return Console(width=None if sys.stdout.isatty() else _WIDE)


def span(since: str, until: str = "0m") -> tuple[float, float]:
    """Both ends in seconds since 1970; ends the command when one of them is no time."""
    now = dt.datetime.now(dt.UTC)
    try:
        return read_time(since, now).timestamp(), read_time(until, now).timestamp()
    except (ValueError, OverflowError):
        refuse("A time is written 28d, 6h or 90m (ago), or 2026-11-25, or 2026-11-25T10:00:00+01:00.")


def write_rows(
    rows: Iterable[Mapping[str, Any]],
    form: str,
    columns: Sequence[str],
    output: Path | None,
    *,
    total: int | None = None,
) -> None:
    """Write rows as NDJSON or CSV to a file or standard output, with a progress bar when it is a file."""
    if output is None:
        _write(rows, form, columns, sys.stdout.buffer)
        return
    shown = track(rows, "Exporting", total=total, console=Console(stderr=True), transient=True)
    with output.open("wb") as file:
        _write(shown, form, columns, file)


def _write(rows: Iterable[Mapping[str, Any]], form: str, columns: Sequence[str], to: BinaryIO) -> None:
    if form == "ndjson":
        for row in rows:
            to.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    else:
        to.write(_csv([columns]))
        for row in rows:
            to.write(_csv([[_cell(row[name]) for name in columns]]))
    to.flush()


def _cell(value: Any) -> Any:
    """A list in one cell. A text that a spreadsheet would run as a formula is quoted."""
    if isinstance(value, list):
        value = " ".join(map(str, value))
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


def _csv(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
