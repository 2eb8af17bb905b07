"""The last errors of a worker, for the status page: code, how often, when last; nothing of who called."""

import time
from threading import Lock

import msgspec

__all__ = ["ErrorRow", "RecentErrors"]


class ErrorRow(msgspec.Struct, frozen=True):
    """An error that calls were answered with. `reason` is that of a 401, which its answer does not tell.
    `at` is when it was last given, in seconds since 1970.
    """

    code: str
    reason: str
    status: int
    count: int
    at: float


class RecentErrors:
    """Counts by code and reason since the start. Both come from fixed lists, so there are never many."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], ErrorRow] = {}
        self._lock = Lock()

    def note(self, code: str, reason: str, status: int) -> None:
        with self._lock:
            earlier = self._rows.get((code, reason))
            count = earlier.count + 1 if earlier is not None else 1
            self._rows[code, reason] = ErrorRow(code, reason, status, count, time.time())

    def rows(self) -> list[ErrorRow]:
        """The newest first."""
        with self._lock:
            return sorted(self._rows.values(), key=lambda row: -row.at)
