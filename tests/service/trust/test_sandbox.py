"""The sandbox's published key: trusted on explicit wish only, and never in production."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.errors import SettingsError, Unauthorised
from service.trust.audience import Kind
from service.trust.gate import Gate, TrustOptions, open_gate
from service.trust.jwt import TimeRules
from service.trust.sandbox import sandbox_client
from tests.service.trust.signing import authorization

BASE = "http://127.0.0.1:8092"
TEST = TrustOptions(public_url=BASE, production=False, trust_sandbox=True)

Sent = dict[str, Any]


def _corpus(shared: Path, name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((shared / "corpus" / "jwt" / f"{name}.json").read_text())
    return loaded


def _tokens(shared: Path) -> list[Sent]:
    """What the sandbox sent with each call."""
    found: list[Sent] = _corpus(shared, "sandbox")["tokens"]
    assert len(found) > 10
    return found


def _kind(path: str) -> Kind:
    if path.endswith("/feedback"):
        return "feedback"
    return "discovery" if path == "/cds-services" else "service"


def _headers(sent: Sent) -> list[tuple[bytes, bytes]]:
    return authorization(sent["token"].encode())


def _sent_at(sent: Sent, seconds: float = 0) -> datetime:
    return datetime.fromtimestamp(sent["claims"]["iat"] + seconds, UTC)


async def _identify(gate: Gate, sent: Sent, now: datetime) -> str:
    path = sent["claims"]["aud"].removeprefix(BASE).replace("//", "/")
    return (await gate.identify(_headers(sent), path, _kind(path), now)).client.id


async def test_every_token_the_sandbox_sent_is_taken_once(shared: Path) -> None:
    gate = open_gate(TEST)
    for sent in _tokens(shared):
        assert await _identify(gate, sent, _sent_at(sent, -0.5)) == "cds-hooks-sandbox"
        with pytest.raises(Unauthorised):
            await _identify(gate, sent, _sent_at(sent))
    assert any("anyone can sign" in warning.says for warning in gate.warnings)
    await gate.aclose()


async def test_the_sandboxs_tokens_expire_and_fit_no_other_endpoint(shared: Path) -> None:
    gate = open_gate(TEST)
    for sent in _tokens(shared):
        with pytest.raises(Unauthorised):
            await _identify(gate, sent, _sent_at(sent, 360))
        with pytest.raises(Unauthorised):
            await gate.identify(_headers(sent), "/cds-services/other", "service", _sent_at(sent))
    await gate.aclose()


async def test_without_the_setting_the_sandbox_is_a_stranger(shared: Path, tmp_path: Path) -> None:
    file = tmp_path / "clients.yaml"
    file.write_text("clients: [{id: a, mtls_subject: CN=a}]")
    gate = open_gate(TrustOptions(public_url=BASE, production=False, clients_file=file))
    sent = _tokens(shared)[0]
    with pytest.raises(Unauthorised) as caught:
        await _identify(gate, sent, _sent_at(sent))
    assert caught.value.reason == "issuer-not-listed"
    await gate.aclose()


@contextmanager
def _said(name: str) -> Iterator[None]:
    with pytest.raises(SettingsError) as caught:
        yield
    assert [problem.name for problem in caught.value.problems] == [name]


def test_production_refuses_to_trust_the_sandbox() -> None:
    with _said("TOCSIN_TRUST_SANDBOX"):
        open_gate(TrustOptions(public_url=BASE, production=True, trust_sandbox=True))


def test_the_sandbox_may_not_be_listed_twice(tmp_path: Path) -> None:
    file = tmp_path / "clients.yaml"
    sandbox = sandbox_client([], [])
    file.write_text(json.dumps({"clients": [{"id": "a", "issuer": sandbox.issuer, "jku": sandbox.jku}]}))
    with _said("TOCSIN_TRUST_SANDBOX"):
        open_gate(TrustOptions(public_url=BASE, production=False, trust_sandbox=True, clients_file=file))


def _spec_gate(shared: Path, folder: Path, times: TimeRules) -> tuple[Gate, Sent]:
    spec = _corpus(shared, "spec")
    (sent,) = spec["tokens"]
    listed = {
        "id": "spec",
        "issuer": sent["claims"]["iss"],
        "jku": sent["header"]["jku"],
        "jwks": spec["jwks"],
        "tenants": [sent["claims"]["tenant"]],
    }
    file = folder / "clients.yaml"
    file.write_text(json.dumps({"clients": [listed]}))
    return open_gate(TrustOptions(public_url="https://cds.example.org", clients_file=file, times=times)), sent


async def test_the_specifications_token_is_taken_where_its_long_life_is_allowed(
    shared: Path, tmp_path: Path
) -> None:
    gate, sent = _spec_gate(shared, tmp_path, TimeRules(max_lifetime=4 * 366 * 86_400))
    caller = await gate.identify(_headers(sent), "/cds-services/some-service", "service", _sent_at(sent))
    assert (caller.client.id, caller.tenant) == ("spec", sent["claims"]["tenant"])
    await gate.aclose()


@pytest.mark.parametrize(("days", "reason"), [(0, "token-lifetime"), (5000, "token-expired")])
async def test_the_specifications_token_is_refused_by_default(
    shared: Path, tmp_path: Path, days: int, reason: str
) -> None:
    gate, sent = _spec_gate(shared, tmp_path, TimeRules())
    now = _sent_at(sent, days * 86_400)
    with pytest.raises(Unauthorised) as caught:
        await gate.identify(_headers(sent), "/cds-services/some-service", "service", now)
    assert caught.value.reason == reason
    await gate.aclose()
