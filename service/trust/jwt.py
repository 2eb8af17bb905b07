"""The client's JWT: read, and checked in parts. No part keeps or shows the token.

Sources: conformance notes SEC-04 to SEC-09 and SEC-13; RFC 7515, 7519 and 8725. What costs nothing is checked
before the signature, so that a stranger cannot make the service compute or fetch. Every failure is an
Unauthorised with a reason for the log.
"""

import math
import re
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from service.errors import Unauthorised
from service.trust.clients import ALGORITHMS
from service.trust.strictjson import NotStrict, read_object

__all__ = ["Claims", "Header", "TimeRules", "Token", "bearer", "check_signature", "check_times", "read_token"]

MAX_TOKEN_BYTES = 8192
_MAX_TEXT = 1024
_MAX_AUDIENCES = 16
_BASE64URL = re.compile(rb"[A-Za-z0-9_-]*\Z")


class Header(msgspec.Struct, frozen=True):
    """The members of the JOSE header that decide something. `jku` is empty when the token names none."""

    alg: str
    kid: str
    jku: str


class Claims(msgspec.Struct, frozen=True):
    """The claims that decide something; times in epoch seconds, `tenant` empty when there is none."""

    issuer: str
    audience: tuple[str, ...]
    expires: float
    issued: float
    not_before: float
    jti: str
    tenant: str


class Token(msgspec.Struct, frozen=True):
    """A well-formed token whose signature nobody has checked yet."""

    header: Header
    claims: Claims
    compact: bytes

    def __repr__(self) -> str:
        return "Token(...)"


class TimeRules(msgspec.Struct, frozen=True, kw_only=True):
    """In seconds: how far clocks may differ either way, and how long a token may be valid."""

    leeway: float = 60.0
    max_lifetime: float = 3600.0


def bearer(headers: Iterable[tuple[bytes, bytes]]) -> bytes | None:
    """The bearer token of a request, None without an Authorization header. Header names are in lower case."""
    values = [value for name, value in headers if name == b"authorization"]
    if not values:
        return None
    if len(values) > 1:
        raise Unauthorised("authorization-twice")
    scheme, _, token = values[0].strip().partition(b" ")
    token = token.strip()
    if scheme.lower() != b"bearer" or not token:
        raise Unauthorised("authorization-not-bearer")
    if len(token) > MAX_TOKEN_BYTES:
        raise Unauthorised("token-too-long")
    return token


def read_token(compact: bytes) -> Token:
    """Everything of a token that can be judged without a key. The algorithm is judged first of all."""
    parts = compact.split(b".")
    if len(parts) != 3:
        raise Unauthorised("token-malformed")
    header = _object(parts[0])
    alg = header.get("alg")
    if not isinstance(alg, str) or alg not in ALGORITHMS:
        raise Unauthorised("alg-refused")
    if "crit" in header:
        raise Unauthorised("crit-refused")
    if str(header.get("typ", "JWT")).upper() != "JWT":
        raise Unauthorised("typ-refused")
    kid, jku = _text(header, "kid"), _text(header, "jku", "")
    return Token(Header(alg, kid, jku), _claims(_object(parts[1])), compact)


def check_times(claims: Claims, now: float, rules: TimeRules) -> None:
    """Expiry, issue and start of validity at `now`, in epoch seconds (RFC 7519 sections 4.1.4 to 4.1.6)."""
    if now >= claims.expires + rules.leeway:
        raise Unauthorised("token-expired")
    if claims.issued > now + rules.leeway:
        raise Unauthorised("token-from-future")
    if claims.not_before > now + rules.leeway:
        raise Unauthorised("token-not-yet-valid")
    if not 0 < claims.expires - claims.issued <= rules.max_lifetime:
        raise Unauthorised("token-lifetime")


def check_signature(token: Token, key: RSAKey | ECKey) -> None:
    """The signature under exactly the algorithm that was judged in the header."""
    try:
        jws.deserialize_compact(token.compact, key, registry=_REGISTRIES[token.header.alg])
    except (JoseError, ValueError):
        # Causes are left behind here and below: their text may quote the token.
        raise Unauthorised("signature-wrong") from None


class _Registry(jws.JWSRegistry):
    """joserfc's header checks without its limits: ours are above, and a `jku` may be longer than its 512
    bytes.
    """

    max_header_length = MAX_TOKEN_BYTES

    def __init__(self, algorithm: str) -> None:
        super().__init__(algorithms=[algorithm], strict_check_header=False)


_REGISTRIES = {algorithm: _Registry(algorithm) for algorithm in ALGORITHMS}


def _object(segment: bytes) -> dict[str, Any]:
    # The decoder of the standard library passes over characters it does not know; a token may have none.
    if not _BASE64URL.match(segment):
        raise Unauthorised("token-malformed")
    try:
        return read_object(urlsafe_b64decode(segment + b"=" * (-len(segment) % 4)))
    except (NotStrict, ValueError):
        raise Unauthorised("token-malformed") from None


def _claims(members: Mapping[str, Any]) -> Claims:
    issued = _time(members, "iat")
    return Claims(
        issuer=_text(members, "iss"),
        audience=_audience(members.get("aud")),
        expires=_time(members, "exp"),
        issued=issued,
        not_before=_time(members, "nbf") if "nbf" in members else issued,
        jti=_text(members, "jti"),
        tenant=_text(members, "tenant", ""),
    )


def _text(members: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = members.get(name)
    if value is None:
        if default is None:
            raise Unauthorised(f"{name}-missing")
        return default
    # Printable also keeps line breaks out of the log, which may show issuer, tenant and jti (SEC-15).
    sound = (
        isinstance(value, str) and 0 < len(value.strip()) <= len(value) <= _MAX_TEXT and value.isprintable()
    )
    if not sound:
        raise Unauthorised(f"{name}-malformed")
    return str(value)


def _time(members: Mapping[str, Any], name: str) -> float:
    value = members.get(name)
    if value is None:
        raise Unauthorised(f"{name}-missing")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unauthorised(f"{name}-malformed")
    try:
        seconds = float(value)
    except OverflowError:
        raise Unauthorised(f"{name}-malformed") from None
    if not math.isfinite(seconds):
        raise Unauthorised(f"{name}-malformed")
    return seconds


def _audience(value: object) -> tuple[str, ...]:
    if value is None:
        raise Unauthorised("aud-missing")
    named = value if isinstance(value, list) else [value]
    if not 0 < len(named) <= _MAX_AUDIENCES or not all(isinstance(each, str) for each in named):
        raise Unauthorised("aud-malformed")
    return tuple(named)
