"""`tocsin doctor --token-file`: which claim of a token fails and how, and nothing of the token itself."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from service.doctor_token import pasted
from service.settings import Settings
from tests.service.diagnoses import NOW, Ehr, client_settings, examined, fresh, only
from tests.service.trust.signing import ISSUER, PUBLIC_URL, SERVICE_URL, ec_key, signed, unsigned

Clients = Callable[..., Settings]


@pytest.fixture
def listed(tmp_path: Path) -> Clients:
    """Makes settings with a client list of one client, whose members are given."""
    return partial(client_settings, tmp_path)


async def test_a_sound_token(listed: Clients) -> None:
    found = await examined(listed(), token=signed(fresh(tenant="t-1")))
    says = (
        f"It would be accepted from ehr at /cds-services/red-flags (issuer {ISSUER}, tenant t-1, jti jti-1)."
    )
    assert only(found, "token").says == says


async def test_a_tolerated_audience_is_said(listed: Clients) -> None:
    settings = listed(audience={"tolerant": True, "reason": "r", "bases": [PUBLIC_URL]})
    found = await examined(settings, token=signed(fresh(aud=f"{PUBLIC_URL}/")))
    assert "(its audience is tolerated)" in only(found, "token").says


NOW_S = int(NOW.timestamp())


@pytest.mark.parametrize(
    ("token", "parts"),
    [
        (b"garbage", ["It is no JWT"]),
        (b"x" * 9000, ["longer than 8192"]),
        (unsigned({"alg": "none", "typ": "JWT", "kid": "ec-1"}, fresh()), ["alg: it is none"]),
        (signed(fresh(), header={"typ": "at+jwt"}), ["typ:"]),
        (signed(fresh(iss=None)), ["iss: it is not there"]),
        (signed(fresh(exp="soon")), ["exp: it is not of the form"]),
        (signed(fresh(iss="https://evil.example")), ["iss: no client"]),
        (signed(fresh(), header={"jku": "https://evil.example/k"}), ["jku:"]),
        (signed(fresh(exp=NOW_S - 700, iat=NOW_S - 900)), ["exp: it expired 12 minutes ago"]),
        (signed(fresh(exp=NOW_S - 90, iat=NOW_S - 300)), ["exp: it expired 90 seconds ago"]),
        (signed(fresh(iat=NOW_S + 90)), ["iat: it was issued in the future"]),
        (signed(fresh(exp=NOW_S + 7200)), ["exp: it lives longer than 60 minutes"]),
        (signed(fresh(), header={"kid": "other"}), ["kid:"]),
        (signed(fresh(), key=ec_key("mine"), header={"kid": "ec-1"}), ["The signature"]),
        (signed(fresh(aud="https://x.example/cds-services/red-flags")), ["aud: ", "another host"]),
        (signed(fresh(aud=SERVICE_URL.replace("https", "http"))), ["http instead of https"]),
        (signed(fresh(aud=SERVICE_URL.replace(".org", ".org:8443"))), ["another port"]),
        (signed(fresh(aud=SERVICE_URL + "/")), ["a slash at its end"]),
        (signed(fresh(aud=[PUBLIC_URL + "/cds-services/x", "red flags"])), ["another path or it is no URL"]),
        (signed(fresh(aud="https://[x")), ["it is no URL"]),
        (signed(fresh(aud="http://x:y/", exp=NOW_S - 700, iat=NOW_S - 900)), ["exp:", "aud:"]),
    ],
)
async def test_which_claim_fails_and_how(listed: Clients, token: bytes, parts: list[str]) -> None:
    found = await examined(listed(), token=token)
    text = " ".join(one.says for one in found["token"])
    assert {one.state for one in found["token"]} == {"fail"}
    assert all(part in text for part in parts), text


async def test_an_algorithm_that_is_not_listed(listed: Clients) -> None:
    found = await examined(listed(algorithms=["RS384"]), token=signed(fresh()))
    assert only(found, "token").says == "alg: ES384 is not listed for ehr."


async def test_without_keys_a_signature_is_not_judged(listed: Clients) -> None:
    ehr = Ehr()
    ehr.status["jwks"] = 500
    found = await examined(listed(), ehr, signed(fresh()))
    assert only(found, "token").action == "See keys:ehr."


def test_a_token_is_taken_out_of_what_was_pasted() -> None:
    for text in (b"a.b.c", b"Authorization: Bearer a.b.c\n", b"bearer a.b\n.c", b" a.b.c "):
        assert pasted(text) == b"a.b.c"
