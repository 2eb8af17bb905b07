"""`tocsin report`: what the rules did, what came of it, and what looks broken."""

import csv
import io
import math
from collections import Counter
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import typer
from jinja2 import Environment, PackageLoader, StrictUndefined
from rich.console import Console
from rich.table import Table

from hooks import OVERRIDE_REASONS
from service.memory.plots import bars, run_chart
from service.memory.report import RULE_COLUMNS, Report, UnmappedCode, build_report
from service.storeroom import Since, Until, console, opened, span

__all__ = ["app", "as_csv", "as_html"]

_HELD = {
    "S1": "palliative care",
    "S2": "known and managed",
    "S3": "imaging done",
    "S4": "already ordered",
    "S5": "referral open",
    "S6": "answered before",
    "S10": "named on another card",
    "SUPERSEDED": "shown on another card",
    "MODE": "silent, or not in the pilot",
    "SWITCH": "switched off",
    "REPEAT": "sent before in the encounter",
    "CAP": "over the most cards",
    "AUDIENCE": "user is no clinician",
}
"""Why a rule that is true was not shown, by the code of the reason."""

# A group without subcommands, so that the family is one command.
app = typer.Typer(subcommand_metavar="")


@app.callback(invoke_without_command=True)
def report(
    since: Since = "28d",
    until: Until = "0m",
    form: Annotated[
        Literal["table", "json", "csv", "html"],
        typer.Option(
            "--format",
            help="Without a call in the span it is empty, which standard error says, and ends with 0.",
        ),
    ] = "table",
    codes: Annotated[
        bool, typer.Option("--codes", help="As CSV: the codes that the value sets may lack, not the rules.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Where to; standard output if not given.")
    ] = None,
) -> None:
    """Report on a span of time, the last 28 days if not told otherwise. The HTML page needs nothing else.

    Codes that the value sets may lack are those that came beside known ones.
    """
    with opened() as store:
        found = build_report(store, *span(since, until))
        held = found.calls or store.count(0, math.inf)
    if not found.calls:
        typer.echo(_empty(held), err=True)
    if form == "table":
        _print(found, console())
        return
    made = {"json": _as_json, "csv": _codes_as_csv if codes else as_csv, "html": as_html}
    text = made[form](found)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


def _empty(held: int) -> str:
    if held:
        return f"No call in this span. The store holds {held}: --since and --until say from when to when."
    return "The store holds no call yet. The service records each hook call within a second of its answer."


def _as_json(found: Report) -> str:
    return msgspec.json.format(msgspec.json.encode(found)).decode() + "\n"


def as_csv(found: Report) -> str:
    """The table of rules, one a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(RULE_COLUMNS)
    for row in found.rules:
        cells = msgspec.structs.asdict(row)
        cells |= {name: _said(cells[name]) for name in ("held_back", "reasons")}
        cells["daily"] = " ".join(map(str, row.daily))
        writer.writerow([cells[name] for name in RULE_COLUMNS])
    return text.getvalue()


def _codes_as_csv(found: Report) -> str:
    """The codes that the value sets may lack, one a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(UnmappedCode.__struct_fields__)
    writer.writerows(msgspec.structs.astuple(row) for row in found.unmapped)
    return text.getvalue()


def as_html(found: Report) -> str:
    """One page with its plots and styles inside."""
    environment = Environment(loader=PackageLoader("service"), autoescape=True, undefined=StrictUndefined)
    reasons: Counter[str] = Counter()
    for row in found.rules:
        reasons.update(row.reasons)
    return environment.get_template("report.html").render(
        report=found,
        answers={
            "accepted": sum(row.accepted for row in found.clients),
            "overridden": sum(row.overridden for row in found.clients),
        },
        reasons=dict(reasons.most_common()),
        explained=lambda rows: [row for row in rows if row.held_back or row.reasons],
        held=partial(_in_words, _HELD),
        worded=partial(_in_words, {reason.code: reason.display for reason in OVERRIDE_REASONS}),
        day=lambda time: time.removesuffix("+00:00").removesuffix("T00:00").replace("T", " "),
        run_chart=run_chart,
        bars=bars,
        said=_said,
    )


def _in_words(words: Mapping[str, str], counts: Mapping[str, int]) -> dict[str, int]:
    """Counts under words for their codes; a code without words stays, such as a reason of the site's own."""
    return {words.get(code, code): count for code, count in counts.items()}


def _said(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda one: -one[1]))


def _print(found: Report, to: Console) -> None:
    to.print(
        f"{found.since} to {found.until}: {found.calls} calls, {found.cards} cards, p95 {found.p95_ms} ms"
    )
    table = Table(box=None, pad_edge=False)
    table.add_column("Rule", no_wrap=True)
    for name in ("Fires", "/1000", "Shown", "Patients", "Accepted", "Overridden", "Ignored", "Cannot tell"):
        table.add_column(name, justify="right")
    for row in found.rules:
        shown = (row.fires, row.fires_per_1000, row.cards, row.patients)
        answers = (row.accepted, row.overridden, row.ignored)
        table.add_row(row.rule, *map(str, (*shown, *answers)), f"{row.cannot_tell_share:.0%}")
    to.print(table)
    clients = Table("Client", "Calls", "Cards", "Accepted", "Overridden", "p95 ms", box=None, pad_edge=False)
    for one in found.clients:
        cells = (one.calls, one.cards, one.accepted, one.overridden, one.p95_ms)
        clients.add_row(one.client, *map(str, cells))
    to.print(clients)
    if found.unmapped:
        lacking = Table("Codes the value sets may lack", "Code", "Seen", box=None, pad_edge=False)
        for code in found.unmapped:
            lacking.add_row(code.system, code.code, str(code.seen))
        to.print(lacking)
    for line in found.concerns:
        to.print(line, style="yellow", markup=False)
