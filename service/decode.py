"""Bytes of a hook call to typed data, so that one malformed resource never costs the others.

The common road decodes the whole body in one pass. Only when msgspec refuses something is the body framed
again with each prefetch value, and each Bundle entry, left raw and decoded on its own; what fails is
reported as a Problem (never with its content) and everything else is kept. Of the other members only those
refuse the call that it cannot be answered without; a token and an extension are read as far as they can be.
"""

import codecs
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import orjson

from hooks.request import Envelope, FhirAuthorization
from service.errors import BadJson, JsonTooDeep, MemberInvalid
from service.resources import Bundle, BundleLink, Entry, Resource, Search

__all__ = ["Call", "Problem", "breaks_off", "decode_call", "decode_context", "decode_resource", "instance_in"]


class Problem(msgspec.Struct, frozen=True, gc=False):
    """Something of the record that could not be read.

    `code` is stable; `key` is the prefetch key (or `context`); `type` the resource type as far as known;
    `index` the place in its Bundle; `at` the JSON path of the element at fault. No content of the record is
    kept.
    """

    code: str
    key: str
    type: str = ""
    index: int = -1
    at: str = ""


class Call(msgspec.Struct, frozen=True):
    """A decoded hook call and what could not be read of it: `problems` of the record, `deviations` of the
    request itself, as stable codes like those of `Envelope.deviations`.
    """

    envelope: Envelope[Resource]
    problems: tuple[Problem, ...] = ()
    deviations: tuple[str, ...] = ()


class _RawEnvelope(msgspec.Struct):
    prefetch: dict[str, msgspec.Raw] | None = None


class _Named(msgspec.Struct):
    hookInstance: Any = None


class _RawEntry(msgspec.Struct):
    fullUrl: str | None = None
    resource: msgspec.Raw = msgspec.Raw()
    search: Search | None = None


class _RawBundle(msgspec.Struct):
    resourceType: str
    entry: list[msgspec.Raw] | None = None


class _Frame(msgspec.Struct):
    type: str | None = None
    total: int | None = None
    link: list[BundleLink] | None = None


class _Wrapped(msgspec.Struct):
    resource: msgspec.Raw


class _Typed(msgspec.Struct):
    resourceType: str


_ENVELOPE = msgspec.json.Decoder(Envelope[Resource])
_RESOURCE = msgspec.json.Decoder(Resource)
_RAW = msgspec.json.Decoder(msgspec.Raw)
_RAW_ENVELOPE = msgspec.json.Decoder(_RawEnvelope)
_NAMED = msgspec.json.Decoder(_Named)
_RAW_BUNDLE = msgspec.json.Decoder(_RawBundle)
_RAW_ENTRY = msgspec.json.Decoder(_RawEntry)
_FRAME = msgspec.json.Decoder(_Frame)
_TYPED = msgspec.json.Decoder(_Typed)
_WRAPPED = msgspec.json.Decoder(_Wrapped)
_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_EXTENSION = msgspec.json.Decoder(dict[str, Any] | None)
_AUTHORIZATION = msgspec.json.Decoder(FhirAuthorization | None)
_TYPE_NAME = re.compile(r"[A-Z][A-Za-z]{1,63}\Z")
# A path is kept only when it is made of element names and indices: a map key could hold anything.
_PATH = re.compile(r"`(\$(?:\.[A-Za-z_]{1,64}|\[(?:\d+|\.\.\.)\])*)`\Z")


def decode_call(body: bytes) -> Call:
    """Decode the body of a hook call.

    Raises BadJson when it is not a JSON object in UTF-8, MemberInvalid when hook, hookInstance, fhirServer or
    prefetch has another type than it must have, JsonTooDeep when it is nested deeper than the decoder goes.
    """
    with _refusing(body):
        bare = body.removeprefix(codecs.BOM_UTF8)
        try:
            return Call(_ENVELOPE.decode(bare))
        except msgspec.ValidationError:
            return _isolated(bare)


def instance_in(body: bytes) -> str:
    """The hookInstance of a body that `decode_call` refuses for another member; empty when it is no text."""
    try:
        given = _NAMED.decode(body.removeprefix(codecs.BOM_UTF8)).hookInstance
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return given if isinstance(given, str) else ""


def decode_resource(data: bytes, key: str) -> tuple[Resource | None, tuple[Problem, ...]]:
    """Decode one resource or Bundle that was fetched, isolating what is malformed in it.

    Raises BadJson when `data` is not JSON at all.
    """
    with _refusing(data):
        bare = data.removeprefix(codecs.BOM_UTF8)
        try:
            return _RESOURCE.decode(bare), ()
        except msgspec.ValidationError:
            problems: list[Problem] = []
            return _value(_RAW.decode(bare), key, problems), tuple(problems)


