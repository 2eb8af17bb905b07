"""The types of the values of settings: what a text in an environment variable must be, and what it becomes.

What is wrong is said without the value.
"""

import os
import re
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import NoDecode

from service.addresses import InvalidBase, parse_base

__all__ = [
    "MEMORY_LIMITS",
    "MOST_WORKERS",
    "BaseUrl",
    "BaseUrls",
    "DatabaseUrl",
    "ExistingFile",
    "ExistingFiles",
    "HttpUrl",
    "Networks",
    "Origins",
    "Secrets",
    "TimeZone",
    "Words",
    "Workers",
]

MOST_WORKERS = 64
MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where control groups of version 2 and 1 say how much memory a container may use."""

# What a worker takes while it starts, with its share of the process that starts it (docs/how-to/sizing.md).
_WORKER_BYTES = 176 * 1024**2
_DATABASE = re.compile(r"memory:\Z|sqlite:///.+|postgres(?:ql)?://.+")
_LEAST_SECRET = 16


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return tuple(part for part in (piece.strip() for piece in value.split(",")) if part)


def _base_url(text: str) -> str:
    try:
        return parse_base(text).url
    except InvalidBase as error:
        raise ValueError(
            "A URL is not https (http is for loopback only), or has credentials, a query or a fragment."
        ) from error


def _origin(text: str) -> str:
    if text == "*":
        return text
    url = _base_url(text)
    if url.count("/") > 2:
        raise ValueError("An origin is only scheme, host and port, without a path.")
    return url


def _base_urls(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_base_url(text) for text in texts)


def _origins(texts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_origin(text) for text in texts)


def _http_url(text: str) -> str:
    parts = urlsplit(text)
    plain = parts.scheme in ("http", "https") and bool(parts.hostname)
    if not plain or parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("It is no URL of http or https without credentials, query and fragment.")
    return text


def _file(path: Path) -> Path:
    if not path.is_file():
        raise ValueError("There is no file at the path.")
    return path


def _files(paths: tuple[Path, ...]) -> tuple[Path, ...]:
    if not all(path.is_file() for path in paths):
        raise ValueError("There is no file at one of the paths.")
    return paths


def _database(url: SecretStr) -> SecretStr:
    if not _DATABASE.match(url.get_secret_value()):
        raise ValueError("It is none of memory:, sqlite:///PATH and postgresql://...")
    return url


def _keys(keys: SecretStr) -> SecretStr:
    if any(len(key.encode()) < _LEAST_SECRET for key in keys.get_secret_value().split(",")):
        raise ValueError(f"A key has fewer than {_LEAST_SECRET} bytes.")
    return keys


def _networks(texts: tuple[str, ...]) -> tuple[str, ...]:
    try:
        return tuple(str(ip_network(text)) for text in texts)
    except ValueError as error:
        raise ValueError("It is not a list of addresses and networks.") from error


def _cores(value: object) -> object:
    """`cores` as a number: the cores this process may run on, or fewer workers where the memory limit of its
    container is too small for as many. A quota of CPU time is not looked at.
    """
    if value != "cores":
        return value
    limit = _memory_limit()
    fitting = MOST_WORKERS if limit is None else max(1, limit // _WORKER_BYTES)
    return min(len(os.sched_getaffinity(0)), fitting, MOST_WORKERS)


def _memory_limit() -> int | None:
    """Bytes that the control group of this process may use; None where nothing says so."""
    for file in MEMORY_LIMITS:
        try:
            said = file.read_text("ascii").strip()
        except OSError:
            continue
        return int(said) if said.isdigit() else None
    return None


def _timezone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("It is not the name of an IANA time zone.") from error
    return name


Secrets = Annotated[SecretStr, AfterValidator(_keys)]
DatabaseUrl = Annotated[SecretStr, AfterValidator(_database)]
Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
BaseUrls = Annotated[Words, AfterValidator(_base_urls)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]
Networks = Annotated[Words, AfterValidator(_networks)]
Origins = Annotated[Words, AfterValidator(_origins)]
ExistingFile = Annotated[Path, AfterValidator(_file)]
ExistingFiles = Annotated[tuple[Path, ...], NoDecode, BeforeValidator(_split), AfterValidator(_files)]
Workers = Annotated[int, BeforeValidator(_cores)]
TimeZone = Annotated[str, AfterValidator(_timezone)]
