"""`tocsin doctor`: try what this installation is made of, and say what is wrong and what to do."""

import asyncio
import datetime as dt
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import orjson
import typer
from rich.console import Console
from rich.text import Text

from service.doctor import PATIENCE_S, diagnose, overall
from service.doctor_scene import Finding
from service.doctor_token import pasted
from service.render import printable
from service.settings import examine
from service.workbench import CONTENT_WRONG, refuse

__all__ = ["app"]

app = typer.Typer()
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "bold red"}
_LONGEST_FILE = 64 * 1024


@app.callback(invoke_without_command=True)
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    token_file: Annotated[
        str | None,
        typer.Option(
            "--token-file", metavar="FILE", help="Try the token in this file, - for standard input."
        ),
    ] = None,
    offline: Annotated[bool, typer.Option("--offline", help="Send nothing over the network.")] = False,
    patience: Annotated[
        int, typer.Option("--timeout", metavar="SECONDS", min=1, max=600, help="For all checks together.")
    ] = int(PATIENCE_S),
) -> None:
    """Check settings, certificate, clock, database, rules, keys and servers of this installation.

    Changes nothing, sends nothing of a patient, and asks only servers that the settings name. Ends with 1
    when a check fails; warnings do not fail.
    """
    token = _token(token_file)
    settings, problems = examine()
    console = Console(stderr=True)
    with console.status("Checking…") as status:

        def tell(names: Iterable[str]) -> None:
            status.update(f"Checking {', '.join(names)}…".replace(" …", "…"))

        found = asyncio.run(
            diagnose(
                settings,
                problems,
                now=dt.datetime.now(dt.UTC),
                token=token,
                offline=offline,
                patience_s=patience,
                tell=tell,
            )
        )
    _show(found, as_json=as_json, offline=offline)
    raise typer.Exit(CONTENT_WRONG if overall(found) == "fail" else 0)


def _token(file: str | None) -> bytes:
    """The token to try; empty when none was given."""
    if file is None:
        return b""
    try:
        if file == "-":
            text = sys.stdin.buffer.read(_LONGEST_FILE)
        else:
            with Path(file).open("rb") as opened:
                text = opened.read(_LONGEST_FILE)
    except OSError as error:
        refuse(f"The token cannot be read from {file} ({type(error).__name__}).")
    token = pasted(text)
    if not token:
        refuse(f"There is no token in {'standard input' if file == '-' else file}.")
    return token


def _show(found: Sequence[Finding], *, as_json: bool, offline: bool) -> None:
    if as_json:
        body = {"status": overall(found), "offline": offline, "checks": msgspec.to_builtins(found)}
        typer.echo(orjson.dumps(body, option=orjson.OPT_INDENT_2).decode())
        return
    console = Console()
    width = max(len(one.check) for one in found)
    for one in found:
        line = Text.assemble((f"{one.state:<4}", _COLOURS[one.state]), f"  {one.check:<{width}}  ")
        line.append(printable(f"{one.says} {one.action}".rstrip()))
        console.print(line, soft_wrap=True)
    count = {state: sum(one.state == state for one in found) for state in _COLOURS}
    end = ", ".join(f"{number} {state}" for state, number in count.items())
    console.print(Text(f"{end}{'; nothing was sent over the network' if offline else ''}"), soft_wrap=True)
