"""How the service stands, on one page: rules, clients, what is not live and until when, switches, errors.

The page is open to everyone who reaches the service. In production only admins (service.memory.admin) see who
calls, who switched what off and why, and the errors; others see what /readyz says.
"""

import datetime as dt
from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from hooks import REGISTRY
from rules.engine import Bundle, RuleSettings, list_rules
from service.desk import SERVICE_ID, Desk
from service.errors import NotFound, Unauthorised
from service.memory.admin import authorise
from service.memory.modes import overdue
from service.memory.rows import SwitchRow
from service.pages.figures import DAYS, Ledger, Seen
from service.pages.site import Site

__all__ = ["StatusPage", "Trial", "sees_all", "trial_of"]


class Trial(msgspec.Struct, frozen=True):
    """A rule that is not live: its mode, its last day, whether that has passed, for whom it is shown, why."""

    id: str
    title: str
    mode: str
    until: str
    overdue: bool
    shown_to: str
    why: str


class ClientLine(msgspec.Struct, frozen=True):
    """A client, whether it is listed in the clients file, and what it called."""

    id: str
    listed: bool
    hooks: Mapping[str, int]
    last: str


class SwitchLine(msgspec.Struct, frozen=True):
    """What is switched off; who, why and since are empty for those who may not know."""

    what: str
    who: str = ""
    why: str = ""
    since: str = ""


class ErrorLine(msgspec.Struct, frozen=True):
    """An error code with the reason of a 401."""

    code: str
    reason: str
    status: int
    count: int
    last: str


def sees_all(request: Request, desk: Desk) -> bool:
    """Whether the caller sees more than /readyz tells: anyone in a sandbox, admins in production."""
    if desk.settings.profile != "production":
        return True
    peer = request.client.host if request.client is not None else ""
    try:
        authorise(desk.settings, request.headers.raw, peer)
    except (NotFound, Unauthorised):
        return False
    return True


class StatusPage:
    def __init__(self, site: Site, ledger: Ledger) -> None:
        self._site = site
        self._ledger = ledger

    async def page(self, request: Request, desk: Desk) -> Response:
        bundle = desk.knowledge.bundle
        whole = sees_all(request, desk)
        figures = await self._ledger.figures(desk) if whole else None
        rows = list_rules(bundle)
        today = dt.datetime.now(desk.settings.zone).date()
        trials = [trial for rule in bundle.rules if (trial := trial_of(bundle, rule, today)) is not None]
        return self._site.page(
            request,
            desk,
            "status.html",
            standing=desk.standing(),
            hooks=list(REGISTRY),
            service=SERVICE_ID,
            whole=whole,
            administers=desk.settings.admin_token is not None or bool(desk.settings.admin_header),
            client_count=len(list(desk.gate.clients)),
            clients=_clients(desk, figures.clients) if figures is not None else [],
            readable=figures is not None,
            days=DAYS,
            modes=Counter("off" if row.off else row.mode for row in rows),
            trials=sorted(trials, key=lambda trial: (not trial.overdue, trial.mode == "off", trial.id)),
            switches=[_switch(row, desk, whole) for row in desk.memory.switches.thrown()],
            errors=_errors(desk) if whole else [],
            overlay=bundle.overlay,
            kept_in=_kept_in(desk),
        )


def trial_of(bundle: Bundle, rule_id: str, today: dt.date) -> Trial | None:
    """How a rule is not live; None for one that is."""
    rule = bundle.rules[rule_id]
    off = bundle.switched_off(rule)
    if off is None and rule.mode == "live":
        return None
    settings = bundle.overlay.settings(rule_id)
    return Trial(
        id=rule_id,
        title=rule.title,
        mode="off" if off is not None else rule.mode,
        until=settings.until,
        overdue=rule_id in set(overdue(bundle, today)),
        shown_to=_shown_to(settings) if off is None and rule.mode == "pilot" else "nobody",
        why=off.text if off is not None else "Set in the site file",
    )


def _shown_to(settings: RuleSettings) -> str:
    """The extent of a pilot. Users and places are counted only: the page names no person."""
    parts = [f"{settings.percent} % of patients"] if settings.percent else []
    for name, chosen in (
        ("user", settings.users),
        ("client", settings.clients),
        ("place", settings.locations),
    ):
        if chosen:
            parts.append(f"{len(chosen)} {name}{'s' if len(chosen) > 1 else ''}")
    return ", ".join(parts) or "nobody"


def _clients(desk: Desk, seen: Mapping[str, Seen]) -> Sequence[ClientLine]:
    listed = [client.id for client in desk.gate.clients]
    return [
        ClientLine(
            name,
            name in listed,
            seen[name].hooks if name in seen else {},
            _time(desk, seen[name].last) if name in seen else "",
        )
        for name in sorted({*listed, *seen})
    ]


def _switch(row: SwitchRow, desk: Desk, whole: bool) -> SwitchLine:
    known = desk.memory.switches.knows(row.kind, row.target)
    what = f"{row.kind} {row.target}".strip() + ("" if known else " (not known here: it silences nothing)")
    return SwitchLine(what, row.who, row.why, _time(desk, row.at)) if whole else SwitchLine(what)


def _errors(desk: Desk) -> Sequence[ErrorLine]:
    return [
        ErrorLine(row.code, row.reason, row.status, row.count, _time(desk, row.at))
        for row in desk.metrics.errors.rows()
    ]


def _kept_in(desk: Desk) -> str:
    """Where records are, in words: an address may hold a password."""
    url = desk.settings.store_url
    if url == "memory:":
        return "in the memory of this process only"
    database = "PostgreSQL" if url.startswith("postgres") else "SQLite"
    return f"in {database} for {desk.settings.retention_days} days"


def _time(desk: Desk, at: float) -> str:
    return f"{dt.datetime.fromtimestamp(at, desk.settings.zone):%Y-%m-%d %H:%M %Z}"
