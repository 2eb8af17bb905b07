"""`make bench`: CPU time and latency of a hook call beside a bare constant answer, in one run.

Both applications run under uvicorn with one worker. Each payload is sent over one kept-alive connection in
rounds that alternate between the two, so that a slow minute of the machine hits both. CPU is user and system
time of the server process from /proc; the ratio is the figure to trust. What verifying a signed token adds to
a call is measured apart, after these.
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
def servers() -> Iterator[tuple[Server, Server]]:
    started = [Server("floor", "tests.bench.floor:create"), Server("tocsin", "service.app:create_app")]
    try:
        yield started[0], started[1]
    finally:
        for server in started:
            server.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8, help="alternating rounds per payload (default 8)")
    parser.add_argument("--seconds", type=float, default=1.0, help="length of a round (default 1)")
    options = parser.parse_args()
    missed = []
    print(f"{'resources':>9} {'kB':>6}  {'':8} {'CPU ms':>8} {'ratio':>6} {'p50 ms':>8} {'p99 ms':>8}")
    with servers() as (floor, tocsin):
        for size in SIZES:
            body = payload(size, dt.date.today())
            ratio = _compare(size, body, floor, tocsin, options.rounds, options.seconds)
            if size in BAR_SIZES and ratio > BAR:
                missed.append(size)
    _verify(options.rounds)
    if missed:
        print(f"Above the bar of {BAR} times the floor: {', '.join(map(str, missed))} resources.")
    return 1 if missed else 0


def _compare(size: int, body: bytes, floor: Server, tocsin: Server, rounds: int, seconds: float) -> float:
    for server in (floor, tocsin):
        server.send(body, 20)
    _, latencies, answer = tocsin.send(body, 10)
    if b'"summary"' not in answer:
        raise SystemExit(f"no card came back: {answer[:200]!r}")
    times = max(20, int(seconds * 1000 / statistics.median(latencies)))
    ratios: list[float] = []
    totals: dict[str, list[float]] = {"floor": [], "tocsin": []}
    waits: dict[str, list[float]] = {"floor": [], "tocsin": []}
    for number in range(rounds):
        spent = {}
        for server in (floor, tocsin) if number % 2 else (tocsin, floor):
            cpu, latencies, _ = server.send(body, times)
            spent[server.name] = cpu / times * 1000
            totals[server.name].append(spent[server.name])
            waits[server.name] += latencies
        ratios.append(spent["tocsin"] / spent["floor"])
    ratio = statistics.median(ratios)
    for name in ("floor", "tocsin"):
        ordered = sorted(waits[name])
        p50, p99 = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
        shown = f"{ratio:6.2f}" if name == "tocsin" else " " * 6
        cpu = statistics.median(totals[name])
        print(f"{size:>9} {len(body) / 1000:>6.0f}  {name:8} {cpu:8.3f} {shown} {p50:8.2f} {p99:8.2f}")
    return ratio


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
