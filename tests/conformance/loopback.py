"""A FHIR R4 server nobody here wrote, on a port of this machine, loaded with records; and its faults.

Needs ../shared/fhir-server and Node; its npm packages are installed on first use. Skips where they cannot.
"""

import gzip
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from service.addresses import Base, parse_base
from service.bodies import opened

__all__ = ["Json", "loopback", "resolved", "write_record"]

Json = dict[str, Any]


@contextmanager
def loopback(shared: Path, data: Path, log: Path, **environment: str) -> Iterator[Base]:
    """The server, loaded with a bundle or a folder of them; `environment` are its own variables."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("needs Node and npm, which are not installed here")
    base = parse_base(f"http://127.0.0.1:{_free_port()}/fhir")
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["sh", str(shared / "fhir-server" / "start.sh"), "--data", str(data)],
            env={**os.environ, "FHIR_PORT": str(base.port), **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            if not _wait_for(process, f"{base.url}/metadata"):
                pytest.skip("the FHIR server of ../shared did not start here: no npm packages?")
            yield base
        finally:
            process.terminate()
            process.wait(timeout=10)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(process: "subprocess.Popen[bytes]", url: str) -> bool:
    for _ in range(600):
        if process.poll() is not None:
            return False
        try:
            if httpx.get(url, timeout=1.0, trust_env=False).status_code == 200:
                return True
        except httpx.TransportError:
            time.sleep(0.1)
    return False


def write_record(file: Path, resources: Iterable[Json]) -> None:
    """One bundle of the resources, for the server to load."""
    entries = [{"resource": resource} for resource in resources]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
    file.write_bytes(gzip.compress(orjson.dumps(bundle), compresslevel=1))


def resolved(resources: Sequence[Json]) -> list[Json]:
    """The resources with references by `urn:uuid` made relative, as a server does when it takes them in."""
    entries = [
        {**({"fullUrl": f"urn:uuid:{one['id']}"} if "id" in one else {}), "resource": one}
        for one in resources
    ]
    return opened({"resourceType": "Bundle", "type": "collection", "entry": entries})
