"""The HTTP application: routes, middlewares, and how an exception becomes an answer. Nothing is decided here.

The endpoints on the way of a hook call are plain Starlette routes inside FastAPI: its request machinery costs
as much as the rules. Source: CDS Hooks 2.0.1; conformance notes DSC-01, REQ-01, FBK-01, RSP-07, SEC-17.
"""

import datetime as dt
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from fastapi import FastAPI
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from service import __version__
from service.answering import Answer
from service.apidocs import ApiDocs, static_file
from service.desk import Desk
from service.errors import ExplainDisabled, MethodNotAllowed, NotFound, NotJson, answer
from service.knowledge import Knowledge
from service.logs import bind_call, bound, configure, logger, new_call
from service.memory.admin import authorise, decisions, read_switch, switches, throw_switch
from service.pages import page_routes
from service.reload import Reloader, stamps_of
from service.runtime import tune_gc
from service.settings import Settings, load
from service.trust import BodyLimit, Caller, Cors, SecurityHeaders
from service.trust.audience import Kind

__all__ = ["create_app"]

JSON = "application/json"
FHIR_JSON = "application/fhir+json"
Handler = Callable[[Request, Desk], Awaitable[Response]]


def create_app(settings: Settings | None = None, desk: Desk | None = None) -> ASGIApp:
    """The application, for uvicorn's factory mode. Settings come from the environment when none are given.

    Raises SettingsError, BundleError, ClientsError: nothing starts on content that is broken.
    """
    settings = settings or load()
    configure(settings.log_level)
    seen = stamps_of(settings)
    desk = desk or Desk(settings, Knowledge.load(settings, _today(settings)))
    reloader = Reloader(desk, seen)
    app = FastAPI(
        title="Tocsin",
        version=__version__,
        lifespan=_lifespan(reloader),
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        routes=_routes(reloader),
        exception_handlers={HTTPException: _refused},
    )
    return SlashTolerance(
        Cors(
            SecurityHeaders(
                BodyLimit(app, settings.max_body_bytes), https=settings.base_url.startswith("https:")
            ),
            desk.origins,
        )
    )


def _routes(reloader: Reloader) -> list[BaseRoute]:
    def route(path: str, handler: Handler, method: str) -> Route:
        return Route(path, _guarded(handler, reloader), methods=[method])

    docs = ApiDocs()
    traces = reloader.desk.traces
    hook = _hook if traces is None else traces.watch(_hook)
    return [
        route("/cds-services", _discovery, "GET"),
        route("/cds-services/{service_id}", hook, "POST"),
        route("/cds-services/{service_id}/feedback", _feedback, "POST"),
        route("/decisions/explain", _explain, "POST"),
        route("/decisions/{instance}", _decisions, "GET"),
        route("/admin/switches", _switches, "GET"),
        route("/admin/switches", _throw, "POST"),
        route("/livez", _livez, "GET"),
        route("/readyz", _readyz, "GET"),
        route("/metrics", _metrics, "GET"),
        route("/docs", docs.page, "GET"),
        route("/openapi.json", docs.openapi, "GET"),
        route("/static/{name}", static_file, "GET"),
        *(route(path, handler, method) for path, handler, method in page_routes()),
    ]


def _today(settings: Settings) -> dt.date:
    return dt.datetime.now(settings.zone).date()


def _lifespan(reloader: Reloader) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def run(app: FastAPI) -> AsyncIterator[None]:
        desk = reloader.desk
        bundle = desk.knowledge.bundle
        try:
            desk.memory.start()
        except Exception as error:
            # The server's own line of it does not say what it was.
            logger().error("start-failed", exc_info=error)
            raise
        for told in desk.gate.warnings:
            logger().warning("trust-warning", code=told.code)
        logger().info("started", version=__version__, digest=bundle.digest, profile=desk.settings.profile)
        tune_gc()
        async with reloader.watching():
            yield
        await desk.aclose()
        logger().info("stopped")

    return run


def _guarded(handler: Handler, reloader: Reloader) -> Callable[[Request], Awaitable[Response]]:
    """The handler with every exception turned into the answer of the catalogue. A request keeps the desk that
    is in force when it comes.
    """

    async def endpoint(request: Request) -> Response:
        desk = reloader.desk
        new_call()
        try:
            return await handler(request, desk)
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception as error:
            return _error(request, error, desk)

    return endpoint


def _error(request: Request, error: Exception, desk: Desk | None = None) -> Response:
    reply = answer(error)
    if desk is not None:
        desk.metrics.refused(reply, client=bound("client"), hook=bound("hook"))
    log = logger().error if reply.status >= 500 else logger().info
    exc_info = error if reply.status >= 500 else None
    log("refused", code=reply.code, status=reply.status, exc_info=exc_info, **reply.logged)
    media = FHIR_JSON if reply.body else None
    return Response(reply.body, reply.status, dict(reply.headers), media)


async def _refused(request: Request, error: Exception) -> Response:
    """404 and 405 of the router, in our words."""
    new_call()
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = (error.headers or {}) if isinstance(error, HTTPException) else {}
    if status == 405:
        allowed = [name.strip() for name in headers.get("Allow", "").split(",") if name.strip()]
        return _error(request, MethodNotAllowed(*allowed))
    return _error(request, NotFound() if status == 404 else error)


# -- endpoints ---------------------------------------------------------------------------------------


async def _discovery(request: Request, desk: Desk) -> Response:
    """Open to anyone, since it holds nothing of a patient; with a token, in the version of that client
    (DSC-16).
    """
    caller = None
    if "authorization" in request.headers:
        caller = await _caller(request, desk, "/cds-services", "discovery")
    # Only web pages send an Origin.
    return Response(desk.discover(caller, apart="origin" in request.headers), media_type=JSON)


