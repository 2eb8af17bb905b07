"""Where deploy/ is, and the tools that its tests need: a test that lacks one is skipped and says which."""

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Tool = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def deploy(repository: Path) -> Path:
    return repository / "deploy"


def tool_named(name: str) -> Tool:
    """Runs a program that is on PATH; skips the test where it is not."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"needs {name}, which is not installed here")

    def run(
        *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [path, *arguments], cwd=cwd, env=env, capture_output=True, text=True, timeout=600
        )

    return run


@pytest.fixture(scope="session")
def promtool() -> Tool:
    return tool_named("promtool")


@pytest.fixture(scope="session")
def helm() -> Tool:
    return tool_named("helm")


@pytest.fixture(scope="session")
def caddy() -> Tool:
    return tool_named("caddy")
