"""What a command on this machine works with: the rules under the site's settings, and how problems are shown.

Only the settings of group `rules` count here; nobody calls a command, so trust does not matter.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import msgspec
import typer

from rules.engine import Bundle, BundleError, Problem
from service.bundles import opened_rules
from service.knowledge import Knowledge
from service.settings import Settings, examine, table

__all__ = [
    "CONTENT_WRONG",
    "USAGE_WRONG",
    "local_knowledge",
    "local_root",
    "local_settings",
    "need_rules",
    "refuse",
    "shown_path",
    "tell",
    "today",
]

CONTENT_WRONG = 1
"""Exit code when rules, a site file or cases are wrong."""

USAGE_WRONG = 2
"""Exit code when the command or a setting is wrong, as Typer has it."""


def today(settings: Settings) -> dt.date:
    return dt.datetime.now(settings.zone).date()


def local_settings() -> Settings:
    """The settings of group `rules` as the environment has them, all others at a default that calls nobody.

    Ends the command when one of them, or the name of one, is wrong.
    """
    chosen, problems = examine()
    rules = {row.field: row.name for row in table() if row.group == "rules"}
    others = {row.name for row in table()} - set(rules.values())
    wrong = [problem for problem in problems if problem.name not in others]
    if wrong:
        refuse(*map(str, wrong), code=USAGE_WRONG)
    plain = {name: field.default for name, field in Settings.model_fields.items()}
    mine = {name: getattr(chosen, name) for name in rules}
    return Settings(**{**plain, **mine, "auth": False, "explain": "on", "log_level": "error"})


@contextmanager
def local_root() -> Iterator[Path]:
    """The folder of the rules of those settings (TOCSIN_RULES_BUNDLE), laid out as rules/, while the block
    runs. Raises ArchiveError.
    """
    with opened_rules(local_settings()) as source:
        yield source.root


def local_knowledge(settings: Settings | None = None) -> Knowledge:
    """The rules under those settings; ends the command with every problem when they cannot be used."""
    settings = settings or local_settings()
    try:
        return Knowledge.load(settings, today(settings))
    except BundleError as error:
        tell(error.problems)
        raise typer.Exit(CONTENT_WRONG) from error


def need_rules(bundle: Bundle, rule_ids: Iterable[str]) -> None:
    """Ends the command when there is no rule of one of the ids."""
    unknown = [rule_id for rule_id in rule_ids if rule_id not in bundle.programs]
    if unknown:
        refuse(*(f"No rule is called {name}. `tocsin rules list` has them." for name in unknown))


def refuse(*lines: str, code: int = USAGE_WRONG) -> NoReturn:
    """End the command with lines on standard error."""
    for line in lines:
        typer.secho(line, fg=typer.colors.RED, err=True)
    raise typer.Exit(code)


def tell(problems: Iterable[Problem], folder: Path | None = None) -> None:
    """Print problems, one a line with its place; `folder` is where their paths start."""
    for problem in problems:
        if folder is not None:
            problem = msgspec.structs.replace(problem, path=str(folder / problem.path))
        typer.secho(str(problem), fg=typer.colors.RED if problem.severity == "error" else typer.colors.YELLOW)


def shown_path(path: Path) -> Path:
    """A path as short as it can be clicked on: relative when it is below the working directory."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
