"""Traces as a collector gets them: the spans of a call, whose trace it is, and nothing of a patient."""

from typing import Any

import httpx
import orjson
import pytest

from service.app import create_app
from service.cautions import conflicts
from service.desk import Desk
from service.settings import Settings
from service.traces import installed, open_traces
from tests.service.calls import INSTANCE, bundled_knowledge, call_body, decided_on
from tests.service.collector import Collector, attributes, collecting
from tests.service.facts.build import bundle
from tests.service.memory.http import HOOK, prefetch
from tests.service.memory.samples import NEW_BACK, record
from tests.service.memory.test_phi import MARK, planted

SERVER = "http://127.0.0.1:9/fhir"
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STEPS = ["decode", "fetch", "facts", "rules", "store", "cards"]


async def traced(
    collector: Collector,
    body: Any,
    *,
    headers: dict[str, str] | None = None,
    fhir: httpx.AsyncBaseTransport | None = None,
    **settings: Any,
) -> httpx.Response:
    """The reply to one call of a worker whose spans have all arrived."""
    given = {"auth": False, "log_level": "error", "traces": True, "traces_percent": 100, **settings}
    chosen = Settings(traces_endpoint=collector.url, fhir_allow=(SERVER,), **given)
    desk = Desk(chosen, bundled_knowledge(), transport=fhir)
    transport = httpx.ASGITransport(create_app(chosen, desk))
    async with httpx.AsyncClient(transport=transport, base_url="http://tocsin.test") as client:
        reply = await client.post(HOOK, json=body, headers=headers)
    await desk.aclose()
    return reply


def ehr(request: httpx.Request) -> httpx.Response:
    """A FHIR server that has the planted conditions, knows no Observation, and is empty otherwise."""
    kind = request.url.path.rpartition("/fhir/")[2].partition("/")[0]
    if kind == "Condition":
        found = planted()["prefetch"]["conditions"]["entry"]
        return httpx.Response(200, json={"resourceType": "Bundle", "type": "searchset", "entry": found})
    if kind == "Observation":
        return httpx.Response(404, text=MARK)
    return httpx.Response(200, json={**bundle(), "type": "searchset"})


async def test_a_call_has_a_span_for_each_step() -> None:
    with collecting() as collector:
        await traced(collector, call_body(prefetch(tuple(record()))))
    (root,) = collector.named("hook")
    assert collector.paths == ["/v1/traces"]
    steps = [span for span in collector.spans if span.parent_span_id == root.span_id]
    assert [span.name for span in sorted(steps, key=lambda span: span.start_time_unix_nano)] == STEPS
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in collector.spans)
    said = attributes(root)
    assert said["tocsin.hook"] == "patient-view"
    assert said["tocsin.client"] == "anonymous"
    assert said["tocsin.request_id"] == INSTANCE
    assert said["tocsin.rules"] == [NEW_BACK]
    assert (said["tocsin.cards"], said["http.response.status_code"]) == (1, 200)
    assert {span.trace_id for span in collector.spans} == {root.trace_id}


async def test_each_fhir_query_has_a_span_and_nothing_of_a_patient_is_in_any() -> None:
    call = {**planted(), "prefetch": {"patient": planted()["prefetch"]["patient"]}, "fhirServer": SERVER}
    call["fhirAuthorization"]["subject"] = "client"
    headers = {
        "Authorization": f"Bearer {MARK}",
        "traceparent": f"00-{TRACE}-{SPAN}-01",
        "tracestate": f"ehr={MARK}",
        "baggage": f"patient={MARK}",
    }
    with collecting() as collector:
        reply = await traced(collector, call, headers=headers, fhir=httpx.MockTransport(ehr))
    assert len(reply.json()["cards"]) == 1
    (fetch,) = collector.named("fetch")
    queries = [attributes(span) for span in collector.named("fhir")]
    assert {span.parent_span_id for span in collector.named("fhir")} == {fetch.span_id}
    of = {one["tocsin.key"]: one for one in queries}
    assert of["conditions"] == {
        "tocsin.host": "127.0.0.1",
        "tocsin.key": "conditions",
        "tocsin.resource": "Condition",
        "tocsin.result": "ok",
        "tocsin.rows": 2,
    }
    assert (of["labs"]["tocsin.result"], of["labs"]["tocsin.rows"]) == ("not-found", 0)
    sent = b"\n".join(collector.received)
    assert MARK.encode() not in sent
    assert MARK.lower().encode() not in sent.lower()
    assert b"code=" not in sent
    assert b"patient=" not in sent


