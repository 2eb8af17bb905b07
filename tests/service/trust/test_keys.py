"""SEC-11, SEC-12: where keys come from, how long they are kept, and what happens when they cannot be had."""

import asyncio
import json
import os
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
import respx
from joserfc.jwk import ECKey, OctKey

from service.trust.keys import FetchLimits, FileKeys, FixedKeys, KeysError, RemoteKeys, parse_keys
from service.wire import Wire
from tests.service.trust.signing import JKU, ec_key, jwks, key_set, rsa_key

LIMITS = FetchLimits(ttl=600, stale=3600, interval=10, timeout=0.2, max_bytes=4096)
START = 1_000_000.0


@pytest_asyncio.fixture
async def remote() -> AsyncIterator[RemoteKeys]:
    wire = Wire(httpx.AsyncHTTPTransport(), attempts=1)
    keys = RemoteKeys(JKU, wire, LIMITS)
    yield keys
    await keys.aclose()
    await wire.aclose()


def _ok(*keys: ECKey) -> httpx.Response:
    return httpx.Response(200, json=jwks(*keys))


def _rsa_jwk(bits: int) -> dict[str, Any]:
    """A public key of this size; nobody knows its private half."""
    modulus = ((1 << (bits - 1)) + 1).to_bytes((bits + 7) // 8)
    return {"kty": "RSA", "kid": "made-up", "e": "AQAB", "n": urlsafe_b64encode(modulus).decode().rstrip("=")}


def test_keys_are_found_by_kid_and_the_kind_that_the_algorithm_needs() -> None:
    keys = key_set()
    assert keys.find("ec-1", "ES384") is not None
    assert keys.find("rsa-1", "RS384") is not None
    assert keys.find("rsa-1", "PS256") is not None
    assert keys.find("rsa-1", "ES384") is None
    assert keys.find("ec-1", "RS384") is None
    assert keys.find("ec-1", "ES256") is None
    assert keys.find("other", "ES384") is None
    assert keys.find("", "ES384") is None


def test_two_keys_may_share_a_kid_when_they_are_of_different_kinds() -> None:
    keys = key_set(ec_key("same"), rsa_key("same"))
    assert keys.find("same", "ES384") is not None
    assert keys.find("same", "RS384") is not None


def test_a_key_made_for_one_algorithm_serves_no_other() -> None:
    keys = parse_keys({"keys": [{**jwks(rsa_key())["keys"][0], "alg": "RS256"}]})
    assert keys.find("rsa-1", "RS256") is not None
    assert keys.find("rsa-1", "RS384") is None


@pytest.mark.parametrize(
    "changes",
    [
        {"kid": None},
        {"kid": ""},
        {"kid": 5},
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"kty": "OKP"},
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": None},
        {"crv": "P-224"},
        {"crv": None},
        {"x": None},
        {"x": 5},
        {"x": "AAAA", "y": "AAAA"},
        {"x": "$$$"},
    ],
)
def test_a_key_that_cannot_be_used_is_passed_over(changes: dict[str, Any]) -> None:
    bad = {**jwks(ec_key())["keys"][0], **changes}
    bad = {name: value for name, value in bad.items() if value is not None}
    good = jwks(rsa_key())["keys"][0]
    keys = parse_keys({"keys": [bad, "not a key", good]})
    assert [entry.kid for entry in keys.entries] == ["rsa-1"]
    with pytest.raises(KeysError, match="keys-none-usable"):
        parse_keys({"keys": [bad]})


@pytest.mark.parametrize("bits", [512, 1024, 2047])
def test_a_short_rsa_key_is_passed_over(bits: int) -> None:
    with pytest.raises(KeysError, match="keys-none-usable"):
        parse_keys({"keys": [_rsa_jwk(bits)]})


def test_an_rsa_key_of_2048_bits_is_taken_and_key_ops_may_be_stated() -> None:
    assert (
        parse_keys({"keys": [{**_rsa_jwk(2048), "key_ops": ["verify"]}]}).find("made-up", "RS384") is not None
    )


def test_private_members_and_shared_secrets_are_never_read() -> None:
    private = {"keys": [dict(rsa_key().as_dict(private=True)), dict(OctKey.generate_key(256).as_dict())]}
    found = parse_keys(private).find("rsa-1", "RS384")
    assert found is not None
    assert not found.is_private


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": [], "keys": []}', b"<html>", b"\xff", b'{"keys": null}'],
)
def test_what_is_not_a_key_set_is_refused(data: bytes) -> None:
    with pytest.raises(KeysError, match="keys-malformed"):
        parse_keys(data)


