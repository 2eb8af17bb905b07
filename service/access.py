"""What a caller's `fhirServer` and `fhirAuthorization` allow us to read: the gate before any outbound call.

Sources: conformance notes FHR-01 to FHR-08, REQ-04 to REQ-06.
"""

from collections.abc import Iterable

import msgspec

from hooks.request import FhirAuthorization
from service.addresses import Base, InvalidBase, parse_base
from service.errors import TocsinError

__all__ = ["AccessRefused", "Grant", "grant", "is_usable"]


class AccessRefused(TocsinError):
    """No request may be sent. `reason` is a stable code.

    Reasons: no-fhir-server, base-malformed, base-insecure, server-not-listed, token-malformed,
    token-other-patient, token-unavailable.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Grant(msgspec.Struct, frozen=True):
    """One FHIR server and the bearer token for it, empty for an open server. The token is in no repr."""

    base: Base
    token: str = ""

    def __repr__(self) -> str:
        return f"Grant({self.base.url!r}, {'token' if self.token else 'no token'})"

    __str__ = __repr__


def grant(
    fhir_server: str | None,
    authorization: FhirAuthorization | None,
    *,
    allowed: Iterable[Base],
    patient_id: str,
) -> Grant:
    """The grant of one call; `allowed` are the bases listed for the caller.

    The base must be one of them, as a whole. A token bound to another patient is not used: the server would
    answer with that patient's data or with nothing, and nothing would read as "no finding" (FHR-06). Raises
    AccessRefused.
    """
    if not fhir_server:
        raise AccessRefused("no-fhir-server")
    try:
        base = parse_base(fhir_server)
    except InvalidBase as error:
        raise AccessRefused(error.reason) from error
    if base not in allowed:
        raise AccessRefused("server-not-listed")
    if authorization is None:
        return Grant(base)
    token, bound_to = authorization.access_token, authorization.patient
    if not is_usable(token) or not authorization.is_bearer:
        raise AccessRefused("token-malformed")
    if bound_to and bound_to.rsplit("/", 1)[-1] != patient_id:
        raise AccessRefused("token-other-patient")
    return Grant(base, token)


def is_usable(token: str) -> bool:
    """Whether a token is one word of visible ASCII, as a header needs it."""
    return bool(token) and token.isascii() and token.isprintable() and " " not in token
