"""`tocsin canary`: made-up patients posted to a running service, once or again and again."""

import datetime as dt
import re
import signal
import ssl
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Annotated
from urllib.parse import urlsplit

import httpx
import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.canary import PROBES, Probe, Sighting, Signature, probe_all, warnings_of, write_metrics
from service.render import printable
from service.smart import InvalidKey
from service.workbench import CONTENT_WRONG, refuse

__all__ = ["app"]

# A group without subcommands, so that the family is one command.
app = typer.Typer(subcommand_metavar="")
_PIPED_WIDTH = 160
_EVERY = re.compile(r"([1-9]\d{0,4})([smh])\Z")
_UNITS = {"s": 1, "m": 60, "h": 3600}
_NAMES = [probe.patient for probe in PROBES]


Url = Annotated[str, typer.Option("--url", metavar="URL", help="Where the service is reached.")]
Key = Annotated[
    Path | None,
    typer.Option("--client-key", metavar="FILE", help="Private JWK to sign with (RS384 or ES384)."),
]
Issuer = Annotated[
    str, typer.Option("--issuer", metavar="ISS", help="Issuer of the canary in TOCSIN_CLIENTS.")
]
Audience = Annotated[
    str, typer.Option("--audience", metavar="URL", help="TOCSIN_PUBLIC_URL there, when --url is another.")
]
Tenant = Annotated[str, typer.Option("--tenant", help="Tenant to name in the tokens.")]
Ca = Annotated[
    Path | None, typer.Option("--ca", metavar="FILE", help="Certificate authority of the service, PEM.")
]
Chosen = Annotated[
    list[str] | None,
    typer.Option("--patient", help=f"Only this one; may be repeated: {', '.join(_NAMES)}."),
]
Budget = Annotated[
    int, typer.Option("--budget-ms", min=1, help="Longest time of an exchange, in milliseconds.")
]
Silent = Annotated[
    bool, typer.Option("--silent", help="Every rule runs in silent mode there: expect no card.")
]
Every = Annotated[str, typer.Option("--every", metavar="TIME", help="Go on, once in so long: 30s, 5m or 1h.")]
MetricsFile = Annotated[
    Path | None, typer.Option("--metrics", metavar="FILE", help="Write the result for Prometheus, *.prom.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print each round as one line of JSON.")]


@app.callback(invoke_without_command=True)
def canary(
    url: Url,
    client_key: Key = None,
    issuer: Issuer = "",
    audience: Audience = "",
    tenant: Tenant = "",
    ca: Ca = None,
    patient: Chosen = None,
    budget_ms: Budget = 1000,
    silent: Silent = False,
    every: Every = "",
    metrics: MetricsFile = None,
    as_json: AsJson = False,
) -> None:
    """Post made-up patients to a running service and check that each gets exactly its cards, in time.

    Exit code 0 when all of the last round were right, 1 when not, 2 when the command is wrong. The service
    leaves these calls out of its records when authentication is off, or the client has `canary: true`.
    """
    probes = _chosen(patient)
    signature = _signature(client_key, issuer, audience or url, tenant)
    wait_s = _seconds(every) if every else 0
    stopping = _stop_on_signals() if every else threading.Event()
    to = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH)
    with _client(url, ca) as client:
        while True:
            sightings = probe_all(
                client,
                probes,
                today=dt.datetime.now(dt.UTC).date(),
                budget_s=budget_ms / 1000,
                signature=signature,
                silent=silent,
            )
            hints = warnings_of(client) if any(one.problem for one in sightings) else []
            _write(metrics, sightings)
            _print(to, sightings, hints, as_json=as_json)
            if not every or stopping.wait(wait_s):
                break
    raise typer.Exit(CONTENT_WRONG if any(one.problem for one in sightings) else 0)


def _chosen(names: Sequence[str] | None) -> list[Probe]:
    unknown = [name for name in names or () if name not in _NAMES]
    if unknown:
        refuse(f"No canary is called {', '.join(unknown)}. There are {', '.join(_NAMES)}.")
    return [probe for probe in PROBES if not names or probe.patient in names]


def _signature(key: Path | None, issuer: str, audience: str, tenant: str) -> Signature | None:
    if key is None:
        if issuer:
            refuse("--issuer goes together with --client-key.")
        return None
    if not issuer:
        refuse("--client-key goes together with --issuer: the issuer of the canary in TOCSIN_CLIENTS.")
    try:
        return Signature(key.read_bytes(), issuer, audience, tenant)
    except OSError:
        refuse("The file of --client-key cannot be read.")
    except InvalidKey as error:
        refuse(f"The file of --client-key cannot be used: {error}. It must be a JWK in JSON.")


def _seconds(text: str) -> int:
    match = _EVERY.match(text)
    if match is None:
        refuse("--every is written 30s, 5m or 1h.")
    return int(match[1]) * _UNITS[match[2]]


def _client(url: str, ca: Path | None) -> httpx.Client:
    """Follows no redirect: what answers instead of the service is a failure."""
    try:
        verify = ssl.create_default_context(cafile=ca) if ca is not None else True
    except (OSError, ssl.SSLError):
        refuse("The file of --ca cannot be read as certificates in PEM.")
    if not _is_url(url):
        refuse("--url is no URL of http or https.")
    return httpx.Client(base_url=url, verify=verify, headers={"User-Agent": "tocsin-canary"})


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _stop_on_signals() -> threading.Event:
    """Set when the process is asked to stop, so that the round under way is finished."""
    stopping = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        stopping.set()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, stop)
    return stopping


def _write(file: Path | None, sightings: Sequence[Sighting]) -> None:
    if file is None:
        return
    try:
        write_metrics(file, sightings, time.time())
    except OSError as error:
        refuse(f"The file of --metrics cannot be written ({error.strerror}).")


def _print(to: Console, sightings: Sequence[Sighting], hints: Sequence[str], *, as_json: bool) -> None:
    at = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    right = not any(one.problem for one in sightings)
    if as_json:
        found = {"at": at, "right": right, "patients": sightings, "warnings": hints}
        typer.echo(msgspec.json.encode(found).decode())
        return
    table = Table("Patient", "Result", "Milliseconds", "What", box=None, pad_edge=False)
    for one in sightings:
        result = Text(one.problem or "right", style="bold red" if one.problem else "green")
        table.add_row(one.patient, result, f"{1000 * one.seconds:.0f}", Text(printable(one.said)))
    to.print(table)
    for line in hints:
        to.print(Text(f"The service warns: {printable(line)}", style="yellow"))
    count = sum(not one.problem for one in sightings)
    to.print(Text(f"{at}: {count} of {len(sightings)} right.", style="bold"))
