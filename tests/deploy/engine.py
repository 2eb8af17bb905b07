"""A container engine without a daemon: what the image tests ask of buildah and podman.

Base images cannot be pulled where there is no registry. A root file system made from Debian's packages stands
in for the base image; everything above it is built by the Containerfile as it is.
"""

import json
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

__all__ = ["Engine", "Reply", "call", "missing"]

_TOOLS = ("buildah", "podman", "runc", "mmdebstrap")
_BASE = "localhost/tocsin-base:bookworm"
_IMAGE = "localhost/tocsin:test"
# Where the machine's own limits and its cgroups allow less than the engine's defaults ask for.
_CONFIG = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_backend = "netavark"
"""
_RESTRICTED = (
    "--network=host",
    "--no-healthcheck",
    "--read-only",
    "--tmpfs=/tmp:rw,noexec,nosuid,size=64m",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--pids-limit=200",
    "--memory=512m",
    "--stop-timeout=40",
)

Reply = tuple[int, Any]


class Engine:
    """Builds the image once and runs containers of it on the host's network."""

    def __init__(self, repository: Path, folder: Path) -> None:
        """`folder` is for what the engine needs; nothing outside it and its image store is written."""
        self._repository = repository
        self._folder = folder
        config = folder / "containers.conf"
        config.write_text(_CONFIG)
        self._env = {**os.environ, "CONTAINERS_CONF": str(config)}

    def run(self, *command: str) -> str:
        """Standard output of a command that must succeed."""
        done = subprocess.run(
            command, cwd=self._repository, env=self._env, capture_output=True, text=True, timeout=900
        )
        if done.returncode != 0:
            raise RuntimeError(f"{command[:2]} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout.strip()

    def build(self) -> str:
        """The name of the image. Raises RuntimeError with the end of what was said."""
        if not self.run("buildah", "images", "--quiet", "--filter", f"reference={_BASE}"):
            self._stand_in()
        secrets = [f"--secret=id=ca,src={path}" for path in _authorities()]
        options = ["--format=docker", "--isolation=chroot", "--pull-never", f"--build-arg=BASE={_BASE}"]
        self.run("buildah", "bud", *options, *secrets, "--file=deploy/Containerfile", f"--tag={_IMAGE}", ".")
        return _IMAGE

    def _stand_in(self) -> None:
        root = self._folder / "base.tar"
        packages = "--include=ca-certificates,python3,python3-venv"
        self.run("mmdebstrap", "--quiet", "--variant=minbase", packages, "bookworm", str(root))
        container = self.run("buildah", "from", "scratch")
        self.run("buildah", "add", "--quiet", container, str(root), "/")
        self.run("buildah", "run", "--isolation=chroot", container, "ln", "-s", "python3", "/usr/bin/python")
        self.run("buildah", "commit", "--quiet", "--rm", container, _BASE)

    def start(self, name: str, settings: Sequence[str]) -> None:
        env = [f"--env={setting}" for setting in settings]
        self.run("podman", "run", "--detach", f"--name={name}", *_RESTRICTED, *env, _IMAGE)

    def inside(self, name: str, *command: str) -> str:
        return self.run("podman", "exec", name, *command)

    def stop(self, name: str) -> int:
        """Send SIGTERM, wait, and return the exit code."""
        self.run("podman", "stop", name)
        return int(self.run("podman", "inspect", "--format={{.State.ExitCode}}", name))

    def remove(self, name: str) -> None:
        self.run("podman", "rm", "--force", "--volumes", name)

    def wait(self, ready: Callable[[], bool], seconds: float) -> bool:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if ready():
                return True
            time.sleep(0.1)
        return False


def call(url: str, body: object = None) -> Reply:
    """Status and JSON of an answer; status 0 while nothing answers. Raises HTTPError for 4xx and 5xx."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(url, data, {"Content-Type": "application/json"}), timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except (URLError, ConnectionError) as error:
        if hasattr(error, "code"):
            raise
        return 0, None


def missing() -> list[str]:
    """The programs an Engine needs that are not installed."""
    return [name for name in _TOOLS if shutil.which(name) is None]


def _authorities() -> list[str]:
    """The file of certificate authorities this machine trusts, for a proxy that breaks TLS open."""
    paths = ssl.get_default_verify_paths()
    return [path for path in (os.environ.get("PIP_CERT"), paths.cafile) if path and Path(path).is_file()][:1]
