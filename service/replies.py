"""How a FHIR server answered a prefetch template, in words, with what an operator needs to know beside it.

The answer is judged by `service.wire` and `service.verdicts`, as one is that the service has fetched itself.
Nothing of it but its status, a code and a count is kept for people to read.
"""

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from socket import gaierror
from typing import Any

import httpx
import msgspec
import orjson

from service.outcomes import WORDS
from service.resources import Resource
from service.verdicts import no_json, resource
from service.wire import FetchError

__all__ = ["Failed", "Filled", "decoded", "issue_code", "plain", "says", "told", "unreached"]

Json = dict[str, Any]
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,39}\Z")
_PAGE = re.compile(rb"\s*<(?:!doctype\s+html|html)\b", re.IGNORECASE)
_WORDS: Mapping[str, str] = {
    **WORDS,
    "deadline": "the FHIR server did not answer in time",
    "html": "the answer is a web page, not FHIR: a login page or a proxy, or not the FHIR base URL",
    "refused-connection": "nothing listens there (connection refused)",
    "name-unknown": "its name cannot be resolved",
    "no-tls": "what answers there speaks no TLS; its URL may begin with http://",
    "no-http": "what answers there ends the connection; its URL may begin with https://",
    "tls": "its TLS certificate is not accepted",
    "token": "the call has no value for what the template asks",
}
_STATUS = {
    "unauthorised": "refused",
    "forbidden": "refused",
    "not-found": "not supported",
    "rejected": "not supported",
}


class Filled(msgspec.Struct):
    """How one template ended: status is answered, empty, refused, not supported or failed.

    `query` is the template filled in; `reason` and `partial` are keys for `says`; `http` the status of the
    answer that decided, 0 without one; `issue` the code of an OperationOutcome, never its text; `value` goes
    into the prefetch. `unread` counts medicines that are only referred to and could not be read.
    """

    key: str
    template: str
    query: str = ""
    status: str = ""
    reason: str = ""
    partial: str = ""
    http: int = 0
    issue: str = ""
    rows: int = 0
    pages: int = 0
    posted: bool = False
    unread: int = 0
    milliseconds: float = 0.0
    value: Any = None

    @property
    def had(self) -> bool:
        return self.status in ("answered", "empty")

    def cut(self, partial: str, issue: str = "") -> None:
        """Note why more exists than is here. The first reason is kept, as the service keeps it."""
        if partial and not self.partial:
            self.partial, self.issue = partial, issue

    def settle(self) -> None:
        """Set the status; what failed goes into the prefetch as an outcome that says no more than a code."""
        if not self.reason:
            self.status = "answered" if self.rows else "empty"
            return
        self.status = _STATUS.get(self.reason, "failed")
        issue = {"severity": "error", "code": self.issue or "processing"}
        self.value = {"resourceType": "OperationOutcome", "issue": [issue]}


class Failed(FetchError):
    """A request that brought nothing. `issue` is the code of an OperationOutcome, `detail` what the TLS
    library says of a certificate.
    """

    def __init__(self, reason: str, status: int = 0, *, issue: str = "", detail: str = "") -> None:
        super().__init__(reason, status=status)
        self.issue, self.detail = issue, detail


def says(reason: str) -> str:
    """A reason in words."""
    return _WORDS.get(reason, reason)


@contextmanager
def told(body: bytes) -> Iterator[None]:
    """Make a Failed of the fault of the answer with this body, with what an operator should know: that it is
    a web page, and the code of its OperationOutcome.
    """
    try:
        yield
    except FetchError as error:
        status = error.status or 200
        if error.reason == "not-fhir" and _PAGE.match(body):
            raise Failed("html", status) from error
        raise Failed(error.reason, status, issue=issue_code(body)) from error


def decoded(body: bytes, key: str) -> tuple[Json, Resource]:
    """An answer as JSON, for the call, and typed, to be judged. Raises FetchError."""
    value, _ = resource(body, key)
    return plain(body), value


def plain(body: bytes) -> Any:
    """An answer as JSON. Raises FetchError."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise no_json(body) from error


def unreached(error: httpx.HTTPError) -> Failed:
    """Why there was no answer, from the chain of causes."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Failed("tls", detail=cause.verify_message)
        if isinstance(cause, ssl.SSLError):
            return Failed("no-tls")
        if isinstance(cause, gaierror):
            return Failed("name-unknown")
        if isinstance(cause, ConnectionRefusedError):
            return Failed("refused-connection")
        cause = cause.__cause__ or cause.__context__
    return Failed(
        "no-http" if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError) else "unreachable"
    )


def issue_code(body: bytes) -> str:
    """The code of the first issue of an OperationOutcome, or of the first one in a Bundle; empty without one.
    Its text may repeat what was asked, so it is never shown.
    """
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    if not isinstance(raw, dict):
        return ""
    resources = (entry.get("resource") for entry in _dicts(raw, "entry"))
    outcomes = (one for one in (raw, *resources) if isinstance(one, dict))
    return next(filter(None, map(_code, outcomes)), "")


def _code(outcome: Json) -> str:
    if outcome.get("resourceType") != "OperationOutcome":
        return ""
    codes = (issue.get("code") for issue in _dicts(outcome, "issue"))
    return next((code for code in codes if isinstance(code, str) and _CODE.match(code)), "")


def _dicts(holder: Json, name: str) -> Iterator[Json]:
    values = holder.get(name)
    return (one for one in (values if isinstance(values, list) else ()) if isinstance(one, dict))
