"""The two meanings of SIGHUP: somebody asks for new rules, or the terminal was closed.

A server started from a terminal must end with it, or it would go on in the background and hold its port.
"""

import os
import signal
import sys

__all__ = ["Hangup"]


class Hangup:
    """Tells them apart for one process."""

    def __init__(self) -> None:
        """To be made before a handler for SIGHUP is: under `nohup` the signal is ignored until then."""
        self._terminal = _at_terminal() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN

    def ends(self) -> bool:
        """Whether the terminal that the process was started from is gone."""
        return self._terminal and not _at_terminal()


def _at_terminal() -> bool:
    try:
        return os.isatty(sys.stdin.fileno())
    except (AttributeError, OSError, ValueError):  # there is no standard input
        return False
