"""Canaries: the bundled patients get their cards, what is wrong is told, nothing else sees them."""

import datetime as dt
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import httpx
import msgspec
import orjson
import pytest

from hooks.request import Envelope
from service.canary import PROBES, Probe, Sighting, Signature, probe_all, series, warnings_of, write_metrics
from service.decode import decode_call
from service.demo import load, to_request
from service.smart import InvalidKey
from tests.service.facts.build import NOW
from tests.service.memory.http import HOOK, site
from tests.service.pages.browser import served
from tests.service.trust.signing import ec_key, rsa_key

CORD, QUIET = PROBES[0], PROBES[-1]
TODAY = dt.datetime.now(dt.UTC).date()


def answering(status: int, body: Any) -> httpx.Client:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, content=body if isinstance(body, bytes) else orjson.dumps(body))

    return httpx.Client(base_url="https://cds.example", transport=httpx.MockTransport(answer))


def card(rule: str, indicator: str) -> dict[str, Any]:
    findings = [{"rule": rule, "role": "lead"}, {"rule": "another", "role": "folded"}]
    return {"indicator": indicator, "extension": {"org.tocsin.findings": findings}}


def one(client: httpx.Client, probe: Probe = CORD, budget_s: float = 10.0, **options: Any) -> Sighting:
    (found,) = probe_all(client, [probe], today=TODAY, budget_s=budget_s, **options)
    return found


def test_every_probe_gets_its_cards_from_the_bundled_rules() -> None:
    with served() as url, httpx.Client(base_url=url) as client:
        found = probe_all(client, PROBES, today=TODAY, budget_s=10.0)
        assert [(each.patient, each.problem) for each in found] == [(probe.patient, "") for probe in PROBES]
        assert found[0].cards == (("mscc-cancer-neuro-signs", "critical"),)
        assert all(each.seconds > 0 for each in found)
        assert warnings_of(client) == []


def test_among_the_probes_are_critical_warning_quiet_and_cannot_tell() -> None:
    indicators = [probe.cards[0][1] if probe.cards else "none" for probe in PROBES]
    assert indicators == ["critical", "critical", "warning", "info", "none", "none"]


@pytest.mark.parametrize(
    ("status", "body", "problem", "said"),
    [
        (200, {"cards": []}, "wrong-cards", "no card instead of mscc-cancer-neuro-signs (critical)."),
        (
            200,
            {"cards": [card("mscc-cancer-neuro-signs", "warning")]},
            "wrong-cards",
            "mscc-cancer-neuro-signs (warning) instead of mscc-cancer-neuro-signs (critical).",
        ),
        (401, b"", "refused", "HTTP 401."),
        (
            503,
            {"issue": [{"details": {"coding": [{"code": "overloaded"}]}}]},
            "refused",
            "HTTP 503 overloaded.",
        ),
        (500, {"issue": [{"details": {"coding": [{"code": 5}]}}]}, "refused", "HTTP 500."),
        (302, b"", "refused", "HTTP 302."),
        (200, b"<html>", "not-hooks", "The answer is none of this service."),
        (200, {"cards": [{"indicator": "info"}]}, "not-hooks", "The answer is none of this service."),
        (200, [], "not-hooks", "The answer is none of this service."),
    ],
)
def test_a_wrong_answer_is_told(status: int, body: Any, problem: str, said: str) -> None:
    found = one(answering(status, body))
    assert (found.problem, found.said) == (problem, said)


def test_a_card_for_the_quiet_patient_is_wrong() -> None:
    found = one(answering(200, {"cards": [card("weight-loss-persistent-pain", "warning")]}), QUIET)
    assert found.said == "weight-loss-persistent-pain (warning) instead of no card."


def test_a_right_answer_that_comes_late_is_wrong() -> None:
    right = {"cards": [card("mscc-cancer-neuro-signs", "critical")]}
    assert one(answering(200, right)).problem == ""
    assert one(answering(200, right), budget_s=0.0).problem == "too-slow"


def test_no_answer_is_told_by_its_kind_only() -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("something of the network")

    found = one(httpx.Client(base_url="https://cds.example", transport=httpx.MockTransport(fail)))
    assert (found.problem, found.said) == ("unreachable", "No answer (ReadTimeout).")


def test_in_silent_mode_a_card_is_wrong() -> None:
    assert one(answering(200, {"cards": []}), silent=True).problem == ""
    shown = answering(200, {"cards": [card("mscc-cancer-neuro-signs", "critical")]})
    assert one(shown, silent=True).problem == "wrong-cards"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"warnings": 5}'])
