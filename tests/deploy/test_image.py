"""The image: what its file says, and, where there is an engine, that it builds, serves and stops as promised.

Building takes minutes and installs packages, so it is done only with TEST_CONTAINERS=1 (`make test-deploy`).
"""

import http.server
import json
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from service import __version__
from service.settings import table
from tests.deploy.conftest import Tool, demo_call, failed_checks
from tests.deploy.engine import Engine, Reply, call, free_port

SLOW_S = 2.0


@pytest.fixture(scope="module")
def containerfile(deploy: Path) -> str:
    return (deploy / "Containerfile").read_text("utf-8")


def instructions(containerfile: str, name: str) -> list[str]:
    joined = re.sub(r"\\\n\s*", " ", containerfile)
    return [line.partition(" ")[2].strip() for line in joined.splitlines() if line.startswith(f"{name} ")]


def test_both_stages_stand_on_the_base_that_is_given(containerfile: str) -> None:
    assert instructions(containerfile, "FROM") == ["${BASE} AS build", "${BASE}"]
    bases = [line for line in instructions(containerfile, "ARG") if line.startswith("BASE=")]
    assert bases == ["BASE=python:3.12-slim-bookworm"]


def test_everything_fetched_has_a_hash(containerfile: str) -> None:
    commands = " && ".join(instructions(containerfile, "RUN"))
    installs = re.findall(r"pip(?: --python \S+)? (?:install|wheel) ([^&]+)", commands)
    assert len(installs) == 4
    assert all("--require-hashes" in options or "--no-index" in options for options in installs)


def test_it_runs_as_a_numbered_user_without_a_shell(containerfile: str) -> None:
    assert instructions(containerfile, "USER") == ["65532:65532"]
    for name in ("ENTRYPOINT", "CMD"):
        (line,) = instructions(containerfile, name)
        assert isinstance(json.loads(line), list)
    assert instructions(containerfile, "STOPSIGNAL") == ["SIGTERM"]


def test_what_it_sets_is_a_setting_for_production(containerfile: str) -> None:
    pairs = re.findall(r"(TOCSIN_[A-Z_]+)=(\S+)", " ".join(instructions(containerfile, "ENV")))
    given = dict(pairs)
    assert given.keys() <= {row.name for row in table()}
    assert given["TOCSIN_PROFILE"] == "production"
    assert given["TOCSIN_WORKERS"] == "cores"
    assert "TOCSIN_AUTH" not in given


def test_the_label_has_the_version_of_the_program(containerfile: str) -> None:
    assert f"VERSION={__version__}" in instructions(containerfile, "ARG")


def test_all_that_is_copied_is_sent_to_the_builder(
    containerfile: str, deploy: Path, repository: Path
) -> None:
    lines = (deploy / "Containerfile.dockerignore").read_text("utf-8").splitlines()
    sent = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source
        for line in instructions(containerfile, "COPY")
        if not line.startswith("--from")
        for source in line.split()[:-1]
    }
    assert copied == sent
    assert all((repository / source).exists() for source in copied)


def test_a_scan_finds_only_what_is_argued(checkov: Tool, containerfile: str, tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text(containerfile)
    # CKV_DOCKER_7: it does not follow the build argument, which has a tag and in a release a digest.
    assert failed_checks(checkov, "dockerfile", file) == {"CKV_DOCKER_7"}


# -- with an engine ----------------------------------------------------------------------------------


class SlowFhir(http.server.BaseHTTPRequestHandler):
    """A FHIR server that takes its time and has nothing."""

    def do_GET(self) -> None:
        time.sleep(SLOW_S)
        self.send_response(404)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing is written to the test's output."""


@pytest.fixture(scope="module")
def fhir() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), SlowFhir)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def served(engine: Engine, fhir: str, request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Name of a running container and its base URL; the parameter is the number of workers."""
    port = free_port()
    name, url = f"tocsin-test-{port}", f"http://127.0.0.1:{port}"
    settings = {
        "TOCSIN_AUTH": "off",
        "TOCSIN_HOST": "127.0.0.1",
        "TOCSIN_PORT": port,
        "TOCSIN_WORKERS": request.param,
        "TOCSIN_FHIR_ALLOW": fhir,
        "TOCSIN_BUDGET_MS": 6000,
        "TOCSIN_FETCH_BUDGET_MS": 5000,
    }
    engine.start(name, [f"{key}={value}" for key, value in settings.items()])
    assert engine.wait(lambda: call(f"{url}/readyz")[0] == 200, 60), engine.run("podman", "logs", name)
    yield name, url
    engine.remove(name)


@pytest.mark.parametrize("served", ["1"], indirect=True)
def test_it_answers_without_any_right(engine: Engine, served: tuple[str, str]) -> None:
    name, url = served
    status, found = call(f"{url}/cds-services")
    assert status == 200
    assert found["services"]
    status, answer = call(f"{url}/cds-services/red-flags", demo_call())
    assert status == 200
    assert answer["cards"]
    feedback = {"card": answer["cards"][0]["uuid"], "outcome": "accepted", "acceptedSuggestions": []}
    feedback["outcomeTimestamp"] = "2026-11-23T12:00:00Z"
    assert call(f"{url}/cds-services/red-flags/feedback", {"feedback": [feedback]}) == (200, {})
    assert engine.inside(name, "id", "-u") == "65532"
    status_lines = engine.inside(name, "cat", "/proc/1/status")
    assert re.search(r"^CapEff:\s+0+$", status_lines, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s+1$", status_lines, re.MULTILINE)
    with pytest.raises(RuntimeError, match="Read-only file system"):
        engine.inside(name, "touch", "/opt/tocsin/x")
    assert engine.inside(name, "python", "-c", "import service.app as a; print(a.__cached__)").endswith(
        ".pyc"
    )
    with pytest.raises(RuntimeError, match="No module named pip"):
        engine.inside(name, "python", "-m", "pip", "--version")
    assert engine.stop(name) == 0


@pytest.mark.parametrize("served", ["1", "2"], indirect=True)
def test_a_stop_finishes_the_call_under_way(engine: Engine, served: tuple[str, str], fhir: str) -> None:
    name, url = served
    asked = {
        "hook": "patient-view",
        "hookInstance": "fcfe43ef-52a2-4387-ae64-7c0f1ba8c7b4",
        "fhirServer": fhir,
        "context": {"userId": "Practitioner/demo", "patientId": "p1"},
        "fhirAuthorization": {
            "access_token": "made-up",
            "token_type": "Bearer",
            "expires_in": 300,
            "scope": "system/*.read",
            "subject": "tocsin",
        },
    }

    def ask() -> Reply:
        try:
            return call(f"{url}/cds-services/red-flags", asked)
        except HTTPError as error:
            return error.code, json.loads(error.read())

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask)
        time.sleep(SLOW_S / 4)
        started = time.monotonic()
        assert engine.stop(name) == 0
        assert time.monotonic() - started > SLOW_S / 2
        status, outcome = answer.result()
    # The call was finished: it says that the server has none of the data.
    assert status == 412
    assert outcome["issue"][0]["details"]["coding"][0]["code"] == "data-unavailable"
