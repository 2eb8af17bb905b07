"""The parent of several workers passes SIGHUP on to those that can hear it."""

import os
import signal
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from service.supervisor import Supervisor


class Worker:
    def __init__(self, pid: int, ready: bool) -> None:
        self.pid = pid
        self.ready = ready

    def is_ready(self, timeout: float) -> bool:
        return self.ready


@pytest.fixture
def supervisor() -> Iterator[Supervisor]:
    # uvicorn's parent sets a handler for each of these as it is made.
    kept = {number: signal.getsignal(number) for number in signal.valid_signals() - {signal.SIGKILL}}
    made = Supervisor(uvicorn.Config("service.app:create_app", workers=2), [])
    yield made
    for number, handler in kept.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


@pytest.fixture
def sent(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    told: list[tuple[int, int]] = []
    workers: Any = [Worker(1, True), Worker(2, False), Worker(3, True)]
    supervisor.processes = workers
    monkeypatch.setattr(os, "kill", lambda pid, number: told.append((pid, number)))
    return told


def test_workers_that_are_ready_are_told(supervisor: Supervisor, sent: list[tuple[int, int]]) -> None:
    supervisor.handle_hup()
    assert sent == [(1, signal.SIGHUP), (3, signal.SIGHUP)]
    assert not supervisor.should_exit.is_set()


def test_a_closed_terminal_ends_them_all(
    supervisor: Supervisor, sent: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_hangup", SimpleNamespace(ends=lambda: True))
    supervisor.handle_hup()
    assert sent == []
    assert supervisor.should_exit.is_set()
