"""The checks of `tocsin doctor`: what keeps this installation from working, found by trying it.

Every check runs beside the others and ends with findings, each one sentence and what to do about it. None of
them changes anything, sends anything of a patient, or says anything of a token or a secret. Source:
users-and-ops.md 1.2, F08.
"""

import asyncio
import datetime as dt
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Literal, TypeVar

import httpx
import msgspec

from rules.engine import RulesError
from service.addresses import GuardedTransport
from service.desk import trust_options
from service.doctor_local import check_cors, check_database, check_rules, check_settings, check_state
from service.doctor_network import check_public, check_servers, told_by_trust
from service.doctor_scene import Dates, Finding, Scene
from service.doctor_token import check_token
from service.errors import SettingProblem, TocsinError
from service.settings import Settings
from service.trust import Client, Clients
from service.trust.gate import open_gate
from service.wire import Wire

__all__ = ["PATIENCE_S", "diagnose", "overall"]

PATIENCE_S = 30.0
"""How long all checks together may take, in seconds."""

Tell = Callable[[Iterable[str]], None]
"""Is told the names of the checks that still run, whenever one of them ends."""

T = TypeVar("T")
_Check = Callable[[Scene], Awaitable[list[Finding]]]
_LocalCheck = Callable[[Scene], list[Finding]]
_BADNESS: Mapping[str, int] = {"ok": 0, "warn": 1, "fail": 2}


def overall(findings: Iterable[Finding]) -> Literal["ok", "warn", "fail"]:
    """The worst state among findings."""
    return max((finding.state for finding in findings), key=_BADNESS.__getitem__, default="ok")


async def diagnose(
    settings: Settings,
    problems: Iterable[SettingProblem],
    *,
    now: dt.datetime,
    token: bytes = b"",
    offline: bool = False,
    patience_s: float = PATIENCE_S,
    tell: Tell = lambda names: None,
    transport: httpx.AsyncBaseTransport | None = None,
    tls: ssl.SSLContext | None = None,
) -> list[Finding]:
    """Everything there is to say about an installation, in the order in which it is shown.

    `problems` are those of the settings. `token` is tried like that of a call; `offline` leaves out what goes
    over the network. A check that is not done after `patience_s` seconds is a finding itself. `transport` and
    `tls` replace the guarded transport and the trust store in tests.
    """
    dates = Dates(transport or GuardedTransport())
    wire = Wire(dates, attempts=2)
    clients, trusted = await _trusted(settings)
    scene = Scene(
        settings=settings,
        problems=tuple(problems),
        clients=clients,
        wire=wire,
        dates=dates,
        tls=tls or ssl.create_default_context(),
        now=now,
        token=token,
        offline=offline,
    )
    checks: dict[str, _Check] = {
        "settings": _in_thread(check_settings),
        "state": _in_thread(check_state),
        "database": _in_thread(check_database),
        "rules": _in_thread(check_rules),
        "cors": _in_thread(check_cors),
    }
    if not offline:
        checks |= {"servers": check_servers, "public-url": check_public}
    if token:
        checks["token"] = check_token
    try:
        found = await _all(checks, scene, patience_s, tell)
    finally:
        await wire.aclose()
    return [*found.pop("settings"), *trusted, *(one for each in found.values() for one in each)]


async def _trusted(settings: Settings) -> tuple[Clients, list[Finding]]:
    """The clients that calls are accepted from, and what is to be said of the list."""
    try:
        # Without the memory of used tokens: the doctor remembers none.
        gate = open_gate(msgspec.structs.replace(trust_options(settings), replay_file=None, workers=1))
    except (TocsinError, RulesError) as error:
        lines = str(error).splitlines()
        action = "Correct the client list (TOCSIN_CLIENTS)."
        return Clients(()), [Finding("clients", "fail", f"{line.rstrip('.')}.", action) for line in lines]
    warnings = [
        Finding("clients", "warn", told.says, "Keep it only as long as it is needed.")
        for told in gate.warnings
    ]
    clients: list[Client] = list(gate.clients)
    await gate.aclose()
    return Clients(clients), [*warnings, *told_by_trust(clients, auth=settings.auth)]


async def _all(
    checks: Mapping[str, _Check], scene: Scene, patience_s: float, tell: Tell
) -> dict[str, list[Finding]]:
    """The findings of every check, in the order of the checks."""
    tasks = {name: asyncio.create_task(_guarded(name, check, scene)) for name, check in checks.items()}

    def running() -> list[str]:
        return [name for name, task in tasks.items() if not task.done()]

    def noted(_: object) -> None:
        tell(running())

    for task in tasks.values():
        task.add_done_callback(noted)
    tell(running())
    await asyncio.wait(tasks.values(), timeout=patience_s)
    late = Finding(
        "",
        "fail",
        f"It was not done after {patience_s:g} seconds.",
        "See what it waits for: disk, database, DNS.",
    )
    found = {
        name: task.result() if task.done() else [msgspec.structs.replace(late, check=name)]
        for name, task in tasks.items()
    }
    for task in tasks.values():
        task.remove_done_callback(noted)
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    return found


async def _guarded(name: str, check: _Check, scene: Scene) -> list[Finding]:
    try:
        return await check(scene)
    except Exception as error:
        # Its text may quote anything, so only its kind is told.
        says = f"The check itself failed ({type(error).__name__})."
        return [Finding(name, "fail", says, "Report it: this is a fault of the program.")]


def _in_thread(check: _LocalCheck) -> _Check:
    """A check that may block, in a thread that the end of the program does not wait for."""

    async def run(scene: Scene) -> list[Finding]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Finding]] = loop.create_future()

        def settle(result: list[Finding] | BaseException) -> None:
            if future.cancelled():
                return
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

        def work() -> None:
            try:
                result: list[Finding] | BaseException = check(scene)
            except Exception as error:
                result = error
            # The loop may be closed by now: nobody waits for this answer any more.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, result)

        threading.Thread(target=work, daemon=True).start()
        return await future

    return run
