"""SEC-03 to SEC-16, FBK-09: what a request must bring to be identified, through the gate as a whole."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import respx
from joserfc.jwk import OctKey

from service.errors import Overloaded, SettingsError, Unauthorised, answer
from service.trust import ClientsError, FetchLimits
from service.trust.audience import Kind
from service.trust.gate import Caller, Gate, Headers, TrustOptions, open_gate
from tests.service.trust.signing import (
    AT,
    ISSUER,
    JKU,
    NOW,
    PUBLIC_URL,
    SERVICE_PATH,
    authorization,
    claims,
    ec_key,
    jwks,
    rsa_key,
    shows,
    signed,
    unsigned,
)

Opener = Callable[..., Gate]


@pytest_asyncio.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Opener]:
    """Opens gates over a client list, and closes them afterwards."""
    gates: list[Gate] = []

    def open_(*clients: dict[str, Any], **options: Any) -> Gate:
        listed = clients or ({"id": "ehr", "issuer": ISSUER, "jku": JKU, "jwks": jwks()},)
        file = tmp_path / f"clients-{len(gates)}.yaml"
        file.write_text(json.dumps({"clients": listed}))
        defaults = {"public_url": PUBLIC_URL, "clients_file": file}
        failed = options.pop("replay_failed", lambda: None)
        gate = open_gate(
            TrustOptions(**{**defaults, **options}),
            transport=httpx.AsyncHTTPTransport(),
            replay_failed=failed,
        )
        gates.append(gate)
        return gate

    yield open_
    for gate in gates:
        await gate.aclose()


async def _identify(
    gate: Gate, token: bytes, path: str = SERVICE_PATH, kind: Kind = "service", **more: Any
) -> Caller:
    return await gate.identify(authorization(token), path, kind, NOW, **more)


async def _refusal(gate: Gate, headers: Headers, path: str = SERVICE_PATH, peer: str = "") -> str:
    with pytest.raises(Unauthorised) as caught:
        await gate.identify(headers, path, "service", NOW, peer=peer)
    for name, value in headers:
        if name == b"authorization":
            assert not shows(caught.value, value)
    return caught.value.reason


async def test_sec_06_a_sound_token_identifies_its_client(opened: Opener) -> None:
    gate = opened({"id": "ehr", "issuer": ISSUER, "jwks": jwks(), "tenants": ["t-1"]})
    caller = await _identify(gate, signed(claims(tenant="t-1"), header={"jku": None}))
    assert (caller.client.id, caller.issuer, caller.tenant, caller.jti) == ("ehr", ISSUER, "t-1", "jti-1")
    assert not caller.audience_tolerated


@pytest.mark.parametrize("key", [ec_key(), rsa_key()], ids=["ES384", "RS384"])
async def test_sec_09_both_recommended_algorithms_are_taken(opened: Opener, key: Any) -> None:
    assert (await _identify(opened(), signed(key=key))).client.id == "ehr"


async def test_sec_09_algorithms_are_listed_per_client(opened: Opener) -> None:
    gate = opened({"id": "ehr", "issuer": ISSUER, "jku": JKU, "jwks": jwks(), "algorithms": ["RS256"]})
    assert (await _identify(gate, signed(key=rsa_key(), header={"alg": "RS256"}))).client.id == "ehr"
    assert await _refusal(gate, authorization(signed(key=rsa_key()))) == "alg-not-listed"


async def test_sec_03_without_a_token_nobody_is_identified(opened: Opener) -> None:
    assert await _refusal(opened(), [(b"host", b"x")]) == "token-missing"


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (unsigned({"alg": "none", "typ": "JWT", "kid": "ec-1"}, claims()), "alg-refused"),
        (signed(key=OctKey.import_key(json.dumps(jwks())), header={"kid": "rsa-1"}), "alg-refused"),
        (signed(claims(iss="https://evil.example")), "issuer-not-listed"),
        (signed(header={"jku": "https://evil.example/jwks.json"}), "jku-not-listed"),
        (signed(header={"kid": "unknown"}), "kid-unknown"),
        (signed(header={"kid": "rsa-1"}), "kid-unknown"),
        (signed(key=ec_key("mine"), header={"kid": "ec-1"}), "signature-wrong"),
        (signed(key=ec_key("mine"), header={"jwk": dict(ec_key("mine").as_dict())}), "kid-unknown"),
        (signed(claims(aud=PUBLIC_URL)), "aud-wrong"),
        (signed(claims(aud="https://cds.example.org/cds-services/other")), "aud-wrong"),
        (signed(claims(exp=int(AT) - 61, iat=int(AT) - 300)), "token-expired"),
        (signed(claims(iat=int(AT) + 90)), "token-from-future"),
        (signed(claims(jti=None)), "jti-missing"),
        (signed(claims(jti=5)), "jti-malformed"),
        (b"a" * 9000, "token-too-long"),
        (b"garbage", "token-malformed"),
    ],
)
async def test_hostile_tokens_are_refused(opened: Opener, token: bytes, reason: str) -> None:
    gate = opened()
    assert await _refusal(gate, authorization(token)) == reason
    assert (await _identify(gate, signed())).client.id == "ehr"


async def test_sec_13_a_tenant_off_the_list_is_refused(opened: Opener) -> None:
    gate = opened({"id": "ehr", "issuer": ISSUER, "jku": JKU, "jwks": jwks(), "tenants": ["t-1"]})
    assert await _refusal(gate, authorization(signed(claims(tenant="t-2")))) == "tenant-not-listed"
    assert await _refusal(gate, authorization(signed())) == "tenant-not-listed"


async def test_clocks_may_differ_by_half_a_minute(opened: Opener) -> None:
    assert (await _identify(opened(), signed(claims(iat=int(AT) + 30)))).client.id == "ehr"


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("discovery", "/cds-services"),
        ("service", SERVICE_PATH),
        ("feedback", f"{SERVICE_PATH}/feedback"),
    ],
)
async def test_sec_07_each_endpoint_wants_its_own_url(opened: Opener, kind: Kind, path: str) -> None:
    gate = opened()
    assert (await _identify(gate, signed(claims(aud=PUBLIC_URL + path)), path, kind)).client.id == "ehr"
    with pytest.raises(Unauthorised, match="unauthorised"):
        await _identify(gate, signed(claims(aud=f"{PUBLIC_URL}/other", jti="2")), path, kind)


async def test_fbk_09_feedback_takes_the_audience_of_its_service(opened: Opener) -> None:
    caller = await _identify(opened(), signed(), f"{SERVICE_PATH}/feedback", "feedback")
    assert caller.client.id == "ehr"
    assert not caller.audience_tolerated


async def test_sec_07_a_tolerated_audience_is_marked(opened: Opener) -> None:
    audience = {"tolerant": True, "reason": "vendor record"}
    gate = opened({"id": "ehr", "issuer": ISSUER, "jku": JKU, "jwks": jwks(), "audience": audience})
    caller = await _identify(gate, signed(claims(aud=f"{PUBLIC_URL}//cds-services//red-flags/")))
    assert caller.audience_tolerated
    (warning,) = gate.warnings
    assert warning.code == "C008"
    assert "vendor record" in warning.says


async def test_sec_13_a_token_is_taken_once(opened: Opener) -> None:
    gate = opened()
    await _identify(gate, signed())
    assert await _refusal(gate, authorization(signed())) == "token-replayed"
    assert (await _identify(gate, signed(claims(jti="jti-2")))).jti == "jti-2"


async def test_sec_13_of_10_000_concurrent_calls_with_one_token_one_is_taken(
    opened: Opener, tmp_path: Path
) -> None:
    workers = [opened(replay_file=tmp_path / "replay.db", workers=2) for _ in range(2)]
    token = signed(key=rsa_key())

    calls = (_identify(workers[number % 2], token) for number in range(10_000))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    refusals = [each.reason for each in answers if isinstance(each, Unauthorised)]
    assert refusals == ["token-replayed"] * 9_999
    assert sum(isinstance(each, Caller) for each in answers) == 1


async def test_sec_13_a_jti_of_a_refused_token_is_not_used_up(opened: Opener) -> None:
    gate = opened()
    await _refusal(gate, authorization(signed(key=ec_key("mine"), header={"kid": "ec-1"})))
    await _refusal(gate, authorization(signed(claims(aud="https://elsewhere.example"))))
    assert (await _identify(gate, signed())).jti == "jti-1"


async def test_sec_13_at_no_moment_of_its_life_is_a_token_taken_again(opened: Opener) -> None:
    gate = opened()
    token = authorization(signed(claims(exp=int(AT) + 10)))
    await gate.identify(token, SERVICE_PATH, "service", NOW)
    for second in range(120):
        with pytest.raises(Unauthorised):
            await gate.identify(token, SERVICE_PATH, "service", NOW + timedelta(seconds=second))


async def test_sec_14_any_refusal_is_a_bare_401(opened: Opener) -> None:
    with pytest.raises(Unauthorised) as caught:
        await _identify(opened(), b"garbage")
    told = answer(caught.value)
    assert (told.status, told.body) == (401, b"")
    assert told.reason == "token-malformed"


async def test_sec_15_nothing_of_the_token_stays_but_iss_tenant_and_jti(opened: Opener) -> None:
    token = signed(claims(sub="a-secret-subject", tenant="t-9"))
    caller = await _identify(opened(), token)
    assert (caller.issuer, caller.tenant, caller.jti) == (ISSUER, "t-9", "jti-1")
    assert "secret" not in repr(caller)
    assert not any(part.decode() in repr(caller) for part in token.split(b"."))


PROXY = {"mtls_header": "X-Client-DN", "trusted_proxies": ("10.0.0.5",)}
CERTIFICATE = (b"x-client-dn", b"CN=ehr, O=St Elsewhere")


async def test_sec_16_a_certificate_alone_identifies_by_agreement(opened: Opener) -> None:
    gate = opened({"id": "gateway", "mtls_subject": "CN=ehr,O=St Elsewhere"}, **PROXY)
    caller = await gate.identify([CERTIFICATE], SERVICE_PATH, "service", NOW, peer="10.0.0.5")
    assert (caller.client.id, caller.issuer) == ("gateway", "")
    assert await _refusal(gate, [CERTIFICATE], peer="10.0.0.6") == "token-missing"
    assert await _refusal(gate, [(b"x-client-dn", b"CN=other")], peer="10.0.0.5") == "token-missing"


async def test_sec_16_without_the_setting_the_header_means_nothing(opened: Opener) -> None:
    gate = opened({"id": "gateway", "mtls_subject": "CN=ehr,O=St Elsewhere"})
    assert await _refusal(gate, [CERTIFICATE], peer="10.0.0.5") == "token-missing"


async def test_sec_16_a_certificate_may_be_demanded_beside_the_token(opened: Opener) -> None:
    listed = {
        "id": "ehr",
        "issuer": ISSUER,
        "jku": JKU,
        "jwks": jwks(),
        "mtls_subject": "CN=ehr,O=St Elsewhere",
    }
    gate = opened(listed, **PROXY)
    token = authorization(signed())
    assert await _refusal(gate, token, peer="10.0.0.5") == "certificate-wrong"
    assert await _refusal(gate, [*token, CERTIFICATE], peer="192.0.2.1") == "certificate-wrong"
    assert await _refusal(gate, [CERTIFICATE], peer="10.0.0.5") == "token-missing"
    caller = await gate.identify([*token, CERTIFICATE], SERVICE_PATH, "service", NOW, peer="10.0.0.5")
    assert caller.jti == "jti-1"


@respx.mock
async def test_sec_11_keys_come_from_the_listed_jku(opened: Opener) -> None:
    route = respx.get(JKU).mock(httpx.Response(200, json=jwks()))
    gate = opened({"id": "ehr", "issuer": ISSUER, "jku": JKU})
    assert (await _identify(gate, signed())).client.id == "ehr"
    assert (await _identify(gate, signed(claims(jti="2"), header={"jku": None}))).client.id == "ehr"
    assert route.call_count == 1


@respx.mock
async def test_sec_11_nothing_is_fetched_for_a_token_that_fails_before(opened: Opener) -> None:
    gate = opened({"id": "ehr", "issuer": ISSUER, "jku": JKU})
    for token in (
        signed(header={"jku": "https://evil.example/jwks.json"}),
        signed(claims(exp=int(AT) - 100, iat=int(AT) - 200)),
        signed(claims(aud="https://elsewhere.example")),
        unsigned({"alg": "none", "kid": "ec-1", "jku": JKU}, claims()),
    ):
        await _refusal(gate, authorization(token))
    assert respx.calls.call_count == 0


@respx.mock
async def test_sec_11_a_redirected_jku_gives_no_keys_and_is_reported(opened: Opener) -> None:
    respx.get(JKU).mock(httpx.Response(302, headers={"location": "https://evil.example/jwks.json"}))
    gate = opened({"id": "ehr", "issuer": ISSUER, "jku": JKU}, jwks=FetchLimits(interval=30))
    assert gate.failing() == ()
    assert await _refusal(gate, authorization(signed())) == "keys-unavailable"
    assert gate.failing() == ("keys:ehr:redirected",)


async def test_sec_11_keys_may_be_a_file(opened: Opener, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(json.dumps(jwks()))
    gate = opened({"id": "ehr", "issuer": ISSUER, "jku": JKU, "jwks": "keys.json"})
    assert (await _identify(gate, signed())).client.id == "ehr"


async def test_when_the_replay_memory_fails_calls_go_on_and_it_is_reported(
    opened: Opener, tmp_path: Path
) -> None:
    failures: list[None] = []
    gate = opened(replay_file=tmp_path, replay_failed=lambda: failures.append(None))
    assert (await _identify(gate, signed())).client.id == "ehr"
    assert (gate.failing(), len(failures)) == (("replay",), 1)
    assert await _refusal(gate, authorization(signed())) == "token-replayed"


async def test_when_the_replay_memory_fails_calls_are_refused_on_wish(opened: Opener, tmp_path: Path) -> None:
    gate = opened(replay_file=tmp_path, replay_on_failure="refuse")
    with pytest.raises(Overloaded):
        await _identify(gate, signed())


async def test_with_authentication_off_everyone_is_the_anonymous_client(opened: Opener) -> None:
    gate = opened(
        auth=False, fhir_allow=("https://fhir.example.org/r4",), cors_origins=("https://p.example",)
    )
    caller = await gate.identify([], SERVICE_PATH, "service", NOW)
    assert caller.client.id == "anonymous"
    assert caller.client.cors_origins == {"https://p.example"}
    assert [base.url for base in caller.client.fhir_servers] == ["https://fhir.example.org/r4"]
    assert await _identify(gate, b"garbage") == caller


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"trust_sandbox": True}, ["TOCSIN_TRUST_SANDBOX"]),
        ({"workers": 2}, ["TOCSIN_STATE_DIR"]),
        ({"mtls_header": "X-Client-DN"}, ["TOCSIN_MTLS_HEADER"]),
        ({"trusted_proxies": ("10.0.0.5",)}, ["TOCSIN_MTLS_HEADER"]),
        ({**PROXY, "trusted_proxies": ("proxy",)}, ["TOCSIN_TRUSTED_PROXIES"]),
        (
            {"trust_sandbox": True, "workers": 4},
            ["TOCSIN_TRUST_SANDBOX", "TOCSIN_STATE_DIR"],
        ),
    ],
)
def test_options_that_do_not_go_together_are_all_said(
    opened: Opener, options: dict[str, Any], names: list[str]
) -> None:
    with pytest.raises(SettingsError) as caught:
        opened(**options)
    assert [problem.name for problem in caught.value.problems] == names


async def test_with_authentication_off_several_workers_need_no_memory(opened: Opener) -> None:
    assert opened(auth=False, workers=2, clients_file=None, public_url="").warnings == ()


def test_a_client_list_that_cannot_be_used_stops_the_start(opened: Opener) -> None:
    with pytest.raises(ClientsError):
        opened({"id": "ehr"})
