"""Resources out of a context field that the hook defines as a Bundle, as senders really send it.

Tolerated beside the plain Bundle: one without `type` or `resourceType`, entries that are the resource itself
instead of `{"resource": ...}`, an array of resources, a single resource, and any of these inside another
`{"resource": ...}`. All occur in published examples of the hooks or in captured calls (conformance notes
1.12, 3.4; CDS Hooks Sandbox; opioid-cds-r4 requests).
"""

from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

__all__ = ["Decode", "resources"]

R = TypeVar("R")

Decode = Callable[[msgspec.Raw], R | None]
"""Decodes one resource. It may raise msgspec.ValidationError, or return None for one it has set aside."""


class _Frame(msgspec.Struct):
    """Just enough of an object to see what it is; the rest is skipped undecoded."""

    resourceType: str | None = None
    resource: msgspec.Raw = msgspec.Raw()
    entry: msgspec.Raw = msgspec.Raw()


_FRAME = msgspec.json.Decoder(list[msgspec.Raw] | _Frame | None)


def resources(raw: msgspec.Raw, decode: Decode[R]) -> tuple[R, ...]:
    """Every resource in `raw`, in order, leaving out those for which `decode` returns None.

    What is no object, array or null is handed to `decode` too, so that one place decides what to refuse.
    Raises what `decode` raises, msgspec.DecodeError on broken JSON.
    """
    decoded = (decode(item) for item in _items(raw))
    return tuple(resource for resource in decoded if resource is not None)


def _items(raw: msgspec.Raw) -> Iterator[msgspec.Raw]:
    try:
        frame = _FRAME.decode(raw)
    except msgspec.ValidationError:
        yield raw
        return
    if isinstance(frame, list):
        for element in frame:
            yield from _items(element)
    elif frame is not None:
        yield from _inside(frame, raw)


def _inside(frame: _Frame, raw: msgspec.Raw) -> Iterator[msgspec.Raw]:
    if frame.resourceType not in (None, "Bundle"):
        yield raw
    elif bytes(frame.entry):
        yield from _items(frame.entry)
    elif frame.resourceType is None and bytes(frame.resource):
        yield from _items(frame.resource)
