"""Files that SQLite writes."""

import os
from contextlib import suppress
from pathlib import Path

__all__ = ["make_private"]


def make_private(file: Path) -> None:
    """Make an empty file that only its owner may read, unless there is one; SQLite gives its other files the
    same permissions. Raises OSError.

    One that is there is not opened: closing it would take away the locks this process has on it, and another
    process would then take itself for the last one and delete the log that this one goes on writing to.
    Source: sqlite.org/howtocorrupt.html, section 2.2.
    """
    with suppress(FileExistsError):
        os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
