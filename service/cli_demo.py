"""`tocsin demo`: the bundled synthetic patients, and what the rules answer for one of them.

The call goes through the whole application: in this process, or with --url to a running service.
"""

import asyncio
import uuid
from collections.abc import Mapping
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.text import Text

from service.demo import Patient, load, to_request
from service.exchange import ExchangeFailed, connect
from service.render import card, decision
from service.settings import Settings
from service.workbench import CONTENT_WRONG, local_settings, refuse, today

__all__ = ["app"]

# A group without subcommands, so that the family is one command that takes options on either side of the ID.
app = typer.Typer(subcommand_metavar="", context_settings={"allow_interspersed_args": True})


@app.callback(invoke_without_command=True)
def demo(
    patient_id: Annotated[str | None, typer.Argument(metavar="ID", help="A patient of the list.")] = None,
    url: Annotated[
        str | None, typer.Option("--url", metavar="URL", help="Call a running service, not this process.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the body of the call, for curl.")] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print every rule with its criteria and values.")
    ] = False,
) -> None:
    """List the bundled patients, or fire the hook for one: the cards, and the reasons behind them.

    Nobody in the list exists. Dates are relative to today.
    """
    if patient_id is None:
        _list(Console())
        return
    patient = next((one for one in load() if one.id == patient_id), None)
    if patient is None:
        refuse(f"No patient is called {patient_id}. `tocsin demo` lists them.")
    settings = local_settings()
    body = to_request(patient, today(settings), str(uuid.uuid4()))
    if as_json:
        typer.echo(orjson.dumps(body, option=orjson.OPT_INDENT_2).decode())
        return
    try:
        cards, explanation = asyncio.run(_call(body, url, settings))
    except ExchangeFailed as error:
        refuse(str(error), code=CONTENT_WRONG)
    _show(Console(), patient, cards, explanation, explain)
    if url is None:
        aside = "Decided in this process, by the rules here. --url URL asks a running service."
        Console().print(Text(aside, style="dim"))


async def _call(
    body: Mapping[str, Any], url: str | None, settings: Settings
) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    async with connect(url, settings) as exchange:
        return await exchange.call(body)


def _list(console: Console) -> None:
    patients = load()
    width = max(len(patient.id) for patient in patients)
    for patient in patients:
        who = Text(f"{patient.id:<{width}}  ", style="bold")
        who.append(f"{patient.age:>3} {patient.sex:<6}  {patient.hook:<12}  ", style="not bold")
        console.print(who + Text(patient.story, style="not bold"), soft_wrap=True)
    says = "\ntocsin demo ID fires the hook for one of them; with --url URL, at a running service."
    console.print(Text(says, style="dim"))


def _show(
    console: Console,
    patient: Patient,
    answer: Mapping[str, Any],
    explanation: Mapping[str, Any] | None,
    whole: bool,
) -> None:
    console.print(Text(f"{patient.name}, {patient.age}, {patient.sex}: {patient.hook}", style="bold"))
    console.print(Text(patient.story), end="\n\n")
    for one in answer["cards"]:
        console.print(card(one))
    if not answer["cards"]:
        console.print(Text("No card. That is no all-clear: see why below.", style="bold"))
    if explanation is None:
        console.print(Text("The service does not explain its decisions (TOCSIN_EXPLAIN).", style="yellow"))
    else:
        console.print(decision(explanation, whole=whole))
