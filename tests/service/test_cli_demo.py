"""`tocsin demo`: the list, one patient in this process or through a service, and the lines `serve` prints."""

import json
import socket
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from service import cli, demo
from service.app import create_app
from service.settings import Settings, table
from tests.service.terminal import tocsin

Terminal = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")


def test_the_list_has_every_patient(capsys: Terminal) -> None:
    code, out, _ = tocsin(capsys, "demo")
    assert code == 0
    for patient in demo.load():
        (line,) = [line for line in out.splitlines() if line.startswith(f"{patient.id} ")]
        assert all(part in line for part in (str(patient.age), patient.sex, patient.hook, patient.story))


def test_a_card_and_its_reasons(capsys: Terminal) -> None:
    code, out, err = tocsin(capsys, "demo", "demo-cord")
    assert (code, err) == (0, "")
    assert "CRITICAL" in out
    assert "FIRED  mscc-cancer-neuro-signs" in out
    assert "✓ Cancer now or before" in out
    assert "Condition/demo-cord-0" in out
    assert out.index("FIRED  mscc") < out.index("FOLDED  ")
    assert out.rstrip().endswith("--url URL asks a running service.")


def test_a_suppressed_rule_has_its_reason_and_what_was_near(capsys: Terminal) -> None:
    _, out, _ = tocsin(capsys, "demo", "demo-mri-done")
    assert "No card. That is no all-clear" in out
    assert "SUPPRESSED  cancer-history-new-back-pain" in out
    assert "S3: Imaging of" in out
    assert "would fire if" in out


def test_a_patient_the_rules_do_not_speak_about(capsys: Terminal) -> None:
    _, out, _ = tocsin(capsys, "demo", "demo-no-pain")
    assert "Not covered (no-pain-recorded)" in out


def test_the_body_for_curl(capsys: Terminal) -> None:
    code, out, _ = tocsin(capsys, "demo", "demo-esr", "--json")
    body = json.loads(out)
    assert code == 0
    assert (body["hook"], body["context"]["patientId"]) == ("patient-view", "demo-esr")


def test_explain_prints_every_rule_of_the_hook(capsys: Terminal) -> None:
    _, brief, _ = tocsin(capsys, "demo", "demo-quiet")
    _, whole, _ = tocsin(capsys, "demo", "--explain", "demo-quiet")
    assert "weight-loss-persistent-pain" not in brief
    assert "weight-loss-persistent-pain" in whole
    assert "EXCLUDED" in whole


def test_the_rules_are_those_of_the_settings(capsys: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_CRITICAL_RULES", "off")
    _, out, _ = tocsin(capsys, "demo", "demo-cord")
    assert "CRITICAL" not in out


def test_a_patient_that_is_not_there(capsys: Terminal) -> None:
    code, _, err = tocsin(capsys, "demo", "nobody")
    assert code == 2
    assert "No patient is called nobody" in err


class Elsewhere:
    """Lets `tocsin demo --url` talk to an application in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, app: Any) -> None:
        plain = httpx.AsyncClient

        def client(**options: Any) -> httpx.AsyncClient:
            return plain(base_url=options["base_url"], transport=httpx.ASGITransport(app))

        monkeypatch.setattr("service.exchange.httpx.AsyncClient", client)


def test_a_running_service_is_asked(capsys: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    Elsewhere(monkeypatch, create_app(Settings(auth=False, log_level="error")))
    code, out, _ = tocsin(capsys, "demo", "demo-esr", "--url", "http://127.0.0.1:8000")
    assert code == 0
    assert "FIRED  esr-crp-markedly-raised-persistent-pain" in out
    assert "in this process" not in out


def test_a_service_that_does_not_explain(capsys: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    Elsewhere(monkeypatch, create_app(Settings(auth=False, explain="off", log_level="error")))
    code, out, _ = tocsin(capsys, "demo", "demo-esr", "--url", "http://127.0.0.1:8000")
    assert code == 0
    assert "WARNING" in out
    assert "does not explain its decisions" in out


def test_a_service_that_refuses_tells_why(capsys: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    Elsewhere(monkeypatch, create_app(Settings(auth=False, max_body_bytes=1024, log_level="error")))
    code, _, err = tocsin(capsys, "demo", "demo-esr", "--url", "http://127.0.0.1:8000")
    assert code == 1
    assert "413 The body is larger than this service accepts." in err


@pytest.mark.parametrize("body", [b"", b"[]", b'{"issue": []}', b'{"issue": [{"details": 1}]}'])
def test_a_refusal_without_words_has_its_status(
    capsys: Terminal, monkeypatch: pytest.MonkeyPatch, body: bytes
) -> None:
    async def bare(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body", "body": body})

    Elsewhere(monkeypatch, bare)
    code, _, err = tocsin(capsys, "demo", "demo-esr", "--url", "http://127.0.0.1:8000")
    assert code == 1
    assert err == "The service refused the call: 401 Unauthorized\n"


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://["])
def test_a_service_that_cannot_be_reached(capsys: Terminal, url: str) -> None:
    code, _, err = tocsin(capsys, "demo", "demo-esr", "--url", url)
    assert code == 1
    assert f"The service at {url} cannot be reached" in err


def test_a_service_that_is_stopped_is_noticed(capsys: Terminal) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        code, out, err = tocsin(capsys, "demo", "demo-cord", "--url", url)
    assert (code, out) == (1, "")
    assert "nothing answers there. Start it, or correct the URL." in " ".join(err.split())


def test_a_service_that_hangs_is_given_up(capsys: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.exchange._SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        code, out, err = tocsin(capsys, "demo", "demo-cord", "--url", url)
    assert (code, out) == (1, "")
    assert "did not answer within" in err


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8123"),
        ("0.0.0.0", "http://127.0.0.1:8123"),
        ("::", "http://[::1]:8123"),
    ],
)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        (".venv/bin/tocsin", ".venv/bin/tocsin"),
        (str(Path.cwd() / ".venv/bin/tocsin"), ".venv/bin/tocsin"),
        ("-c", "tocsin"),
    ],
)
def test_serve_prints_three_lines_to_try(
    capsys: Terminal, monkeypatch: pytest.MonkeyPatch, host: str, url: str, name: str, said: str
) -> None:
    monkeypatch.setattr(uvicorn, "run", lambda *names, **options: None)
    monkeypatch.setattr(cli, "configure", lambda level: None)
    monkeypatch.setattr(sys, "argv", [name])
    for row in table():
        monkeypatch.setenv(row.name, "")
    options = ("--demo", "on", "--auth", "off", "--profile", "sandbox", "--port", "8123", "--host", host)
    code, _, err = tocsin(capsys, "serve", *options)
    assert code == 0
    lines = err[err.index("Try:") :].splitlines()
    assert lines[1:3] == [f"  {url}/playground", f"  {said} demo demo-cord --url {url}"]
    assert lines[3].endswith(f"-d @- {url}/cds-services/red-flags")
    assert len(lines) == 4
