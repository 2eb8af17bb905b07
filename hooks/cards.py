"""The answer of a service: cards, suggestions, actions, links. None can be built that breaks the protocol.

The types enforce what all of these take at once: CDS Hooks 2.0.1 and the 3.0 ballot, the Inferno CRD card
checks, and Epic's documented limits (conformance notes 1.6, 1.7, 4.3). Names are those on the wire. What is
left at its default is left out of the JSON, so nothing null or empty is ever sent.
"""

import re
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from hooks.content import check_extension, check_json, check_line, check_text, check_url
from hooks.errors import CardError
from hooks.templates import Filled

__all__ = [
    "SUMMARY_LIMIT",
    "Action",
    "Card",
    "Coding",
    "Indicator",
    "Link",
    "OverrideReason",
    "Response",
    "SelectionBehavior",
    "Source",
    "Suggestion",
    "encode",
]

Indicator = Literal["info", "warning", "critical"]
SelectionBehavior = Literal["at-most-one", "any"]

SUMMARY_LIMIT = 139
"""Longest summary, in characters: the specification wants fewer than 140 (CARD-02)."""

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_TOPIC_CODE = re.compile(r"[A-Za-z0-9]{1,100}\Z")
_RESOURCE_TYPE = re.compile(r"[A-Z][A-Za-z]+\Z")
_REFERENCE = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9.-]+\Z")