@contextmanager
def _refusing(body: bytes) -> Iterator[None]:
    """Both passes can meet each of these: a wrong type may stand before the place where JSON breaks off."""
    try:
        yield
    except msgspec.ValidationError as error:
        _, _, member = path_of(error).partition(".")
        if member in Envelope.__struct_fields__:
            raise MemberInvalid(member) from error
        raise BadJson(breaks_off(body)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadJson(breaks_off(body)) from error
    except RecursionError as error:
        raise JsonTooDeep from error


def breaks_off(body: bytes) -> int | None:
    """The byte at which a body stops being JSON in UTF-8; None where that cannot be told.

    msgspec counts from wherever it began, and past the token at fault, so the body is read once more.
    """
    bare = body.removeprefix(codecs.BOM_UTF8)
    begin = len(body) - len(bare)
    try:
        text = bare.decode()
    except UnicodeDecodeError as error:
        return begin + error.start
    try:
        orjson.loads(bare)
    except orjson.JSONDecodeError as error:
        return begin + len(text[: error.pos].encode())
    return None


def decode_context(raw: msgspec.Raw, problems: list[Problem]) -> Resource | None:
    """Decode one resource of a hook context, for `hooks.Hook.read`; what is malformed is added
    to `problems`.
    """
    return _value(raw, "context", problems)


def _isolated(body: bytes) -> Call:
    """Decode again, value by value. The second pass costs about as much as the first."""
    members = _MEMBERS.decode(body)
    raw = _RAW_ENVELOPE.decode(body).prefetch
    members.pop("prefetch", None)
    deviations = tuple(_set_aside(members))
    envelope = _ENVELOPE.decode(msgspec.json.encode(members))
    problems: list[Problem] = []
    envelope.prefetch = dict(_values(raw, problems)) if raw is not None else None
    return Call(envelope, tuple(problems), deviations)


def _set_aside(members: dict[str, msgspec.Raw]) -> Iterator[str]:
    """Take out of a request what can be left out where it cannot be read, and tell how that deviates."""
    if "extension" in members and not _fits(_EXTENSION, members["extension"]):
        del members["extension"]
        yield "extension-unread"
    given = members.get("fhirAuthorization")
    if given is None or _fits(_AUTHORIZATION, given):
        return
    parts = _MEMBERS.decode(given) if _fits(_MEMBERS, given) else {}
    known = ({name: parts[name]} for name in FhirAuthorization.__struct_fields__ if name in parts)
    read: dict[str, msgspec.Raw] = {}
    for part in known:
        if _fits(_AUTHORIZATION, msgspec.json.encode(part)):
            read |= part
    if "patient" in parts and "patient" not in read:
        # It may be another patient's token, with which nothing found would read as nothing there (FHR-06).
        read.pop("access_token", None)
        yield "authorization-patient"
    # Members that are absent now are told by `FhirAuthorization.faults`.
    members["fhirAuthorization"] = msgspec.Raw(msgspec.json.encode(read))


def _fits(decoder: msgspec.json.Decoder[Any], raw: bytes | msgspec.Raw) -> bool:
    try:
        decoder.decode(raw)
    except msgspec.ValidationError:
        return False
    return True


def _values(raw: dict[str, msgspec.Raw], problems: list[Problem]) -> Iterator[tuple[str, Resource | None]]:
    for key, value in raw.items():
        if bytes(value) == b"null":
            yield key, None
            continue
        resource = _value(value, key, problems)
        if resource is not None:
            yield key, resource


def _value(raw: msgspec.Raw, key: str, problems: list[Problem], index: int = -1) -> Resource | None:
    inner: msgspec.Raw | None = raw
    while inner is not None:
        raw = inner
        try:
            resource: Resource = _RESOURCE.decode(raw)
        except msgspec.ValidationError as error:
            fault = error
            inner = _unwrapped(raw)
        else:
            return resource
    bundle = _raw_bundle(raw)
    if bundle is not None:
        return _bundle(raw, bundle, key, problems)
    problems.append(Problem("resource-unreadable", key, _type_name(raw), index, path_of(fault)))
    return None


def _bundle(raw: msgspec.Raw, bundle: _RawBundle, key: str, problems: list[Problem]) -> Bundle:
    entries: list[Entry] = []
    for index, given in enumerate(bundle.entry or ()):
        try:
            entry = _RAW_ENTRY.decode(given)
        except msgspec.ValidationError as error:
            problems.append(Problem("resource-unreadable", key, "", index, path_of(error)))
            continue
        if bytes(entry.resource) in (b"", b"null"):
            continue
        resource = _value(entry.resource, key, problems, index)
        if resource is not None:
            entries.append(Entry(entry.fullUrl, resource, entry.search))
    try:
        frame = _FRAME.decode(raw)
    except msgspec.ValidationError as error:
        problems.append(Problem("resource-unreadable", key, "Bundle", at=path_of(error)))
        frame = _Frame()
    return Bundle(None, frame.type, frame.total, entries, frame.link)


def _raw_bundle(raw: msgspec.Raw) -> _RawBundle | None:
    try:
        bundle = _RAW_BUNDLE.decode(raw)
    except msgspec.ValidationError:
        return None
    return bundle if bundle.resourceType == "Bundle" else None


def _unwrapped(raw: msgspec.Raw) -> msgspec.Raw | None:
    """The resource inside `{"resource": {...}}`, a wrapping some hook examples and senders use."""
    try:
        _TYPED.decode(raw)
    except msgspec.ValidationError:
        try:
            return _WRAPPED.decode(raw).resource
        except msgspec.ValidationError:
            return None
    return None


def _type_name(raw: msgspec.Raw) -> str:
    try:
        name = _TYPED.decode(raw).resourceType
    except msgspec.ValidationError:
        return ""
    return name if _TYPE_NAME.match(name) else ""


def path_of(error: msgspec.ValidationError) -> str:
    """JSON path of a msgspec refusal without the value, `$` when the path itself may hold content."""
    match = _PATH.search(str(error))
    return match.group(1) if match else "$"
