"""The page at /docs: the API for people, with requests and answers of the bundled patients.

Rendered on the server from the same description that /openapi.json gives. No script, no style in the page,
nothing from elsewhere.
"""

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import Any

import jinja2
import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response

from hooks import OVERRIDE_REASONS
from service import __version__, demo
from service.desk import SERVICE_ID, Desk
from service.errors import NotFound, UnknownService, catalogue, operation_outcome
from service.openapi import describe, errors_of
from service.trust import Caller, Client

__all__ = ["ApiDocs", "static_file"]

POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_PATIENT = "demo-esr"
_CLIENT = "api-page"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_CACHE_SECONDS = 3600


class Operation(msgspec.Struct, frozen=True):
    """One route as the page shows it. `request` and `answer` are JSON text, empty where there is none."""

    method: str
    path: str
    summary: str
    description: str
    errors: tuple[str, ...]
    request: str = ""
    answer: str = ""


class ApiDocs:
    """Answers /docs and /openapi.json. A page is made at the first request and kept while the rules stay."""

    def __init__(self) -> None:
        self._page, self._digest = b"", ""
        self._environment = jinja2.Environment(
            loader=jinja2.PackageLoader("service"), autoescape=True, undefined=jinja2.StrictUndefined
        )

    async def page(self, request: Request, desk: Desk) -> Response:
        digest = desk.knowledge.bundle.digest
        if digest != self._digest:
            self._page, self._digest = await self._rendered(desk, dt.datetime.now(dt.UTC)), digest
        return Response(self._page, media_type="text/html", headers={"Content-Security-Policy": POLICY})

    async def openapi(self, request: Request, desk: Desk) -> Response:
        return Response(orjson.dumps(describe(desk)), media_type="application/json")

    async def _rendered(self, desk: Desk, now: dt.datetime) -> bytes:
        examples = await _examples(desk, now)
        page = self._environment.get_template("docs.html").render(
            version=__version__,
            base_url=desk.settings.base_url,
            service=SERVICE_ID,
            signed=desk.settings.auth,
            bundle=desk.knowledge.bundle,
            operations=list(_operations(describe(desk), examples)),
            errors=catalogue(),
            outcome=_pretty(orjson.loads(operation_outcome(UnknownService()))),
        )
        return page.encode()


async def static_file(request: Request, desk: Desk) -> Response:
    """A file of service/static, which browsers may keep for an hour."""
    name = request.path_params["name"]
    known = {file.name: file for file in (files("service") / "static").iterdir()}
    if name not in known:
        raise NotFound
    media = _TYPES[name[name.rindex(".") :]]
    headers = {"Cache-Control": f"public, max-age={_CACHE_SECONDS}"}
    return Response(known[name].read_bytes(), media_type=media, headers=headers)


def _operations(document: Mapping[str, Any], examples: Mapping[str, tuple[str, str]]) -> Iterator[Operation]:
    for path, members in document["paths"].items():
        for method in ("get", "post"):
            if method not in members:
                continue
            one = members[method]
            request, answer = examples.get(one["operationId"], ("", ""))
            yield Operation(
                method.upper(),
                path,
                one["summary"],
                one.get("description", ""),
                tuple(row.code for row in errors_of(one)),
                request,
                answer,
            )


async def _examples(desk: Desk, now: dt.datetime) -> dict[str, tuple[str, str]]:
    """Request and answer by operation id, from one bundled patient decided here and now."""
    patient = next(one for one in demo.load() if one.id == _PATIENT)
    body = demo.to_request(patient, now.date(), str(uuid.UUID(int=0, version=4)))
    # A client of its own, so that nothing a real one answered before can change the example.
    answered = await desk.answer(orjson.dumps(body), Caller(Client(id=_CLIENT)), now)
    cards = orjson.loads(desk.encoded(answered))
    explained = orjson.loads(desk.explained(answered))
    shown = _pretty(body)
    services = orjson.loads(desk.discover(None))["services"]
    return {
        "discovery": ("", _pretty({"services": services[:1]})),
        "callHook": (shown, _pretty(cards)),
        "feedback": (_pretty(_feedback(cards["cards"], now)), "{}"),
        "explain": (shown, _pretty(_shortened(explained))),
        "ready": ("", _pretty(desk.standing())),
    }


def _feedback(cards: Sequence[Mapping[str, Any]], now: dt.datetime) -> dict[str, Any]:
    """An override of the first card; there is none where the site, or a kill switch, keeps the rule quiet."""
    reason = {"reason": msgspec.to_builtins(OVERRIDE_REASONS[0])}
    card = cards[0]["uuid"] if cards else str(uuid.UUID(int=1, version=4))
    entry = {"card": card, "outcome": "overridden", "overrideReason": reason}
    return {"feedback": [{**entry, "outcomeTimestamp": now.isoformat(timespec="seconds")}]}


def _shortened(explained: dict[str, Any]) -> dict[str, Any]:
    """An explanation with one rule and the facts that rule read; the whole is too long for a page."""
    fired = [one for one in explained["rules"] if one["outcome"] == "fired"]
    rules = (fired or explained["rules"])[:1]
    read = {name for rule in rules if rule["tree"] for name in _facts_read(rule["tree"])}
    facts = [fact for fact in explained["facts"] if fact["name"] in read]
    return {**explained, "facts": facts, "rules": rules, "cards": []}


def _facts_read(node: Mapping[str, Any]) -> Iterator[str]:
    yield from node.get("facts", ())
    for child in node.get("children", ()):
        yield from _facts_read(child)


def _pretty(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_INDENT_2).decode()
