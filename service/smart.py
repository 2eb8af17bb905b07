"""SMART Backend Services: a token of our own for servers whose EHR sends none with the call.

Client credentials with a signed assertion (private_key_jwt), RS384 or ES384. Optional, per client. Source:
HL7 SMART App Launch 2.2, Backend Services; RFC 7523. A token is kept in memory only, for at most five
minutes, so that one that was revoked early does not stay in use for its whole life.
"""

import asyncio
import time
import uuid
import warnings
from collections.abc import Callable, Iterable

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, RSAKey, import_key

from service.access import is_usable
from service.addresses import Base, parse_base
from service.errors import TocsinError
from service.flights import Flights
from service.wire import FORM, FetchError, Wire, form

__all__ = ["BackendTokens", "InvalidKey", "Registration", "registration", "signing_key"]

_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_LIFE_S = 240  # the profile allows five minutes
_LONGEST_KEPT_S = 300.0
_LEEWAY_S = 30.0
_KEEP_FAILURE_S = 5.0
_PATIENCE_S = 5.0
_LARGEST_ANSWER = 64 * 1024


class InvalidKey(TocsinError):
    """The private key of a registration cannot be used. The message holds nothing of the key."""


class Registration(msgspec.Struct, frozen=True, eq=False):
    """How we are known at one authorization server. `repr` shows no key."""

    token_url: Base
    client_id: str
    scope: str
    key: RSAKey | ECKey
    algorithm: str

    def __repr__(self) -> str:
        return f"Registration({self.token_url.url!r}, {self.client_id!r})"


class _Grant(msgspec.Struct):
    access_token: str
    token_type: str = "Bearer"
    expires_in: float = 60.0


_GRANT = msgspec.json.Decoder(_Grant)


def registration(token_url: str, client_id: str, key: bytes, scopes: Iterable[str]) -> Registration:
    """Read a registration; `key` is as `signing_key` takes it.

    Raises InvalidBase for the URL (https outside loopback), InvalidKey.
    """
    url = parse_base(token_url)
    loaded, algorithm = signing_key(key)
    return Registration(url, client_id, " ".join(scopes), loaded, algorithm)


def signing_key(key: bytes) -> tuple[RSAKey | ECKey, str]:
    """A private key and its algorithm, RS384 or ES384, from a JWK in JSON: RSA of 2048 bits or more, or EC on
    P-384. Raises InvalidKey.
    """
    try:
        with warnings.catch_warnings():
            # joserfc warns of keys that are too short, and takes them.
            warnings.simplefilter("error", SecurityWarning)
            loaded = import_key(msgspec.json.decode(key, type=dict[str, str | list[str]]))
    except SecurityWarning as error:
        raise InvalidKey("the key is too weak") from error
    except (JoseError, msgspec.MsgspecError, ValueError, TypeError, KeyError) as error:
        raise InvalidKey("the key is not a JWK") from error
    if not isinstance(loaded, RSAKey | ECKey) or not loaded.is_private:
        raise InvalidKey("the key is not a private RSA or EC key")
    if isinstance(loaded, RSAKey):
        return loaded, "RS384"
    if loaded.curve_name != "P-384":
        raise InvalidKey("the EC key is not on P-384")
    return loaded, "ES384"


class BackendTokens:
    """Access tokens by registration. `clock` gives seconds since the epoch, for the assertion's lifetime."""

    def __init__(self, wire: Wire, *, clock: Callable[[], float] = time.time) -> None:
        self._wire = wire
        self._clock = clock
        self._flights: Flights[Registration, str | FetchError] = Flights(self._ask)

    async def token(self, registered: Registration) -> str:
        """A token, from memory or new. Raises FetchError; a failure is remembered for five seconds."""
        found = await self._flights.get(registered)
        if isinstance(found, FetchError):
            raise FetchError(found.reason)
        return found

    async def aclose(self) -> None:
        await self._flights.aclose()

    async def _ask(self, registered: Registration) -> tuple[str | FetchError, float]:
        loop = asyncio.get_running_loop()
        pairs = [
            ("grant_type", "client_credentials"),
            ("scope", registered.scope),
            ("client_assertion_type", _ASSERTION),
            ("client_assertion", self._assertion(registered)),
        ]
        try:
            body = await self._wire.send(
                "POST",
                registered.token_url.url,
                headers={"Accept": "application/json", "Content-Type": FORM},
                body=form(pairs).encode(),
                deadline=loop.time() + _PATIENCE_S,
                limit=_LARGEST_ANSWER,
            )
            granted = _GRANT.decode(body)
        except FetchError as error:
            return error, _KEEP_FAILURE_S
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return FetchError("token-malformed"), _KEEP_FAILURE_S
        if not is_usable(granted.access_token) or granted.token_type.lower() != "bearer":
            return FetchError("token-malformed"), _KEEP_FAILURE_S
        return granted.access_token, min(granted.expires_in - _LEEWAY_S, _LONGEST_KEPT_S)

    def _assertion(self, registered: Registration) -> str:
        now = int(self._clock())
        header = {"alg": registered.algorithm, "kid": registered.key.kid or registered.key.thumbprint()}
        claims = {
            "iss": registered.client_id,
            "sub": registered.client_id,
            "aud": registered.token_url.url,
            "iat": now,
            "exp": now + _ASSERTION_LIFE_S,
            "jti": str(uuid.uuid4()),
        }
        return jwt.encode(header, claims, registered.key, algorithms=[registered.algorithm])
