"""Every way a call or a start can end in an error: one tree, and the OperationOutcome that tells the caller.

    TocsinError
    ├── SettingsError            the process does not start; every problem found is reported together
    └── CallError                a call is answered with an HTTP error; one subclass for each stable code
        ├── HookRefused          a hooks.HookError, under its own code
        └── ...

An answer says what is wrong in one sentence and what to do next. It never repeats input: the only parts that
vary are names of members and prefetch keys, dropped unless they look like names, the place of a byte, and
reasons from a list of ours. Design rules 6 and 7; RSP-07 and SEC-14 of the conformance notes.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import orjson

from hooks.errors import HookError
from service.outcomes import WORDS

__all__ = [
    "CODE_SYSTEM",
    "BadJson",
    "BodyTooLarge",
    "CallError",
    "CatalogueRow",
    "DataUnavailable",
    "ErrorAnswer",
    "ExplainDisabled",
    "FhirVersionRefused",
    "HookRefused",
    "InternalError",
    "JsonTooDeep",
    "MemberInvalid",
    "MethodNotAllowed",
    "NotFound",
    "NotJson",
    "Overloaded",
    "RateLimited",
    "SettingProblem",
    "SettingsError",
    "SwitchInvalid",
    "TocsinError",
    "Unauthorised",
    "UnknownService",
    "answer",
    "catalogue",
    "operation_outcome",
]

CODE_SYSTEM = "https://tocsin.org/CodeSystem/error"
Kind = TypeVar("Kind", bound=Exception)
_NAME = re.compile(r"[A-Za-z$][A-Za-z0-9_.$\[\]-]{0,63}\Z")


class TocsinError(Exception):
    """Root of what the service raises on purpose."""


class SettingProblem(NamedTuple):
    """One setting that cannot be used. `problem` and `action` never hold the value."""

    name: str
    problem: str
    action: str

    def __str__(self) -> str:
        return f"{self.name}: {self.problem} {self.action}"


class SettingsError(TocsinError):
    """The settings cannot be used. `problems` holds every one found."""

    def __init__(self, problems: Iterable[SettingProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class CallError(TocsinError):
    """A call that is answered with an error.

    `code` is stable and searchable, `status` the HTTP status, `issue` a code of the FHIR value set
    issue-type, `message` one sentence, `action` what the caller does next. `names` are members or prefetch
    keys the sentence is about.
    """

    code: str
    status: int
    issue: str
    message: str
    action: str

    def __init__(self, *names: str) -> None:
        self.names = tuple(name for name in names if _NAME.match(name))
        super().__init__(self.code, *self.names)

    @property
    def headers(self) -> Mapping[str, str]:
        """HTTP headers that belong to the answer, beside the content type."""
        return {}

    @property
    def text(self) -> str:
        """The sentence, with the names it is about."""
        return f"{self.message[:-1]}: {', '.join(self.names)}." if self.names else self.message

    @property
    def diagnostics(self) -> str:
        """What the caller does next, with what else it should know."""
        return self.action

    @property
    def logged(self) -> Mapping[str, Any]:
        """What the log says of it beside code and status: fields of `service.logs.FIELDS`."""
        return {"about": self.names} if self.names else {}


class BadJson(CallError):
    """The body is no JSON object (REQ-12). `byte` is where it breaks off, from 0, when it is no JSON."""

    code, status, issue = "body-not-json", 400, "structure"
    message = "The body is not a JSON object in UTF-8."
    action = "Send one JSON object; a byte that is named is where it breaks off, counted from 0."

    def __init__(self, byte: int | None = None) -> None:
        super().__init__()
        self.byte = byte

    @property
    def text(self) -> str:
        return self.message if self.byte is None else f"{self.message[:-1]}: byte {self.byte}."

    @property
    def logged(self) -> Mapping[str, Any]:
        return {} if self.byte is None else {"byte": self.byte}


class MemberInvalid(CallError):
    """A member of the request, which `names` names, is of another JSON type than it has to be (REQ-12)."""

    code, status, issue = "member-invalid", 400, "value"
    message = "A member of the request does not have the JSON type that CDS Hooks gives it."
    action = "Send the named member as CDS Hooks describes it, or leave it out where it is optional."


class SwitchInvalid(CallError):
    """The body of /admin/switches is JSON, but no switch. `names` are the members that lack or do not fit."""

    code, status, issue = "switch-invalid", 400, "value"
    message = "The body is no kill switch, or a member of it is missing or cannot be used."
    action = "Send kind, off and why, target unless kind is service, and who unless you have signed in."


class JsonTooDeep(CallError):
    """The body nests deeper than the decoder goes, about a thousand levels."""

    code, status, issue = "body-too-deep", 400, "too-costly"
    message = "The JSON in the body is nested deeper than this service reads."
    action = "Send plain FHIR resources: none nests so deep."


class Unauthorised(CallError):
    """The caller could not be identified. `reason` is for the log only: SEC-14 wants a bare 401.

    `named` is what the log may say of its token: issuer, tenant and jti, none of which is proven (SEC-15).
    """

    code, status, issue = "unauthorised", 401, "login"
    message = "The caller is not identified."
    action = "Send a signed JWT as the CDS Hooks specification describes it."

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason
        self.named: Mapping[str, str] = {}

    @property
    def logged(self) -> Mapping[str, Any]:
        return {"reason": self.reason, **self.named}

    @property
    def headers(self) -> Mapping[str, str]:
        return {"WWW-Authenticate": "Bearer"}


class UnknownService(CallError):
    """No service has the id in the path."""

    code, status, issue = "service-unknown", 404, "not-found"
    message = "No service has this id."
    action = "Read the ids of the services from the discovery endpoint, /cds-services."


class NotFound(CallError):
    """Nothing is served at the path."""

    code, status, issue = "path-unknown", 404, "not-found"
    message = "Nothing is served at this path."
    action = "Read the paths from /docs, or the services from /cds-services."


class ExplainDisabled(CallError):
    """POST /decisions/explain, or the playground, is switched off."""

    code, status, issue = "explain-disabled", 404, "not-supported"
    message = "Explaining decisions is switched off here."
    action = "The operator can switch it on with TOCSIN_EXPLAIN=on."


class MethodNotAllowed(CallError):
    """The path is served, but not for this HTTP method. `methods` are the ones it has."""

    code, status, issue = "method-not-allowed", 405, "not-supported"
    message = "This path is not served for the HTTP method of the request."
    action = "Use one of the methods in the Allow header."

    def __init__(self, *methods: str) -> None:
        super().__init__()
        self.methods = methods

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Allow": ", ".join(self.methods)}


class DataUnavailable(CallError):
    """Nothing that the rules need was given or could be fetched (PF-19). `names` are the prefetch keys,
    `reasons` say why: those of the given ones that are keys of `service.outcomes.WORDS`.
    """

    code, status, issue = "data-unavailable", 412, "incomplete"
    message = "Data this service needs was neither sent as prefetch nor could be read from a FHIR server."
    action = "Send the named prefetch keys, or fhirServer and fhirAuthorization with access to the same data."

    def __init__(self, *names: str, reasons: Iterable[str] = ()) -> None:
        super().__init__(*names)
        self.reasons = tuple(dict.fromkeys(reason for reason in reasons if reason in WORDS))

    @property
    def diagnostics(self) -> str:
        told = ", ".join(f"{reason} ({WORDS[reason]})" for reason in self.reasons)
        return f"{self.action} Reasons: {told}." if told else self.action

    @property
    def logged(self) -> Mapping[str, Any]:
        return {"keys_failed": self.names, "reasons": self.reasons}


class BodyTooLarge(CallError):
    """The body is longer than MAX_BODY_BYTES."""

    code, status, issue = "body-too-large", 413, "too-long"
    message = "The body is larger than this service accepts."
    action = "Send fewer prefetch resources; the operator can raise TOCSIN_MAX_BODY_BYTES."


class NotJson(CallError):
    """The content type of the body is not JSON."""

    code, status, issue = "content-type-not-json", 415, "not-supported"
    message = "The content type of the request is not JSON."
    action = "Send Content-Type: application/json."


class FhirVersionRefused(CallError):
    """The data is FHIR DSTU2 or STU3."""

    code, status, issue = "fhir-version-not-supported", 422, "not-supported"
    message = "The data is in a FHIR version this service does not read."
    action = "Use the R4, R4B or R5 endpoint of the FHIR server."


class RateLimited(CallError):
    """The caller has used up its calls for now. `wait_s` says when the next one is taken, in seconds."""

    code, status, issue = "rate-limited", 429, "throttled"
    message = "This caller has sent more calls than its limit allows."
    action = "Wait as long as the Retry-After header says, then call again."

    def __init__(self, wait_s: int) -> None:
        super().__init__()
        self.wait_s = wait_s

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(max(1, self.wait_s))}


class Overloaded(CallError):
    """Too many calls are being answered at once, or the service is stopping."""

    code, status, issue = "overloaded", 503, "transient"
    message = "The service cannot take this call now."
    action = "Call again in a second."

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}


class InternalError(CallError):
    """Something failed that should not. The log line of the call has the place."""

    code, status, issue = "internal-error", 500, "exception"
    message = "The service failed while answering."
    action = "Show no card from it for this call; report the hookInstance and the time to the operator."


class HookRefused(CallError):
    """A request that breaks the CDS Hooks specification: code, sentence and action are those of hooks."""

    status = 400

    def __init__(self, error: HookError) -> None:
        self.code, self.message, self.action = error.code, error.message, error.action
        self.issue = "required" if error.code.endswith("-missing") else "invalid"
        super().__init__()
        self._about = tuple(filter(_NAME.match, error.args))

    @property
    def logged(self) -> Mapping[str, Any]:
        return {"about": self._about} if self._about else {}


class CatalogueRow(NamedTuple):
    """One code that a caller can get. Parts of `message` that vary are shown as an ellipsis."""

    code: str
    status: int
    message: str
    action: str


class ErrorAnswer(NamedTuple):
    """What goes out for an error. `code` and `reason`, why a caller is not identified, are for log and
    metrics; `logged` are the fields that the log has beside code and status.
    """

    code: str
    reason: str
    status: int
    headers: Mapping[str, str]
    body: bytes
    logged: Mapping[str, Any]


def answer(error: Exception) -> ErrorAnswer:
    """The answer for any exception; one that is not ours becomes `internal-error` and tells nothing.

    The body of a 401 is empty.
    """
    known = _as_call_error(error)
    bare = isinstance(known, Unauthorised)
    return ErrorAnswer(
        code=known.code,
        reason=known.reason if isinstance(known, Unauthorised) else "",
        status=known.status,
        headers=known.headers,
        body=b"" if bare else operation_outcome(known),
        logged=known.logged,
    )


def operation_outcome(error: CallError) -> bytes:
    """A FHIR OperationOutcome with one issue: code, sentence, and as `diagnostics` the next step and why."""
    issue = {
        "severity": "fatal" if error.status >= 500 else "error",
        "code": error.issue,
        "details": {"coding": [{"system": CODE_SYSTEM, "code": error.code}], "text": error.text},
        "diagnostics": error.diagnostics,
    }
    return orjson.dumps({"resourceType": "OperationOutcome", "issue": [issue]})


def catalogue() -> tuple[CatalogueRow, ...]:
    """Every code that a caller can get, by status and code."""
    kinds: list[tuple[type[CallError] | type[HookError], int]] = [
        *((kind, kind.status) for kind in _subclasses(CallError) if kind is not HookRefused),
        *((kind, HookRefused.status) for kind in _subclasses(HookError)),
    ]
    rows = (
        CatalogueRow(kind.code, status, kind.message.replace("{}", "…"), kind.action)
        for kind, status in kinds
    )
    return tuple(sorted(rows, key=lambda row: (row.status, row.code)))


def _as_call_error(error: Exception) -> CallError:
    if isinstance(error, CallError):
        return error
    return HookRefused(error) if isinstance(error, HookError) else InternalError()


def _subclasses(kind: type[Kind]) -> Iterator[type[Kind]]:
    for child in kind.__subclasses__():
        yield child
        yield from _subclasses(child)
