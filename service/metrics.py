"""The metrics of /metrics, for Prometheus: counts by rule, hook and configured client; never anything of a
patient.

A hook call costs its answer nothing here: what can be counted from its record is counted by the writer's
thread, a batch at a time. Several workers share their counts through PROMETHEUS_MULTIPROC_DIR, which `tocsin
serve` sets up. Names: users-and-ops.md 2.4, with the prefix tocsin_.
"""

import atexit
import os
import shutil
import tempfile
from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from hooks import OVERRIDE_REASONS
from service import __version__
from service.errors import ErrorAnswer
from service.logs import dropped_total
from service.memory.recorder import Passage, expand
from service.memory.rows import CallRow
from service.memory.store import Kept
from service.memory.writer import Counted

__all__ = ["Metrics", "share_between_workers"]

_SHARED = "PROMETHEUS_MULTIPROC_DIR"
# As prometheus_client does, which looks for it once, when it is imported.
_TOGETHER = bool(os.environ.get(_SHARED))
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_REASONS = frozenset(reason.code for reason in OVERRIDE_REASONS)
_SHOWN_RESULT = {"suppressed": "fired", "folded": "fired", "not-fired": "not_fired", "excluded": "excluded"}
_RESULT = {"not-enough-data": "insufficient_data", **_SHOWN_RESULT}


def share_between_workers() -> None:
    """Give the workers that this process will start a folder to count in together, unless there is one.

    It lives as long as this process. prometheus_client looks for it when it is first imported.
    """
    if not os.environ.get(_SHARED):
        folder = tempfile.mkdtemp(prefix="tocsin-metrics-")
        os.environ[_SHARED] = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


