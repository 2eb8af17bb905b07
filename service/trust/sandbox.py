"""The public CDS Hooks Sandbox as a client, for trying things out.

Its private key is published in its repository, so anyone can sign as it. It is trusted only under
TOCSIN_TRUST_SANDBOX=on, which the production profile refuses.
"""

from collections.abc import Iterable

from service.addresses import Base
from service.trust.clients import Audience, Client
from service.trust.keys import parse_keys

__all__ = ["sandbox_client"]

# The key as published at the sandbox's jku.
_KEY = {
    "kty": "EC",
    "use": "sig",
    "alg": "ES384",
    "kid": "44823f3d-0b01-4a6c-a80e-b9d3e8a7226f",
    "crv": "P-384",
    "x": "dw_JGR8nB2I6XveNxUOl2qk699ZPLM2nYI5STSdiEl9avAkrm3CkfYMbrrjr8laB",
    "y": "Sm3mLE-n1zYNla_aiE3cb3nZsL51RbC7ysw3q8aJLxGm-hx79RPMYpITDjp7kgzy",
}


def sandbox_client(fhir_servers: Iterable[Base], cors_origins: Iterable[str]) -> Client:
    """The sandbox, wherever it is served from. Its discovery URL may end in a slash, hence the tolerant
    audience.
    """
    return Client(
        id="cds-hooks-sandbox",
        issuer="https://sandbox.cds-hooks.org",
        jku="https://sandbox.cds-hooks.org/.well-known/jwks.json",
        jwks=parse_keys({"keys": [_KEY]}),
        algorithms=("ES384",),
        audience=Audience(tolerant=True, reason="a discovery URL with a slash at its end gives two"),
        fhir_servers=tuple(fhir_servers),
        cors_origins=frozenset(cors_origins),
    )
