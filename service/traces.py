"""OpenTelemetry traces of hook calls: where the time of a call went, and never anything of a patient.

Off unless TOCSIN_TRACES is on; a call then pays one look at None. Spans are made when the answer is ready,
from the times that are measured anyway, so that only a sampled call pays more. A span carries what a log line
may (service.logs.FIELDS): a value that is not on that list, or has not its shape, is left out, and so are the
texts of exceptions, URLs and bodies. The caller's W3C `traceparent` is followed once the caller is known;
`tracestate` and baggage are not read. Source: users-and-ops.md 2.1, W3C Trace Context.
"""

import os
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from service import __version__
from service.errors import Unauthorised, answer
from service.logs import FIELDS
from service.memory.rows import opaque

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter
    from starlette.requests import Request
    from starlette.responses import Response

    from service.answering import Answer
    from service.settings import Settings

__all__ = ["Traces", "installed", "open_traces"]

_STEPS = ("decode", "fetch", "facts", "rules", "store", "cards")
_ROUTE = "/cds-services/{service_id}"
_PATH = "/v1/traces"
_PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
Desk = TypeVar("Desk")


class _Query(msgspec.Struct, frozen=True):
    fields: Mapping[str, Any]
    began: int
    ended: int


class _Seen(msgspec.Struct):
    """What is noted of a call while it is answered; times are nanoseconds since 1970."""

    began: int
    queries: list[_Query] = msgspec.field(default_factory=list)
    client: str = ""
    answered: "Answer | None" = None
    ready: int = 0


_SEEN: ContextVar[_Seen | None] = ContextVar("tocsin_trace", default=None)


def installed() -> bool:
    """Whether the packages of the extra `traces` are here."""
    try:
        return all(find_spec(name) is not None for name in _PACKAGES)
    except ModuleNotFoundError:
        return False


def open_traces(settings: "Settings") -> "Traces | None":
    """The traces that the settings want; None when they are off."""
    if not settings.traces:
        return None
    # Imported late: without the extra these packages are not there.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    given = settings.traces_endpoint
    # Without an address of ours the exporter goes by OTEL_EXPORTER_OTLP_ENDPOINT and its kin.
    exporter = OTLPSpanExporter(endpoint=given.rstrip("/") + _PATH if given else None)
    return Traces(exporter, settings.traces_percent / 100)


class Traces:
    """Makes the spans of one worker, and sends them in a thread of its own; `close` it at the end."""

    def __init__(self, exporter: "SpanExporter", share: float) -> None:
        """`share` of the calls is traced, from 0 to 1, and every call whose caller traces it."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

        name = os.environ.get("OTEL_SERVICE_NAME", "tocsin")
        self._provider: TracerProvider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(share)),
            resource=Resource.create({"service.name": name, "service.version": __version__}),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("tocsin", __version__)

    def close(self) -> None:
        """Send what waits, and end the thread."""
        self._provider.shutdown()

    def watch(
        self, handler: "Callable[[Request, Desk], Awaitable[Response]]"
    ) -> "Callable[[Request, Desk], Awaitable[Response]]":
        """The handler of hook calls, with a trace of each."""

        async def watched(request: "Request", desk: Desk) -> "Response":
            seen = _Seen(time.time_ns())
            token = _SEEN.set(seen)
            parent = request.headers.get("traceparent", "")
            try:
                reply = await handler(request, desk)
            except Exception as error:
                refusal = answer(error)
                # Whoever is not identified does not decide what is traced.
                self._write(
                    seen, "" if isinstance(error, Unauthorised) else parent, refusal.status, refusal.code
                )
                raise
            finally:
                _SEEN.reset(token)
            self._write(seen, parent, reply.status_code)
            return reply

        return watched

    def answered(self, answered: "Answer", client: str) -> None:
        """The answer of the call under way is ready."""
        seen = _SEEN.get()
        if seen is not None:
            seen.answered, seen.client, seen.ready = answered, client, time.time_ns()

    def query(self, fields: Mapping[str, Any], began: int, ended: int) -> None:
        """A FHIR query of the call under way has ended; times are nanoseconds since 1970."""
        seen = _SEEN.get()
        if seen is not None:
            seen.queries.append(_Query(fields, began, ended))

    def _write(self, seen: _Seen, parent: str, status: int, code: str = "") -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        span = self._tracer.start_span(
            "hook",
            context=_context(parent),
            kind=SpanKind.SERVER,
            start_time=seen.began,
            attributes={
                "http.route": _ROUTE,
                "http.response.status_code": status,
            },
        )
        if span.is_recording():
            inside = set_span_in_context(span)
            if seen.answered is not None:
                span.set_attributes(_allowed(_fields(seen.answered, seen.client)))
                self._steps(seen, seen.answered, inside)
            else:
                self._queries(seen, inside)
            if code:
                span.set_attributes(_allowed({"code": code}))
            if status >= 500:
                span.set_status(Status(StatusCode.ERROR))
        span.end()

    def _steps(self, seen: _Seen, answered: "Answer", inside: "Context") -> None:
        """One span for each step, laid end to end up to the moment when the answer was ready."""
        from opentelemetry.trace import set_span_in_context

        spent = answered.milliseconds
        at = seen.ready - _nanoseconds(spent.get("total", 0.0))
        for step in _STEPS:
            span = self._tracer.start_span(step, context=inside, start_time=at)
            if step == "fetch":
                self._queries(seen, set_span_in_context(span))
            at += _nanoseconds(spent.get(step, 0.0))
            span.end(at)

    def _queries(self, seen: _Seen, inside: "Context") -> None:
        for query in seen.queries:
            span = self._tracer.start_span(
                "fhir", context=inside, start_time=query.began, attributes=_allowed(query.fields)
            )
            span.end(query.ended)


def _context(parent: str) -> "Context":
    """The context of the caller's span; an empty one when there is none, or it is malformed."""
    from opentelemetry.context import Context
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent}, context=Context())


def _fields(answered: "Answer", client: str) -> dict[str, Any]:
    outcomes = answered.decision.outcomes.values()
    return {
        "request_id": opaque(answered.call.instance),
        "hook": answered.call.hook,
        "client": client,
        "digest": answered.decision.bundle.digest,
        "cards": len(answered.cards),
        "rules": [one.rule for one in outcomes if one.outcome == "fired"],
        "suppressed": [one.rule for one in outcomes if one.outcome == "suppressed"],
        "rule_errors": [one.rule for one in outcomes if one.outcome == "error"],
        "keys_failed": [key for key, outcome in answered.outcomes.items() if not outcome.had],
        "malformed": len(answered.problems),
        "other_patient": sum(answered.dropped.values()),
    }


def _allowed(fields: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in fields.items() if name in FIELDS and FIELDS[name](value)}
    return {f"tocsin.{name}": value for name, value in kept.items()}


def _nanoseconds(milliseconds: float) -> int:
    return int(milliseconds * 1_000_000)