class Metrics:
    """The counts of one worker."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        # When each series began would double their number, and Prometheus does not need it.
        disable_created_metrics()

        def counter(name: str, says: str, *labels: str) -> Counter:
            return Counter(f"tocsin_{name}", says, labels, registry=registry)

        def gauge(name: str, says: str, *labels: str, over: Any = "livemax") -> Gauge:
            return Gauge(f"tocsin_{name}", says, labels, registry=registry, multiprocess_mode=over)

        self._requests = counter("hook_requests", "Hook calls by how they ended", "hook", "client", "outcome")
        self._seconds = Histogram(
            "tocsin_hook_request_duration_seconds",
            "Time from the body of a hook call to its answer",
            ("hook",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._rules = counter("rule_evaluations", "Rules evaluated, by result", "rule_id", "result")
        self._cards = counter("cards", "Rules shown on cards", "rule_id", "mode", "indicator")
        self._suppressed = counter("cards_suppressed", "Fired rules not shown", "rule_id", "reason")
        self._feedback = counter("feedback", "Answers to cards", "rule_id", "outcome", "reason")
        self._entries = counter("feedback_entries", "Entries of feedback as received", "state")
        self._keys = counter("prefetch_keys", "Prefetch keys by how they ended", "key", "state")
        self._cut = counter("data_cut", "What of the data was not read", "what")
        self._rejected = counter("jwt_rejected", "Callers not identified, by reason", "reason")
        self._recalls = counter("store_read_failures", "Calls answered without knowing earlier answers")
        self._lost = counter("store_lost_calls", "Calls that could not be recorded")
        self._failures = counter("store_failures", "Failed writes to the store")
        self._up = gauge("store_up", "Whether records can be written", over="livemin")
        self._waiting = gauge("store_waiting_calls", "Calls that wait to be recorded", over="livesum")
        self._dropped = gauge("log_fields_dropped", "Fields dropped from log lines", over="livesum")
        self._bundle = gauge("rules_bundle_info", "The rule bundle in use", "digest", "version")
        self._loaded = gauge("rules_last_reload_success_timestamp_seconds", "When the rules were loaded")
        gauge("build_info", "The program", "version").labels(__version__).set(1)
        if not _TOGETHER:
            ProcessCollector(registry=registry)
        self._bundles: set[tuple[str, str]] = set()
        self._counted = (0, 0)

    def render(self) -> bytes:
        """All metrics in the text format, of every worker when they share a folder."""
        self._dropped.set(dropped_total())
        if not _TOGETHER:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        MultiProcessCollector(together)
        return generate_latest(together)

    def close(self) -> None:
        """This worker is going: what it said about the moment no longer counts."""
        if _TOGETHER:
            mark_process_dead(os.getpid())

    def loaded(self, digest: str, version: str, at: float) -> None:
        """A rule bundle is in use since `at`."""
        for earlier in self._bundles:
            self._bundle.labels(*earlier).set(0)
        self._bundles.add((digest, version))
        self._bundle.labels(digest, version).set(1)
        self._loaded.set(at)

    def refused(self, reply: ErrorAnswer) -> None:
        """A call was answered with an error."""
        self._requests.labels("", "", reply.code).inc()
        if reply.reason:
            self._rejected.labels(reply.reason).inc()

    def recall_failed(self) -> None:
        self._recalls.inc()

    # -- in the writer's thread --------------------------------------------------------------------

    def calls(self, batch: Sequence[Counted]) -> None:
        """Count a batch of calls. Outcomes repeat from call to call, so each different one is read once."""
        ends: Tally[tuple[str, str, str]] = Tally()
        outcomes: Tally[tuple[str, str]] = Tally()
        suppressed: Tally[tuple[str, str]] = Tally()
        cut: Tally[tuple[str, ...]] = Tally()
        keys: Tally[tuple[str, str]] = Tally()
        cards: Tally[tuple[str, str, str]] = Tally()
        for passage, bundle, call, shown in batch:
            ends[call.hook, call.client, "card" if call.cards else "no-card"] += 1
            outcomes[bundle.rules, call.outcomes] += 1
            suppressed.update(_suppressed(passage, call))
            cut.update(dict(_cut(call)))
            keys.update((key, outcome.state.value) for key, outcome in passage.outcomes.items())
            cards.update((row.rule, row.mode, row.urgency) for row in shown)
            self._seconds.labels(call.hook).observe(call.total_ms / 1000)
        _add(self._requests, ends.items())
        _add(self._keys, keys.items())
        _add(self._cards, cards.items())
        _add(self._suppressed, suppressed.items())
        _add(self._cut, cut.items())
        self._count_rules(outcomes)

    def _count_rules(self, outcomes: "Tally[tuple[str, str]]") -> None:
        results: Tally[tuple[str, str]] = Tally()
        for (rules, letters), count in outcomes.items():
            for rule, outcome in expand(rules, letters).items():
                results[rule, _RESULT.get(outcome, outcome)] += count
        _add(self._rules, results.items())

    def feedback(self, kept: Kept) -> None:
        """Count what became of feedback."""
        for state, count in Tally(kept.states.values()).items():
            self._entries.labels(state).inc(count)
        for rule, outcome, reason in kept.answered:
            self._feedback.labels(rule, outcome, reason if reason in _REASONS else reason and "other").inc()

    def store(self, up: bool, waiting: int, lost: int, failures: int) -> None:
        """How the store stands; `lost` and `failures` are totals."""
        self._up.set(up)
        self._waiting.set(waiting)
        self._lost.inc(lost - self._counted[0])
        self._failures.inc(failures - self._counted[1])
        self._counted = (lost, failures)


def _suppressed(passage: Passage, call: CallRow) -> Iterator[tuple[str, str]]:
    if call.moved != "{}":
        for outcome in passage.decision.outcomes.values():
            if outcome.outcome in ("suppressed", "folded") and outcome.reason is not None:
                yield outcome.rule, outcome.reason.code


def _cut(call: CallRow) -> Iterator[tuple[tuple[str, ...], int]]:
    if call.cut != "{}":
        for what, count in orjson.loads(call.cut).items():
            if isinstance(count, int):
                yield (what,), count


def _add(metric: Counter, counts: Iterable[tuple[tuple[str, ...], int]]) -> None:
    for labels, count in counts:
        if count:
            metric.labels(*labels).inc(count)