def test_a_set_of_too_many_keys_is_refused() -> None:
    with pytest.raises(KeysError, match="keys-malformed"):
        parse_keys({"keys": jwks(ec_key())["keys"] * 101})


async def test_keys_in_the_client_list_need_no_source() -> None:
    keys = FixedKeys(key_set())
    assert await keys.find("ec-1", "ES384", START) is not None
    assert await keys.find("new", "ES384", START) is None
    assert keys.failing == ""
    await keys.aclose()


def _write(file: Path, content: bytes, stamp: int) -> None:
    file.write_bytes(content)
    os.utime(file, (stamp, stamp))


async def test_a_key_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    _write(file, json.dumps(jwks(ec_key())).encode(), 1000)
    keys = FileKeys(file)
    assert await keys.find("ec-2", "ES384", START) is None
    _write(file, json.dumps(jwks(ec_key("ec-2"))).encode(), 2000)
    assert await keys.find("ec-2", "ES384", START) is not None
    assert await keys.find("ec-1", "ES384", START) is None
    await keys.aclose()


async def test_a_key_file_broken_by_a_change_leaves_the_last_good_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    _write(file, json.dumps(jwks(ec_key())).encode(), 1000)
    keys = FileKeys(file)
    _write(file, b'{"keys": [', 2000)
    assert await keys.find("ec-1", "ES384", START) is not None
    assert keys.failing == "keys-malformed"
    file.unlink()
    assert await keys.find("ec-1", "ES384", START) is not None
    assert keys.failing == "keys-file"
    _write(file, json.dumps(jwks(ec_key("ec-2"))).encode(), 3000)
    assert await keys.find("ec-2", "ES384", START) is not None
    assert keys.failing == ""


