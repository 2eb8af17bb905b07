"""Metrics: what is counted, the names the alerts use, several workers, and nothing of a patient."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.answering import Answer
from service.decode import Problem
from service.errors import RateLimited, Unauthorised, answer
from service.memory.recorder import Passage, Recorder
from service.memory.store import Kept
from service.memory.writer import Counted
from service.metrics import Metrics
from tests.service.calls import INSTANCE
from tests.service.facts import codes
from tests.service.facts.build import condition, lab, patient
from tests.service.memory.samples import CLIENT, NEW_BACK, PSEUDONYMS, answer_on, record


def counted(client: str = CLIENT) -> Counted:
    return counted_of(answer_on(*record()), client)


def counted_of(answered: Answer, client: str = CLIENT) -> Counted:
    passage = Passage.of(answered, client)
    return (passage, *Recorder(PSEUDONYMS).rows(passage))


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    for family in text_string_to_metric_families(metrics.render().decode()):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return None


def test_calls_are_counted_by_rule_hook_and_client() -> None:
    metrics = Metrics()
    metrics.calls([counted(), counted()])
    labels = {"hook": "patient-view", "client": CLIENT, "outcome": "card"}
    assert value(metrics, "tocsin_hook_requests_total", **labels) == 2
    assert value(metrics, "tocsin_hook_request_duration_seconds_count", hook="patient-view") == 2
    assert value(metrics, "tocsin_rule_evaluations_total", rule_id=NEW_BACK, result="fired") == 2
    assert value(metrics, "tocsin_rule_evaluations_total", result="insufficient_data") == 2
    assert value(metrics, "tocsin_cards_total", rule_id=NEW_BACK, mode="live", indicator="warning") == 2


def test_suppressed_rules_and_what_was_not_read_are_counted() -> None:
    metrics = Metrics()
    resources = [condition(codes.LOW_BACK_PAIN, onset=60), condition(codes.PROSTATE_CANCER, onset=900)]
    answered = answer_on(
        patient(birthDate="1950-01-01"),
        *resources,
        lab(codes.CRP, 60, None),
        problems=[Problem("labs", "x", "y")],
    )
    metrics.calls([counted_of(answered)])
    assert value(metrics, "tocsin_cards_suppressed_total", reason="SUPERSEDED") == 1
    assert value(metrics, "tocsin_data_cut_total", what="malformed") == 1
    assert value(metrics, "tocsin_data_cut_total", what="unread") == 1


def test_feedback_is_counted_by_rule_and_known_reasons() -> None:
    metrics = Metrics()
    answered = (
        ("r1", "overridden", "patient-refuses"),
        ("r1", "overridden", "made-up"),
        ("r2", "accepted", ""),
    )
    metrics.feedback(Kept({"a": "known", "b": "known", "c": "unknown"}, answered))
    assert value(metrics, "tocsin_feedback_total", rule_id="r1", reason="patient-refuses") == 1
    assert value(metrics, "tocsin_feedback_total", rule_id="r1", reason="other") == 1
    assert value(metrics, "tocsin_feedback_total", rule_id="r2", outcome="accepted", reason="") == 1
    assert value(metrics, "tocsin_feedback_entries_total", state="known") == 2
    assert value(metrics, "tocsin_feedback_entries_total", state="unknown") == 1


def test_errors_are_counted_by_code_and_refused_callers_by_reason() -> None:
    metrics = Metrics()
    metrics.refused(answer(RateLimited(1)))
    metrics.refused(answer(Unauthorised("expired")))
    assert value(metrics, "tocsin_hook_requests_total", outcome="rate-limited") == 1
    assert value(metrics, "tocsin_hook_requests_total", outcome="unauthorised") == 1
    assert value(metrics, "tocsin_jwt_rejected_total", reason="expired") == 1
    metrics.refused(answer(RateLimited(1)), client=CLIENT, hook="order-sign")
    labels = {"outcome": "rate-limited", "client": CLIENT, "hook": "order-sign"}
    assert value(metrics, "tocsin_hook_requests_total", **labels) == 1


def test_the_store_and_the_bundle_are_gauges() -> None:
    metrics = Metrics()
    metrics.loaded("sha256:a", "1", 5.0)
    metrics.loaded("sha256:b", "2", 6.0)
    metrics.store(False, 3, 2, 1)
    metrics.store(True, 0, 2, 2)
    metrics.recall_failed()
    assert value(metrics, "tocsin_store_up") == 1
    assert value(metrics, "tocsin_store_waiting_calls") == 0
    assert value(metrics, "tocsin_store_lost_calls_total") == 2
    assert value(metrics, "tocsin_store_failures_total") == 2
    assert value(metrics, "tocsin_store_read_failures_total") == 1
    assert value(metrics, "tocsin_rules_bundle_info", digest="sha256:a") == 0
    assert value(metrics, "tocsin_rules_bundle_info", digest="sha256:b", version="2") == 1
    assert value(metrics, "tocsin_rules_last_reload_success_timestamp_seconds") == 6.0
    assert value(metrics, "process_resident_memory_bytes") is not None


def test_nothing_of_a_person_or_a_call_is_in_them() -> None:
    metrics = Metrics()
    metrics.calls([counted()])
    text = metrics.render().decode()
    for planted in ("PLANTED", INSTANCE, PSEUDONYMS.of(CLIENT, "p1"), "_created"):
        assert planted not in text


def test_counting_a_call_takes_little() -> None:
    """Ten microseconds a call in a batch; the limit is wide for a busy machine."""
    metrics = Metrics()
    batch = [counted()] * 50
    metrics.calls(batch)
    best = min(_seconds(metrics, batch) for _ in range(20))
    assert best / len(batch) < 50e-6


def _seconds(metrics: Metrics, batch: list[Counted]) -> float:
    started = time.perf_counter()
    metrics.calls(batch)
    return time.perf_counter() - started


_WORKER = """
import sys
from service.errors import RateLimited, answer
from service.metrics import Metrics
metrics = Metrics()
metrics.loaded("sha256:a", "1", 5.0)
metrics.store(sys.argv[1] == "up", 1, 0, 0)
metrics.refused(answer(RateLimited(1)))
print(metrics.render().decode())
metrics.close()
"""


def test_workers_count_together(tmp_path: Path) -> None:
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    texts = [
        subprocess.run(
            [sys.executable, "-c", _WORKER, state],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for state in ("up", "down")
    ]
    line = re.search(
        r'^tocsin_hook_requests_total\{.*outcome="rate-limited".*\} (.*)$', texts[1], re.MULTILINE
    )
    assert line is not None
    assert float(line[1]) == 2
    # The first worker is gone, and with it what it said about the moment.
    assert "tocsin_store_up 0.0" in texts[1]
    assert "tocsin_store_waiting_calls 1.0" in texts[1]


@pytest.mark.parametrize(
    ("path", "result", "resource", "kind"),
    [
        ("Condition?patient=p1", "ok", "Condition", "ok"),
        ("Observation/_search", "server-error", "Observation", "server-error"),
        ("Patient/p1", "forbidden", "Patient", "refused"),
        ("?_getpages=ab12", "deadline", "other", "deadline"),
        ("Zqxcanary/p1", "too-large", "other", "unusable"),
    ],
)
def test_fhir_requests_are_timed_by_server_type_and_result(
    path: str, result: str, resource: str, kind: str
) -> None:
    metrics = Metrics()
    metrics.fhir_request("ehr.example.org", path, result, 0.04)
    labels = {"server": "ehr.example.org", "resource": resource, "result": kind}
    assert value(metrics, "tocsin_fhir_request_duration_seconds_count", **labels) == 1
    assert value(metrics, "tocsin_fhir_request_duration_seconds_sum", **labels) == 0.04
    text = metrics.render().decode()
    assert not re.search("p1|ab12|Zqx", text)