async def test_the_trace_of_the_caller_is_followed() -> None:
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    with collecting() as collector:
        await traced(collector, call_body(prefetch(tuple(record()))), headers=headers, traces_percent=0)
    (root,) = collector.named("hook")
    assert (root.trace_id.hex(), root.parent_span_id.hex()) == (TRACE, SPAN)


@pytest.mark.parametrize("parent", [f"00-{TRACE}-{SPAN}-00", "", MARK, f"00-{'0' * 32}-{SPAN}-01"])
async def test_what_is_not_sampled_is_not_sent(parent: str) -> None:
    with collecting() as collector:
        body = call_body(prefetch(tuple(record())))
        await traced(collector, body, headers={"traceparent": parent}, traces_percent=0)
    assert collector.received == []


async def test_a_refused_call_has_its_code() -> None:
    with collecting() as collector:
        reply = await traced(
            collector, {**planted(), "hook": MARK}, headers={"traceparent": f"00-{TRACE}-{SPAN}-01"}
        )
    assert reply.status_code == 400
    (root,) = collector.spans
    assert root.trace_id.hex() == TRACE
    assert MARK.encode() not in b"".join(collector.received)
    assert attributes(root) == {
        "http.route": "/cds-services/{service_id}",
        "http.response.status_code": 400,
        "tocsin.code": "hook-unknown",
    }


async def test_whoever_is_not_identified_does_not_choose_the_trace() -> None:
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
    with collecting() as collector:
        reply = await traced(collector, {}, headers=headers, auth=True, traces_percent=100)
        unasked = await traced(collector, {}, headers=headers, auth=True, traces_percent=0)
    assert (reply.status_code, unasked.status_code) == (401, 401)
    (root,) = collector.spans
    assert root.trace_id.hex() != TRACE


async def test_a_fault_of_ours_is_an_error_without_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError(MARK)

    monkeypatch.setattr("service.desk.decode_call", fail)
    with collecting() as collector:
        reply = await traced(collector, {})
    assert reply.status_code == 500
    (root,) = collector.spans
    assert (root.status.code, list(root.events)) == (2, [])
    assert MARK.encode() not in b"".join(collector.received)


async def test_a_call_is_answered_when_no_collector_is_there() -> None:
    with collecting() as collector:
        pass
    reply = await traced(collector, call_body(prefetch(tuple(record()))))
    assert len(reply.json()["cards"]) == 1


def test_they_are_off_unless_wanted() -> None:
    assert open_traces(Settings(auth=False)) is None
    desk = Desk(Settings(auth=False), bundled_knowledge())
    assert desk.traces is None
    assert installed()


async def test_without_a_call_nothing_is_noted() -> None:
    with collecting() as collector:
        traces = open_traces(Settings(auth=False, traces=True, traces_endpoint=collector.url))
        assert traces is not None
        traces.query({"key": "labs"}, 1, 2)
        traces.answered(decided_on(*record()), "anonymous")
        traces.close()
    assert collector.received == []


@pytest.mark.parametrize("how", [None, ModuleNotFoundError("opentelemetry")])
def test_the_missing_extra_is_told(how: Exception | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        if how is not None:
            raise how

    monkeypatch.setattr("service.traces.find_spec", absent)
    assert not installed()
    (told,) = [problem for _, problem in conflicts(Settings(auth=False, traces=True))]
    assert told.name == "TOCSIN_TRACES"
    assert "not installed" in str(told)
    assert list(conflicts(Settings(auth=False))) == []


def test_the_name_of_the_service_can_be_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "tocsin-north")
    with collecting() as collector:
        traces = open_traces(Settings(auth=False, traces=True, traces_endpoint=collector.url))
        assert traces is not None
        assert (
            orjson.loads(traces._provider.resource.to_json())["attributes"]["service.name"] == "tocsin-north"
        )
        traces.close()


@pytest.mark.parametrize("url", ["collector:4318", "ftp://x", "http://u:p@x", "http://x?a=1", "http://"])
def test_an_endpoint_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="no URL of http or https"):
        Settings(auth=False, traces_endpoint=url)
