"""`tocsin rules`: the rules listed, shown, explained, checked, and run against their own cases."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import msgspec
import orjson
import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.syntax import Syntax

from rules.engine import (
    CaseResult,
    Problem,
    RuleReport,
    RuleRow,
    bundled_root,
    check,
    list_rules,
    load,
    run_tests,
)
from service.knowledge import order_problems
from service.policy import case_policy
from service.sheets import sheet
from service.workbench import (
    CONTENT_WRONG,
    local_knowledge,
    local_root,
    local_settings,
    need_rules,
    shown_path,
    tell,
    today,
)

__all__ = ["app", "rule_problems"]

app = typer.Typer(no_args_is_help=True)
_RuleIds = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Only these rules.")]
_RuleId = Annotated[str, typer.Argument(metavar="ID", help="Id of a rule.")]
_COLOURS = {"critical": typer.colors.RED, "warning": typer.colors.YELLOW, "info": typer.colors.BLUE}


@app.command("list")
def list_all(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, one object for each rule.")] = False,
) -> None:
    """List the rules under the settings of this machine (TOCSIN_SITE, TOCSIN_CRITICAL_RULES)."""
    rows = list_rules(local_knowledge().bundle)
    if as_json:
        typer.echo(orjson.dumps(msgspec.to_builtins(rows), option=orjson.OPT_INDENT_2).decode())
        return
    head = ("ID", "URGENCY", "HOOKS", "MODE", "VERSION", "REVIEW BY")
    lines = [head, *map(_cells, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line, row in zip(lines, [None, *rows], strict=True):
        id_cell, urgency, *others = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        colour = typer.style(urgency, fg=_COLOURS[row.urgency]) if row else urgency
        typer.echo("  ".join([id_cell, colour, *others]).rstrip())
    for why in dict.fromkeys(row.off for row in rows if row.off):
        typer.echo(f"off: {why}", err=True)


def _cells(row: RuleRow) -> tuple[str, ...]:
    mode = "off" if row.off else row.mode
    return (row.id, row.urgency, ",".join(row.hooks), mode, row.version, row.review_by)


@app.command()
def show(rule_id: _RuleId) -> None:
    """Print the YAML of a rule as it is bundled."""
    with local_root() as root:
        bundle = load(root)
    need_rules(bundle, [rule_id])
    text = bundle.files[rule_id].document.text
    console = Console()
    if console.is_terminal:
        console.print(Syntax(text, "yaml", background_color="default", word_wrap=True))
    else:
        typer.echo(text, nl=False)


@app.command()
def explain(rule_id: _RuleId) -> None:
    """Say in words what a rule is for, when it fires here, on what evidence, and what it cannot do."""
    bundle = local_knowledge().bundle
    need_rules(bundle, [rule_id])
    Console().print(Markdown(sheet(bundle, rule_id)))


@app.command()
def lint(
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="PATH",
            help="Folder laid out as rules/. The bundled rules without it.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Check rules, cases, facts, codes, units, orders and evidence. Every problem is one line with its place.

    Ends with 1 when there is an error; warnings do not fail.
    """
    with nullcontext(folder) if folder is not None else local_root() as root:
        found = rule_problems(root)
        count = len(list((root / "catalogue").glob("*/")))
    tell(found, shown_path(folder.resolve()) if folder is not None else _placed(""))
    errors = sum(problem.severity == "error" for problem in found)
    typer.echo(f"{count} rules: {errors} errors, {len(found) - errors} warnings")
    raise typer.Exit(CONTENT_WRONG if errors else 0)


def rule_problems(root: Path) -> list[Problem]:
    """What is wrong below a folder laid out as rules/; the contacts a site has yet to give are no part of it.

    Order templates are tried against FHIR R4B once everything else holds.
    """
    found = [problem for problem in check(root, now=today(local_settings())) if problem.code != "R055"]
    if any(problem.severity == "error" for problem in found):
        return found
    return found + list(order_problems(load(root)))


@app.command("test")
def run(rule_ids: _RuleIds = None) -> None:
    """Run the cases of each rule, suppression included. Ends with 1 when one fails."""
    reports = _reports(rule_ids or ())
    for report in reports:
        _tell_cases(report)
    cases = [result for report in reports for result in report.results]
    failed = sum(not result.passed for result in cases)
    leaves = [leaf for report in reports for leaf in report.coverage]
    seen = sum(not leaf.unseen for leaf in leaves)
    typer.echo(
        f"{len(reports)} rules, {len(cases)} cases, {failed} failed; "
        f"{seen} of {len(leaves)} criteria seen true, false and unknown"
    )
    raise typer.Exit(CONTENT_WRONG if failed else 0)


@app.command()
def coverage(rule_ids: _RuleIds = None) -> None:
    """Tell for each rule how many of its criteria the cases have seen true, false and unknown.

    A criterion over facts that are never unknown need not be seen so. Ends with 1 when a value is missing.
    """
    reports = _reports(rule_ids or ())
    width = max(len(report.rule) for report in reports)
    typer.echo(f"{'ID':<{width}}  CRITERIA  TRUE  FALSE  UNKNOWN")
    for report in reports:
        counts = [sum(word in leaf.seen for leaf in report.coverage) for word in ("true", "false", "unknown")]
        true, false, unknown = counts
        typer.echo(f"{report.rule:<{width}}  {len(report.coverage):>8}  {true:>4}  {false:>5}  {unknown:>7}")
    missing = [line for report in reports for line in _unseen(report)]
    for line in missing:
        typer.secho(line, fg=typer.colors.YELLOW)
    total = sum(len(report.coverage) for report in reports)
    typer.echo(f"{total} criteria, {len(missing)} with a value that no case shows")
    raise typer.Exit(CONTENT_WRONG if missing else 0)


def _reports(rule_ids: list[str] | tuple[str, ...]) -> list[RuleReport]:
    with local_root() as root:
        bundle = load(root)
    need_rules(bundle, rule_ids)
    return run_tests(bundle, policy=case_policy, only=set(rule_ids) or None)


def _tell_cases(report: RuleReport) -> None:
    failed = [result for result in report.results if not result.passed]
    mark, colour = ("FAIL", typer.colors.RED) if failed else ("ok", typer.colors.GREEN)
    covered = sum(not leaf.unseen for leaf in report.coverage)
    count = f"{len(report.results)} cases, {covered}/{len(report.coverage)} criteria covered"
    typer.echo(f"{typer.style(f'{mark:<4}', fg=colour)}  {report.rule}  {count}")
    for result in failed:
        typer.secho(f"      {_failure(result)}", fg=typer.colors.RED)
    for line in _unseen(report):
        typer.secho(f"      {line}", fg=typer.colors.YELLOW)


def _failure(result: CaseResult) -> str:
    place = f"{_placed(result.path)}:{result.line}"
    return f"{place}: {result.name}: expected {result.expected}, got {result.got}"


def _unseen(report: RuleReport) -> Iterator[str]:
    for leaf in report.coverage:
        if leaf.unseen:
            yield f"{_placed(leaf.path)}:{leaf.line}: never {' or '.join(leaf.unseen)}: {leaf.says}"


def _placed(path: str) -> Path:
    """Where a file of the rules can be opened; one of an archive has a name only."""
    return shown_path(bundled_root() / path) if local_settings().rules_bundle is None else Path(path)
