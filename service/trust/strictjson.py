"""JSON whose meaning no two readers could disagree on, for tokens and key sets.

RFC 7519 section 4 leaves a name given twice to the parser: one reader takes the first, another the last. What
decides about trust must not depend on that, so it is refused here, as are the numbers JSON does not have.
"""

import json
from collections.abc import Iterable
from typing import Any, NoReturn

__all__ = ["NotStrict", "read_object"]


class NotStrict(ValueError):
    """Not one JSON object in UTF-8 with distinct names and JSON's own numbers. Holds nothing of the text."""


def read_object(data: bytes) -> dict[str, Any]:
    """Parse `data` as one object. Raises NotStrict."""
    try:
        value = _DECODER.decode(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise NotStrict("not strict JSON") from error
    if not isinstance(value, dict):
        raise NotStrict("not an object")
    return value


def _distinct(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for name, value in pairs:
        if name in members:
            raise NotStrict("a name is given twice")
        members[name] = value
    return members


def _no_constant(text: str) -> NoReturn:
    raise NotStrict("NaN and Infinity are not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_distinct, parse_constant=_no_constant)
