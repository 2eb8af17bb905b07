"""Who the TLS-terminating proxy says is calling, from the subject of the caller's certificate (SEC-16).

The header is believed only from a peer in TRUSTED_PROXIES; from anyone else it is as if absent. The proxy
must demand and verify the certificate, and must replace the header when a caller sends it.
"""

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from service.errors import Unauthorised

__all__ = ["CertificateHeader", "normal_subject"]

Headers = Iterable[tuple[bytes, bytes]]

_MAX_SUBJECT = 1024
# A comma, or a plus between parts of one name, that no backslash escapes.
_SEPARATOR = re.compile(r"(?<!\\),\s*")


class CertificateHeader:
    """Reads the subject from the header `name`, brought by a peer in one of `proxies` (CIDR notation).

    Raises ValueError when a network is not in that notation.
    """

    def __init__(self, name: str, proxies: Iterable[str]) -> None:
        self._name = name.lower().encode("latin-1")
        self._proxies: tuple[IPv4Network | IPv6Network, ...] = tuple(map(ip_network, proxies))

    def subject(self, headers: Headers, peer: str) -> str:
        """The certificate subject in its normal form, empty when no trusted proxy brought one.

        `peer` is the address at the other end of the connection. Raises Unauthorised when the header is given
        twice or is not a subject.
        """
        if not self._is_proxy(peer):
            return ""
        values = [value for name, value in headers if name == self._name]
        if len(values) > 1 or any(len(value) > _MAX_SUBJECT for value in values):
            raise Unauthorised("certificate-malformed")
        return normal_subject(values[0].decode("latin-1")) if values else ""

    def _is_proxy(self, peer: str) -> bool:
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in network for network in self._proxies)


def normal_subject(text: str) -> str:
    """A distinguished name (RFC 4514) in the one spelling of types and separators that is compared."""
    parts = []
    for part in _SEPARATOR.split(text.strip()):
        kind, equals, value = part.partition("=")
        parts.append(f"{kind.strip().upper()}{equals}{value.strip()}")
    return ",".join(parts)
