"""Runs `tocsin` as a person would and keeps what it printed."""

import pytest

from service import cli

__all__ = ["tocsin"]


def tocsin(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    said = capsys.readouterr()
    return int(caught.value.code or 0), said.out, said.err
