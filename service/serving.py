"""The server: one worker in this process, or several that this process starts and watches.

What would fail in every worker is looked for before any is started, so that the command ends with the reason
and not with a worker that is tried again and again.
"""

import asyncio
import datetime as dt
import errno
import signal
import socket
from multiprocessing import get_context
from types import FrameType
from typing import Any, NoReturn

import typer
import uvicorn

from service.errors import SettingProblem, SettingsError, TocsinError
from service.runtime import share_metrics
from service.settings import Settings
from service.supervisor import Supervisor

__all__ = ["run_server"]

_CONTENT_WRONG = 2
"""The exit code for settings, rules or a client list that are wrong."""

_APPLICATION = "service.app:create_app"
_DRAIN_S = 30
_STARTUP_FAILED = 3
"""The exit code of a uvicorn worker that could not start, and of this process then."""


def run_server(settings: Settings) -> None:
    """Serve until told to stop. Ends the process with a code that is not 0 when it could not start.

    Raises SettingsError, BundleError, ClientsError for what is wrong with settings and content.
    """
    _check_address(settings.host, settings.port)
    options: dict[str, Any] = {
        "factory": True,
        "host": settings.host,
        "port": settings.port,
        "workers": settings.workers,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        # Addresses that a proxy reports are believed only as TRUSTED_PROXIES says.
        "proxy_headers": False,
        # A stop waits for the calls under way; BUDGET_MS is shorter, but a caller may stop reading.
        "timeout_graceful_shutdown": _DRAIN_S,
    }
    # uvicorn raises the signal again when it has stopped. Without this the process would not end with 0.
    signal.signal(signal.SIGTERM, _stopped)
    if settings.workers == 1:
        uvicorn.run(_APPLICATION, **options)
        return
    share_metrics()
    _check_content(settings)
    _supervise(uvicorn.Config(_APPLICATION, **options))


def _stopped(number: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


def _check_address(host: str, port: int) -> None:
    """Raises SettingsError when nobody can listen there."""
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise SettingsError([_refusal(error)]) from error


def _refusal(error: OSError) -> SettingProblem:
    if error.errno == errno.EADDRINUSE:
        return SettingProblem(
            "TOCSIN_PORT", "Another process listens there already.", "Stop it, or choose another port."
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return SettingProblem(
            "TOCSIN_PORT", "This user may not listen there.", "Choose a port from 1024 upwards."
        )
    return SettingProblem(
        "TOCSIN_HOST", "This machine has no such address.", "127.0.0.1 is this machine, 0.0.0.0 all of its."
    )


def _check_content(settings: Settings) -> None:
    """Make the application once as each worker will. Ends the process where it cannot be made.

    A process of its own does it: what it loads would stay in memory as long as the workers are watched.
    """
    trial = get_context("spawn").Process(target=_make_once, args=(settings,))
    trial.start()
    trial.join()
    if trial.exitcode != 0:
        raise SystemExit(trial.exitcode)


def _make_once(settings: Settings) -> None:
    from rules.engine.errors import RulesError
    from service.app import create_app
    from service.desk import Desk
    from service.knowledge import Knowledge

    try:
        desk = Desk(settings, Knowledge.load(settings, dt.datetime.now(settings.zone).date()))
        create_app(settings, desk)
    except (TocsinError, RulesError) as error:
        typer.secho(str(error), fg=typer.colors.RED, err=True)
        raise SystemExit(_CONTENT_WRONG) from error
    asyncio.run(desk.aclose())


def _supervise(config: uvicorn.Config) -> None:
    """Start the workers and watch them. When one cannot start, uvicorn stops, and does so with code 0."""
    supervisor = Supervisor(config, sockets=[config.bind_socket()])
    supervisor.run()
    if any(worker.exitcode == _STARTUP_FAILED for worker in supervisor.processes):
        raise SystemExit(_STARTUP_FAILED)
