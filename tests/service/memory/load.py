"""A service in a process of its own under load: calls, each answered card, a kill -9, and what is left.

    python -m tests.service.memory.load --seconds 600 --rate 40
    python -m tests.service.memory.load --seconds 180 --postgres

drives it for as long as asked and prints the counts before and after: on a SQLite file, or on a PostgreSQL
server of its own that is stopped and started again while the calls go on.
"""

import argparse
import http.client
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import msgspec
import orjson

from service.memory.sqlite import SqliteStore
from service.memory.store import Store
from tests.service.calls import call_body
from tests.service.memory.conftest import store_at
from tests.service.memory.http import prefetch
from tests.service.memory.postgres import Server
from tests.service.memory.samples import feedback_on, record

__all__ = ["Load", "Service", "Told"]

_JSON = {"Content-Type": "application/json"}


class Told(msgspec.Struct):
    """What the service acknowledged: hookInstances that got an answer, and cards whose feedback it took."""

    calls: list[str] = []
    feedback: list[str] = []


class Service:
    """One worker on a free port."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        given = {"TOCSIN_AUTH": "off", "TOCSIN_LOG_LEVEL": "error", **settings}
        command = [sys.executable, "-m", "uvicorn", "service.app:create_app", "--factory"]
        command += ["--port", str(self.port), "--log-level", "error", "--no-access-log"]
        self.process = subprocess.Popen(command, env={**os.environ, **given})

    def wait(self) -> None:
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise RuntimeError("the service did not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=10)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=20)


class Load:
    """Threads that call for a new patient each time, and dismiss the card they get, until told to stop."""

    def __init__(self, port: int, threads: int = 2, rate: float = 0.0) -> None:
        """`rate` is the most calls a second, each with its feedback; 0 is as many as can be."""
        self.told = Told()
        self._port = port
        self._pause = threads / rate if rate else 0.0
        self._stop = threading.Event()
        self._records = prefetch(tuple(record()))
        self._threads = [threading.Thread(target=self._drive, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> Told:
        self._stop.set()
        for thread in self._threads:
            thread.join(20)
        return self.told

    def _drive(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=20)
        while not self._stop.is_set():
            due = time.monotonic() + self._pause
            try:
                self._once(connection)
            except (OSError, http.client.HTTPException):
                # The service is gone, or coming back.
                connection.close()
                time.sleep(0.05)
            self._stop.wait(due - time.monotonic())

    def _once(self, connection: http.client.HTTPConnection) -> None:
        instance, patient = str(uuid4()), f"p{uuid4().hex}".encode()
        body = orjson.dumps(call_body(self._records, hookInstance=instance))
        body = body.replace(b'"p1"', b'"%s"' % patient).replace(b"Patient/p1", b"Patient/%s" % patient)
        cards = self._post(connection, "", body)
        self.told.calls.append(instance)
        ids = [card["uuid"] for card in orjson.loads(cards)["cards"]]
        self._post(connection, "/feedback", feedback_on(*ids))
        self.told.feedback += ids

    @staticmethod
    def _post(connection: http.client.HTTPConnection, path: str, body: bytes) -> bytes:
        connection.request("POST", f"/cds-services/red-flags{path}", body, _JSON)
        reply = connection.getresponse()
        content = reply.read()
        if reply.status != 200:
            raise http.client.HTTPException(f"{reply.status}")
        return content


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=float, default=0.0, help="most calls a second; 0: as many as can be")
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL server of its own")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "postgres"
        data.mkdir()
        server = Server(data, "fsync=on") if given.postgres else None
        url = server.url if server is not None else f"sqlite:///{folder}/tocsin.sqlite"
        settings = {"TOCSIN_DATABASE_URL": url, "TOCSIN_PATIENT_KEY": "a key for the load only"}
        halves = []
        for half in ("before", "after"):
            service = Service(settings)
            service.wait()
            load = Load(service.port, rate=given.rate)
            _pass(given.seconds / 2, server)
            if half == "before":
                service.kill()
            halves.append(load.stop())
            if half == "after":
                service.stop()
        lost = _compare(store_at(url), *halves)
        if server is not None:
            server.stop()
    return 1 if lost else 0


def _pass(seconds: float, server: Server | None) -> None:
    """Let time pass; a server is stopped in the middle, and is back two seconds later."""
    time.sleep(seconds / 2)
    if server is not None:
        server.stop()
        time.sleep(2)
        server.start()
    time.sleep(seconds / 2)


def _compare(store: Store, before: Told, after: Told) -> int:
    """Print what was acknowledged and what is there; how many acknowledged entries are not."""
    store.open()
    ids = before.feedback + after.feedback
    found = sum(len(store.feedback_of(ids[at : at + 500])) for at in range(0, len(ids), 500))
    for half, told in (("before the kill", before), ("after it", after)):
        print(f"acknowledged {half}: {len(told.calls)} calls, {len(told.feedback)} feedback entries")
    print(f"in the store: {store.count(0, 1e12)} calls, {found} of the {len(ids)} feedback entries")
    if isinstance(store, SqliteStore):
        print(f"the file: {store.integrity()}")
    store.close()
    return len(ids) - found


if __name__ == "__main__":
    sys.exit(main())
