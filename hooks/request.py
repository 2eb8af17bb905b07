"""The body of a hook call, typed down to the resources and checked against the specification.

Source: CDS Hooks 2.0.1, HTTP Request and Passing the Access Token to the CDS Service; 3.0 ballot where it
agrees.
"""

import re
from collections.abc import Container
from typing import Any, Generic, TypeVar

import msgspec

from hooks.errors import FhirServerInvalid, FhirServerMissing, HookInstanceInvalid, HookMismatch
from hooks.hook import Discreet, Hook
from hooks.registry import hook as registered

__all__ = ["Envelope", "FhirAuthorization", "check"]

R = TypeVar("R")

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z", re.IGNORECASE)
_BASE_URL = re.compile(r"https?://[^\s/?#@]+(?:/[^\s?#]*)?\Z", re.IGNORECASE)
_LONGEST_INSTANCE = 128


class FhirAuthorization(Discreet, msgspec.Struct):
    """The access token for `fhirServer` and what it is good for. `expires_in` is in seconds.

    Absent members are empty here: what is wrong with a token is told where the token is needed, and costs no
    call that can be answered without it.
    """

    access_token: str = ""
    token_type: str = ""
    expires_in: int | float | None = None
    scope: str | list[str] = ""
    subject: str = ""
    patient: str | None = None

    @property
    def scopes(self) -> tuple[str, ...]:
        """The granted scopes, whether they came as one text or as a list (REQ-07)."""
        return tuple(self.scope.split() if isinstance(self.scope, str) else self.scope)

    @property
    def is_bearer(self) -> bool:
        """Whether the token can be sent as a bearer token; without a type it is taken for one."""
        return self.token_type.lower() in ("", "bearer")

    @property
    def faults(self) -> tuple[str, ...]:
        """The required members that are absent or not as defined (REQ-05). Of these only `access_token`, and
        a type other than Bearer, keep the token from being used.
        """
        token = self.access_token
        sound = {
            "access_token": bool(token) and token.isascii() and token.isprintable() and " " not in token,
            "token_type": self.token_type.lower() == "bearer",
            "expires_in": self.expires_in is not None and self.expires_in >= 0,
            "scope": bool(self.scopes),
            "subject": bool(self.subject.strip()),
        }
        return tuple(member for member, good in sound.items() if not good)


class Envelope(Discreet, msgspec.Struct, Generic[R]):
    """A whole request, decoded in one pass by `msgspec.json.Decoder(Envelope[Resource])`.

    A prefetch key has one of three states (PF-14 to PF-17): a resource, which may be an OperationOutcome;
    None, asked for and nothing found; absent from the mapping, not tried or failed. `context` stays undecoded
    until the hook is known, see `hooks.hook.Hook.read`. Names are those on the wire; unknown members are
    ignored.
    """

    hook: str = ""
    hookInstance: str = ""
    context: msgspec.Raw = msgspec.Raw()
    fhirServer: str | None = None
    fhirAuthorization: FhirAuthorization | None = None
    prefetch: dict[str, R | None] | None = None
    extension: dict[str, Any] | None = None

    @property
    def hook_instance_is_uuid(self) -> bool:
        """Whether hookInstance is the UUID the specification wants; some senders put another text there."""
        return _UUID.match(self.hookInstance) is not None

    @property
    def deviations(self) -> tuple[str, ...]:
        """How the request departs from the specification without being refused for it, as stable codes."""
        told = () if self.hook_instance_is_uuid else ("instance-no-uuid",)
        faults = self.fhirAuthorization.faults if self.fhirAuthorization is not None else ()
        return (*told, *(f"authorization-{member.replace('_', '-')}" for member in faults))


def check(envelope: Envelope[Any], offered: Container[str]) -> Hook:
    """The hook of a request to a service that is offered for the hook names in `offered`.

    Raises the HookError that says what is wrong with the envelope; the context is read afterwards by the
    hook.
    """
    found = registered(envelope.hook)
    if found.name not in offered:
        raise HookMismatch(found.name)
    instance = envelope.hookInstance
    if not instance.strip() or not instance.isprintable() or len(instance) > _LONGEST_INSTANCE:
        raise HookInstanceInvalid
    if envelope.fhirServer and not _BASE_URL.match(envelope.fhirServer):
        raise FhirServerInvalid
    if envelope.fhirAuthorization is not None and not envelope.fhirServer:
        raise FhirServerMissing
    return found
