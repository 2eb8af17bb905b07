"""A container engine without a daemon: what the tests of image, pod and compose file ask of it.

Base images cannot be pulled where there is no registry. A root file system made from Debian's packages stands
in for the base image; everything above it is built by the Containerfile as it is. The stand-ins are kept in
the engine's store for the next time, all else is removed.
"""

import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

__all__ = ["IMAGE", "Engine", "Reply", "call", "free_port", "missing"]

_TOOLS = ("buildah", "podman", "runc", "catatonit", "mmdebstrap")
_SUITE = "bookworm"
_BASE = f"localhost/tocsin-base:{_SUITE}"
_OTHERS = f"localhost/tocsin-others:{_SUITE}"
_STANDINS = "tests/deploy/standins"
IMAGE = "localhost/tocsin:test"
"""The image of the service, as the tests name it."""
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
    "--memory=256m",
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

    def run(self, *command: str, cwd: Path | None = None) -> str:
        """Standard output of a command that must succeed."""
        done = subprocess.run(
            command, cwd=cwd or self._repository, env=self._env, capture_output=True, text=True, timeout=900
        )
        if done.returncode != 0:
            raise RuntimeError(f"{command[:2]} ended with {done.returncode}: {done.stderr[-2000:]}")
        return done.stdout.strip()

    def unable(self) -> str:
        """Why this machine cannot run a container of Debian's packages; empty when it can."""
        try:
            self._stand_in(_BASE, "ca-certificates,python3,python3-venv")
            self.run("podman", "run", "--rm", *_RESTRICTED, "--entrypoint=/bin/true", _BASE)
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            return f"no container can be run here: {str(error)[-300:]}"
        return ""

    def unconnected(self) -> str:
        """Why containers cannot have a network of their own here; empty when they can."""
        try:
            self.run("podman", "run", "--rm", "--entrypoint=/bin/true", _BASE)
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            return f"containers get no network here: {str(error)[-300:]}"
        return ""

    def build(self) -> None:
        """Make IMAGE. Raises RuntimeError with the end of what was said."""
        secrets = [f"--secret=id=ca,src={path}" for path in _authorities()]
        self._bud("deploy/Containerfile", _BASE, f"--tag={IMAGE}", *secrets, ".")

    def build_others(self) -> dict[str, str]:
        """Images that stand in for the others of the compose file, by its variables."""
        self._stand_in(_OTHERS, "postgresql,caddy,prometheus")
        made = {}
        for target, variable in (("database", "POSTGRES"), ("caddy", "CADDY"), ("prometheus", "PROMETHEUS")):
            made[f"{variable}_IMAGE"] = name = f"localhost/tocsin-{target}:test"
            self._bud(f"{_STANDINS}/Containerfile", _OTHERS, f"--target={target}", f"--tag={name}", _STANDINS)
        return made

    def forget(self, *images: str) -> None:
        self.run("podman", "rmi", "--force", *images)

    def _bud(self, file: str, base: str, *more: str) -> None:
        options = ["--format=docker", "--isolation=chroot", "--pull-never", f"--build-arg=BASE={base}"]
        self.run("buildah", "bud", *options, f"--file={file}", *more)

    def _stand_in(self, name: str, packages: str) -> None:
        if self.run("buildah", "images", "--quiet", "--filter", f"reference={name}"):
            return
        root = self._folder / "root.tar"
        self.run("mmdebstrap", "--quiet", "--variant=minbase", f"--include={packages}", _SUITE, str(root))
        container = self.run("buildah", "from", "scratch")
        self.run("buildah", "add", "--quiet", container, str(root), "/")
        self.run("buildah", "run", "--isolation=chroot", container, "ln", "-sf", "python3", "/usr/bin/python")
        self.run("buildah", "commit", "--quiet", "--rm", container, name)
        root.unlink()

    def start(self, name: str, settings: Sequence[str]) -> None:
        env = [f"--env={setting}" for setting in settings]
        self.run("podman", "run", "--detach", f"--name={name}", *_RESTRICTED, *env, IMAGE)

    def inside(self, name: str, *command: str) -> str:
        return self.run("podman", "exec", name, *command)

    def stop(self, name: str) -> int:
        """Send SIGTERM, wait, and return the exit code."""
        self.run("podman", "stop", name)
        return int(self.run("podman", "inspect", "--format={{.State.ExitCode}}", name))

    def remove(self, name: str) -> None:
        self.run("podman", "rm", "--force", "--volumes", name)

    def compose(self, folder: Path, *command: str) -> str:
        """podman-compose on the compose file of a folder; the project has the folder's parent's name."""
        project = f"--project-name={folder.parent.name}"
        return self.run("podman-compose", "--in-pod=false", project, *command, cwd=folder)

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


def free_port() -> int:
    """A port of the loopback address that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def missing() -> list[str]:
    """The programs an Engine needs that are not installed."""
    return [name for name in _TOOLS if shutil.which(name) is None]


def _authorities() -> list[str]:
    """The file of certificate authorities this machine trusts, for a proxy that breaks TLS open."""
    paths = ssl.get_default_verify_paths()
    return [path for path in (os.environ.get("PIP_CERT"), paths.cafile) if path and Path(path).is_file()][:1]
