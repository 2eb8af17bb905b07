"""The EHRs that may call, as typed data, and which of them a token belongs to.

Sources: conformance notes SEC-10, SEC-13 (tenant), SEC-16, FBK-09 and 4.2 (vendors). Oracle Health signs for
all of its customers under one issuer, so issuer, `jku` and tenant together name a client.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from service.addresses import Base
from service.errors import Unauthorised
from service.smart import Registration
from service.trust.keys import KeySet

__all__ = ["ALGORITHMS", "CANARY_PATIENTS", "Audience", "CallLimits", "Client", "Clients", "anonymous"]

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""Every signature algorithm a client may be given. Symmetric ones and `none` are not among them (SEC-08,
SEC-09).
"""

DEFAULT_ALGORITHMS = ("RS384", "ES384")

CANARY_PATIENTS = "tocsin-canary-"
"""How the ids of the made-up patients of `tocsin canary` begin."""

Profile = Literal["generic", "epic", "oracle", "narrow"]


class Audience(msgspec.Struct, frozen=True, kw_only=True):
    """Which `aud` a client's tokens may carry.

    `bases` are the public base URLs this client knows us under; empty means the service's own. `named` are
    audiences taken word for word, whatever is called. `tolerant` also takes other spellings of the URL
    called, and the URLs above it on the same base. `service_url_at_feedback` takes the service's URL at its
    feedback endpoint (FBK-09).
    """

    bases: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    tolerant: bool = False
    reason: str = ""
    service_url_at_feedback: bool = True


class CallLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Calls one client may make: `per_minute` on average, `burst` at once after a pause, `concurrent` under
    way.
    """

    per_minute: int = 1200
    burst: int = 100
    concurrent: int = 32


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """One EHR, or one tenant of it.

    `jwks` holds the keys, or says which file does; without it they are fetched from `jku`. A client without
    `issuer` is identified by its certificate alone. Without `tenants` any tenant, or none, is taken. What is
    empty or None among the rendering members is decided by `profile`. `canary`: it is no EHR but
    `tocsin canary`.
    """

    id: str
    issuer: str = ""
    jku: str = ""
    jwks: Path | KeySet | None = None
    tenants: frozenset[str] = frozenset()
    audience: Audience = Audience()
    algorithms: tuple[str, ...] = DEFAULT_ALGORITHMS
    mtls_subject: str = ""
    fhir_servers: tuple[Base, ...] = ()
    fhir_version: Literal["R4", "R4B", "R5"] | None = None
    cors_origins: frozenset[str] = frozenset()
    profile: Profile = "generic"
    hooks_version: Literal["2.0.1", "3.0"] = "2.0.1"
    selection_behavior: Literal["any", "at-most-one"] | None = None
    limits: CallLimits = CallLimits()
    smart: Registration | None = None
    canary: bool = False

    def is_canary(self, patient_id: str) -> bool:
        """Whether a call about this patient is a probe, which nobody sees and which leaves no record.

        Both must hold, so that no EHR can hide a call by the patient's id, and one that is marked by mistake
        loses no record of its patients.
        """
        return self.canary and patient_id.startswith(CANARY_PATIENTS)


def anonymous(fhir_servers: Iterable[Base], cors_origins: Iterable[str]) -> Client:
    """The caller of every unsigned call while authentication is off.

    It stands for whoever tries or measures the service on a machine of their own, so its limits are wide.
    """
    return Client(
        id="anonymous",
        fhir_servers=tuple(fhir_servers),
        cors_origins=frozenset(cors_origins),
        limits=CallLimits(per_minute=600_000, burst=10_000, concurrent=1000),
        canary=True,
    )


class Clients:
    """The clients of one service. Iterates over them in the order they are listed."""

    def __init__(self, clients: Iterable[Client]) -> None:
        self._clients = tuple(clients)
        self._by_issuer: dict[str, list[Client]] = {}
        for client in self._clients:
            if client.issuer:
                self._by_issuer.setdefault(client.issuer, []).append(client)
        self._by_certificate = {
            client.mtls_subject: client
            for client in self._clients
            if client.mtls_subject and not client.issuer
        }

    def __iter__(self) -> Iterator[Client]:
        return iter(self._clients)

    def __len__(self) -> int:
        return len(self._clients)

    def choose(self, issuer: str, jku: str, tenant: str) -> Client:
        """The client a token with these members belongs to. Raises Unauthorised.

        A token that names a `jku` must name the listed one; one that names none leaves it open.
        """
        candidates = self._by_issuer.get(issuer, [])
        if not candidates:
            raise Unauthorised("issuer-not-listed")
        candidates = [client for client in candidates if jku in ("", client.jku)]
        if not candidates:
            raise Unauthorised("jku-not-listed")
        candidates = [client for client in candidates if not client.tenants or tenant in client.tenants]
        if not candidates:
            raise Unauthorised("tenant-not-listed")
        if len(candidates) > 1:
            raise Unauthorised("client-ambiguous")
        return candidates[0]

    def by_certificate(self, subject: str) -> Client | None:
        """The client identified by this certificate subject alone."""
        return self._by_certificate.get(subject)

    def origins(self) -> frozenset[str]:
        """The web origins of all clients. A preflight carries no token, so it cannot tell them apart
        (SEC-17).
        """
        return frozenset().union(*(client.cors_origins for client in self._clients))
