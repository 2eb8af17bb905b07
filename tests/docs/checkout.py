"""A checkout like the one a reader has, in a folder of its own, where the blocks of a page are run.

Rules are copied, so that a page may change them; the code is the code under test. `.venv/bin/tocsin` is there
as after `make run`, and on the search path as in the image. The address 127.0.0.1:8000 of the pages stands
for a free port.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from tests.docs.blocks import Block, blocks

__all__ = ["Checkout", "is_run", "unlike"]

_SERVED = "127.0.0.1:8000"
_START_S = 60.0
_RUN_S = 120.0
_LINKED = ("hooks", "service", "requirements", "Makefile", "pyproject.toml")


def is_run(block: Block) -> bool:
    """Whether a reader is told to run the block, and a test does."""
    return block.info in ("sh run", "sh serve")


class Checkout:
    """Use as a context: a service that a page started ends with it."""

    def __init__(self, repository: Path, folder: Path) -> None:
        self._folder = folder
        self._port = _free_port()
        self._service: subprocess.Popen[bytes] | None = None
        self._log = folder / "service.log"
        for name in _LINKED:
            (folder / name).symlink_to(repository / name)
        shutil.copytree(repository / "rules", folder / "rules")
        programs = folder / ".venv" / "bin"
        programs.mkdir(parents=True)
        python = f'exec "{sys.executable}"'
        _program(programs / "python", f'{python} "$@"')
        _program(programs / "tocsin", f'{python} -c "from service.cli import main; main()" "$@"')
        for stamp in (".python", ".run"):
            (folder / ".venv" / stamp).touch()

    def __enter__(self) -> "Checkout":
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def follow(self, text: str) -> list[str]:
        """Do what a page says, block by block; what went otherwise than it says, in lines."""
        printed = ""
        wrong = []
        for block in blocks(text):
            if block.info == "sh serve":
                self._serve(block.text)
            elif block.info == "sh run":
                code, printed = self._run(block.text)
                if code != 0:
                    wrong.append(f"line {block.line} ended with {code}:\n{printed}")
            elif block.info == "text expected":
                wrong += [f"line {block.line}: not printed: {line}" for line in unlike(block.text, printed)]
        return wrong

    def _environment(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TOCSIN_")}
        port = {"PORT": str(self._port), "TOCSIN_PORT": str(self._port)}
        path = f"{self._folder / '.venv' / 'bin'}:{kept['PATH']}"
        return {**kept, **port, "PATH": path, "PYTHONPATH": str(self._folder), "COLUMNS": "80"}

    def _run(self, command: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", command.replace(_SERVED, f"127.0.0.1:{self._port}")],
            cwd=self._folder,
            env=self._environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_RUN_S,
            check=False,
        )
        return done.returncode, done.stdout.decode()

    def _serve(self, command: str) -> None:
        """Start what the reader leaves running in the first terminal, after stopping what ran there."""
        self._stop()
        with self._log.open("wb") as log:
            self._service = subprocess.Popen(
                ["bash", "-c", command],
                cwd=self._folder,
                env=self._environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + _START_S
        while not self._answers():
            if self._service.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"the service did not start:\n{self._log.read_text('utf-8')}")
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self._port}/readyz").is_success
        except httpx.TransportError:
            return False

    def _stop(self) -> None:
        if self._service is not None and self._service.poll() is None:
            os.killpg(self._service.pid, signal.SIGINT)
            self._service.wait(_START_S)
        self._service = None


def unlike(expected: str, printed: str) -> list[str]:
    """The lines of `expected` that `printed` does not hold in this order. An ellipsis stands for anything,
    with the blanks before it.
    """
    rest = [line.rstrip() for line in printed.splitlines()]
    missing = []
    for line in filter(None, map(str.rstrip, expected.splitlines())):
        pattern = re.compile(".*".join(map(re.escape, re.split(r" *…", line))))
        at = next((n for n, candidate in enumerate(rest) if pattern.fullmatch(candidate)), None)
        if at is None:
            missing.append(line)
        else:
            del rest[: at + 1]
    return missing


def _program(path: Path, command: str) -> None:
    path.write_text(f"#!/bin/sh\n{command}\n", encoding="utf-8")
    path.chmod(0o755)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
