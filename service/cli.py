"""The command line, `tocsin`.

Commands that run the server or describe this code are here. A family of commands has its own module with a
Typer named `app`, listed in FAMILIES; it is imported only when its name is the first argument, so that
`tocsin serve` does not pay for it.
"""

import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from service import __version__
from service.cautions import warnings
from service.errors import SettingProblem, SettingsError, TocsinError
from service.logs import configure
from service.options import Row
from service.settings import PREFIX, Settings, examine, load, settings_markdown, table

__all__ = ["FAMILIES", "application", "main"]

# Name of the family -> module with its `app`, and the line shown by `tocsin --help`.
FAMILIES: dict[str, tuple[str, str]] = {
    "report": ("service.cli_report", "Report what the rules did, what came of it, and what looks broken."),
    "db": ("service.cli_db", "Upgrade, check, back up, restore and prune the store of decisions."),
    "decisions": ("service.cli_decisions", "List, show and export what was decided, shown and answered."),
    "demo": ("service.cli_demo", "Try the bundled synthetic patients."),
    "try": ("service.cli_try", "Try a FHIR server, a Bundle or a captured request."),
    "doctor": ("service.cli_doctor", "Check this installation, and say what is wrong and what to do."),
    "registration": ("service.cli_registration", "Print what an EHR's people need to register the service."),
    "canary": ("service.cli_canary", "Post made-up patients to a running service and check the answers."),
    "rules": ("service.cli_rules", "List, show, explain, check and test the rules."),
    "site": ("service.cli_site", "Check the settings file of a site, and tell what it changes."),
    "bundle": ("service.cli_bundle", "Pack rules into one archive, sign it, check it, look at it."),
    "docs": ("service.cli_docs", "Write or check the generated pages of docs/."),
    "source-attributes": ("service.cli_attributes", "Print the source attributes of the rules (ONC HTI-1)."),
}

_SETTINGS_WRONG = 2
_CONTENT_WRONG = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `tocsin` with `arguments`, or with those of the process. Always raises SystemExit.

    What is wrong with settings, rules or the clients file is told in lines, not in a traceback.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        application(given[0] if given else "")(given, prog_name="tocsin")
    except Exception as error:
        # Imported late: most commands need nothing of the rules.
        from rules.engine.errors import RulesError

        if not isinstance(error, TocsinError | RulesError):
            raise
        typer.secho(str(error), fg=typer.colors.RED, err=True)
        raise SystemExit(_CONTENT_WRONG) from error


def application(chosen: str) -> typer.Typer:
    """The whole command line. Of FAMILIES only `chosen` is imported; the others are a name and a line."""
    app = typer.Typer(
        help="CDS Hooks service for red flags in low back and hip pain.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_show_locals=False,
    )
    app.command(help="Answer CDS Hooks calls over HTTP. Each option sets the environment variable it names.")(
        _with_settings(serve)
    )
    app.command()(version)
    app.command()(settings)
    app.command()(errors)
    for name, (module, line) in FAMILIES.items():
        family = importlib.import_module(module).app if name == chosen else _placeholder()
        app.add_typer(family, name=name, help=line)
    return app


def serve(**overrides: str | None) -> None:
    for field, value in overrides.items():
        if value is not None:
            os.environ[f"{PREFIX}{field.upper()}"] = value
    try:
        chosen = load()
    except SettingsError as error:
        _refuse(error.problems)
    configure(chosen.log_level)
    host = f"[{chosen.host}]" if ":" in chosen.host else chosen.host
    typer.echo(f"Tocsin {__version__} on http://{host}:{chosen.port}", err=True)
    for line in warnings(chosen):
        typer.secho(line, fg=typer.colors.YELLOW, err=True)
    if chosen.demo:
        typer.echo("\n".join(_to_try(chosen)), err=True)
    # The server and the application are imported late: no other command needs them.
    from service.serving import run_server

    run_server(chosen)


def _to_try(chosen: Settings) -> Iterable[str]:
    """Lines to copy into a browser and a second terminal, with the address that is served."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(chosen.host, chosen.host)
    url = f"http://{f'[{reached}]' if ':' in reached else reached}:{chosen.port}"
    script, here = Path(sys.argv[0]), Path.cwd()
    if script.is_relative_to(here):
        script = script.relative_to(here)
    tocsin = script if script.name == "tocsin" else "tocsin"
    yield "Try:"
    yield f"  {url}/playground"
    yield f"  {tocsin} demo demo-cord --url {url}"
    yield (
        f"  {tocsin} demo demo-cord --json"
        f" | curl -s -H 'Content-Type: application/json' -d @- {url}/cds-services/red-flags"
    )


def version() -> None:
    """Print the versions of the code, the rule catalogue and Python."""
    catalogue = resources.files("rules").joinpath("VERSION").read_text("ascii").strip()
    typer.echo(f"tocsin {__version__}, rules {catalogue}, Python {sys.version.split()[0]}")


def settings(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the reference page.")] = False,
) -> None:
    """Print every setting with its value now, and what is wrong with them. Secrets are masked."""
    if markdown:
        typer.echo(settings_markdown(), nl=False)
        return
    chosen, problems = examine()
    rows = table(chosen)
    width = max(len(row.name) for row in rows)
    for row in rows:
        mark = " " if row.value == row.default else "*"
        typer.echo(f"{mark} {row.name:<{width}}  {row.value:<12}  {row.help}")
    if problems:
        _refuse(problems)


def errors() -> None:
    """Print the reference page of the errors a caller can get."""
    # Imported late: the pages are made from the rules, which nothing else here needs.
    from service.docs import errors_table

    typer.echo(errors_table(), nl=False)


def _refuse(problems: Iterable[SettingProblem]) -> NoReturn:
    for problem in problems:
        typer.secho(str(problem), fg=typer.colors.RED, err=True)
    raise typer.Exit(_SETTINGS_WRONG)


def _with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with one option for each row of the settings table, which Typer reads from the signature."""
    options = [_option(row) for row in table()]
    vars(command)["__signature__"] = inspect.Signature(options)
    command.__annotations__ = {option.name: option.annotation for option in options}
    return command


def _option(row: Row) -> inspect.Parameter:
    # The value stays text here: service.settings reads it exactly as it reads the environment variable.
    shown = typer.Option(
        f"--{row.field.replace('_', '-')}", help=row.help, metavar=row.type, show_default=False
    )
    return inspect.Parameter(
        row.field, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, shown]
    )


def _placeholder() -> typer.Typer:
    family = typer.Typer()
    family.callback(invoke_without_command=True)(lambda: None)
    return family
