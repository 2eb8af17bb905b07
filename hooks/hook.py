"""What a hook is: its context fields as the hook library tables them, and how a context is read.

Source: CDS Hooks library 1.0.1 and main (field, required, prefetch token); CDS Hooks 2.0.1, Hook context.
"""

import enum
import re
from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import msgspec

from hooks.bundles import Decode, resources
from hooks.errors import ContextFieldInvalid, ContextFieldMissing, ContextInvalid, ContextMissing

__all__ = ["ENCOUNTER", "PATIENT", "USER", "USER_TOKENS", "Context", "Discreet", "Field", "Hook", "Kind"]

R = TypeVar("R")

# Wider than a FHIR id (EHRs send up to some 200 characters, and "_"), but nothing that has a meaning in a URL
# or a search value: "." and "..", which FHIR allows as ids, are steps of a path.
_ID = r"(?!\.{1,2}(?:/|\Z))[A-Za-z0-9.-][A-Za-z0-9._~:@=+-]{0,255}"
_BARE = re.compile(rf"{_ID}\Z")
_REFERENCE = re.compile(rf"[A-Z][A-Za-z]+/{_ID}\Z")
_ABSOLUTE = re.compile(rf"(?i:https?)://[^\s?#@]{{1,512}}/([A-Z][A-Za-z]+/{_ID})(?:/_history/{_ID})?\Z")
# What a list of references holds is only compared with ids, so URNs and absolute URLs pass, in a search value
# nothing that would split it.
_LISTED = re.compile(r"[^\s,|$\\]{1,512}\Z")
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_TEXTS = msgspec.json.Decoder(str | list[str])
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ABSENT = frozenset({b"", b"null", b'""'})

USER_TOKENS: Mapping[str, str] = {
    "Practitioner": "userPractitionerId",
    "PractitionerRole": "userPractitionerRoleId",
    "Patient": "userPatientId",
    "RelatedPerson": "userRelatedPersonId",
}
"""Resource type of `userId` to the token that gives the bare id (CDS Hooks 2.0.1, Prefetch tokens)."""


class Discreet:
    """Mixin for a struct whose representations hold no values: what is in it is health data or a secret."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


class Context(Discreet, msgspec.Struct, Generic[R], frozen=True, kw_only=True):
    """What every hook says. Ids are bare, references `Type/id`; R is the caller's resource type."""

    patient_id: str
    user_id: str | None = None
    encounter_id: str | None = None

    def drafts(self) -> tuple[R, ...]:
        """The resources in the context: draft orders, appointments, new problems or fulfilment tasks."""
        return ()

    def selections(self) -> tuple[str, ...]:
        """References to the orders this call is about; empty where the hook has no such field."""
        return ()

    def tokens(self) -> dict[str, str]:
        """Value of each prefetch token that this call gives, by the name in the template."""
        values = {"context.patientId": self.patient_id}
        if self.encounter_id is not None:
            values["context.encounterId"] = self.encounter_id
        if self.user_id is not None:
            values["context.userId"] = self.user_id
            kind, _, identifier = self.user_id.partition("/")
            if kind in USER_TOKENS:
                values[USER_TOKENS[kind]] = identifier
        return values


class Kind(enum.Enum):
    """Form of a context field on the wire."""

    ID = "bare id"
    REFERENCE = "Type/id"
    REFERENCES = "array of Type/id"
    RESOURCES = "Bundle or resources"


class Field(msgspec.Struct, frozen=True):
    """One row of a hook's context table.

    `attribute` is its name on the Context. `aliases` are names that older versions and published examples
    use. `enforced` is False where the definition requires the field, senders leave it out, and no answer
    needs it.
    """

    name: str
    attribute: str
    kind: Kind
    required: bool = True
    token: bool = False
    aliases: tuple[str, ...] = ()
    enforced: bool = True


PATIENT = Field("patientId", "patient_id", Kind.ID, token=True)
USER = Field("userId", "user_id", Kind.REFERENCE, token=True, enforced=False)
ENCOUNTER = Field("encounterId", "encounter_id", Kind.ID, required=False, token=True)


class Hook(msgspec.Struct, frozen=True):
    """A hook of the registry. `version` is the printed hookVersion, `maturity` the hook library's 0 to 5."""

    name: str
    context: type[Context[Any]]
    version: str
    maturity: int
    fields: tuple[Field, ...]

    @property
    def tokens(self) -> frozenset[str]:
        """Tokens that a prefetch template for this hook may use in CDS Hooks up to 2.0.1."""
        own = {f"context.{field.name}" for field in self.fields if field.token}
        users = USER_TOKENS.values() if USER in self.fields else ()
        return frozenset(own.union(users))

    @property
    def resources_field(self) -> str:
        """Name of the context field that `drafts()` comes from; empty where the hook has none."""
        return next((field.name for field in self.fields if field.kind is Kind.RESOURCES), "")

    def read(self, raw: msgspec.Raw, decode: Decode[R]) -> Context[R]:
        """The context in `raw`, with its resources decoded by `decode`; unknown fields are ignored.

        Raises ContextMissing, ContextInvalid, ContextFieldMissing, ContextFieldInvalid.
        """
        members = _members(raw)
        values: dict[str, Any] = {}
        for field in self.fields:
            member = _first(members, field)
            if member is not None:
                values[field.attribute] = self._value(field, member, decode)
            elif field.required and field.enforced:
                raise ContextFieldMissing(field.name, self.name)
        return self.context(**values)

    def _value(self, field: Field, raw: msgspec.Raw, decode: Decode[R]) -> object:
        try:
            if field.kind is Kind.RESOURCES:
                return resources(raw, decode)
            if field.kind is Kind.REFERENCES:
                return _references(raw)
            return _bare(raw) if field.kind is Kind.ID else _reference(raw)
        except (*_UNREADABLE, _Malformed) as error:
            raise ContextFieldInvalid(field.name, self.name) from error


class _Malformed(Exception):
    """A text that is no id or reference. It never leaves this module."""


def _members(raw: msgspec.Raw) -> dict[str, msgspec.Raw]:
    if bytes(raw) in _ABSENT:
        raise ContextMissing
    try:
        return _MEMBERS.decode(raw)
    except _UNREADABLE as error:
        raise ContextInvalid from error


def _first(members: Mapping[str, msgspec.Raw], field: Field) -> msgspec.Raw | None:
    for name in (field.name, *field.aliases):
        raw = members.get(name)
        if raw is not None and bytes(raw) not in _ABSENT:
            return raw
    return None


def _bare(raw: msgspec.Raw) -> str:
    """An id; `Patient/123` for a patientId is common enough to be read as `123`."""
    text = _TEXT.decode(raw)
    return _matching(_BARE, text.partition("/")[2] if _REFERENCE.match(text) else text)


def _reference(raw: msgspec.Raw) -> str:
    """`Type/id`, also out of an absolute URL: which server has the user is nothing that an answer needs."""
    text = _TEXT.decode(raw)
    absolute = _ABSOLUTE.match(text)
    return _matching(_REFERENCE, absolute[1] if absolute else text)


def _references(raw: msgspec.Raw) -> tuple[str, ...]:
    texts = _TEXTS.decode(raw)
    return tuple(_matching(_LISTED, text) for text in ([texts] if isinstance(texts, str) else texts))


def _matching(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.match(text):
        raise _Malformed
    return text
