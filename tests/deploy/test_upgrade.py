"""A roll-out as the Deployment makes it: from the version before the newest change of the schema to this one.

Two replicas are replaced one after the other: a new one starts, answers /readyz and is called; then an old
one is called no more and gets SIGTERM. Calls go on all the while. What was recorded is then copied and
put back.
"""

import io
import itertools
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from service.memory.store import LEVEL
from tests.deploy.conftest import demo_call
from tests.deploy.engine import call, free_port
from tests.service.memory.postgres import Server

PATH = "/cds-services/red-flags"
CALLERS = 2
FORGET_S = 0.5


@pytest.fixture(scope="session")
def before(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages as they were before the newest migration; as last committed while that is not yet."""
    if not (repository / ".git").exists():
        pytest.skip("needs a git checkout, and this is an unpacked archive")

    def git(*command: str) -> bytes:
        done = subprocess.run(["git", *command], cwd=repository, capture_output=True)
        if done.returncode != 0:
            pytest.skip(f"needs the history of the repository: {done.stderr.decode().strip()}")
        return done.stdout

    newest = max((repository / "service/memory/schema/versions").glob("r*.py"))
    log = ("log", "--diff-filter=A", "--format=%H", "-1", "--", str(newest.relative_to(repository)))
    added = git(*log).decode().strip()
    folder = tmp_path_factory.mktemp("before")
    archive = git("archive", f"{added}^" if added else "HEAD", "hooks", "rules", "service")
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        packed.extractall(folder, filter="data")
    return folder


class Rollout:
    """Replicas of two versions on one store, and the endpoints that are called now."""

    def __init__(self, settings: dict[str, str], folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._started: list[subprocess.Popen[bytes]] = []
        self.endpoints: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(self, tree: Path) -> None:
        """A replica of the version in `tree`; called as soon as it is ready."""
        port = free_port()
        env = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
        env |= {**self._settings, "TOCSIN_PORT": str(port), "PYTHONPATH": str(tree)}
        log = (self._folder / f"{port}.log").open("wb")
        command = [sys.executable, "-c", "from service.cli import main; main(['serve'])"]
        process = subprocess.Popen(command, cwd=tree, env=env, stdout=log, stderr=log)
        log.close()
        self._started.append(process)
        url = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 90
        while call(f"{url}/readyz")[0] != 200:
            if time.monotonic() > end or process.poll() is not None:
                raise RuntimeError((self._folder / f"{port}.log").read_text()[-2000:])
            time.sleep(0.1)
        self.endpoints.append((url, process))

    def stop_oldest(self) -> int:
        """Call it no more, wait until that is known everywhere, send SIGTERM; its exit code."""
        _, process = self.endpoints.pop(0)
        time.sleep(FORGET_S)
        process.terminate()
        return process.wait(timeout=60)

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
                process.wait()


class Load:
    """Callers that each ask about a new patient, answer the first card, and note what was not answered."""

    def __init__(self, rollout: Rollout) -> None:
        self._rollout = rollout
        self._text = json.dumps(demo_call())
        self._number = itertools.count()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CALLERS)]
        self.calls: list[str] = []
        self.feedback: list[str] = []
        self.failed: list[str] = []

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def more(self, calls: int) -> None:
        """Wait until so many more calls were answered."""
        enough, end = len(self.calls) + calls, time.monotonic() + 60
        while len(self.calls) < enough and time.monotonic() < end:
            time.sleep(0.05)
        assert len(self.calls) >= enough

    def _ask(self) -> None:
        while not self._stop.is_set():
            number = next(self._number)
            body = json.loads(self._text.replace("demo-cord", f"patient-{number}"))
            body["hookInstance"] = str(uuid.uuid4())
            answer = self._post(number, PATH, body)
            if answer is not None:
                self.calls.append(body["hookInstance"])
                told = {"card": answer["cards"][0]["uuid"], "outcome": "accepted", "acceptedSuggestions": []}
                told["outcomeTimestamp"] = "2026-11-23T12:00:00Z"
                if self._post(number, f"{PATH}/feedback", {"feedback": [told]}) is not None:
                    self.feedback.append(told["card"])
            time.sleep(0.05)

    def _post(self, number: int, path: str, body: Any) -> Any:
        endpoints = list(self._rollout.endpoints)
        url, _ = endpoints[number % len(endpoints)]
        try:
            status, answer = call(url + path, body)
        except HTTPError as error:
            status, answer = error.code, None
        if status != 200:
            self.failed.append(f"{path} at {url}: {status}")
            return None
        return answer


@pytest.fixture(params=["sqlite", "postgresql"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Settings that lead to an empty store, and to another one for the copy."""
    common = {
        "TOCSIN_AUTH": "off",
        "TOCSIN_HOST": "127.0.0.1",
        "TOCSIN_STATE_DIR": str(tmp_path / "state"),
        "TOCSIN_PATIENT_KEY": secrets.token_hex(32),
    }
    other = {**common, "TOCSIN_STATE_DIR": str(tmp_path / "other")}
    if request.param == "sqlite":
        return common, other
    if shutil.which("pg_dump") is None:
        pytest.skip("needs pg_dump (package postgresql-client), which is not installed here")
    server: Server = request.getfixturevalue("postgres")
    first, second = (server.new_database(name) for name in ("rollout", "restored"))
    return {**common, "TOCSIN_DATABASE_URL": first}, {**other, "TOCSIN_DATABASE_URL": second}


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("postgres"))
    yield server
    server.stop()


def tocsin(settings: dict[str, str], *arguments: str) -> str:
    """What a command prints; it must succeed."""
    command = [sys.executable, "-c", "from service.cli import main; main()", *arguments]
    env = {"PATH": os.environ["PATH"], **settings}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_rollout_loses_no_call_and_a_copy_holds_them_all(
    before: Path, repository: Path, stores: tuple[dict[str, str], dict[str, str]], tmp_path: Path
) -> None:
    settings, other = stores
    rollout = Rollout(settings, tmp_path)
    try:
        rollout.start(before)
        rollout.start(before)
        with Load(rollout) as load:
            load.more(10)
            for _ in range(2):
                rollout.start(repository)
                load.more(10)
                # The version before may end by the signal itself, when it has drained.
                assert rollout.stop_oldest() in (0, -signal.SIGTERM)
                load.more(10)
        assert [rollout.stop_oldest() for _ in range(2)] == [0, 0]
    finally:
        rollout.end()
    assert load.failed == []
    assert len(load.feedback) == len(load.calls) >= 50, load.failed
    said = f"Level {LEVEL}, {len(load.calls)} calls, 0 problems."
    assert tocsin(settings, "db", "check").strip() == said
    copy = tmp_path / "copy"
    tocsin(settings, "db", "backup", str(copy))
    tocsin(other, "db", "restore", str(copy), "--yes")
    assert tocsin(other, "db", "check").strip() == said
    records = tocsin(settings, "decisions", "export")
    assert records.count("\n") == len(load.calls)
    assert all(card in records for card in load.feedback)
    assert tocsin(other, "decisions", "export") == records
