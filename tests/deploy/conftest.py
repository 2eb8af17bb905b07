"""Where deploy/ is, and the tools that its tests need: a test that lacks one is skipped and says which."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.cli import application
from tests.deploy.engine import IMAGE, Engine, missing

Tool = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def deploy(repository: Path) -> Path:
    return repository / "deploy"


@pytest.fixture(scope="session")
def chart(deploy: Path) -> Path:
    return deploy / "chart"


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


def failed_checks(checkov: Tool, framework: str, file: Path) -> set[str]:
    """Ids of the checks that a file does not pass. Raises AssertionError when nothing was checked."""
    options = ("--framework", framework, "--skip-download", "--compact", "--output", "json")
    report = json.loads(checkov("--file", str(file), *options).stdout)
    assert report["summary"]["passed"] > 10
    return {check["check_id"] for check in report["results"]["failed_checks"]}


def demo_call() -> Any:
    """A hook call with all data in it that ends in cards."""
    done = CliRunner().invoke(application("demo"), ["demo", "demo-cord", "--json"])
    assert done.exit_code == 0
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def promtool() -> Tool:
    return tool_named("promtool")


@pytest.fixture(scope="session")
def helm() -> Tool:
    return tool_named("helm")


@pytest.fixture(scope="session")
def caddy() -> Tool:
    return tool_named("caddy")


@pytest.fixture(scope="session")
def checkov() -> Tool:
    return tool_named("checkov")


@pytest.fixture(scope="session")
def engine(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that has built the image of the service."""
    if os.environ.get("TEST_CONTAINERS") != "1":
        pytest.skip("builds an image only with TEST_CONTAINERS=1, as make test-deploy sets it")
    if missing():
        pytest.skip(f"needs {', '.join(missing())}, not installed here")
    if os.geteuid() != 0:
        pytest.skip("needs root: an engine without a daemon mounts file systems")
    engine = Engine(repository, tmp_path_factory.mktemp("engine"))
    if reason := engine.unable():
        pytest.skip(reason)
    engine.build()
    yield engine
    engine.forget(IMAGE)


@pytest.fixture(scope="session")
def connected(engine: Engine) -> Engine:
    """The same where its containers can reach each other."""
    if reason := engine.unconnected():
        pytest.skip(reason)
    return engine
