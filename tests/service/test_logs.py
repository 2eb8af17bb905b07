"""Log lines: what gets out, and what must not."""

import io
import logging
import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service import logs
from service.logs import bind_call, bound, configure, dropped_total, logger, new_call

UUID = "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea"
PHI = ("Jane Roe", "1950-03-02", "MRN 4711", "Patient/jane-roe", "metastatic breast cancer", "eyJhbGciOi.x.y")


@pytest.fixture
def stream() -> Iterator[io.BytesIO]:
    """Logging as in the service, into memory, and as before afterwards."""
    root = logging.getLogger()
    uvicorn = logging.getLogger("uvicorn.error")
    before = (root.handlers, root.level, uvicorn.handlers, uvicorn.level)
    buffer = io.BytesIO()
    configure("info", buffer)
    yield buffer
    root.handlers, uvicorn.handlers = before[0], before[2]
    root.setLevel(before[1])
    uvicorn.setLevel(before[3])
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def lines(stream: io.BytesIO) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_time_and_level(stream: io.BytesIO) -> None:
    bind_call(UUID)
    logger().info("call", hook="patient-view", status=200, total_ms=1.5, cards=1, rules=["a-rule", "b-rule"])
    (line,) = lines(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", line.pop("time"))
    assert line == {
        "event": "call",
        "level": "info",
        "request_id": UUID,
        "hook": "patient-view",
        "status": 200,
        "total_ms": 1.5,
        "cards": 1,
        "rules": ["a-rule", "b-rule"],
    }


def test_lines_below_the_level_are_not_written(stream: io.BytesIO) -> None:
    logger().debug("call")
    assert lines(stream) == []


def test_planted_patient_data_does_not_get_out(stream: io.BytesIO) -> None:
    name, born, record, reference, condition, token = PHI
    bind_call(name)
    logger().info(
        condition, patient=name, birth_date=born, hook=record, rules=["ok", record], tenant=condition
    )
    logger().warning(
        "call", reason=f"cannot read {reference}", client=[name], status=born, authorization=token
    )
    try:
        raise ValueError(f"{name}, {born}: {condition}")
    except ValueError:
        logger().exception("failed")
    logging.getLogger("httpx").warning("HTTP Request: GET %s", f"https://example.org/{reference}?name={name}")
    logging.getLogger("somebody").error(f"{record} {token}", exc_info=ValueError(condition))
    logging.getLogger("uvicorn.error").error("Exception in %s", name, exc_info=ValueError(record))
    text = stream.getvalue().decode()
    assert len(text.splitlines()) == 6
    assert [item for item in PHI if item in text] == []


def test_what_is_dropped_is_counted_in_the_line_and_in_the_process(stream: io.BytesIO) -> None:
    before = dropped_total()
    logger().info("call", patient="p", status="200", hook="patient-view")
    (line,) = lines(stream)
    assert line["dropped"] == 2
    assert dropped_total() - before == 2
    assert line.keys() == {"event", "level", "time", "hook", "dropped"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(field=st.sampled_from(sorted(logs.FIELDS)), value=st.text(min_size=1))
def test_no_field_takes_free_text(stream: io.BytesIO, field: str, value: str) -> None:
    value = f"{value} {value}"
    assert not logs.FIELDS[field](value)
    assert not logs.FIELDS[field]([value])


def test_a_hook_instance_that_is_no_uuid_is_hashed_and_stays_traceable(stream: io.BytesIO) -> None:
    for given_id in ("Jane Roe", "Jane Roe", "\ud800", UUID):
        bind_call(given_id)
        logger().info("call")
    first, second, odd, uuid = (line["request_id"] for line in lines(stream))
    assert first == second
    assert re.fullmatch(r"sha256:[0-9a-f]{32}", first)
    assert odd not in (first, uuid)
    assert uuid == UUID


def test_a_new_call_forgets_the_one_before(stream: io.BytesIO) -> None:
    bind_call(UUID, client="one")
    new_call()
    logger().info("call")
    assert not {"client", "request_id"} & lines(stream)[0].keys()
    assert bound("client") == ""


def test_what_is_known_of_a_call_is_in_every_later_line_of_it(stream: io.BytesIO) -> None:
    new_call()
    logger().info("call")
    bind_call(client="one", issuer="https://ehr.example.org")
    logger().info("call")
    bind_call(UUID, hook="order-sign")
    logger().info("refused")
    first, second, third = lines(stream)
    assert "client" not in first
    assert (second["client"], second["issuer"]) == ("one", "https://ehr.example.org")
    assert (third["client"], third["hook"], third["request_id"]) == ("one", "order-sign", UUID)
    assert (bound("client"), bound("hook"), bound("tenant")) == ("one", "order-sign", "")


def test_what_is_bound_passes_the_list_like_all_else(stream: io.BytesIO) -> None:
    new_call()
    bind_call(client="Jane Roe", hook="born 1950", user="Practitioner/1", tenant="metastatic breast cancer")
    logger().info("refused", about=["Jane Roe"], reasons=["no time"], byte="MRN 4711")
    (line,) = lines(stream)
    assert line.keys() == {"event", "level", "time", "dropped"}
    assert line["dropped"] == 7


def test_an_exception_leaves_its_type_and_place(stream: io.BytesIO) -> None:
    try:
        raise KeyError("Jane Roe")
    except KeyError as error:
        logger().error("failed", exc_info=error)
        logger().error("failed", exc_info=True)
    told = lines(stream)
    assert len(told) == 2
    for line in told:
        assert line["error_type"] == "KeyError"
        assert re.fullmatch(r"test_logs:\d+", line["error_at"][-1])


def test_libraries_are_heard_from_warning_on(stream: io.BytesIO) -> None:
    logging.getLogger("httpx").info("quiet")
    logging.getLogger("httpx").warning("loud")
    (line,) = lines(stream)
    assert (line["event"], line["logger"], line["level"]) == ("library-line", "httpx", "warning")


def test_the_server_says_how_it_starts(stream: io.BytesIO) -> None:
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)
    logging.getLogger("uvicorn.error").info("%s")
    assert [line["event"] for line in lines(stream)] == ["Started-server-process", "library-line"]


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_every_level_of_the_settings_is_known(stream: io.BytesIO, level: str) -> None:
    configure(level, stream)
    logger().log(logging.ERROR, "call")
    assert len(lines(stream)) == 1
