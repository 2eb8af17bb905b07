"""A PostgreSQL server for tests: Debian's, in a temporary folder, on a free port of the loopback address."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest

__all__ = ["Server"]

_UNPRIVILEGED = 65534


def _program(name: str) -> str:
    """Debian keeps the server's programs out of PATH, in a folder for each version."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which(name) or next((str(f / name) for f in folders if (f / name).exists()), None)
    if found is None:
        pytest.skip("needs PostgreSQL (package postgresql), which is not installed here")
    return found


class Server:
    """A server with one database at `url`. It refuses to run as root, so root lends it to nobody."""

    def __init__(self, folder: Path, *settings: str) -> None:
        self._folder = folder
        self._postgres = _program("postgres")
        self._user = _UNPRIVILEGED if os.getuid() == 0 else None
        if self._user is not None:
            for parent in (folder, *folder.parents[:3]):
                parent.chmod(parent.stat().st_mode | 0o011)
            os.chown(folder, _UNPRIVILEGED, _UNPRIVILEGED)
        self._data = folder / "data"
        options = ["--auth=trust", "--username=tocsin", "--no-sync", "--encoding=UTF8", "--locale=C"]
        self._run([_program("initdb"), *options, f"--pgdata={self._data}"])
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"postgresql://tocsin@127.0.0.1:{self.port}/postgres"

    def new_schema(self, name: str) -> str:
        """The address of an empty schema, which is made faster than a database."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE SCHEMA {name}".encode())
        return f"{self.url}?options=-csearch_path%3D{name}"

    def new_database(self, name: str) -> str:
        """The address of an empty database, for what concerns a whole one."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql://tocsin@127.0.0.1:{self.port}/{name}"

    def start(self) -> None:
        told = ["fsync=off", "listen_addresses=127.0.0.1", f"port={self.port}", *self._settings]
        told.append(f"unix_socket_directories={self._folder}")
        command = [self._postgres, "-D", str(self._data)]
        for setting in told:
            command += ["-c", setting]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd="/", user=self._user, group=self._user
            )
        for _ in range(200):
            try:
                psycopg.connect(self.url, connect_timeout=1).close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError("PostgreSQL did not start")

    def stop(self) -> None:
        """Immediately, as when the machine goes down."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(timeout=20)
            self._process = None

    def _run(self, command: Sequence[str]) -> None:
        subprocess.run(command, check=True, capture_output=True, cwd="/", user=self._user, group=self._user)
