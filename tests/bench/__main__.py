"""`make bench`: CPU time and latency of a hook call beside a bare constant answer, in one run.

Both applications run under uvicorn with one worker. Each payload is sent over one kept-alive connection in
rounds that alternate between the two, so that a slow minute of the machine hits both. CPU is user and
system time of the server process from /proc; the ratio is the figure to trust.
"""

import argparse
import datetime as dt
import http.client
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.payloads import payload

SIZES = (60, 200, 600, 2000)
BAR = 1.2
BAR_SIZES = (60, 200)
_TICKS = os.sysconf("SC_CLK_TCK")
_JSON = {"Content-Type": "application/json"}


class Server:
    """A server process under test."""

    def __init__(self, name: str, factory: str) -> None:
        self.name = name
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        environment = {**os.environ, "TOCSIN_AUTH": "off", "TOCSIN_LOG_LEVEL": "warning"}
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

    def send(self, body: bytes, times: int) -> tuple[float, list[float], bytes]:
        """CPU seconds, latencies in milliseconds, and the last answer."""
        before, latencies, answer = self.cpu(), [], b""
        for _ in range(times):
            start = time.perf_counter()
            self.connection.request("POST", "/cds-services/red-flags", body, _JSON)
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


if __name__ == "__main__":
    sys.exit(main())
