"""`tocsin docs`: the generated reference pages, written or compared with what is on disk."""

from pathlib import Path
from typing import Annotated

import typer

from service.docs import pages
from service.workbench import CONTENT_WRONG

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)
_Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="The folder of the pages.", exists=True, file_okay=False)
]


@app.command()
def write(folder: _Folder = Path("docs")) -> None:
    """Write the pages whose content has changed."""
    for file, text in _stale(folder).items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        typer.echo(f"{file} written")


@app.command()
def check(folder: _Folder = Path("docs")) -> None:
    """Tell which pages are not current. Ends with 1 when one is not."""
    stale = _stale(folder)
    for file in stale:
        typer.secho(f"{file} is not current: run `tocsin docs write`", fg=typer.colors.RED)
    raise typer.Exit(CONTENT_WRONG if stale else 0)


def _stale(folder: Path) -> dict[Path, str]:
    """The files that do not hold what they should, with what that is."""
    wanted = {folder / name: text for name, text in pages().items()}
    return {file: text for file, text in wanted.items() if not _holds(file, text)}


def _holds(file: Path, text: str) -> bool:
    return file.is_file() and file.read_text("utf-8") == text
