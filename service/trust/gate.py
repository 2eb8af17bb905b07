"""The gate every call goes through first: who calls, and what that caller may do.

Source: conformance notes 1.9. The order of the checks: form, algorithm, client, audience, times, key,
signature, certificate, and last whether the token has been used before, so that only a sound token is
remembered.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import httpx
import msgspec

from service.addresses import parse_base
from service.errors import SettingProblem, SettingsError, Unauthorised
from service.trust.audience import Endpoint, Kind, audience_fit
from service.trust.clientfile import read_clients
from service.trust.clients import Client, Clients, anonymous
from service.trust.jwt import TimeRules, Token, bearer, check_signature, check_times, read_token
from service.trust.keys import FetchLimits, FileKeys, FixedKeys, Keys, KeysError, KeySet, RemoteKeys
from service.trust.mtls import CertificateHeader
from service.trust.replay import ReplayFailed, ReplayGuard, SharedMemory
from service.trust.sandbox import sandbox_client
from service.wire import Wire

__all__ = ["Caller", "Gate", "TrustOptions", "open_gate"]

Headers = Sequence[tuple[bytes, bytes]]


class TrustOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the settings say about trust.

    `replay_file` is the memory the workers of this machine share; None keeps it in this process, which is
    enough for one worker.
    """

    public_url: str = ""
    auth: bool = True
    production: bool = True
    workers: int = 1
    clients_file: Path | None = None
    trust_sandbox: bool = False
    fhir_allow: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    replay_file: Path | None = None
    replay_on_failure: Literal["accept", "refuse"] = "accept"
    times: TimeRules = TimeRules()
    jwks: FetchLimits = FetchLimits()
    mtls_header: str = ""
    trusted_proxies: tuple[str, ...] = ()


class Caller(msgspec.Struct, frozen=True):
    """An identified caller. `issuer`, `tenant` and `jti` may be logged (SEC-15) and are empty without a
    token.

    `audience_tolerated` is a warning for the log: the token names another URL than the one called.
    """

    client: Client
    issuer: str = ""
    tenant: str = ""
    jti: str = ""
    audience_tolerated: bool = False

    @property
    def named(self) -> Mapping[str, str]:
        """What the log may say of the token: those of issuer, tenant and jti that it has."""
        return _named(self.issuer, self.tenant, self.jti)


class TrustWarning(msgspec.Struct, frozen=True):
    """What an operator must know of who is trusted. `code` is for the log, `says` for people."""

    code: str
    says: str


class Gate:
    """Identifies callers. Belongs to one event loop; `aclose` it at the end.

    `warnings` are for the log of the start, /readyz and `tocsin doctor`.
    """

    def __init__(
        self,
        options: TrustOptions,
        clients: Clients,
        wire: Wire,
        warnings: Iterable[TrustWarning] = (),
        *,
        replay_failed: Callable[[], None] = lambda: None,
    ) -> None:
        """`replay_failed` is called each time that replay cannot be judged. Raises KeysError when a key file
        has become unusable since the clients were read.
        """
        self.clients = clients
        self.warnings = tuple(warnings)
        self._wire = wire
        self._public_url = options.public_url
        self._times = options.times
        self._keys = {client.id: _keys(client, wire, options.jwks) for client in clients if client.issuer}
        self._replay = ReplayGuard(
            _shared(options.replay_file), on_failure=options.replay_on_failure, failed=replay_failed
        )
        self._certificates = (
            CertificateHeader(options.mtls_header, options.trusted_proxies) if options.mtls_header else None
        )
        allowed = map(parse_base, options.fhir_allow)
        self._open_to = None if options.auth else anonymous(allowed, options.cors_origins)

    async def identify(
        self, headers: Headers, url_path: str, kind: Kind, now: datetime, *, peer: str = ""
    ) -> Caller:
        """The caller of a request.

        `headers` are raw ASGI headers, `url_path` is the path called below the public URL, `kind` what is
        served there, `now` is aware, `peer` is the address at the other end of the connection. Raises
        Unauthorised, and Overloaded when replay cannot be judged and the operator wants such calls refused.
        """
        if self._open_to is not None:
            return Caller(self._open_to)
        subject = self._certificates.subject(headers, peer) if self._certificates else ""
        compact = bearer(headers)
        if compact is None:
            return self._by_certificate(subject)
        return await self._by_token(compact, Endpoint(kind, url_path), now.timestamp(), subject)

    @property
    def client_ids(self) -> frozenset[str]:
        """The ids that a caller can have."""
        if self._open_to is not None:
            return frozenset((self._open_to.id,))
        return frozenset(client.id for client in self.clients)

    def failing(self) -> tuple[str, ...]:
        """What is out of order though calls may still be answered: `replay`, `keys:<client id>:<reason>`."""
        broken = [f"keys:{name}:{keys.failing}" for name, keys in self._keys.items() if keys.failing]
        return (*(["replay"] if self._replay.failing else []), *broken)

    async def aclose(self) -> None:
        for keys in self._keys.values():
            await keys.aclose()
        await self._wire.aclose()
        self._replay.close()

    def _by_certificate(self, subject: str) -> Caller:
        client = self.clients.by_certificate(subject) if subject else None
        if client is None:
            raise Unauthorised("token-missing")
        return Caller(client)

    async def _by_token(self, compact: bytes, endpoint: Endpoint, now: float, subject: str) -> Caller:
        token = read_token(compact)
        try:
            return await self._judged(token, endpoint, now, subject)
        except Unauthorised as error:
            error.named = _named(token.claims.issuer, token.claims.tenant, token.claims.jti)
            raise

    async def _judged(self, token: Token, endpoint: Endpoint, now: float, subject: str) -> Caller:
        header, claims = token.header, token.claims
        client = self.clients.choose(claims.issuer, header.jku, claims.tenant)
        if header.alg not in client.algorithms:
            raise Unauthorised("alg-not-listed")
        fit = audience_fit(claims.audience, endpoint, self._public_url, client.audience)
        if fit == "wrong":
            raise Unauthorised("aud-wrong")
        check_times(claims, now, self._times)
        try:
            key = await self._keys[client.id].find(header.kid, header.alg, now)
        except KeysError as error:
            raise Unauthorised(error.reason) from error
        if key is None:
            raise Unauthorised("kid-unknown")
        check_signature(token, key)
        if client.mtls_subject and client.mtls_subject != subject:
            raise Unauthorised("certificate-wrong")
        # Remembered a little longer than it is accepted, so that the two moments cannot change places.
        until = claims.expires + self._times.leeway + 1
        if not await self._replay.first_use(claims.issuer, claims.jti, until, now):
            raise Unauthorised("token-replayed")
        return Caller(client, claims.issuer, claims.tenant, claims.jti, fit == "tolerated")


