"""The body of a form, as browsers send it with and without a file: field name to text.

Both media types are read here because the server has no other use for a form library, and what is pasted into
a page must not touch a temporary file. Source: WHATWG HTML, form submission; RFC 7578.
"""

import re
from urllib.parse import parse_qsl

__all__ = ["read_form"]

_BOUNDARY = re.compile(r'multipart/form-data\s*;.*?boundary="?([^";,\s]{1,70})"?', re.IGNORECASE)
_NAME = re.compile(rb'(?:^|[;\s])name="([^"]*)"', re.IGNORECASE)
_MOST_FIELDS = 50


def read_form(media_type: str, body: bytes) -> dict[str, str]:
    """The fields of a form; of a name given twice the last one that is not empty. What cannot be read as a
    form gives no field.
    """
    match = _BOUNDARY.match(media_type)
    if match is not None:
        pairs = _parts(body, match[1].encode("latin-1"))
    elif media_type.startswith("application/x-www-form-urlencoded"):
        pairs = _urlencoded(body)
    else:
        pairs = []
    fields: dict[str, str] = {}
    for name, value in pairs:
        if value or name not in fields:
            fields[name] = value
    return fields


def _urlencoded(body: bytes) -> list[tuple[str, str]]:
    try:
        text = body.decode("ascii")
        return parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=_MOST_FIELDS)
    except ValueError:
        return []


def _parts(body: bytes, boundary: bytes) -> list[tuple[str, str]]:
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary, _MOST_FIELDS + 1)
    pairs = []
    for piece in pieces[1:]:
        head, _, value = piece.partition(b"\r\n\r\n")
        name = _NAME.search(head)
        if name is not None:
            pairs.append((name[1].decode("utf-8", "replace"), value.decode("utf-8", "replace")))
    return pairs
