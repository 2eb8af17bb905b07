"""Public keys of the clients: key sets parsed once, and where they come from.

Sources: conformance notes SEC-11 and SEC-12; RFC 7517. A `jku` is fetched only when it is the one listed for
the client, and the fetch follows no redirect and is limited in bytes and seconds.
"""

import asyncio
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from service.errors import TocsinError
from service.trust.strictjson import NotStrict, read_object
from service.wire import FetchError, Wire

__all__ = ["FetchLimits", "FileKeys", "FixedKeys", "KeySet", "Keys", "KeysError", "RemoteKeys", "parse_keys"]

PublicKey = RSAKey | ECKey
_Members = dict[str, str | list[str]]

_MAX_KEYS = 100
_UNREADABLE = "keys-file"
_MIN_RSA_BITS = 2048
_PUBLIC_MEMBERS = {"RSA": ("kty", "n", "e"), "EC": ("kty", "crv", "x", "y")}
_KTY_OF = {"RS": "RSA", "PS": "RSA", "ES": "EC"}
_CURVE_OF = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}


class KeysError(TocsinError):
    """No key set can be had. `reason` is a stable code for the log and holds nothing of the answer.

    Reasons: keys-malformed, keys-none-usable, keys-file, keys-unavailable.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class _Entry(msgspec.Struct, frozen=True):
    kid: str
    kty: str
    curve: str
    alg: str
    key: PublicKey


class KeySet(msgspec.Struct, frozen=True):
    """The usable verification keys of one JWK Set."""

    entries: tuple[_Entry, ...]

    def find(self, kid: str, alg: str) -> PublicKey | None:
        """The key named `kid`, if it is of the kind that `alg` verifies with."""
        kty, curve = _KTY_OF[alg[:2]], _CURVE_OF.get(alg, "")
        for entry in self.entries:
            same = (entry.kid, entry.kty, entry.curve) == (kid, kty, curve)
            if same and entry.alg in ("", alg):
                return entry.key
        return None

    def serves(self, alg: str) -> bool:
        """Whether any key could verify `alg`."""
        return any(self.find(entry.kid, alg) for entry in self.entries)


def parse_keys(data: bytes | Mapping[str, Any]) -> KeySet:
    """Parse a JWK Set.

    A key without `kid`, meant for encryption, of an unknown kind, or an RSA key under 2048 bits is passed
    over, as RFC 7517 section 5 says. Private members are never read. Raises KeysError.
    """
    try:
        members = read_object(data) if isinstance(data, bytes) else data
    except NotStrict as error:
        raise KeysError("keys-malformed") from error
    listed = members.get("keys")
    if not isinstance(listed, list) or len(listed) > _MAX_KEYS:
        raise KeysError("keys-malformed")
    entries = tuple(entry for entry in map(_entry, listed) if entry is not None)
    if not entries:
        raise KeysError("keys-none-usable")
    return KeySet(entries)


def _entry(jwk: object) -> _Entry | None:
    if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig" or not _may_verify(jwk.get("key_ops")):
        return None
    texts = {name: value for name, value in jwk.items() if isinstance(value, str)}
    kid, kty = texts.get("kid", ""), texts.get("kty", "")
    if not kid or kty not in _PUBLIC_MEMBERS or any(name not in texts for name in _PUBLIC_MEMBERS[kty]):
        return None
    public: _Members = {name: texts[name] for name in _PUBLIC_MEMBERS[kty]}
    if kty == "EC" and texts["crv"] not in _CURVE_OF.values():
        return None
    try:
        key = _rsa(public, texts["n"]) if kty == "RSA" else ECKey.import_key(public)
    except (JoseError, ValueError):
        return None
    return _Entry(kid, kty, texts["crv"] if kty == "EC" else "", texts.get("alg", ""), key)


def _may_verify(operations: object) -> bool:
    return operations is None or (isinstance(operations, list) and "verify" in operations)


def _rsa(public: _Members, modulus: str) -> RSAKey:
    # Measured before the import, which only warns of a weak key.
    bits = int.from_bytes(urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4))).bit_length()
    if bits < _MIN_RSA_BITS:
        raise ValueError("RSA key too short")
    return RSAKey.import_key(public)


class Keys(Protocol):
    """Where the keys of one client come from."""

    @property
    def failing(self) -> str:
        """The stable reason why the source could not be read when it was last tried, empty when it could."""

    async def find(self, kid: str, alg: str, now: float) -> PublicKey | None:
        """The key, or None when the source does not have it. `now` in epoch seconds. Raises KeysError."""

    async def aclose(self) -> None:
        """Stop what runs in the background."""


class FixedKeys:
    """A key set written in the client list itself."""

    failing = ""

    def __init__(self, keys: KeySet) -> None:
        self._keys = keys

    async def find(self, kid: str, alg: str, now: float) -> PublicKey | None:
        return self._keys.find(kid, alg)

    async def aclose(self) -> None:
        """Nothing runs."""


class FileKeys:
    """A JWK Set in a file, read again when the file changes; a broken change leaves the last good set in
    force.

    The constructor raises KeysError when the file is unusable from the start.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._stamp_now()
        self._keys = self._read()
        self.failing = ""

    async def find(self, kid: str, alg: str, now: float) -> PublicKey | None:
        try:
            stamp = self._stamp_now()
            # A file that could not be read may be as it was when it can be: only its rights were mended.
            if stamp != self._stamp or self.failing == _UNREADABLE:
                self._stamp = stamp
                self._keys = self._read()
                self.failing = ""
        except KeysError as error:
            self.failing = error.reason
        return self._keys.find(kid, alg)

    async def aclose(self) -> None:
        """Nothing runs."""

    def _stamp_now(self) -> tuple[int, int, int]:
        try:
            status = self._path.stat()
        except OSError as error:
            raise KeysError(_UNREADABLE) from error
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> KeySet:
        try:
            return parse_keys(self._path.read_bytes())
        except OSError as error:
            raise KeysError(_UNREADABLE) from error


class FetchLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Of fetching one JWK Set; times in seconds.

    A set is fresh for `ttl` and, while its source is out of order, used for `stale` more. Between two fetches
    at least `interval` passes, whatever the reason: a flood of unknown key ids costs the EHR one request
    each.
    """

    ttl: float = 600.0
    stale: float = 86_400.0
    interval: float = 10.0
    timeout: float = 2.0
    max_bytes: int = 256 * 1024


class RemoteKeys:
    """The JWK Set at one listed `jku`, cached. Belongs to one event loop.

    Callers that need it at the same time share one fetch. In the last quarter of its time a set is renewed
    beside the calls, so that a busy service does not make a call wait for it.
    """

    def __init__(self, jku: str, wire: Wire, limits: FetchLimits | None = None) -> None:
        self._jku = jku
        self._wire = wire
        self._limits = limits or FetchLimits()
        self._keys: KeySet | None = None
        self._fetched = 0.0
        self._tried = float("-inf")
        self._flight: asyncio.Task[None] | None = None
        self.failing = ""

    async def find(self, kid: str, alg: str, now: float) -> PublicKey | None:
        keys = await self._current(now)
        key = keys.find(kid, alg)
        if key is None and await self._renew(now):
            key = (self._keys or keys).find(kid, alg)
        return key

    async def aclose(self) -> None:
        """Give up a fetch under way."""
        flight = self._flight
        if flight is not None and not flight.done():
            flight.cancel()
            await asyncio.gather(flight, return_exceptions=True)

    async def _current(self, now: float) -> KeySet:
        if self._keys is None or self._age(now) >= self._limits.ttl:
            await self._renew(now)
        elif self._age(now) >= self._limits.ttl * 0.75:
            self._start(now)
        if self._keys is None or self._age(now) >= self._limits.ttl + self._limits.stale:
            raise KeysError("keys-unavailable")
        return self._keys

    def _age(self, now: float) -> float:
        # A clock that was wrong for a while and is set back must not make a set fresh for ever.
        return abs(now - self._fetched)

    async def _renew(self, now: float) -> bool:
        """Wait for a fetch, of our own or of another caller; False when none may be made yet."""
        flight = self._start(now)
        if flight is not None:
            # One caller that goes away must not take the fetch from the others.
            await asyncio.shield(flight)
        return flight is not None

    def _start(self, now: float) -> asyncio.Task[None] | None:
        if self._flight is not None and not self._flight.done():
            return self._flight
        if abs(now - self._tried) < self._limits.interval:
            return None
        self._tried = now
        self._flight = asyncio.create_task(self._refresh(now))
        return self._flight

    async def _refresh(self, now: float) -> None:
        deadline = asyncio.get_running_loop().time() + self._limits.timeout
        headers = {"Accept": "application/jwk-set+json, application/json"}
        try:
            body = await self._wire.send(
                "GET", self._jku, headers=headers, deadline=deadline, limit=self._limits.max_bytes
            )
            keys = parse_keys(body)
        except (FetchError, KeysError) as error:
            self.failing = error.reason
            return
        self._keys, self._fetched, self.failing = keys, now, ""
