"""`tocsin registration`: the sheet that the people of an EHR register the service from."""

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer

from service.addresses import InvalidBase
from service.desk import Desk
from service.registration import Sheet, as_html, as_markdown
from service.registration_steps import Ehr
from service.settings import examine
from service.trust import Client, read_clients
from service.workbench import CONTENT_WRONG, local_knowledge, local_settings, refuse

__all__ = ["app"]

app = typer.Typer()


@app.callback(invoke_without_command=True)
def registration(
    base_url: Annotated[
        str, typer.Option("--base-url", metavar="URL", help="URL under which the EHR reaches the service.")
    ],
    ehr: Annotated[Ehr, typer.Option("--ehr", help="Which kind of EHR.")] = "generic",
    form: Annotated[
        Literal["md", "html"], typer.Option("--format", help="Markdown, or a page to print.")
    ] = "md",
    output: Annotated[
        Path | None, typer.Option("--output", metavar="FILE", help="Where to; standard output if not given.")
    ] = None,
    client_id: Annotated[
        str | None,
        typer.Option("--client", metavar="ID", help="Fill in what TOCSIN_CLIENTS says of this client."),
    ] = None,
) -> None:
    """Print what to enter into an EHR: URLs, prefetch, scopes, token, links, codes, and what we need back.

    The prefetch is that of the rules under the settings of this machine, site file included.
    """
    client = None if client_id is None else _client(client_id)
    sheet = asyncio.run(_sheet(ehr, base_url, client))
    text = as_html(sheet) if form == "html" else as_markdown(sheet)
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        refuse(f"{output} cannot be written ({type(error).__name__}).", code=CONTENT_WRONG)
    typer.echo(f"{output} written")


async def _sheet(ehr: Ehr, base_url: str, client: Client | None) -> Sheet:
    settings = local_settings()
    desk = Desk(settings, local_knowledge(settings))
    try:
        return Sheet.of(desk, ehr, base_url, client)
    except InvalidBase as error:
        why = "https is needed, except on loopback" if error.reason == "base-insecure" else "give a plain URL"
        refuse(f"The base URL cannot be used: {why}, such as https://cds.example.org.")
    finally:
        await desk.aclose()


def _client(client_id: str) -> Client:
    chosen, problems = examine()
    wrong = [str(problem) for problem in problems if problem.name == "TOCSIN_CLIENTS"]
    if wrong or chosen.clients is None:
        refuse(*(wrong or ["--client needs the client list: set TOCSIN_CLIENTS."]))
    clients, _ = read_clients(chosen.clients)
    found = [client for client in clients if client.id == client_id]
    if not found:
        names = ", ".join(client.id for client in clients)
        refuse(f"The client list has no client {client_id}. It has: {names}.")
    return found[0]
