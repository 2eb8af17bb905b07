"""`tocsin db`: look after the store of decisions and feedback."""

import math
import time
from pathlib import Path
from typing import Annotated

import typer

from service.memory.opening import open_store
from service.memory.store import LEVEL, StoreError
from service.memory.upkeep import back_up, problems, restore, retention_start
from service.storeroom import opened, store_settings
from service.workbench import CONTENT_WRONG

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)


@app.command()
def upgrade() -> None:
    """Make the store, or bring its schema up to date. The service does so itself when it may."""
    store = open_store(store_settings())
    try:
        store.open()
    except StoreError as error:
        _fail(error)
    finally:
        store.close()
    typer.echo(f"The store is at level {LEVEL}.")


@app.command()
def check() -> None:
    """Check that the store can be reached, is whole, and has the schema that this version writes."""
    with opened() as store:
        found = problems(store)
        calls = store.count(0, math.inf)
    for problem in found:
        typer.secho(problem, fg=typer.colors.RED, err=True)
    typer.echo(f"Level {LEVEL}, {calls} calls, {len(found)} problems.")
    raise typer.Exit(CONTENT_WRONG if found else 0)


@app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The copy. It must not be there yet.")],
) -> None:
    """Copy the store to a file while the service runs. The copy is health data: keep it as such."""
    with opened() as store:
        back_up(store, file)
    typer.echo(f"{file}: {file.stat().st_size} bytes.")


@app.command(name="restore")
def put_back(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A copy made by backup.", exists=True, dir_okay=False)
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Put a copy in place of the store. Stop the service first: what it has written since is lost.

    It asks whether you have; `--yes` answers. Ends with 1 when the answer is no, or there is nobody to ask.
    """
    settings = store_settings()
    if not yes:
        typer.confirm("This replaces the store. Is the service stopped? (--yes asks nothing)", abort=True)
    try:
        restore(open_store(settings), file)
    except StoreError as error:
        _fail(error)
    typer.echo("The store is the copy now.")


@app.command()
def prune(
    days: Annotated[
        int | None,
        typer.Option(
            "--older-than", min=1, metavar="DAYS", help="Age in days; TOCSIN_RETENTION_DAYS if not given."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
) -> None:
    """Delete records older than the retention time. Kill switches stay."""
    age = days or store_settings().retention_days
    with opened() as store:
        found = store.prune(retention_start(time.time(), age), dry_run=dry_run)
    verb = "would be deleted" if dry_run else "deleted"
    typer.echo(
        f"Older than {age} days, {verb}: {found.calls} calls, {found.cards} cards, "
        f"{found.feedback} feedback entries, {found.answers} answers, "
        f"{found.unmapped} counts of unmapped codes."
    )


def _fail(error: StoreError) -> None:
    typer.secho(f"The store cannot be used: {error}.", fg=typer.colors.RED, err=True)
    raise typer.Exit(CONTENT_WRONG) from None
