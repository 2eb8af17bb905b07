"""Keys and tokens of made-up clients."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, OctKey, RSAKey

from service.trust.clients import Client
from service.trust.keys import KeySet, parse_keys

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
AT = NOW.timestamp()
PUBLIC_URL = "https://cds.example.org"
SERVICE_PATH = "/cds-services/red-flags"
SERVICE_URL = PUBLIC_URL + SERVICE_PATH
ISSUER = "https://fhir.ehr.example/r4"
JKU = "https://fhir.ehr.example/jwks.json"

Key = RSAKey | ECKey | OctKey


@cache
def ec_key(kid: str = "ec-1", curve: str = "P-384") -> ECKey:
    return ECKey.generate_key(curve, {"kid": kid, "use": "sig"})


@cache
def rsa_key(kid: str = "rsa-1") -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig"})


def jwks(*keys: RSAKey | ECKey) -> dict[str, Any]:
    """The public JWK Set of these keys; of both usual ones without arguments."""
    return {"keys": [dict(key.as_dict(private=False)) for key in keys or (ec_key(), rsa_key())]}


def key_set(*keys: RSAKey | ECKey) -> KeySet:
    return parse_keys(jwks(*keys))


def client(**members: Any) -> Client:
    """A client whose keys are `jwks()`, unless told otherwise."""
    return Client(**{"id": "ehr", "issuer": ISSUER, "jku": JKU, "jwks": key_set(), **members})


def claims(**changes: Any) -> dict[str, Any]:
    """The claims of a sound token; None takes one out."""
    sound = {"iss": ISSUER, "aud": SERVICE_URL, "exp": int(AT) + 300, "iat": int(AT), "jti": "jti-1"}
    return {name: value for name, value in {**sound, **changes}.items() if value is not None}


def compact(header: Mapping[str, Any], payload: bytes, key: Key) -> bytes:
    """Sign whatever is given, sound or not."""
    registry = jws.JWSRegistry(algorithms=[header["alg"]], strict_check_header=False)
    registry.max_header_length = 10_000
    return jws.serialize_compact(dict(header), payload, key, registry=registry).encode()


def signed(
    body: Mapping[str, Any] | bytes | None = None,
    *,
    key: Key | None = None,
    header: Mapping[str, Any] | None = None,
) -> bytes:
    """A token: sound without arguments. `header` changes members, None takes one out."""
    key = key or ec_key()
    alg = {"EC": "ES384", "RSA": "RS384", "oct": "HS256"}[key.key_type]
    members = {"alg": alg, "typ": "JWT", "kid": key.kid, "jku": JKU, **(header or {})}
    if body is None:
        body = claims()
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    return compact({name: value for name, value in members.items() if value is not None}, payload, key)


def unsigned(header: Mapping[str, Any], body: Mapping[str, Any], signature: bytes = b"") -> bytes:
    """A token whose signature is these bytes."""
    parts = (json.dumps(header).encode(), json.dumps(body).encode(), signature)
    return b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in parts)


def authorization(token: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"cds.example.org"), (b"authorization", b"Bearer " + token)]


def shows(error: BaseException, token: bytes) -> bool:
    """Whether the error, or a cause that would be printed with it, shows a part of the token."""
    parts = [part.decode("latin-1") for part in token.split(b".") if len(part) > 8]
    texts = []
    cause: BaseException | None = error
    while cause is not None:
        texts.append(f"{cause!r} {cause}")
        cause = cause.__cause__
    return any(part in text for part in parts for text in texts)
