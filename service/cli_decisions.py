"""`tocsin decisions`: what was decided, shown and answered. Nothing here names a patient."""

from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer
from rich.table import Table

from service.memory.exports import (
    FEEDBACK_COLUMNS,
    FLAT_COLUMNS,
    decisions_of,
    each_decision,
    each_feedback,
    flat,
)
from service.storeroom import Since, Until, console, opened, span, write_rows
from service.workbench import CONTENT_WRONG

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)

_Form = Annotated[Literal["ndjson", "csv"], typer.Option("--format", help="One JSON object a line, or CSV.")]
_Output = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="Where to; standard output if not given.")
]
_UNREMARKABLE = ("not-fired", "excluded")


@app.command(name="list")
def list_decisions(
    since: Since = "24h",
    until: Until = "0m",
    rule: Annotated[
        str, typer.Option("--rule", metavar="ID", help="Only calls on which this rule was true.")
    ] = "",
    client: Annotated[str, typer.Option("--client", metavar="ID", help="Only calls of this client.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most lines; the newest are kept.")] = 50,
) -> None:
    """List calls with the rules that were true and what became of them."""
    table = Table("Time", "Hook", "Client", "Cards", "Rules", "ms", box=None, pad_edge=False)
    table.add_column("hookInstance", no_wrap=True)
    with opened() as store:
        found = [
            decision
            for decision in each_decision(store, *span(since, until))
            if (not client or decision["client"] == client) and (not rule or rule in _true(decision))
        ]
    for decision in found[-limit:]:
        rules = ", ".join(f"{name} ({said})" for name, said in _true(decision).items())
        cells = (decision["time"][:19], decision["hook"], decision["client"], str(flat(decision)["cards"]))
        table.add_row(*cells, rules, str(decision["total_ms"]), decision["instance"])
    console().print(table, markup=False)
    typer.echo(f"{len(found)} calls.")


@app.command()
def show(
    instance: Annotated[str, typer.Argument(metavar="HOOKINSTANCE", help="As the EHR sent it.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show the calls with a hookInstance: rules, facts, cards, feedback, and what of the data
    was left out.
    """
    with opened() as store:
        found = decisions_of(store, instance)
    if not found:
        typer.secho("No call with this hookInstance is on record.", fg=typer.colors.RED, err=True)
        raise typer.Exit(CONTENT_WRONG)
    if as_json:
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return
    for decision in found:
        typer.echo("\n".join(_lines(decision)))


@app.command()
def export(since: Since = "28d", until: Until = "0m", form: _Form = "ndjson", output: _Output = None) -> None:
    """Write every call with its cards and feedback; as CSV one row a call."""
    start, end = span(since, until)
    with opened() as store:
        rows = each_decision(store, start, end)
        flattened = (flat(row) for row in rows) if form == "csv" else rows
        write_rows(flattened, form, FLAT_COLUMNS, output, total=store.count(start, end))


@app.command()
def feedback(
    since: Since = "28d", until: Until = "0m", form: _Form = "ndjson", output: _Output = None
) -> None:
    """Write every entry of feedback with the rules of its card. Comments are never kept."""
    with opened() as store:
        write_rows(each_feedback(store, *span(since, until)), form, FEEDBACK_COLUMNS, output)


def _true(decision: dict[str, Any]) -> dict[str, str]:
    """Rule -> what became of it, of the rules that were true."""
    return {
        rule: decision["reasons"].get(rule, outcome) if outcome != "fired" else outcome
        for rule, outcome in decision["rules"].items()
        if outcome in ("fired", "suppressed", "folded")
    }


def _lines(decision: dict[str, Any]) -> list[str]:
    lines = [
        f"{decision['time']}  {decision['hook']}  {decision['client']}  {decision['total_ms']} ms",
        f"  rules {decision['version']} ({decision['bundle']}), patient {decision['patient']}",
    ]
    for rule, outcome in decision["rules"].items():
        if outcome not in _UNREMARKABLE:
            reason = decision["reasons"].get(rule)
            lines.append(f"  {outcome:16} {rule}{f' ({reason})' if reason else ''}")
    lines += [
        f"  fact             {name} = {orjson.dumps(value).decode()}{f' ({day})' if day else ''}"
        for name, (value, day) in decision["facts"].items()
    ]
    if decision["missing"]:
        lines.append(f"  not known        {', '.join(decision['missing'])}")
    lines += [f"  left out         {what}: {_said(value)}" for what, value in decision["cut"].items()]
    lines += [
        f"  card             {card['card']} {card['rule']} ({card['role']})" for card in decision["cards"]
    ]
    lines += [
        f"  feedback         {entry['card']} {entry['outcome']} {entry['reason']} at {entry['time']}"
        for entry in decision["feedback"]
    ]
    return lines


def _said(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
