"""The metrics of /metrics, for Prometheus: counts by rule, hook and configured client; never anything of a
patient.

A hook call costs its answer nothing here: what can be counted from its record is counted by the writer's
thread, a batch at a time. Several workers share their counts through PROMETHEUS_MULTIPROC_DIR, which `tocsin
serve` sets up. Names: users-and-ops.md 2.4, with the prefix tocsin_.
"""

import os
import re
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from hooks import OVERRIDE_REASONS
from service import __version__
from service.errors import ErrorAnswer
from service.logs import dropped_total
from service.memory.recorder import Passage, expand
from service.memory.rows import CallRow
from service.memory.store import Kept
from service.memory.writer import Counted
from service.recent import RecentErrors
from service.runtime import SHARED_METRICS

__all__ = ["Metrics"]

# As prometheus_client does, which looks for it once, when it is imported.
_TOGETHER = bool(os.environ.get(SHARED_METRICS))
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_FHIR_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 1.0, 2.5)
_FHIR_TYPES = frozenset(
    [
        "CarePlan",
        "Condition",
        "DiagnosticReport",
        "Encounter",
        "Flag",
        "ImagingStudy",
        "Medication",
        "MedicationRequest",
        "Observation",
        "Patient",
        "Procedure",
        "QuestionnaireResponse",
        "ServiceRequest",
    ]
)
_BEYOND_TYPE = re.compile(r"[/?]")
_CLASS = {
    "ok": "ok",
    "deadline": "deadline",
    "unreachable": "unreachable",
    "address-refused": "unreachable",
    "server-error": "server-error",
    **dict.fromkeys(("unauthorised", "forbidden", "not-found", "busy", "rejected"), "refused"),
}
_REASONS = frozenset(reason.code for reason in OVERRIDE_REASONS)
_SHOWN_RESULT = {"suppressed": "fired", "folded": "fired", "not-fired": "not_fired", "excluded": "excluded"}
_RESULT = {"not-enough-data": "insufficient_data", **_SHOWN_RESULT}


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
        self._canaries = counter(
            "canary_calls", "Calls of canaries, which are counted nowhere else", "client", "outcome"
        )
        self._seconds, self._fhir = _durations(registry)
        self._rules = counter("rule_evaluations", "Rules evaluated, by result", "rule_id", "result")
        self._cards = counter("cards", "Rules shown on cards", "rule_id", "mode", "indicator")
        self._suppressed = counter("cards_suppressed", "Fired rules not shown", "rule_id", "reason")
        self._feedback = counter("feedback", "Answers to cards", "rule_id", "outcome", "reason")
        self._entries = counter("feedback_entries", "Entries of feedback as received", "state")
        self._keys = counter("prefetch_keys", "Prefetch keys by how they ended", "key", "state")
        self._cut = counter("data_cut", "What of the data was not read", "what")
        self._rejected, self._replays, self._deviations = _of_callers(counter)
        self._unmapped = counter(
            "unmapped_codes", "Codes in no value set beside one that is in some, by terminology", "system"
        )
        self._recalls = counter("store_read_failures", "Calls answered without knowing earlier answers")
        self._lost = counter("store_lost_calls", "Calls that could not be recorded")
        self._failures = counter("store_failures", "Failed writes to the store")
        self._up = gauge("store_up", "Whether records can be written", over="livemin")
        self._waiting = gauge("store_waiting_calls", "Calls that wait to be recorded", over="livesum")
        self._dropped = gauge("log_fields_dropped", "Fields dropped from log lines", over="livesum")
        self._bundle = gauge("rules_bundle_info", "The rule bundle in use", "digest", "version")
        self._loaded = gauge("rules_last_reload_success_timestamp_seconds", "When the rules were loaded")
        self._reloads = counter("rules_reloads", "Loads of changed rules while serving, by result", "result")
        self._current = gauge(
            "rules_last_reload_successful", "Whether the last rules found are in use", over="livemin"
        )
        self._current.set(1)
        gauge("build_info", "The program", "version").labels(__version__).set(1)
        if not _TOGETHER:
            ProcessCollector(registry=registry)
        self.errors = RecentErrors()
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

    def described(self) -> Iterator[tuple[str, str, str, tuple[str, ...]]]:
        """Name as Prometheus shows it, kind, help and labels of each metric of ours, for its page."""
        # The library tells labels only of series that have been counted, so they are taken from inside.
        for one in self._registry._collector_to_names:
            if isinstance(one, MetricWrapperBase):
                (family,) = one.describe()
                ending = "_total" if family.type == "counter" else ""
                yield family.name + ending, family.type, family.documentation, tuple(one._labelnames)

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

    def reloaded(self) -> None:
        """New rules were taken."""
        self._reloads.labels("loaded").inc()
        self._current.set(1)

    def reload_refused(self) -> None:
        """New rules were refused; those before stay in use."""
        self._reloads.labels("refused").inc()
        self._current.set(0)

    def refused(self, reply: ErrorAnswer, *, client: str = "", hook: str = "") -> None:
        """A call was answered with an error: of a configured client and for a hook of the registry, as far as
        these were known by then.
        """
        self._requests.labels(hook, client, reply.code).inc()
        self.errors.note(reply.code, reply.reason, reply.status)
        if reply.reason:
            self._rejected.labels(reply.reason).inc()

    def canary(self, client: str, *, cards: bool) -> None:
        """A canary was answered."""
        self._canaries.labels(client, "card" if cards else "no-card").inc()

    def deviates(self, client: str, what: str) -> None:
        """A call was answered though it is not as the specification has it."""
        self._deviations.labels(client, what).inc()

    def replay_failed(self) -> None:
        self._replays.inc()

    def fhir_request(self, host: str, path: str, result: str, seconds: float) -> None:
        """A request to a FHIR server has ended. The host is on a list of the operator; of the path below the
        base only the type of resource is kept.
        """
        kind = _BEYOND_TYPE.split(path, 1)[0]
        resource = kind if kind in _FHIR_TYPES else "other"
        self._fhir.labels(host, resource, _CLASS.get(result, "unusable")).observe(seconds)

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

    def unmapped(self, system: str, count: int) -> None:
        """Codes came that are in no value set, beside one that is."""
        self._unmapped.labels(system).inc(count)

    def store(self, up: bool, waiting: int, lost: int, failures: int) -> None:
        """How the store stands; `lost` and `failures` are totals."""
        self._up.set(up)
        self._waiting.set(waiting)
        self._lost.inc(lost - self._counted[0])
        self._failures.inc(failures - self._counted[1])
        self._counted = (lost, failures)


def _of_callers(counter: Callable[..., Counter]) -> tuple[Counter, Counter, Counter]:
    """Who is refused, what of their tokens could not be judged, and how they deviate."""
    return (
        counter("jwt_rejected", "Callers not identified, by reason", "reason"),
        counter(
            "jwt_replay_store_failures", "Tokens of which it could not be said whether they were used before"
        ),
        counter(
            "call_deviations", "Calls answered though they deviate from the specification", "client", "what"
        ),
    )


def _durations(registry: CollectorRegistry) -> tuple[Histogram, Histogram]:
    """Of hook calls, and of requests to FHIR servers."""
    calls = Histogram(
        "tocsin_hook_request_duration_seconds",
        "Time from the body of a hook call to its answer",
        ("hook",),
        buckets=_SECONDS,
        registry=registry,
    )
    requests = Histogram(
        "tocsin_fhir_request_duration_seconds",
        "Time of one request to a FHIR server",
        ("server", "resource", "result"),
        buckets=_FHIR_SECONDS,
        registry=registry,
    )
    return calls, requests


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