def open_gate(
    options: TrustOptions,
    *,
    transport: httpx.AsyncBaseTransport | None = None,
    replay_failed: Callable[[], None] = lambda: None,
) -> Gate:
    """The gate these options describe; `transport` replaces the guarded one that fetches key sets, and
    `replay_failed` is called each time that replay cannot be judged.

    Raises SettingsError for options that do not go together, ClientsError for the client list.
    """
    problems = list(_conflicts(options))
    if problems:
        raise SettingsError(problems)
    listed: list[Client] = []
    told: list[TrustWarning] = []
    if options.auth and options.clients_file is not None:
        clients, warnings = read_clients(options.clients_file)
        listed += clients
        told += (TrustWarning(problem.code, str(problem)) for problem in warnings)
    if options.auth and options.trust_sandbox:
        sandbox = sandbox_client(map(parse_base, options.fhir_allow), options.cors_origins)
        if any(client.issuer == sandbox.issuer for client in listed):
            raise SettingsError(
                [_problem("TRUST_SANDBOX", "CLIENTS lists the sandbox already.", "Use one of the two.")]
            )
        listed.append(sandbox)
        says = "The key of the public CDS Hooks Sandbox is trusted: anyone can sign with it."
        told.append(TrustWarning("sandbox-trusted", says))
    return Gate(options, Clients(listed), Wire(transport, attempts=1), told, replay_failed=replay_failed)


def _named(issuer: str, tenant: str, jti: str) -> Mapping[str, str]:
    given = {"issuer": issuer, "tenant": tenant, "jti": jti}
    return {name: value for name, value in given.items() if value}


def _keys(client: Client, wire: Wire, limits: FetchLimits) -> Keys:
    if isinstance(client.jwks, KeySet):
        return FixedKeys(client.jwks)
    if client.jwks is not None:
        return FileKeys(client.jwks)
    return RemoteKeys(client.jku, wire, limits)


def _shared(file: Path | None) -> SharedMemory | None:
    """The shared memory, opened if that is possible now; if not, the guard meets the failure at each call."""
    if file is None:
        return None
    memory = SharedMemory(file)
    with contextlib.suppress(ReplayFailed):
        memory.prepare()
    return memory


def _conflicts(options: TrustOptions) -> Iterator[SettingProblem]:
    if options.trust_sandbox and options.production:
        yield _problem(
            "TRUST_SANDBOX", "It is refused in production.", "Switch it off, or set PROFILE=sandbox."
        )
    if options.auth and options.workers > 1 and options.replay_file is None:
        yield _problem(
            "STATE_DIR", "Several workers need one to share.", "Set a folder that survives restarts."
        )
    if bool(options.mtls_header) != bool(options.trusted_proxies):
        yield _problem("MTLS_HEADER", "It goes together with TRUSTED_PROXIES.", "Set both or neither.")
    try:
        CertificateHeader("", options.trusted_proxies)
    except ValueError:
        yield _problem("TRUSTED_PROXIES", "It is not a list of networks.", "Example: 10.0.0.5,10.1.0.0/16")


def _problem(name: str, problem: str, action: str) -> SettingProblem:
    return SettingProblem(f"TOCSIN_{name}", problem, action)