def test_warnings_that_cannot_be_read_are_none(body: bytes) -> None:
    assert warnings_of(answering(200, body)) == []


def test_warnings_about_the_site_file_are_left_out() -> None:
    said = ["no site file: R055: warning: contacts have no number", "Switched off: service.", 5]
    assert warnings_of(answering(200, {"warnings": said})) == ["Switched off: service."]


def test_each_call_has_a_token_of_its_own_for_the_public_url() -> None:
    signature = Signature(_private(ec_key()), "https://canary.example", "https://cds.example/", "ward")
    first, second = (signature.headers()["Authorization"].removeprefix("Bearer ") for _ in range(2))
    header, claims = (msgspec.json.decode(_part(first, place)) for place in (0, 1))
    assert (header["alg"], header["kid"]) == ("ES384", "ec-1")
    assert claims["aud"] == "https://cds.example/cds-services/red-flags"
    assert (claims["iss"], claims["tenant"]) == ("https://canary.example", "ward")
    assert msgspec.json.decode(_part(second, 1))["jti"] != claims["jti"]


def test_a_key_that_is_not_private_is_refused() -> None:
    with pytest.raises(InvalidKey):
        Signature(orjson.dumps(rsa_key().as_dict(private=False)), "iss", "aud")


def test_metrics_are_written_whole(tmp_path: Path) -> None:
    file = tmp_path / "canary.prom"
    write_metrics(file, [Sighting("cord", "", "", 0.25), Sighting("quiet", "refused", "", 0.5)], 1000.0)
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    assert lines == [
        'tocsin_canary_success{patient="cord"} 1.0',
        'tocsin_canary_success{patient="quiet"} 0.0',
        'tocsin_canary_duration_seconds{patient="cord"} 0.25',
        'tocsin_canary_duration_seconds{patient="quiet"} 0.5',
        "tocsin_canary_last_run_timestamp_seconds 1000.0",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["canary.prom"]
    assert len(list(series([], 0.0).collect())) == 3


class TestLeavesNoTrace:
    """A canary's call is answered like any other, and then forgotten."""

    async def test_it_is_counted_apart_and_not_recorded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with site(monkeypatch, state_dir=tmp_path, cards_per_encounter=1) as worker:
            for _ in range(2):
                reply = await worker.client.post(HOOK, json=_call("tocsin-canary-cord"))
                assert len(reply.json()["cards"]) == 1
            await worker.desk.memory.settle()
            metrics = (await worker.client.get("/metrics")).text
            assert list(worker.desk.memory.store.calls(0, 1e12)) == []
            assert worker.desk.memory.store.cards_of(_call("x")["hookInstance"]) == []
        assert 'tocsin_canary_calls_total{client="anonymous",outcome="card"} 2.0' in metrics
        assert "tocsin_hook_requests_total{" not in metrics
        assert "tocsin_cards_total{" not in metrics

    async def test_another_patient_is_recorded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        async with site(monkeypatch, state_dir=tmp_path) as worker:
            await worker.client.post(HOOK, json=_call("real-1"))
            await worker.desk.memory.settle()
            assert len(list(worker.desk.memory.store.calls(0, 1e12))) == 1

    async def test_answers_to_earlier_cards_do_not_silence_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with site(monkeypatch, state_dir=tmp_path) as worker:
            asked: list[Any] = []
            monkeypatch.setattr(worker.desk.memory, "read", asked.append)
            reply = await worker.client.post(HOOK, json=_call("tocsin-canary-cord"))
            assert (reply.status_code, asked) == (200, [])


def _call(patient_id: str) -> dict[str, Any]:
    cord = next(each for each in load() if each.id == "demo-cord")
    instance = "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea"
    return to_request(msgspec.structs.replace(cord, id=patient_id), NOW.date(), instance)


def _private(key: Any) -> bytes:
    return orjson.dumps(key.as_dict(private=True))


def _part(token: str, place: int) -> bytes:
    text = token.split(".")[place]
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_the_calls_are_what_the_protocol_wants() -> None:
    seen: list[Envelope[Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(decode_call(request.content).envelope)
        return httpx.Response(200, json={"cards": []})

    client = httpx.Client(base_url="https://cds.example", transport=httpx.MockTransport(answer))
    probe_all(client, PROBES, today=TODAY, budget_s=10.0)
    assert len({envelope.hookInstance for envelope in seen}) == len(PROBES)
    ids = [msgspec.json.decode(envelope.context)["patientId"] for envelope in seen]
    assert ids == [f"tocsin-canary-{probe.patient}" for probe in PROBES]
