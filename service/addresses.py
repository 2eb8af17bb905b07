"""FHIR base URLs as operators list them, and the network addresses their names may lead to.

A caller names the FHIR server, so it could point an outbound call anywhere (FHR-08 of the conformance notes).
Two gates stand against that: the base must be listed for that caller, compared after strict parsing; and the
address its name resolves to must not be one that no FHIR server has, checked at the moment of connecting so
that a name cannot change its mind in between.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from socket import SOCK_STREAM, getaddrinfo
from urllib.parse import urlsplit

import httpcore
import httpx
import msgspec

from service.errors import TocsinError

__all__ = ["AddressRefused", "Base", "GuardedTransport", "InvalidBase", "is_public", "parse_base"]

Address = IPv4Address | IPv6Address

_PORTS = {"https": 443, "http": 80}
_LABEL = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*{_LABEL}\Z")
_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)*\Z")
_VISIBLE = re.compile(r"[!-\[\]-~]+\Z")
# Cloud metadata services outside the link-local ranges.
_METADATA = frozenset(
    {ip_address("100.100.100.200"), ip_address("fd00:ec2::254"), ip_address("fd20:ce::254")}
)
_NAT64 = IPv6Network("64:ff9b::/96")


class InvalidBase(TocsinError):
    """A base URL that is not used. `reason` is a stable code and holds nothing of the URL."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class AddressRefused(httpx.TransportError):
    """A host name led to an address no listed FHIR server may have."""


