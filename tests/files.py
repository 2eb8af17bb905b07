"""Files that a test goes through."""

from pathlib import Path

__all__ = ["globbed"]


def globbed(folder: Path, pattern: str) -> list[Path]:
    """The files that match a pattern below a folder, sorted. Fails where there is none, because a loop over
    nothing proves nothing.
    """
    found = sorted(folder.glob(pattern))
    assert found, f"{folder} has no {pattern}"
    return found
