"""`tocsin try`: the rules over a patient of any FHIR server, over a Bundle, or over a captured request.

The command plays the EHR: it reads the server, fills the prefetch templates and sends the call, to the rules
in this process or with --url to a running service. The access token goes to the FHIR server only.
"""

import asyncio
import datetime as dt
import gzip
import os
import sys
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import orjson
import typer
from rich.console import Console
from rich.progress import Progress

from hooks import REGISTRY
from hooks.errors import HookError
from hooks.hook import Context
from hooks.prefetch import PrefetchTemplate
from rules.engine import Bundle
from service.addresses import Base, InvalidBase, is_public, parse_base
from service.answering import POLICY_FACTS
from service.bodies import InputRefused, SeveralPatients, add_drafts, at_hook, call, read_body
from service.drafts import drafts, is_file
from service.ehr import FhirServer, ServerRefused
from service.exchange import Exchange, ExchangeFailed, connect
from service.knowledge import Knowledge
from service.outcomes import WORDS
from service.queries import plan
from service.replies import Filled, says
from service.settings import Settings
from service.trial import Trial, as_json, lacks
from service.trial_view import trial_view
from service.workbench import CONTENT_WRONG, local_knowledge, local_settings, refuse, today

__all__ = ["app"]

app = typer.Typer(subcommand_metavar="", context_settings={"allow_interspersed_args": True})
_USER = "Practitioner/try"
_TOKEN = "TOCSIN_TRY_TOKEN"
_SECONDS = 30.0
_GZIP = b"\x1f\x8b"
_Server = Annotated[
    str | None, typer.Option("--fhir-server", metavar="URL", help="Base URL of a FHIR R4, R4B or R5 server.")
]
_Patient = Annotated[
    str, typer.Option("--patient", metavar="ID", help="The patient's id there, or in the Bundle.")
]
_Bundle = Annotated[
    str | None, typer.Option("--bundle", metavar="FILE", help="A FHIR Bundle of one patient; - is stdin.")
]
_Request = Annotated[
    str | None, typer.Option("--request", metavar="FILE", help="A captured hook request; - is stdin.")
]
_Hook = Annotated[
    str, typer.Option("--hook", metavar="HOOK", help=f"One of {', '.join(REGISTRY)}.", show_default=False)
]
_Order = Annotated[
    list[str] | None,
    typer.Option(
        "--order",
        metavar="ORDER",
        help="A draft order: one of the rules (`esr-crp`), CODE, SYSTEM|CODE, or a JSON file.",
    ),
]
_Encounter = Annotated[str, typer.Option("--encounter", metavar="ID", help="The encounter of the call.")]
_Url = Annotated[
    str | None, typer.Option("--url", metavar="TOCSIN", help="Ask a running service, not this process.")
]
_TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", metavar="FILE", help=f"Access token of the FHIR server; or set {_TOKEN}."),
]
_Timeout = Annotated[
    float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="Time for each request.")
]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
_Explain = Annotated[bool, typer.Option("--explain", help="Print every rule with its criteria.")]


class _Wanted(msgspec.Struct, frozen=True):
    """What the command was asked for, read and checked."""

    settings: Settings
    knowledge: Knowledge
    day: dt.date
    hook: str
    orders: Sequence[Any]
    encounter: str
    url: str | None
    base: Base | None
    patient: str
    token: str
    seconds: float
    data: bytes


@app.callback(invoke_without_command=True)
def try_(
    fhir_server: _Server = None,
    patient: _Patient = "",
    bundle: _Bundle = None,
    request: _Request = None,
    hook: _Hook = "",
    order: _Order = None,
    encounter: _Encounter = "",
    url: _Url = None,
    token_file: _TokenFile = None,
    timeout: _Timeout = _SECONDS,
    as_data: _Json = False,
    explain: _Explain = False,
) -> None:
    """Try a patient of a FHIR server, a Bundle or a captured request: the cards, and the reasons behind them.

    Ends with 0 when the call was answered, 1 when it could not be, 2 when the command is wrong.
    """
    given = [name for name in (fhir_server, bundle, request) if name is not None]
    if len(given) != 1:
        refuse("Give one of --fhir-server URL with --patient ID, --bundle FILE, --request FILE.")
    base = _base(fhir_server) if fhir_server is not None else None
    if base is not None and not patient:
        refuse("Say which patient: --patient ID, as the FHIR server has it.")
    if hook and hook not in REGISTRY:
        refuse(f"There is no hook {hook}. It is one of {', '.join(REGISTRY)}.")
    settings = local_settings()
    knowledge = local_knowledge(settings)
    rules = knowledge.bundle
    wanted = _Wanted(
        settings=settings,
        knowledge=knowledge,
        day=today(settings),
        hook=hook,
        orders=_orders(order or (), rules, hook),
        encounter=encounter,
        url=url,
        base=base,
        patient=patient,
        token=_token(token_file, base) if base is not None else "",
        seconds=timeout,
        data=_file(bundle or request or "") if base is None else b"",
    )
    try:
        trial = asyncio.run(_trial(wanted, Console(stderr=True)))
    except SeveralPatients as error:
        refuse("The Bundle has several patients. Choose one with --patient:", *error.ids)
    except InputRefused as error:
        refuse(str(error))
    _tell(trial, rules, as_data=as_data, explain=explain)


def _tell(trial: Trial, rules: Bundle, *, as_data: bool, explain: bool) -> None:
    if as_data:
        typer.echo(orjson.dumps(as_json(trial, explain=explain), option=orjson.OPT_INDENT_2).decode())
    else:
        console = Console()
        for part in trial_view(trial, rules, explain=explain):
            console.print(part)
    if trial.error:
        refuse(trial.error, code=CONTENT_WRONG)