async def test_a_key_file_is_read_again_when_only_its_rights_were_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As root every file can be read, so the refusal is made here."""
    file = tmp_path / "keys.json"
    _write(file, json.dumps(jwks(ec_key())).encode(), 1000)
    keys = FileKeys(file)
    _write(file, json.dumps(jwks(ec_key("ec-2"))).encode(), 2000)

    def refused(path: Path) -> bytes:
        raise PermissionError

    with monkeypatch.context() as closed:
        closed.setattr(Path, "read_bytes", refused)
        assert await keys.find("ec-1", "ES384", START) is not None
        assert keys.failing == "keys-file"
    assert await keys.find("ec-2", "ES384", START) is not None
    assert keys.failing == ""


def test_a_key_file_that_is_unusable_from_the_start_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(KeysError, match="keys-file"):
        FileKeys(tmp_path / "none.json")
    with pytest.raises(KeysError, match="keys-file"):
        FileKeys(tmp_path)


@respx.mock
async def test_sec_11_keys_are_fetched_once_and_kept(remote: RemoteKeys) -> None:
    route = respx.get(JKU).mock(_ok())
    for after in (0, 1, 449):
        assert await remote.find("ec-1", "ES384", START + after) is not None
    assert route.call_count == 1


@respx.mock
async def test_callers_at_the_same_time_share_one_fetch(remote: RemoteKeys) -> None:
    route = respx.get(JKU).mock(_ok())
    found = await asyncio.gather(*(remote.find("ec-1", "ES384", START) for _ in range(50)))
    assert all(found)
    assert route.call_count == 1


@respx.mock
async def test_a_caller_that_goes_away_leaves_the_fetch_to_the_others(remote: RemoteKeys) -> None:
    asked = asyncio.Event()

    async def slow(_: httpx.Request) -> httpx.Response:
        asked.set()
        await asyncio.sleep(0.02)
        return _ok()

    route = respx.get(JKU).mock(side_effect=slow)
    first = asyncio.create_task(remote.find("ec-1", "ES384", START))
    await asked.wait()
    second = asyncio.create_task(remote.find("ec-1", "ES384", START))
    await asyncio.sleep(0)
    first.cancel()
    assert await second is not None
    assert first.cancelled()
    assert route.call_count == 1


@respx.mock
async def test_in_the_last_quarter_keys_are_renewed_beside_the_calls(remote: RemoteKeys) -> None:
    route = respx.get(JKU).mock(_ok())
    await remote.find("ec-1", "ES384", START)
    route.mock(_ok(ec_key("ec-2")))
    assert await remote.find("ec-1", "ES384", START + 451) is not None
    assert await remote.find("ec-2", "ES384", START + 452) is not None
    assert await remote.find("ec-1", "ES384", START + 452) is None
    assert route.call_count == 2


@respx.mock
async def test_after_its_time_a_set_is_fetched_before_the_call_is_judged(remote: RemoteKeys) -> None:
    route = respx.get(JKU).mock(_ok())
    await remote.find("ec-1", "ES384", START)
    route.mock(_ok(ec_key("ec-2")))
    assert await remote.find("ec-1", "ES384", START + 600) is None


@respx.mock
async def test_sec_12_an_unknown_kid_refreshes_once_in_an_interval(remote: RemoteKeys) -> None:
    route = respx.get(JKU).mock(_ok())
    await remote.find("ec-1", "ES384", START)
    for second in range(10):
        assert await remote.find(f"made-up-{second}", "ES384", START + second) is None
    assert route.call_count == 1
    route.mock(_ok(ec_key("ec-2")))
    assert await remote.find("ec-2", "ES384", START + 10) is not None
    assert route.call_count == 2


@respx.mock
async def test_sec_12_a_flood_of_unknown_kids_costs_one_fetch(remote: RemoteKeys) -> None:
    route = respx.get(JKU).mock(_ok())
    await remote.find("ec-1", "ES384", START)
    found = await asyncio.gather(*(remote.find(f"kid-{n}", "ES384", START + 20) for n in range(200)))
    assert not any(found)
    assert route.call_count == 2


@respx.mock
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (httpx.Response(302, headers={"location": "https://evil.example/jwks.json"}), "redirected"),
        (httpx.Response(307, headers={"location": JKU + "2"}), "redirected"),
        (httpx.Response(404), "not-found"),
        (httpx.Response(503), "server-error"),
        (httpx.Response(200, content=b" " * 5000), "too-large"),
        (httpx.Response(200, content=b"{"), "keys-malformed"),
        (httpx.Response(200, json={"keys": []}), "keys-none-usable"),
        (httpx.Response(200, text="<html>", headers={"content-type": "text/html"}), "not-fhir"),
        (httpx.ConnectError("refused"), "unreachable"),
        (httpx.ReadTimeout("slow"), "deadline"),
    ],
)
async def test_sec_11_a_fetch_that_fails_gives_no_keys(
    remote: RemoteKeys, answer: httpx.Response | Exception, reason: str
) -> None:
    route = respx.get(JKU).mock(side_effect=[answer, _ok()])
    with pytest.raises(KeysError, match="keys-unavailable"):
        await remote.find("ec-1", "ES384", START)
    assert remote.failing == reason
    with pytest.raises(KeysError, match="keys-unavailable"):
        await remote.find("ec-1", "ES384", START + 9)
    assert route.call_count == 1
    assert await remote.find("ec-1", "ES384", START + 10) is not None
    assert remote.failing == ""


@respx.mock
async def test_sec_11_a_source_that_never_answers_is_given_up(remote: RemoteKeys) -> None:
    async def never(_: httpx.Request) -> httpx.Response:
        await asyncio.sleep(30)
        return _ok()

    respx.get(JKU).mock(side_effect=never)
    with pytest.raises(KeysError, match="keys-unavailable"):
        await remote.find("ec-1", "ES384", START)
    assert remote.failing == "deadline"


@respx.mock
async def test_in_an_outage_the_last_keys_serve_up_to_a_limit(remote: RemoteKeys) -> None:
    route = respx.get(JKU).mock(_ok())
    await remote.find("ec-1", "ES384", START)
    route.mock(httpx.Response(503))
    assert await remote.find("ec-1", "ES384", START + 601) is not None
    assert remote.failing == "server-error"
    assert await remote.find("ec-1", "ES384", START + 4199) is not None
    with pytest.raises(KeysError, match="keys-unavailable"):
        await remote.find("ec-1", "ES384", START + 4200)
    route.mock(_ok())
    assert await remote.find("ec-1", "ES384", START + 4300) is not None
    assert remote.failing == ""


@respx.mock
async def test_a_clock_that_was_ahead_and_is_set_back_freezes_nothing(remote: RemoteKeys) -> None:
    route = respx.get(JKU).mock(_ok())
    await remote.find("ec-1", "ES384", START + 1e8)
    assert await remote.find("ec-1", "ES384", START) is not None
    assert route.call_count == 2


@respx.mock
async def test_closing_gives_up_a_fetch_under_way(remote: RemoteKeys) -> None:
    asked = asyncio.Event()

    async def never(_: httpx.Request) -> httpx.Response:
        asked.set()
        await asyncio.sleep(30)
        return _ok()

    respx.get(JKU).mock(side_effect=never)
    call = asyncio.create_task(remote.find("ec-1", "ES384", START))
    await asked.wait()
    await remote.aclose()
    with pytest.raises(asyncio.CancelledError):
        await call
