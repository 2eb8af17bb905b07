"""SEC-04 to SEC-09, SEC-13: the form, the times and the signature of a token."""

import json
from base64 import urlsafe_b64encode
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import OctKey

from service.errors import Unauthorised
from service.trust.jwt import TimeRules, bearer, check_signature, check_times, read_token
from tests.service.trust.signing import (
    AT,
    ISSUER,
    JKU,
    SERVICE_URL,
    claims,
    ec_key,
    rsa_key,
    shows,
    signed,
    unsigned,
)

RULES = TimeRules()


def _refusal(token: bytes) -> str:
    with pytest.raises(Unauthorised) as caught:
        read_token(token)
    assert not shows(caught.value, token)
    return caught.value.reason


def test_sec_04_the_token_is_read_from_the_authorization_header() -> None:
    assert bearer([(b"accept", b"*/*"), (b"authorization", b"Bearer a.b.c")]) == b"a.b.c"
    assert bearer([(b"authorization", b"bearer  a.b.c ")]) == b"a.b.c"
    assert bearer([(b"accept", b"*/*")]) is None


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([(b"authorization", b"Bearer a.b.c")] * 2, "authorization-twice"),
        ([(b"authorization", b"Basic dTpw")], "authorization-not-bearer"),
        ([(b"authorization", b"Bearer ")], "authorization-not-bearer"),
        ([(b"authorization", b"a.b.c")], "authorization-not-bearer"),
        ([(b"authorization", b"Bearer " + b"a" * 8193)], "token-too-long"),
    ],
)
def test_sec_04_any_other_authorization_is_refused(headers: list[tuple[bytes, bytes]], reason: str) -> None:
    with pytest.raises(Unauthorised) as caught:
        bearer(headers)
    assert caught.value.reason == reason


def test_a_token_of_the_greatest_length_is_still_read() -> None:
    assert bearer([(b"authorization", b"Bearer " + b"a" * 8192)]) == b"a" * 8192


def test_sec_05_sec_06_what_decides_is_read_from_header_and_claims() -> None:
    token = read_token(signed(claims(tenant="t-1", nbf=int(AT) - 300, sub="extra", other={"x": 1})))
    assert (token.header.alg, token.header.kid, token.header.jku) == ("ES384", "ec-1", JKU)
    assert token.claims.issuer == ISSUER
    assert token.claims.audience == (SERVICE_URL,)
    assert (token.claims.expires, token.claims.issued, token.claims.not_before) == (AT + 300, AT, AT - 300)
    assert (token.claims.jti, token.claims.tenant) == ("jti-1", "t-1")
    assert repr(token) == "Token(...)"


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
def test_sec_08_alg_none_is_refused(alg: str) -> None:
    assert _refusal(unsigned({"alg": alg, "kid": "ec-1", "typ": "JWT"}, claims())) == "alg-refused"


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_sec_09_symmetric_algorithms_are_refused(alg: str) -> None:
    token = signed(key=OctKey.generate_key(512), header={"alg": alg, "kid": "ec-1"})
    assert _refusal(token) == "alg-refused"


def test_sec_09_a_public_key_used_as_a_shared_secret_is_refused() -> None:
    public = OctKey.import_key(rsa_key().as_pem(private=False).replace(b"-----", b""))
    assert _refusal(signed(key=public, header={"kid": "rsa-1"})) == "alg-refused"


def test_sec_08_sec_09_the_algorithm_is_judged_before_anything_else() -> None:
    assert _refusal(unsigned({"alg": "HS256"}, {})) == "alg-refused"
    assert _refusal(b".".join([unsigned({"alg": "none"}, {}).split(b".")[0], b"!", b"!"])) == "alg-refused"


