"""`make bench`: CPU time and latency of a hook call beside two bare applications, in one run.

The floors parse the body and answer with a constant (`floor`) or send it back (`echo`). All run under uvicorn
with one worker. Each payload is sent over one kept-alive connection in rounds in which all take turns, so
that a slow minute of the machine hits them alike. CPU is user and system time of the server process from
/proc; the ratios are the figures to trust. `tocsin` answers with a card; `silent` is the same server with a
patient of whom there is nothing to say, as most are. What verifying a signed token adds to a call is measured
apart, after these.
"""

import argparse
import datetime as dt
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

from tests.bench.payloads import payload
from tests.bench.tokens import ALGORITHMS, Signer

SIZES = (60, 200, 600, 2000)
BAR = 1.2
BAR_SIZES = (60, 200)
VERIFY_SIZE = 60
VERIFY_CALLS = 500
_TICKS = os.sysconf("SC_CLK_TCK")
_JSON = {"Content-Type": "application/json"}


class Server:
    """A server process under test."""

    def __init__(self, name: str, factory: str, **settings: str) -> None:
        """`settings` are variables of its environment, beside those every server has."""
        self.name = name
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        environment = {**os.environ, "TOCSIN_AUTH": "off", "TOCSIN_LOG_LEVEL": "warning", **settings}
        command = [sys.executable, "-m", "uvicorn", factory, "--factory", "--port", str(self.port)]
        command += [
            "--log-level",
            "warning",
            "--no-access-log",
            "--timeout-keep-alive",
            "600",
            "--http",
            "httptools",
            "--loop",
            "uvloop",
        ]
        self.process = subprocess.Popen(command, env=environment)
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        self._wait()

    def _wait(self) -> None:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return
        raise SystemExit(f"{self.name} did not start")

    def cpu(self) -> float:
        """Seconds of CPU the process has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def send(
        self, body: bytes, times: int, headers: Iterable[Mapping[str, str]] = repeat(_JSON)
    ) -> tuple[float, list[float], bytes]:
        """CPU seconds, latencies in milliseconds, and the last answer; each call takes the next headers."""
        before, latencies, answer = self.cpu(), [], b""
        for _, header in zip(range(times), headers, strict=False):
            start = time.perf_counter()
            self.connection.request("POST", "/cds-services/red-flags", body, dict(header))
            answer = self.connection.getresponse().read()
            latencies.append((time.perf_counter() - start) * 1000)
        return self.cpu() - before, latencies, answer

    def stop(self) -> None:
        self.connection.close()
        self.process.terminate()
        self.process.wait(timeout=10)


@contextmanager
def servers() -> Iterator[dict[str, Server]]:
    """Those that are compared, by name."""
    started = {
        "floor": Server("floor", "tests.bench.floor:constant"),
        "echo": Server("echo", "tests.bench.floor:echo"),
        "tocsin": Server("tocsin", "service.app:create_app"),
    }
    try:
        yield started
    finally:
        for server in started.values():
            server.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8, help="alternating rounds per payload (default 8)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a round (default 1)")
    options = parser.parse_args()
    missed = []
    print(f"{'':25} {'CPU':>8} {'of':>6} {'of':>6} {'p50':>8} {'p99':>8}")
    print(f"{'resources':>9} {'kB':>6} {'':8} {'ms':>8} {'floor':>6} {'echo':>6} {'ms':>8} {'ms':>8}")
    with servers() as running:
        for size in SIZES:
            ratio = _compare(size, running, options.rounds, options.seconds)
            if size in BAR_SIZES and ratio > BAR:
                missed.append(size)
    _verify(options.rounds)
    if missed:
        print(f"Above the bar of {BAR} times the floor: {', '.join(map(str, missed))} resources.")
    return 1 if missed else 0


class _Row:
    """What is measured of one server with one body."""

    def __init__(self, name: str, server: Server, body: bytes, cards: bool) -> None:
        """`cards` says whether the answer must hold some; a floor's may hold anything."""
        self.name, self.server, self.body, self.cards = name, server, body, cards
        self.cpu: list[float] = []
        self.waits: list[float] = []

    def warm_up(self) -> float:
        """The usual wait in milliseconds."""
        self.server.send(self.body, 20)
        _, latencies, answer = self.server.send(self.body, 10)
        if self.server.name == "tocsin" and (b'"summary"' in answer) is not self.cards:
            raise SystemExit(f"{self.name}: not the answer that is measured: {answer[:200]!r}")
        return statistics.median(latencies)

    def measure(self, times: int) -> None:
        cpu, latencies, _ = self.server.send(self.body, times)
        self.cpu.append(cpu / times * 1000)
        self.waits += latencies


