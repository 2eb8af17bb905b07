"""`tocsin site`: a site's own file (TOCSIN_SITE) checked, and compared with the bundled rules."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from rules.engine import Bundle, BundleError, Overlay, Problem, check, load
from rules.engine.sitediff import Difference, site_diff
from rules.engine.text import number
from service.knowledge import site_problems
from service.workbench import CONTENT_WRONG, local_root, tell

__all__ = ["app", "site_file_problems"]

app = typer.Typer(no_args_is_help=True)
_File = Annotated[
    Path,
    typer.Argument(metavar="FILE", help="The site's YAML file.", exists=True, dir_okay=False, readable=True),
]


@app.command()
def lint(file: _File) -> None:
    """Check a site file against its schema and the bundled rules. Every problem is one line with its place.

    A contact that cards name and the file lacks is a warning; warnings do not fail.
    """
    found = site_file_problems(file)
    tell(found)
    errors = sum(problem.severity == "error" for problem in found)
    typer.echo(f"{file}: {errors} errors, {len(found) - errors} warnings")
    raise typer.Exit(CONTENT_WRONG if errors else 0)


@app.command()
def diff(file: _File) -> None:
    """Tell what a site file changes: thresholds with their bounds, modes, words, contacts, codes, limits."""
    try:
        with local_root() as root:
            bundle = load(root, overlay=Overlay.load(file))
    except BundleError:
        tell(site_file_problems(file))
        raise typer.Exit(CONTENT_WRONG) from None
    differences = site_diff(bundle)
    bounds = _bounds(bundle)
    for one in differences:
        typer.echo(_line(one, bounds.get(one.what, "")))
    if not differences:
        typer.echo("Nothing differs from the bundled rules.")


def site_file_problems(file: Path) -> list[Problem]:
    """Everything wrong in a site file, and in it only, under the path it was given with."""
    try:
        overlay = Overlay.load(file)
        with local_root() as root:
            found = [*check(root, overlay=overlay), *site_problems(overlay, root)]
    except BundleError as error:
        found = list(error.problems)
    return [msgspec.structs.replace(problem, path=str(file)) for problem in found]


def _line(one: Difference, bounds: str) -> str:
    what = typer.style(one.what, bold=True)
    return f"{what}: {one.bundled} -> {typer.style(one.site, fg=typer.colors.YELLOW)}{bounds}"


def _bounds(bundle: Bundle) -> dict[str, str]:
    """The bounds of each parameter, by the name it has in a difference."""
    return {
        f"{rule.id}: {spec.name}": f" (between {number(spec.min)} and {number(spec.max)})"
        for rule in bundle.rules.values()
        for spec in rule.params.values()
    }
