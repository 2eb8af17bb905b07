"""The way of codes in no value set from the meanings in use to the store and the metrics.

Only codes of published terminologies come here, so none is a text of one EHR; they are counted by day. What
was seen less than FEWEST times since the start is left to the metric: it is not worth a look, nor a record.
Source: users-and-ops.md 3.2, terminology drift.
"""

import time
from collections import Counter
from collections.abc import Iterable

from rules.engine import Bundle
from service.facts.meanings import meanings_of
from service.memory.rows import UnmappedRow
from service.memory.store import Store, StoreError
from service.metrics import Metrics

__all__ = ["FEWEST", "INTERVAL_S", "Unmapped"]

FEWEST = 5
INTERVAL_S = 60.0
_MOST = 2_000
_DAY_S = 86_400


class Unmapped:
    """Runs in the writer's thread."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self._bundles: dict[str, Bundle] = {}
        self._seen: Counter[tuple[str, str]] = Counter()
        self._waiting: Counter[tuple[str, str]] = Counter()
        self._next = time.monotonic() + INTERVAL_S

    def decided_by(self, bundles: Iterable[Bundle]) -> None:
        """These bundles decided calls, so codes were looked up in their value sets."""
        for bundle in bundles:
            self._bundles[bundle.digest] = bundle

    def due(self) -> bool:
        return time.monotonic() >= self._next

    def flush(self, now: float) -> None:
        """Count what came since the last time, on the day of `now` (seconds since 1970). What the store does
        not take waits for the next time.
        """
        self._next = time.monotonic() + INTERVAL_S
        for bundle in self._bundles.values():
            for (system, code), count in meanings_of(bundle.codes, bundle.units).take_unmapped().items():
                self._metrics.unmapped(system, count)
                if (system, code) in self._seen or len(self._seen) < _MOST:
                    self._seen[system, code] += count
                    self._waiting[system, code] += count
        self._bundles.clear()
        day = float(now // _DAY_S * _DAY_S)
        ready = [one for one in self._waiting if self._seen[one] >= FEWEST]
        if not ready:
            return
        try:
            self._store.add_unmapped([UnmappedRow(day, *one, self._waiting[one]) for one in ready])
        except StoreError:
            return
        for one in ready:
            del self._waiting[one]
