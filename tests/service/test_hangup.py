"""A closed terminal ends the server it was started from; any other SIGHUP asks for new rules."""

import os
import pty
import signal
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from service.hangup import Hangup


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Standard input is a terminal; closing the number given hangs it up."""
    master, slave = pty.openpty()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(fileno=lambda: slave))
    yield master
    os.close(slave)


def test_the_signal_ends_a_server_whose_terminal_is_gone(terminal: int) -> None:
    hangup = Hangup()
    assert not hangup.ends()
    os.close(terminal)
    assert hangup.ends()


def test_under_nohup_it_goes_on(terminal: int) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        hangup = Hangup()
    finally:
        signal.signal(signal.SIGHUP, before)
    os.close(terminal)
    assert not hangup.ends()


def test_without_a_terminal_it_never_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert not Hangup().ends()
