"""What an answer of a FHIR server is worth, and the way from page to page: for the service, and for `tocsin
try` and `doctor`, which say beforehand what the service will say.

Status and content type are judged in `service.wire`, which knows no FHIR. Every fault is a FetchError with
one stable reason. Sources: conformance notes FHR-01 to FHR-06, PF-18; FHIR R4 search, paging and HTTP.
"""

from service.addresses import Base
from service.decode import Problem, decode_resource
from service.errors import BadJson, JsonTooDeep
from service.resources import Bundle, OperationOutcome, Resource
from service.searchsets import Contents, contents, is_error
from service.wire import FetchError

__all__ = ["ACCEPT", "LARGEST_STATEMENT", "MAY_BE_FORM", "Pages", "check_kind", "no_json", "page", "resource"]

ACCEPT = "application/fhir+json, application/json;q=0.9"
"""The header Accept of whatever is asked of a FHIR server."""

LARGEST_STATEMENT = 16 * 1024 * 1024
"""Bytes of a CapabilityStatement: some servers list thousands of operations."""

MAY_BE_FORM = frozenset({"rejected", "not-found"})
"""Reasons that may lie in how a search was put: too long a URL, or a POST that is not offered. Put by the
other method or in parts, it may be answered.
"""


class Pages:
    """The pages of one search behind the first, at most `most` with it, on the same server only."""

    def __init__(self, base: Base, most: int) -> None:
        self._base = base
        self._most = most
        self._seen: set[str] = set()

    def turn(self, link: str) -> str:
        """The URL of the next page by its link. Raises FetchError when it is not to be fetched."""
        url = self._base.resolve(link)
        if url is None:
            raise FetchError("page-elsewhere")
        if url in self._seen:
            raise FetchError("page-loop")
        if len(self._seen) >= self._most - 1:
            raise FetchError("page-limit")
        self._seen.add(url)
        return url


def resource(body: bytes, key: str) -> tuple[Resource, tuple[Problem, ...]]:
    """The resource in an answer, in UTF-8, and what is malformed in it, under the prefetch key.

    Raises FetchError: truncated, not-fhir, unexpected, and outcome for a failure that is told with 200.
    """
    try:
        value, problems = decode_resource(body, key)
    except BadJson as error:
        raise no_json(body) from error
    except JsonTooDeep as error:
        raise FetchError("not-fhir") from error
    if value is None:
        raise FetchError("unexpected")
    if isinstance(value, OperationOutcome) and is_error(value):
        raise FetchError("outcome")
    return value, problems


def no_json(body: bytes) -> FetchError:
    """The fault of an answer that cannot be read as JSON: it broke off, or was never FHIR."""
    return FetchError("truncated" if body.lstrip()[:1] == b"{" else "not-fhir")


def check_kind(value: Resource, kind: str) -> None:
    """Raises FetchError when a read brought another type than was asked for."""
    if type(value).__name__ != kind:
        raise FetchError("unexpected")


def page(value: Resource) -> tuple[Contents, str]:
    """What a page of a search holds, and the reason why more exists than is in it, or the empty string.

    Raises FetchError for what is no page, or holds nothing but that the search failed.
    """
    if not isinstance(value, Bundle):
        raise FetchError("unexpected")
    found = contents(value)
    if found.failed and not found.count:
        raise FetchError("outcome")
    return found, "outcome" if found.failed else "withheld" if found.withheld else ""
