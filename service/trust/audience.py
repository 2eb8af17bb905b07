"""Which `aud` a token may carry for the URL it was sent to.

Sources: conformance notes SEC-07 and FBK-09; the sandbox signs each URL as it calls it, so a discovery URL
given with a slash at its end makes `//` in every other.
"""

import re
from collections.abc import Sequence
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from service.trust.clients import Audience

__all__ = ["Endpoint", "Fit", "Kind", "audience_fit"]

Kind = Literal["discovery", "service", "feedback"]
Fit = Literal["exact", "tolerated", "wrong"]

_SLASHES = re.compile("//+")
_PORTS = {"https": 443, "http": 80}
_FEEDBACK = "/feedback"


class Endpoint(msgspec.Struct, frozen=True):
    """What is called: its kind, and its path below the public base URL, such as `/cds-services/red-flags`."""

    kind: Kind
    path: str

    @property
    def plain_path(self) -> str:
        """The path without doubled slashes and without one at its end."""
        return _SLASHES.sub("/", f"/{self.path}").rstrip("/")


def audience_fit(named: Sequence[str], endpoint: Endpoint, public_url: str, rule: Audience) -> Fit:
    """How the audiences a token names fit the endpoint; `tolerated` only under a tolerant rule."""
    path = endpoint.plain_path
    paths = [path]
    if endpoint.kind == "feedback" and rule.service_url_at_feedback:
        paths.append(path.removesuffix(_FEEDBACK))
    bases = [base.rstrip("/") for base in rule.bases or (public_url,)]
    if any(base + each in named for base in bases for each in paths) or not set(rule.named).isdisjoint(named):
        return "exact"
    if not rule.tolerant:
        return "wrong"
    wanted = {_plain(base + part) for base in bases for each in paths for part in _upwards(each)}
    return "tolerated" if any(_plain(each) in wanted for each in named) else "wrong"


def _upwards(path: str) -> list[str]:
    """The path, each path above it, and the base itself."""
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]


def _plain(url: str) -> str | None:
    """The URL in one spelling, or None for what is not a URL of a web page without query."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:
        return None
    if parts.scheme not in _PORTS or not parts.hostname or parts.username or parts.query or parts.fragment:
        return None
    return f"{parts.scheme}://{parts.hostname}:{port}{_SLASHES.sub('/', parts.path).rstrip('/')}"