# -- the trial ---------------------------------------------------------------------------------------


async def _trial(wanted: _Wanted, aside: Console) -> Trial:
    """Raises InputRefused for what the person gave; what else goes wrong is the trial's error."""
    trial = Trial(hook=wanted.hook, server=wanted.base.url if wanted.base is not None else "")
    try:
        async with connect(wanted.url, wanted.settings, wanted.knowledge) as exchange:
            if wanted.base is not None:
                body = await _from_server(wanted, wanted.base, exchange, trial, aside)
            else:
                queries = plan(wanted.knowledge.bundle, wanted.hook or "patient-view", POLICY_FACTS)
                body = read_body(
                    wanted.data, queries, user=_USER, instance=str(uuid.uuid4()), patient=wanted.patient
                )
            _complete(body, wanted)
            trial.hook = str(body["hook"])
            trial.answer, trial.explanation = await exchange.call(body)
    except (ExchangeFailed, ServerRefused) as error:
        trial.error = str(error)
    trial.lacks = lacks(trial.templates, wanted.knowledge.bundle, trial.hook, trial.explanation)
    return trial


async def _from_server(
    wanted: _Wanted, base: Base, exchange: Exchange, trial: Trial, aside: Console
) -> dict[str, Any]:
    """The call for a patient of the server; the trial gets how each template went on the way."""
    context = _context(wanted)
    trial.hook = wanted.hook or ("order-select" if wanted.orders else "patient-view")
    public = is_public(base.host)
    if public:
        aside.print("Public server: use synthetic data only.", style="yellow")
    server = FhirServer(base, wanted.token, seconds=wanted.seconds, direct=not public)
    async with server:
        templates = await exchange.templates(trial.hook)
        trial.statement = await server.statement()
        trial.templates = await _fill(server, templates, context, aside)
    _check_answered(trial.templates, with_token=bool(wanted.token))
    prefetch = {one.key: one.value for one in trial.templates}
    return call(context.patient_id, _USER, str(uuid.uuid4()), prefetch)


async def _fill(
    server: FhirServer, templates: Sequence[PrefetchTemplate], context: Context[Any], aside: Console
) -> list[Filled]:
    """Fill all templates side by side, with a bar where there is a terminal."""
    with Progress(console=aside, transient=True, disable=not aside.is_terminal) as progress:
        bar = progress.add_task("Asking the FHIR server", total=len(templates))

        async def one(template: PrefetchTemplate) -> Filled:
            filled = await server.fill(template, context)
            progress.update(bar, advance=1, description=f"{template.key}: {filled.status}")
            return filled

        return await asyncio.gather(*map(one, templates))


def _check_answered(templates: Sequence[Filled], *, with_token: bool) -> None:
    """Raises ServerRefused when a call would make no sense: no such patient, or no answer at all."""
    if not templates or any(one.had for one in templates):
        if any(one.key == "patient" and one.reason == "not-found" for one in templates):
            raise ServerRefused("The FHIR server has no patient with this id, or does not show it (404).")
        return
    reasons = dict.fromkeys(one.reason for one in templates)
    if "unauthorised" in reasons and not with_token:
        raise ServerRefused(
            f"The FHIR server asks for an access token. Give it with --token-file FILE or in {_TOKEN}."
        )
    words = "; ".join(map(says, reasons))
    doubt = " Is this its base URL, and the id of a patient there?" if "not-found" in reasons else ""
    raise ServerRefused(f"The FHIR server answered none of the templates: {words}.{doubt}")


def _context(wanted: _Wanted) -> Context[Any]:
    """What templates are filled from. Raises InputRefused for an id that no context may hold."""
    values = {"patientId": wanted.patient, "userId": _USER}
    if wanted.encounter:
        values["encounterId"] = wanted.encounter
    try:
        return REGISTRY["patient-view"].read(msgspec.Raw(orjson.dumps(values)), _no_resource)
    except HookError as error:
        raise InputRefused("The id of the patient or the encounter is not one FHIR knows.") from error


def _no_resource(raw: msgspec.Raw) -> None:
    return None


def _complete(body: dict[str, Any], wanted: _Wanted) -> None:
    """Hook, encounter and draft orders as the command has them."""
    if wanted.hook or wanted.encounter:
        at_hook(body, wanted.hook or body["hook"], user=_USER, encounter=wanted.encounter)
    for number, resources in enumerate(wanted.orders):
        add_drafts(body, resources, wanted.day, user=_USER, prefix=f"draft-{number}")


# -- what was typed ----------------------------------------------------------------------------------


def _base(text: str) -> Base:
    try:
        return parse_base(text, https_only=False)
    except InvalidBase as error:
        refuse(f"--fhir-server: {WORDS[error.reason]}. It is a URL such as https://fhir.example.org/r4.")


def _token(file: Path | None, base: Base) -> str:
    token = os.environ.get(_TOKEN, "").strip()
    if file is not None:
        try:
            token = file.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            refuse(f"The token file {file} cannot be read.")
    if token and base.scheme != "https" and is_public(base.host):
        refuse("An access token is not sent to a public server over plain http. Use its https URL.")
    return token


def _orders(names: Iterable[str], rules: Bundle, hook: str) -> list[Any]:
    found = []
    for name in names:
        if hook and not REGISTRY[hook].resources_field:
            refuse(f"{hook} has no draft orders: leave out --order, or choose another --hook.")
        try:
            found.append(drafts(name, rules, _file(name) if is_file(name) else None))
        except InputRefused as error:
            refuse(str(error))
    return found


def _file(name: str) -> bytes:
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        return gzip.decompress(data) if data.startswith(_GZIP) else data
    except (OSError, EOFError):
        refuse(f"{name} cannot be read.")