class Base(msgspec.Struct, frozen=True):
    """A FHIR base URL in one normal form: lower-case host, explicit port, no slash at the end of the path."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if _PORTS[self.scheme] == self.port else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"

    def resolve(self, link: str) -> str | None:
        """`link`, absolute or relative to this base, as a URL on this base; None when it leads off it."""
        if "://" not in link[:12]:
            if link.startswith("/"):
                link = f"{Base(self.scheme, self.host, self.port, '').url}{link}"
            else:
                link = f"{self.url}{'' if link.startswith('?') else '/'}{link}"
        target, mark, query = link.partition("?")
        try:
            found = parse_base(target, https_only=self.scheme == "https")
        except InvalidBase:
            return None
        same_host = (found.scheme, found.host, found.port) == (self.scheme, self.host, self.port)
        below = found.path == self.path or found.path.startswith(f"{self.path}/")
        if not (same_host and below and (not query or _VISIBLE.match(query))):
            return None
        slash = "/" if target.endswith("/") else ""
        return f"{found.url}{slash}{mark}{query}"


def parse_base(text: str, *, https_only: bool = True) -> Base:
    """Parse a base URL strictly; whatever two parsers could read differently is refused.

    `https_only=False` is for a person who tries a server by hand: plain http is taken from any host.

    Raises InvalidBase with reason `base-malformed` (credentials, query, fragment, backslash, dot or empty
    path segments, escapes, numeric host forms other than a plain address, names outside ASCII) or
    `base-insecure` (not https, and not http on loopback).
    """
    if not _VISIBLE.match(text):
        raise InvalidBase("base-malformed")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidBase("base-malformed") from error
    scheme, path = parts.scheme, parts.path.rstrip("/")
    if "?" in text or "#" in text or "@" in parts.netloc or parts.netloc.endswith(":"):
        raise InvalidBase("base-malformed")
    if scheme not in _PORTS:
        raise InvalidBase("base-insecure")
    if not _PATH.match(path) or {".", ".."} & set(path.split("/")) or port == 0:
        raise InvalidBase("base-malformed")
    host = _host(parts.hostname or "", bracketed="[" in parts.netloc)
    if https_only and scheme != "https" and not _is_loopback(host):
        raise InvalidBase("base-insecure")
    return Base(scheme, host, port or _PORTS[scheme], path)


def is_public(host: str) -> bool:
    """Whether a host of a Base is outside this machine and private networks; a name is looked up, and counts
    as public when it cannot be.
    """
    literal = _literal(host)
    try:
        found = [literal] if literal is not None else _looked_up(host)
    except OSError:
        return True
    return any(_embedded(address).is_global for address in found)


def _looked_up(host: str) -> list[Address]:
    entries = getaddrinfo(host, None, type=SOCK_STREAM)
    return [ip_address(str(entry[4][0]).partition("%")[0]) for entry in entries]


def _host(text: str, *, bracketed: bool) -> str:
    host = text.removesuffix(".")
    literal = _literal(host)
    if literal is not None and (literal.version == 6) == bracketed:
        return str(literal)
    # A last label of digits, or 0x..., is an address in a spelling that resolvers, but not we, understand.
    last = host.rsplit(".", 1)[-1]
    if literal is not None or bracketed or not _NAME.match(host) or re.match(r"(?:\d+|0x[0-9a-f]*)\Z", last):
        raise InvalidBase("base-malformed")
    return host


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    literal = _literal(host)
    return host == "localhost" if literal is None else literal.is_loopback


def _embedded(address: Address) -> Address:
    """The IPv4 address inside an IPv6 form that routers or kernels unwrap, else the address itself."""
    if isinstance(address, IPv6Address):
        if address in _NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
        return address.ipv4_mapped or address.sixtofour or address
    return address


def _is_permitted(host: str, address: Address) -> bool:
    """Whether connecting to `address` for the listed `host` is allowed.

    A host that was listed as an address means that address. A listed name may lead into a private network,
    where most hospital FHIR servers are, but not to the machine itself, its link or a metadata service.
    """
    if _literal(host) is not None:
        return True
    inner = _embedded(address)
    if host == "localhost":
        return inner.is_loopback
    return not (
        inner in _METADATA
        or inner.is_loopback
        or inner.is_link_local
        or inner.is_multicast
        or inner.is_unspecified
        or inner.is_reserved
    )


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves a name once, checks every address, and connects to the address that was checked."""

    def __init__(self) -> None:
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                found = await asyncio.get_running_loop().getaddrinfo(host, port, type=SOCK_STREAM)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout from error
        except OSError as error:
            raise httpcore.ConnectError("name not resolved") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        if not all(_is_permitted(host, ip_address(address.partition("%")[0])) for address in addresses):
            raise AddressRefused("address-refused")
        share = None if timeout is None else timeout / len(addresses)
        for address in addresses[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(addresses[-1], port, share, local_address, socket_options)


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for part in self._response.aiter_stream():
                yield part
        except httpcore.TimeoutException as error:
            raise httpx.ReadTimeout("timeout") from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise httpx.ReadError("connection lost") from error

    async def aclose(self) -> None:
        await self._response.aclose()


class GuardedTransport(httpx.AsyncBaseTransport):
    """httpx transport whose connections go only to permitted addresses; no proxy, no HTTP/2.

    TLS is verified against the host name with the system's trust store, so that a hospital's own authority
    works. Raises httpx.TransportError subclasses: AddressRefused, ConnectError (also for TLS),
    TimeoutException kinds.
    """

    def __init__(self, *, connections: int = 100) -> None:
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(),
            max_connections=connections,
            max_keepalive_connections=connections // 2,
            keepalive_expiry=30.0,
            network_backend=_GuardedBackend(),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            answer = await self._pool.handle_async_request(
                httpcore.Request(
                    request.method,
                    httpcore.URL(
                        scheme=request.url.raw_scheme,
                        host=request.url.raw_host,
                        port=request.url.port,
                        target=request.url.raw_path,
                    ),
                    headers=request.headers.raw,
                    content=request.stream,
                    extensions=request.extensions,
                )
            )
        except httpcore.ConnectTimeout as error:
            raise httpx.ConnectTimeout("timeout") from error
        except httpcore.TimeoutException as error:
            raise httpx.ReadTimeout("timeout") from error
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            raise httpx.ConnectError("connection failed") from error
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(answer), extensions=answer.extensions
        )

    async def aclose(self) -> None:
        await self._pool.aclose()
