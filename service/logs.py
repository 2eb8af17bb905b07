"""Log lines: one JSON object each, on standard output, made only of fields on a list.

No line can carry patient data: a field that is not on the list is dropped, a value that does not have its
field's shape is dropped, and so are the text of exceptions and the arguments of other libraries' messages.
Each line counts what it dropped, and the process keeps the total for the metrics. Design rule 6.
"""

import hashlib
import logging
import re
import sys
import traceback
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import PurePath
from typing import Any, BinaryIO

import orjson
import structlog

__all__ = ["FIELDS", "bind_call", "bound", "configure", "dropped_total", "logger", "new_call"]

_TOKEN = re.compile(r"[A-Za-z0-9_.:+@-]{1,96}\Z")
_HOST = re.compile(r"[A-Za-z0-9_.:\[\]-]{1,255}\Z")
# An issuer is the URL of an EHR, as a rule; a jti is often base64.
_ISSUER = re.compile(r"(?:https?://)?[A-Za-z0-9_.:\[\]-]{1,255}(?:/[A-Za-z0-9_.~-]{1,64}){0,8}/?\Z")
_MARK = re.compile(r"[A-Za-z0-9_.:+/=@~-]{1,128}\Z")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_FRAMES = 5
# uvicorn's own lines are constant text; those of any other library may have data formatted into them.
_TEXT_FROM = frozenset({"uvicorn", "uvicorn.error"})


def _number(value: object) -> bool:
    return isinstance(value, int | float)


def _token(value: object) -> bool:
    return isinstance(value, str) and _TOKEN.match(value) is not None


def _tokens(value: object) -> bool:
    return isinstance(value, list | tuple) and all(_token(item) for item in value)


def _host(value: object) -> bool:
    return isinstance(value, str) and _HOST.match(value) is not None


def _issuer(value: object) -> bool:
    return isinstance(value, str) and _ISSUER.match(value) is not None


def _mark(value: object) -> bool:
    return isinstance(value, str) and _MARK.match(value) is not None


def _fields(check: Callable[[object], bool], *names: str) -> dict[str, Callable[[object], bool]]:
    return dict.fromkeys(names, check)


FIELDS: Mapping[str, Callable[[object], bool]] = {
    # Which call, and how it ended. `request_id` is set by bind_call. A refusal says which names of the
    # protocol it is `about`, at which `byte` JSON breaks off, and for what `reasons` of ours data lacks.
    **_fields(_token, "event", "level", "time", "request_id", "hook", "service", "outcome", "code", "reason"),
    **_fields(_number, "status", "total_ms", "decode_ms", "fetch_ms", "facts_ms", "rules_ms", "store_ms"),
    **_fields(_number, "cards_ms"),
    **_fields(_number, "bytes_in", "bytes_out", "byte"),
    **_fields(_tokens, "about", "reasons"),
    # Who called: the configured name of the client, and what of the token may be kept.
    **_fields(_token, "client"),
    **_fields(_mark, "tenant", "jti"),
    **_fields(_issuer, "issuer"),
    # What was read and shown: counts, rule ids, keys of our own templates; never content of the record.
    **_fields(_number, "resources", "malformed", "other_patient", "facts_known", "facts_unknown", "cards"),
    **_fields(_tokens, "rules", "suppressed", "rule_errors", "keys_given", "keys_fetched", "keys_failed"),
    **_fields(_token, "digest", "digest_before", "topic", "key", "rule"),
    # One FHIR query, in traces: type of resource, how it ended, how many came.
    **_fields(_token, "resource", "result"),
    **_fields(_number, "rows"),
    # The process.
    **_fields(_token, "version", "profile", "setting", "logger", "error_type", "worker"),
    **_fields(_tokens, "error_at"),
    **_fields(_number, "port", "workers", "pid", "count", "attempt", "wait_s"),
    **_fields(_host, "host"),
}

_dropped = 0


def dropped_total() -> int:
    """Fields that this process has dropped from log lines since it started."""
    return _dropped


def logger() -> Any:
    """The service's logger: `logger().info("call", hook=..., status=200)`. Fields as in FIELDS."""
    return structlog.get_logger()


def new_call() -> None:
    """Forget the call before, in the current task."""
    structlog.contextvars.clear_contextvars()


def bind_call(hook_instance: str = "", **known: str) -> None:
    """Give every later line of the current task what is known of its call: fields of FIELDS, and the
    hookInstance as `request_id`.

    One that is not a UUID may hold anything, so a hash of it stands in; the same one gives the same hash.
    """
    if hook_instance and not _UUID.match(hook_instance):
        digest = hashlib.sha256(hook_instance.encode(errors="surrogatepass")).hexdigest()
        hook_instance = f"sha256:{digest[:32]}"
    if hook_instance:
        known["request_id"] = hook_instance
    structlog.contextvars.bind_contextvars(**known)


def bound(name: str) -> str:
    """What `bind_call` was told under a name since `new_call`; empty when nothing was."""
    return str(structlog.contextvars.get_contextvars().get(name, ""))


def configure(level: str, stream: BinaryIO | None = None) -> None:
    """Send our lines and those of every library to `stream` (standard output by default) from `level` on."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            _place_of_error,
            _allow,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.BytesLoggerFactory(stream or sys.stdout.buffer),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers = [_LibraryHandler()]
    root.setLevel(max(threshold, logging.WARNING))
    for name in _TEXT_FROM:
        # uvicorn brings handlers of its own; its lines go the same way as ours.
        theirs = logging.getLogger(name)
        theirs.handlers, theirs.propagate = [], True
        theirs.setLevel(threshold)


class _LibraryHandler(logging.Handler):
    """Turns a line of another library into one of ours: who, how bad, where. Its arguments stay out."""

    def emit(self, record: logging.LogRecord) -> None:
        event = _slug(record.msg) if record.name in _TEXT_FROM else "library-line"
        place = f"{record.module}:{record.lineno}"
        logger().log(
            record.levelno, event, logger=record.name, error_at=[place], exc_info=record.exc_info or None
        )


def _slug(message: object) -> str:
    """A message template as a token: "Started server process [%d]" gives "Started-server-process"."""
    first = re.sub(r"%[a-z]", "", str(message).partition("\n")[0])
    return re.sub(r"[^A-Za-z0-9]+", "-", first).strip("-")[:96] or "library-line"


def _place_of_error(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace an exception by its type and innermost frames: its text may quote a request."""
    given = line.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
        line["error_type"] = type(error).__name__
        line["error_at"] = [f"{PurePath(frame.filename).stem}:{frame.lineno}" for frame in frames]
    return line


def _allow(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    global _dropped
    kept = {name: value for name, value in line.items() if name in FIELDS and FIELDS[name](value)}
    dropped = len(line) - len(kept)
    if dropped:
        kept["dropped"] = dropped
        _dropped += dropped
    return kept


def _render(_: Any, __: str, line: MutableMapping[str, Any]) -> bytes:
    return orjson.dumps(line)
