"""How a FHIR server answered a prefetch template, judged as the service judges what it fetches itself.

Nothing of an answer but its status, a code and a count is kept for people to read.
"""

import re
import ssl
from collections.abc import Iterator, Mapping
from socket import gaierror
from typing import Any

import httpx
import msgspec
import orjson

from service.decode import decode_resource
from service.errors import BadJson, JsonTooDeep, TocsinError
from service.outcomes import WORDS
from service.resources import Bundle, Resource
from service.searchsets import Contents, contents

__all__ = [
    "Failed",
    "Filled",
    "check",
    "check_read",
    "decoded",
    "not_json",
    "page",
    "says",
    "unreached",
]

Json = dict[str, Any]
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,39}\Z")
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

    def settle(self) -> None:
        """Set the status; what failed goes into the prefetch as an outcome that says no more than a code."""
        if not self.reason:
            self.status = "answered" if self.rows else "empty"
            return
        self.status = _STATUS.get(self.reason, "failed")
        issue = {"severity": "error", "code": self.issue or "processing"}
        self.value = {"resourceType": "OperationOutcome", "issue": [issue]}


class Failed(TocsinError):
    """A request that brought nothing. `detail` is what the TLS library says of a certificate."""

    def __init__(self, reason: str, http: int = 0, issue: str = "", detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.http, self.issue, self.detail = reason, http, issue, detail


def says(reason: str) -> str:
    """A reason in words."""
    return _WORDS.get(reason, reason)


def _dicts(holder: Json, name: str) -> Iterator[Json]:
    values = holder.get(name)
    return (one for one in (values if isinstance(values, list) else ()) if isinstance(one, dict))


def check(answer: httpx.Response, body: bytes) -> None:
    status = answer.status_code
    if status == 200:
        if answer.headers.get("content-type", "").lower().startswith(("text/html", "application/xhtml")):
            raise Failed("html", status)
        return
    named = {401: "unauthorised", 403: "forbidden", 404: "not-found", 410: "not-found", 429: "busy"}
    reason = named.get(status) or ("redirected" if 300 <= status < 400 else "rejected")
    if status >= 500:
        reason = "rejected" if status == 501 else "server-error"
    raise Failed(reason if status >= 300 else "not-fhir", status, _issue_in(body))


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


def decoded(body: bytes, filled: Filled) -> tuple[Json, Resource]:
    """An answer as JSON, for the call, and typed, to be judged."""
    try:
        raw = orjson.loads(body.removeprefix(b"\xef\xbb\xbf"))
        slim, _ = decode_resource(body, filled.key)
    except (orjson.JSONDecodeError, BadJson, JsonTooDeep) as error:
        raise Failed(not_json(body), filled.http) from error
    if slim is None or not isinstance(raw, dict):
        raise Failed("unexpected", filled.http)
    return raw, slim


def not_json(body: bytes) -> str:
    start = body.lstrip()[:1]
    return {b"{": "truncated", b"<": "html"}.get(start, "not-fhir")


def check_read(slim: Resource, raw: Json, filled: Filled) -> None:
    """Raises Failed when a read brought another type than was asked for."""
    if type(slim).__name__ != filled.query.partition("/")[0]:
        raise Failed("unexpected", filled.http, _issue(raw))


def page(slim: Resource, raw: Json, filled: Filled) -> Contents:
    if not isinstance(slim, Bundle):
        raise Failed("unexpected", filled.http, _issue(raw))
    found = contents(slim)
    issue = next(filter(None, map(_issue, _outcomes(raw))), "")
    if found.failed and not found.count:
        raise Failed("outcome", filled.http, issue)
    if found.failed or found.withheld:
        filled.partial, filled.issue = "outcome" if found.failed else "withheld", issue
    return found


def _outcomes(bundle: Json) -> Iterator[Json]:
    for entry in _dicts(bundle, "entry"):
        resource = entry.get("resource")
        if isinstance(resource, dict) and resource.get("resourceType") == "OperationOutcome":
            yield resource


def _issue_in(body: bytes) -> str:
    try:
        raw = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    return _issue(raw) if isinstance(raw, dict) else ""


def _issue(outcome: Json) -> str:
    """The code of the first issue. Its text may repeat what was asked, so it is never shown."""
    for issue in _dicts(outcome, "issue"):
        code = issue.get("code")
        if isinstance(code, str) and _CODE.match(code):
            return code
    return ""