def _compare(size: int, running: Mapping[str, Server], rounds: int, seconds: float) -> float:
    """Print the rows of one size; the ratio of an answer with a card to the floor."""
    today = dt.date.today()
    body, silent = payload(size, today), payload(size, today, silent=True)
    rows = {name: _Row(name, server, body, cards=True) for name, server in running.items()}
    rows["silent"] = _Row("silent", running["tocsin"], silent, cards=False)
    slowest = max(row.warm_up() for row in rows.values())
    times = max(20, int(seconds * 1000 / slowest))
    turns = list(rows.values())
    for number in range(rounds):
        for row in turns if number % 2 else reversed(turns):
            row.measure(times)
    for row in turns:
        _print(size, row, rows["floor"], rows["echo"])
    return _ratio(rows["tocsin"], rows["floor"])


def _ratio(row: _Row, other: _Row) -> float:
    return statistics.median(one / floor for one, floor in zip(row.cpu, other.cpu, strict=True))


def _print(size: int, row: _Row, *floors: _Row) -> None:
    measured = row.server.name == "tocsin"
    ratios = " ".join(f"{_ratio(row, floor):6.2f}" if measured else " " * 6 for floor in floors)
    ordered = sorted(row.waits)
    p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
    cpu, size_kb = statistics.median(row.cpu), len(row.body) / 1000
    print(f"{size:>9} {size_kb:>6.0f} {row.name:8} {cpu:8.3f} {ratios} {p50:8.2f} {p99:8.2f}", flush=True)


def _verify(rounds: int) -> None:
    """What a signed call costs more than an unsigned one, by algorithm."""
    body, signer = payload(VERIFY_SIZE, dt.date.today()), Signer()
    with tempfile.TemporaryDirectory() as folder:
        clients = Path(folder) / "clients.yaml"
        signer.write_clients(clients)
        plain = Server("plain", "service.app:create_app")
        public = f"http://127.0.0.1:{plain.port}"
        signed = Server(
            "signed",
            "service.app:create_app",
            TOCSIN_AUTH="on",
            TOCSIN_PROFILE="sandbox",
            TOCSIN_PUBLIC_URL=public,
            TOCSIN_CLIENTS=str(clients),
        )
        try:
            for algorithm in ALGORITHMS:
                _print_verify(algorithm, body, plain, signed, signer, rounds)
        finally:
            plain.stop()
            signed.stop()


def _print_verify(
    algorithm: str, body: bytes, plain: Server, signed: Server, signer: Signer, rounds: int
) -> None:
    audience = f"http://127.0.0.1:{plain.port}/cds-services/red-flags"
    costs: dict[str, list[float]] = {"plain": [], "signed": []}
    for _ in range(rounds + 1):
        headers = signer.headers(algorithm, audience, VERIFY_CALLS)
        for server, sent in ((plain, repeat(_JSON)), (signed, headers)):
            cpu, _, answer = server.send(body, VERIFY_CALLS, sent)
            if b'"summary"' not in answer:
                raise SystemExit(f"no card came back: {answer[:200]!r}")
            costs[server.name].append(cpu / VERIFY_CALLS * 1000)
    without, verified = (statistics.median(costs[name][1:]) for name in ("plain", "signed"))
    added = verified - without
    print(f"verify {algorithm}: {added:.2f} ms CPU a call ({verified:.2f} with, {without:.2f} without)")


if __name__ == "__main__":
    sys.exit(main())