class _Part(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Base of everything in an answer."""


class Coding(_Part, frozen=True):
    """A CDS Hooks Coding. `display` is always given: override reasons need it, and a topic reads better."""

    code: str
    system: str
    display: str

    def __post_init__(self) -> None:
        for name in ("code", "system", "display"):
            check_line(f"coding.{name}", getattr(self, name))


OverrideReason = Coding
"""A reason a clinician can pick when dismissing a card (CARD-13)."""


class Source(_Part, frozen=True):
    """Who stands behind the guidance. Epic remembers overrides by `topic.code`, so it must be stable."""

    label: str
    topic: Coding
    url: str | None = None
    icon: str | None = None
    extension: dict[str, Any] = {}

    def __post_init__(self) -> None:
        check_line("source.label", self.label)
        if not _TOPIC_CODE.match(self.topic.code):
            raise CardError("source.topic.code", "is not 1 to 100 letters and digits")
        for name, url in (("url", self.url), ("icon", self.icon)):
            if url is not None:
                check_url(f"source.{name}", url, secure=True)
        check_extension("source.extension", self.extension)


class Link(_Part, frozen=True):
    """`smart` is a SMART launch URL, to which the EHR adds `iss` and `launch`; only it has appContext.

    http is taken for services tried out on one machine; an EHR wants https. `autolaunchable` is in the
    protocol (LNK-05); Tocsin never sends it.
    """

    label: str
    url: str
    type: Literal["absolute", "smart"]
    appContext: str | None = None
    autolaunchable: bool = False
    extension: dict[str, Any] = {}

    def __post_init__(self) -> None:
        check_line("link.label", self.label)
        check_url("link.url", self.url, secure=False)
        if self.type not in ("absolute", "smart"):
            raise CardError("link.type", "is neither absolute nor smart")
        if self.appContext is not None:
            if self.type != "smart":
                raise CardError("link.appContext", "is given for a link that is not smart")
            check_text("link.appContext", self.appContext)
        check_extension("link.extension", self.extension)


class Action(_Part, frozen=True):
    """One change to the record. Epic shows `description` as the text of the suggestion.

    create and update carry the whole resource, update one with an id; delete carries `resourceId`, `Type/id`.
    """

    type: Literal["create", "update", "delete"]
    description: str
    resource: dict[str, Any] | None = None
    resourceId: str | None = None
    extension: dict[str, Any] = {}

    def __post_init__(self) -> None:
        check_text("action.description", self.description)
        if self.type == "delete":
            self._check_delete()
        elif self.type in ("create", "update"):
            self._check_resource()
        else:
            raise CardError("action.type", "is none of create, update, delete")
        check_extension("action.extension", self.extension)

    def _check_delete(self) -> None:
        if self.resource is not None:
            raise CardError("action.resource", "is given for a delete")
        if self.resourceId is None or not _REFERENCE.match(self.resourceId):
            raise CardError("action.resourceId", "is not a relative reference")

    def _check_resource(self) -> None:
        if self.resourceId is not None:
            raise CardError("action.resourceId", "is given for an action other than delete")
        resource = self.resource
        if not isinstance(resource, dict):
            raise CardError("action.resource", "is not a JSON object")
        kind = resource.get("resourceType")
        if not isinstance(kind, str) or not _RESOURCE_TYPE.match(kind):
            raise CardError("action.resource", "has no resourceType")
        if not isinstance(resource, Filled):
            check_json("action.resource", resource)
        if self.type == "update" and not isinstance(resource.get("id"), str):
            raise CardError("action.resource", "has no id, which an update needs")


class Suggestion(_Part, frozen=True):
    """Actions that are taken together with one click. Without `uuid` no feedback on it would come.

    `isRecommended` is in the protocol (SUG-03); Tocsin never sends it.
    """

    label: str
    uuid: str
    actions: Sequence[Action] = ()
    isRecommended: bool = False
    extension: dict[str, Any] = {}

    def __post_init__(self) -> None:
        check_line("suggestion.label", self.label)
        _check_uuid("suggestion.uuid", self.uuid)
        _freeze(self, "actions", Action)
        check_extension("suggestion.extension", self.extension)


class Card(_Part, frozen=True, kw_only=True):
    """One card. `detail` is GitHub Flavored Markdown, in which text from the record is already escaped.

    `selectionBehavior` is given exactly when there are suggestions; Epic takes only `any`.
    """

    uuid: str
    summary: str
    detail: str | None = None
    indicator: Indicator
    source: Source
    suggestions: Sequence[Suggestion] = ()
    selectionBehavior: SelectionBehavior | None = None
    overrideReasons: Sequence[OverrideReason] = ()
    links: Sequence[Link] = ()
    extension: dict[str, Any] = {}

    def __post_init__(self) -> None:
        _check_uuid("card.uuid", self.uuid)
        check_line("card.summary", self.summary, SUMMARY_LIMIT)
        if self.detail is not None:
            check_text("card.detail", self.detail)
        if self.indicator not in ("info", "warning", "critical"):
            raise CardError("card.indicator", "is none of info, warning, critical")
        if not isinstance(self.source, Source):
            raise CardError("card.source", "is no Source")
        _freeze(self, "suggestions", Suggestion)
        _freeze(self, "overrideReasons", OverrideReason)
        _freeze(self, "links", Link)
        self._check_selection()
        check_extension("card.extension", self.extension)

    def _check_selection(self) -> None:
        if self.selectionBehavior not in (None, "at-most-one", "any"):
            raise CardError("card.selectionBehavior", "is neither at-most-one nor any")
        if bool(self.suggestions) != (self.selectionBehavior is not None):
            raise CardError("card.selectionBehavior", "is not given exactly when there are suggestions")
        recommended = sum(suggestion.isRecommended for suggestion in self.suggestions)
        if self.selectionBehavior == "at-most-one" and recommended > 1:
            raise CardError("card.suggestions", "recommend more than one of which at most one can be taken")


class Response(_Part, frozen=True):
    """The body of a 200. `cards` is sent even when empty: nothing to say (RSP-04). `systemActions` are in the
    protocol (RSP-02); Tocsin never sends any.
    """

    cards: Sequence[Card]
    systemActions: Sequence[Action] = ()
    extension: dict[str, Any] = {}

    def __post_init__(self) -> None:
        _freeze(self, "cards", Card)
        _freeze(self, "systemActions", Action)
        check_extension("response.extension", self.extension)


_ENCODER = msgspec.json.Encoder()


def encode(response: Response) -> bytes:
    """The JSON body of an answer, UTF-8, without null or empty members."""
    return _ENCODER.encode(response)


def _check_uuid(at: str, text: str) -> None:
    if not _UUID.match(text):
        raise CardError(at, "is not a UUID")


def _freeze(part: _Part, name: str, kind: type[_Part]) -> None:
    """Keep a sequence of parts as a tuple, so that it stays as it was checked."""
    given = getattr(part, name)
    values = given if given.__class__ is tuple else tuple(given)
    for value in values:
        if not isinstance(value, kind):
            raise CardError(f"{type(part).__name__.lower()}.{name}", f"is no {kind.__name__}")
    if values is not given:
        msgspec.structs.force_setattr(part, name, values)