@pytest.mark.parametrize("alg", [None, 5, ["ES384"], {"ES384": 1}, "ES256K", "EdDSA", "dir", "es384"])
def test_sec_09_an_algorithm_off_the_list_is_refused(alg: object) -> None:
    assert _refusal(unsigned({"alg": alg, "kid": "ec-1"}, claims())) == "alg-refused"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"kid": None}, "kid-missing"),
        ({"kid": ""}, "kid-malformed"),
        ({"kid": "  "}, "kid-malformed"),
        ({"kid": 7}, "kid-malformed"),
        ({"kid": ["ec-1"]}, "kid-malformed"),
        ({"kid": "ec-1\n"}, "kid-malformed"),
        ({"kid": "x" * 1025}, "kid-malformed"),
        ({"jku": 7}, "jku-malformed"),
        ({"jku": "https://a.example/\u0000"}, "jku-malformed"),
        ({"typ": "at+jwt"}, "typ-refused"),
        ({"typ": 1}, "typ-refused"),
        ({"crit": ["exp"]}, "crit-refused"),
        ({"crit": ["b64"], "b64": False}, "crit-refused"),
    ],
)
def test_sec_05_a_header_member_of_the_wrong_form_is_refused(header: dict[str, Any], reason: str) -> None:
    members = {"alg": "ES384", "typ": "JWT", "kid": "ec-1", **header}
    sent = {name: value for name, value in members.items() if value is not None}
    assert _refusal(unsigned(sent, claims())) == reason


@pytest.mark.parametrize("typ", ["JWT", "jwt", None])
def test_sec_05_the_type_may_be_in_small_letters_or_absent(typ: str | None) -> None:
    assert read_token(signed(header={"typ": typ})).header.kid == "ec-1"


@pytest.mark.parametrize("kid", ["../../etc/passwd", "' OR 1=1 --", "https://evil.example/k", "a|b;c"])
def test_sec_12_a_kid_is_only_ever_a_name(kid: str) -> None:
    assert read_token(signed(header={"kid": kid})).header.kid == kid


@pytest.mark.parametrize("name", ["iss", "aud", "exp", "iat", "jti"])
def test_sec_06_a_required_claim_may_not_be_missing(name: str) -> None:
    assert _refusal(signed(claims(**{name: None}))) == f"{name}-missing"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iss", 5),
        ("iss", ""),
        ("iss", ["https://fhir.ehr.example/r4"]),
        ("iss", "x" * 1025),
        ("aud", 5),
        ("aud", []),
        ("aud", [5]),
        ("aud", {"url": "x"}),
        ("aud", ["x"] * 17),
        ("exp", "1795414583"),
        ("exp", True),
        ("exp", [1]),
        ("exp", 10**400),
        ("iat", {}),
        ("nbf", "now"),
        ("jti", 5),
        ("jti", ""),
        ("jti", "line\nbreak"),
        ("jti", "\ud800"),
        ("tenant", 5),
        ("tenant", " "),
    ],
)
def test_sec_06_a_claim_of_the_wrong_type_is_refused(name: str, value: object) -> None:
    assert _refusal(signed(claims(**{name: value}))) == f"{name}-malformed"


def test_sec_06_a_claim_that_is_null_counts_as_absent() -> None:
    token = read_token(signed(json.dumps({**claims(), "tenant": None}).encode()))
    assert token.claims.tenant == ""


def test_sec_06_a_number_too_large_for_a_float_is_refused() -> None:
    body = json.dumps(claims()).replace(str(int(AT) + 300), "1e999")
    assert _refusal(signed(body.encode())) == "exp-malformed"


@pytest.mark.parametrize("claim", ["iss", "aud", "exp", "jti", "tenant"])
def test_a_claim_given_twice_is_refused(claim: str) -> None:
    body = json.dumps(claims(tenant="t-1"))
    body = body[:-1] + f', "{claim}": "https://other.example"}}'
    assert _refusal(signed(body.encode())) == "token-malformed"


def test_a_header_member_given_twice_is_refused() -> None:
    parts = signed().split(b".")
    header = b'{"alg":"none","alg":"ES384","kid":"ec-1"}'
    parts[0] = urlsafe_b64encode(header).rstrip(b"=")
    assert _refusal(b".".join(parts)) == "token-malformed"


@pytest.mark.parametrize(
    "token",
    [
        b"",
        b"..",
        b"a.b",
        b"a.b.c.d",
        b"a.b.c.d.e",
        b"!!!.###.$$$",
        b"e30.e30.e30 ",
        "é.é.é".encode(),
        b"\xff.\xff.\xff",
        b"W10.W10.",
        b"bnVsbA.bnVsbA.",
    ],
)
def test_garbage_is_refused(token: bytes) -> None:
    assert _refusal(token) in ("token-malformed", "alg-refused")


def test_characters_outside_base64url_are_not_passed_over() -> None:
    parts = signed().split(b".")
    assert _refusal(b".".join([parts[0][:4] + b"\n" + parts[0][4:], *parts[1:]])) == "token-malformed"
    assert _refusal(b".".join([parts[0], parts[1] + b"=", parts[2]])) == "token-malformed"


