"""Bodies of hook calls for the tests of decoding, good and bad resources, and what came out of them."""

from typing import Any

import orjson

from service.decode import Call
from service.resources import Bundle

__all__ = ["BAD", "GOOD", "SECRET", "Json", "body", "bundle", "ids", "prefetched"]

Json = dict[str, Any]
SECRET = "Maria Distinctive 1960"
GOOD: Json = {"resourceType": "Condition", "id": "good"}
BAD: Json = {"resourceType": "Condition", "id": "bad", "code": SECRET}


def body(prefetch: Any = None, **members: Any) -> bytes:
    call = {"hook": "patient-view", "hookInstance": "h1", "context": {"patientId": "p1"}, **members}
    return orjson.dumps(call if prefetch is None else {**call, "prefetch": prefetch})


def bundle(*resources: Any, **members: Any) -> Json:
    return {"resourceType": "Bundle", "entry": [{"resource": one} for one in resources], **members}


def prefetched(call: Call) -> dict[str, Any]:
    assert call.envelope.prefetch is not None
    return dict(call.envelope.prefetch)


def ids(value: Any) -> list[str | None]:
    assert isinstance(value, Bundle)
    return [entry.resource.id for entry in value.entry or () if entry.resource is not None]
