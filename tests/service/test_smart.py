"""SMART Backend Services: the assertion, the token, and who waits for whom."""

import asyncio
import re
from collections.abc import Callable
from urllib.parse import parse_qs

import httpx
import orjson
import pytest
import respx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jwt
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OctKey, RSAKey

from service.addresses import InvalidBase
from service.smart import BackendTokens, InvalidKey, Registration, registration
from service.wire import FetchError, Wire

URL = "https://auth.example.org/oauth2/token"
NOW = 1_790_000_000.0


def _jwk(key: ECKey | RSAKey | OctKey, **members: str) -> bytes:
    return orjson.dumps({**key.as_dict(private=True), **members})


@pytest.fixture(scope="module")
def ec() -> ECKey:
    return ECKey.generate_key("P-384")


@pytest.fixture(scope="module")
def registered(ec: ECKey) -> Registration:
    return registration(URL, "tocsin", _jwk(ec, kid="key-1"), ["system/Condition.rs", "system/Patient.r"])


def _granted(token: str = "own-token", **members: object) -> httpx.Response:
    return httpx.Response(
        200, json={"access_token": token, "token_type": "bearer", "expires_in": 300, **members}
    )


@respx.mock
async def test_the_assertion_says_who_we_are_and_is_signed(ec: ECKey, registered: Registration) -> None:
    route = respx.post(URL).mock(_granted())
    assert await BackendTokens(Wire(), clock=lambda: NOW).token(registered) == "own-token"
    sent = parse_qs(route.calls.last.request.content.decode())
    assert sent["grant_type"] == ["client_credentials"]
    assert sent["scope"] == ["system/Condition.rs system/Patient.r"]
    assert sent["client_assertion_type"] == ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]
    read = jwt.decode(sent["client_assertion"][0], ec, algorithms=["ES384"])
    assert read.header == {"alg": "ES384", "kid": "key-1", "typ": "JWT"}
    claims = read.claims
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("tocsin", "tocsin", URL)
    assert 0 < claims["exp"] - NOW <= 300
    assert re.fullmatch(r"[0-9a-f-]{36}", claims["jti"])


@respx.mock
async def test_an_rsa_key_signs_with_rs384_under_its_thumbprint() -> None:
    key = RSAKey.generate_key(2048)
    route = respx.post(URL).mock(_granted())
    await BackendTokens(Wire()).token(registration(URL, "tocsin", _jwk(key), ["system/*.rs"]))
    sent = parse_qs(route.calls.last.request.content.decode())
    read = jwt.decode(sent["client_assertion"][0], key, algorithms=["RS384"])
    assert read.header["kid"] == key.thumbprint()


@respx.mock
async def test_a_token_is_shared_and_kept(registered: Registration) -> None:
    route = respx.post(URL).mock(side_effect=lambda _: _granted())
    tokens = BackendTokens(Wire())
    assert set(await asyncio.gather(*(tokens.token(registered) for _ in range(50)))) == {"own-token"}
    assert await tokens.token(registered) == "own-token"
    assert route.call_count == 1
    await tokens.aclose()


@pytest.mark.parametrize("seconds", [0, 29, -5])
@respx.mock
async def test_a_token_about_to_expire_is_not_kept(registered: Registration, seconds: int) -> None:
    route = respx.post(URL).mock(side_effect=lambda _: _granted(expires_in=seconds))
    tokens = BackendTokens(Wire())
    await tokens.token(registered)
    await tokens.token(registered)
    assert route.call_count == 2


@respx.mock
async def test_a_token_that_lives_for_days_is_kept_for_minutes(
    registered: Registration, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = respx.post(URL).mock(side_effect=lambda _: _granted(expires_in=1_000_000))
    tokens = BackendTokens(Wire())
    loop = asyncio.get_running_loop()
    start = loop.time()
    for seconds, calls in ((0, 1), (299, 1), (301, 2)):
        monkeypatch.setattr(loop, "time", lambda seconds=seconds: start + seconds)
        await tokens.token(registered)
        assert route.call_count == calls


@respx.mock
async def test_each_failure_is_remembered_for_a_moment(registered: Registration) -> None:
    route = respx.post(URL).respond(401)
    tokens = BackendTokens(Wire())
    for _ in range(3):
        with pytest.raises(FetchError) as caught:
            await tokens.token(registered)
        assert caught.value.reason == "unauthorised"
    assert route.call_count == 1


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, content=b"{"),
        httpx.Response(200, content=b'{"access_token":"\xff"}'),
        httpx.Response(200, json={}),
        _granted(token=""),
        _granted(token_type="mac"),
        _granted(expires_in="soon"),
        _granted(token="a b"),
    ],
)
@respx.mock
async def test_an_answer_without_a_usable_token_fails(
    registered: Registration, answer: httpx.Response
) -> None:
    respx.post(URL).mock(answer)
    with pytest.raises(FetchError) as caught:
        await BackendTokens(Wire()).token(registered)
    assert caught.value.reason == "token-malformed"


def _public(ec: ECKey) -> bytes:
    return orjson.dumps(ec.as_dict(private=False))


def _short(_: ECKey) -> bytes:
    pem = rsa.generate_private_key(65537, 1024).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    with pytest.warns(SecurityWarning):
        return _jwk(RSAKey.import_key(pem))


def _p256(_: ECKey) -> bytes:
    return _jwk(ECKey.generate_key("P-256"))


def _symmetric(_: ECKey) -> bytes:
    return _jwk(OctKey.generate_key(256))


@pytest.mark.parametrize(
    "make",
    [
        _public,
        _short,
        _p256,
        _symmetric,
        lambda _: b"",
        lambda _: b"{}",
        lambda _: b"{",
        lambda _: b"-----BEGIN X-----",
    ],
)
def test_a_key_that_cannot_sign_is_refused_without_being_shown(
    ec: ECKey, make: Callable[[ECKey], bytes]
) -> None:
    with pytest.raises(InvalidKey) as caught:
        registration(URL, "tocsin", make(ec), [])
    assert len(str(caught.value)) < 60


@pytest.mark.parametrize("url", ["http://auth.example.org/token", "https://u:p@auth.example.org/token"])
def test_the_token_url_is_held_to_the_rules_of_every_outbound_url(ec: ECKey, url: str) -> None:
    with pytest.raises(InvalidBase):
        registration(url, "tocsin", _jwk(ec), [])


def test_no_form_of_a_registration_shows_the_key(ec: ECKey, registered: Registration) -> None:
    secret = str(ec.as_dict(private=True)["d"])
    for text in (repr(registered), f"{registered}"):
        assert secret not in text
        assert "tocsin" in text