@given(st.binary(max_size=300))
def test_any_bytes_end_in_a_token_or_in_unauthorised(data: bytes) -> None:
    with pytest.raises(Unauthorised):
        read_token(data)


@pytest.mark.parametrize("after", [-600, 0, 299, 359])
def test_sec_13_a_token_is_taken_until_its_expiry_and_the_leeway(after: int) -> None:
    token = read_token(signed(claims(iat=int(AT) - 700)))
    check_times(token.claims, AT + after, RULES)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": int(AT) - 60}, "token-expired"),
        ({"exp": int(AT) - 3600, "iat": int(AT) - 3700}, "token-expired"),
        ({"iat": int(AT) + 90}, "token-from-future"),
        ({"nbf": int(AT) + 90}, "token-not-yet-valid"),
        ({"exp": int(AT) + 3601}, "token-lifetime"),
        ({"exp": int(AT), "iat": int(AT)}, "token-lifetime"),
        ({"exp": int(AT) - 20, "iat": int(AT)}, "token-lifetime"),
    ],
)
def test_sec_13_a_token_outside_its_time_is_refused(changes: dict[str, int], reason: str) -> None:
    token = read_token(signed(claims(**{"iat": int(AT) - 120, **changes})))
    with pytest.raises(Unauthorised) as caught:
        check_times(token.claims, AT, RULES)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": int(AT) - 59},
        {"iat": int(AT) + 30},
        {"iat": int(AT) + 60, "nbf": int(AT) + 60},
        {"iat": AT + 0.5},
        {"nbf": int(AT) - 300, "exp": int(AT) + 900},
        {"iat": int(AT), "exp": int(AT) + 3600},
    ],
)
def test_clocks_may_differ_by_a_minute_either_way(changes: dict[str, float]) -> None:
    check_times(read_token(signed(claims(**{"iat": int(AT) - 120, **changes}))).claims, AT, RULES)


@pytest.mark.parametrize("alg", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"])
def test_rsa_signatures_are_verified(alg: str) -> None:
    check_signature(read_token(signed(key=rsa_key(), header={"alg": alg})), rsa_key())


@pytest.mark.parametrize(("alg", "curve"), [("ES256", "P-256"), ("ES384", "P-384"), ("ES512", "P-521")])
def test_ec_signatures_are_verified(alg: str, curve: str) -> None:
    key = ec_key("ec-1", curve)
    check_signature(read_token(signed(key=key, header={"alg": alg})), key)


def test_a_long_jku_and_members_unknown_to_the_library_do_no_harm() -> None:
    header = {"jku": f"{JKU}?{'x' * 900}", "vendor": {"deep": [1]}}
    check_signature(read_token(signed(header=header)), ec_key())


def _broken(token: bytes, part: int) -> bytes:
    parts = token.split(b".")
    first = b"A" if parts[part][:1] != b"A" else b"B"
    parts[part] = first + parts[part][1:]
    return b".".join(parts)


@pytest.mark.parametrize(
    "token",
    [
        _broken(signed(), 2),
        signed().rsplit(b".", 1)[0] + b".",
        signed().rsplit(b".", 1)[0] + b"." + signed(claims(jti="other")).rsplit(b".", 1)[1],
        signed() + b"AAAA",
        signed(key=ec_key("other"), header={"kid": "ec-1"}),
        unsigned({"alg": "ES384", "kid": "ec-1", "typ": "JWT"}, claims(), b"\0" * 96),
        unsigned({"alg": "RS384", "kid": "ec-1", "typ": "JWT"}, claims(), b"\1" * 256),
        unsigned({"alg": "ES256", "kid": "ec-1", "typ": "JWT"}, claims(), b"\1" * 64),
        unsigned({"alg": "ES384", "kid": "ec-1", "x5c": 5}, claims(), b"\1" * 96),
    ],
    ids=[
        "flipped",
        "empty",
        "of-another-token",
        "longer",
        "other-key",
        "zeros",
        "rsa-for-ec",
        "es256",
        "x5c",
    ],
)
def test_a_signature_that_is_not_the_keys_is_refused(token: bytes) -> None:
    read = read_token(token)
    with pytest.raises(Unauthorised) as caught:
        check_signature(read, ec_key())
    assert caught.value.reason == "signature-wrong"
    assert not shows(caught.value, token)
