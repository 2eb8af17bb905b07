"""Starting the server: what is broken ends the command with a code and a reason, whatever the workers."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from service import serving
from service.errors import SettingsError
from service.serving import run_server
from service.settings import Settings

STARTS_IN_S = 30.0


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that someone listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture
def free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def tocsin(*options: str, **settings: str) -> subprocess.Popen[str]:
    """`tocsin serve` in a process of its own, with nothing of this one's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
    given = {f"TOCSIN_{name.upper()}": value for name, value in settings.items()}
    return subprocess.Popen(
        [sys.executable, "-c", "from service.cli import main; main()", "serve", *options],
        env={**kept, "TOCSIN_AUTH": "off", **given},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_broken_content_ends_the_command_with_the_reason(tmp_path: Path, free: int, workers: str) -> None:
    (tmp_path / "site.yaml").write_text("schema_version: 1\n")
    started = tocsin("--port", str(free), "--workers", workers, site=str(tmp_path / "site.yaml"))
    _, said = started.communicate(timeout=STARTS_IN_S)
    assert started.returncode == 2
    assert "site.yaml:1: R002: the file: 'site' is a required property" in said
    assert "Traceback" not in said


def test_a_state_folder_that_cannot_be_used_is_told(tmp_path: Path, free: int) -> None:
    (tmp_path / "file").write_text("no folder")
    started = tocsin("--port", str(free), "--workers", "2", state_dir=str(tmp_path / "file"))
    _, said = started.communicate(timeout=STARTS_IN_S)
    assert started.returncode == 2
    assert "TOCSIN_STATE_DIR: Its folder cannot be written" in said
    assert "Traceback" not in said


def test_two_workers_answer_and_stop_with_code_0(tmp_path: Path, free: int) -> None:
    started = tocsin("--port", str(free), "--workers", "2", state_dir=str(tmp_path), log_level="error")
    end = time.monotonic() + STARTS_IN_S
    try:
        while not _alive(free):
            assert time.monotonic() < end, "it did not start"
            time.sleep(0.1)
    finally:
        started.terminate()
        _, said = started.communicate(timeout=STARTS_IN_S)
    assert (started.returncode, "Traceback" in said) == (0, False)


def _alive(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=1) as reply:
            return bool(reply.status == 200)
    except OSError:
        return False


def test_a_port_that_is_taken_is_told_before_anything_is_loaded(taken: int) -> None:
    with pytest.raises(SettingsError, match="TOCSIN_PORT: Another process listens there already"):
        run_server(Settings(auth=False, port=taken))


def test_an_address_of_another_machine_is_told(free: int) -> None:
    with pytest.raises(SettingsError, match="TOCSIN_HOST: This machine has no such address"):
        run_server(Settings(auth=False, host="192.0.2.1", port=free))


def test_a_port_for_the_administrator_only_is_told(free: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(socket.socket):
        def bind(self, address: object) -> None:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket, "socket", Refusing)
    with pytest.raises(SettingsError, match="TOCSIN_PORT: This user may not listen there"):
        run_server(Settings(auth=False, port=free))


class Supervisor:
    """Stands in for uvicorn's, whose workers ended with these codes."""

    codes: tuple[int | None, ...] = ()

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        for one in sockets:
            one.close()
        assert config.workers == 2
        self.processes = [Worker(code) for code in self.codes]

    def run(self) -> None:
        """Every worker has ended."""


class Worker:
    def __init__(self, exitcode: int | None) -> None:
        self.exitcode = exitcode


@pytest.mark.parametrize(("codes", "expected"), [((0, 3), 3), ((0, 0), 0), ((-15, 0), 0)])
def test_workers_that_could_not_start_are_told_by_the_code(
    free: int,
    codes: tuple[int, ...],
    expected: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A folder for shared counts would change every later test's.
    monkeypatch.setattr(serving, "share_metrics", lambda: None)
    monkeypatch.setattr(serving, "Supervisor", Supervisor)
    monkeypatch.setattr(Supervisor, "codes", codes)
    given = Settings(auth=False, port=free, workers=2)
    if expected:
        with pytest.raises(SystemExit) as caught:
            run_server(given)
        assert caught.value.code == expected
    else:
        run_server(given)