async def _hook(request: Request, desk: Desk) -> Response:
    service_id = request.path_params["service_id"]
    caller = await _caller(request, desk, f"/cds-services/{service_id}", "service")
    hooks = desk.hooks_of(service_id)
    with desk.throttle.admit(caller.client, time.monotonic()):
        body = await _json_body(request)
        answered = await desk.answer(body, caller, _now(), hooks)
        reply = desk.encoded(answered)
    if desk.traces is not None:
        desk.traces.answered(answered, caller.client.id)
    if caller.client.is_canary(answered.call.context.patient_id):
        desk.metrics.canary(caller.client.id, cards=bool(answered.cards))
        _log("canary", answered, len(body), len(reply))
        return Response(reply, media_type=JSON)
    await desk.memory.keep(answered, caller.client.id)
    _log("call", answered, len(body), len(reply))
    return Response(reply, media_type=JSON)


async def _explain(request: Request, desk: Desk) -> Response:
    """The whole Decision for the body of a hook call. It is neither recorded nor logged, unless refused."""
    caller = await _caller(request, desk, "/decisions/explain", "service")
    if not desk.settings.explains:
        raise ExplainDisabled
    with desk.throttle.admit(caller.client, time.monotonic()):
        answered = await desk.answer(await _json_body(request), caller, _now())
        return Response(desk.explained(answered), media_type=JSON)


async def _feedback(request: Request, desk: Desk) -> Response:
    """200 and an empty object, for unknown cards too, so that no client retries for ever (FBK-10)."""
    service_id = request.path_params["service_id"]
    caller = await _caller(request, desk, f"/cds-services/{service_id}/feedback", "feedback")
    desk.hooks_of(service_id)
    with desk.throttle.admit(caller.client, time.monotonic()):
        batch = await desk.feedback(await _json_body(request), caller, _now())
    logger().info(
        "feedback",
        count=len(batch.entries),
        malformed=len(batch.problems),
        status=200,
    )
    return Response(b"{}", media_type=JSON)


async def _decisions(request: Request, desk: Desk) -> Response:
    """What was decided on the calls with a hookInstance; for admins."""
    instance = request.path_params["instance"]
    if instance == "explain":
        # A path of its own, which the router looks for here because it is served for another method.
        raise MethodNotAllowed("POST")
    authorise(desk.settings, request.headers.raw, _peer(request))
    found = await decisions(desk.memory, instance)
    return Response(orjson.dumps(found), media_type=JSON)


async def _switches(request: Request, desk: Desk) -> Response:
    authorise(desk.settings, request.headers.raw, _peer(request))
    return Response(orjson.dumps(switches(desk.memory)), media_type=JSON)


async def _throw(request: Request, desk: Desk) -> Response:
    who = authorise(desk.settings, request.headers.raw, _peer(request))
    # Without a content type a page of another site could send it with the cookie of someone who signed in.
    if who and not request.headers.get("content-type"):
        raise NotJson
    await throw_switch(desk.memory, read_switch(await _json_body(request), who), _now().timestamp())
    return Response(orjson.dumps(switches(desk.memory)), media_type=JSON)


async def _livez(request: Request, desk: Desk) -> Response:
    return Response(b'{"status":"alive"}', media_type=JSON)


async def _readyz(request: Request, desk: Desk) -> Response:
    return Response(orjson.dumps(desk.standing()), media_type=JSON)


async def _metrics(request: Request, desk: Desk) -> Response:
    await desk.memory.settle()
    return Response(desk.metrics.render(), media_type=CONTENT_TYPE_LATEST)


# -- helpers -----------------------------------------------------------------------------------------


async def _caller(request: Request, desk: Desk, path: str, kind: Kind) -> Caller:
    """Who calls; every later line of the log says so, that of a refusal too."""
    caller = await desk.gate.identify(request.headers.raw, path, kind, _now(), peer=_peer(request))
    bind_call(client=caller.client.id, **caller.named)
    return caller


async def _json_body(request: Request) -> bytes:
    kind = request.headers.get("content-type", JSON).partition(";")[0].strip().lower()
    if kind and not kind.endswith("json"):
        raise NotJson
    return await request.body()


def _peer(request: Request) -> str:
    return request.client.host if request.client is not None else ""


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def _log(event: str, answered: Answer, bytes_in: int, bytes_out: int) -> None:
    """The line of a call that was answered. Who called and for which hook is bound to it already."""
    if not logger().is_enabled_for(logging.INFO):
        return
    outcomes = answered.decision.outcomes.values()
    states = answered.outcomes
    logger().info(
        event,
        status=200,
        cards=len(answered.cards),
        rules=[o.rule for o in outcomes if o.outcome == "fired"],
        suppressed=[o.rule for o in outcomes if o.outcome == "suppressed"],
        rule_errors=[o.rule for o in outcomes if o.outcome == "error"],
        keys_failed=[key for key, outcome in states.items() if not outcome.had],
        malformed=len(answered.problems),
        other_patient=sum(answered.dropped.values()),
        bytes_in=bytes_in,
        bytes_out=bytes_out,
        **{f"{step}_ms": round(spent, 2) for step, spent in answered.milliseconds.items()},
    )


class SlashTolerance:
    """Reads `//cds-services` and `/cds-services/` as `/cds-services`: discovery URLs are typed with a slash
    behind.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            path = scope["path"]
            if "//" in path or (len(path) > 1 and path.endswith("/")):
                scope["path"] = "/" + "/".join(part for part in path.split("/") if part)
        await self._app(scope, receive, send)
