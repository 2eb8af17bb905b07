"""FHR-08: which servers may be named, and where their names may lead."""

import asyncio
from collections.abc import AsyncIterator
from socket import gaierror

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from service.addresses import AddressRefused, Base, GuardedTransport, InvalidBase, is_public, parse_base

EHR = parse_base("https://ehr.example.org/fhir/r4")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://ehr.example.org/fhir", "https://ehr.example.org/fhir"),
        ("https://EHR.Example.org:443/fhir/", "https://ehr.example.org/fhir"),
        ("https://ehr.example.org./fhir", "https://ehr.example.org/fhir"),
        ("https://ehr.example.org:8443", "https://ehr.example.org:8443"),
        ("https://10.1.2.3/fhir", "https://10.1.2.3/fhir"),
        ("http://127.0.0.1:8091/fhir", "http://127.0.0.1:8091/fhir"),
        ("http://localhost/fhir", "http://localhost/fhir"),
        ("http://[::1]:8091/fhir", "http://[::1]:8091/fhir"),
        ("https://[2001:DB8::1]/fhir", "https://[2001:db8::1]/fhir"),
        ("https://ehr/tenant_1/a~b;v=1", "https://ehr/tenant_1/a~b;v=1"),
    ],
)
def test_a_base_has_one_normal_form(text: str, expected: str) -> None:
    assert parse_base(text).url == expected
    assert parse_base(expected) == parse_base(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://",
        "https:///fhir",
        "https://user:pw@ehr.example.org/fhir",
        "https://ehr.example.org@evil.example/fhir",
        "https://ehr.example.org\\@evil.example/fhir",
        "https://ehr.example.org/fhir?x=1",
        "https://ehr.example.org/fhir?",
        "https://ehr.example.org/fhir#x",
        "https://ehr.example.org/fhir/../admin",
        "https://ehr.example.org/./fhir",
        "https://ehr.example.org//fhir",
        "https://ehr.example.org/%2e%2e/fhir",
        "https://ehr.example.org/fhir\n",
        " https://ehr.example.org/fhir",
        "https://ehr example.org/fhir",
        "https://ehr.example.org:0/fhir",
        "https://ehr.example.org:99999/fhir",
        "https://ehr.example.org:/fhir",
        "https://ehr.example.org:port/fhir",
        "https://2130706433/fhir",
        "https://0x7f.1/fhir",
        "https://127.1/fhir",
        "https://0177.0.0.1/fhir",
        "https://[::1/fhir",
        "https://::1/fhir",
        "https://[ehr.example.org]/fhir",
        "https://-ehr.example.org/fhir",
        "https://ehr.exämple.org/fhir",
    ],
)
def test_what_two_parsers_could_read_differently_is_malformed(text: str) -> None:
    with pytest.raises(InvalidBase) as caught:
        parse_base(text)
    assert caught.value.reason == "base-malformed"


@pytest.mark.parametrize(
    "text",
    [
        "http://ehr.example.org/fhir",
        "http://10.1.2.3/fhir",
        "ftp://ehr/fhir",
        "file:///etc/passwd",
        "ehr/fhir",
    ],
)
def test_only_https_outside_loopback(text: str) -> None:
    with pytest.raises(InvalidBase) as caught:
        parse_base(text)
    assert caught.value.reason == "base-insecure"
    assert text not in str(caught.value)


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (
            "https://ehr.example.org/fhir/r4/Observation?page=2",
            "https://ehr.example.org/fhir/r4/Observation?page=2",
        ),
        (
            "https://EHR.example.org:443/fhir/r4?_getpages=a|b",
            "https://ehr.example.org/fhir/r4?_getpages=a|b",
        ),
        ("https://ehr.example.org/fhir/r4/?_getpages=a", "https://ehr.example.org/fhir/r4/?_getpages=a"),
        ("Observation?page=2", "https://ehr.example.org/fhir/r4/Observation?page=2"),
        ("?_getpages=a", "https://ehr.example.org/fhir/r4?_getpages=a"),
        ("/fhir/r4/Observation?p=2", "https://ehr.example.org/fhir/r4/Observation?p=2"),
    ],
)
def test_a_link_on_the_base_is_followed(link: str, expected: str) -> None:
    assert EHR.resolve(link) == expected


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/fhir/r4/Observation?page=2",
        "https://ehr.example.org:8443/fhir/r4/Observation",
        "https://ehr.example.org/fhir/r4evil",
        "https://ehr.example.org/other",
        "https://ehr.example.org.evil.example/fhir/r4",
        "https://ehr.example.org@evil.example/fhir/r4",
        "http://ehr.example.org/fhir/r4/Observation",
        "//evil.example/fhir/r4",
        "/other",
        "../../admin",
        "Observation?x=a b",
        "Observation?x=\r\nHost: evil",
        "javascript://ehr.example.org/fhir/r4",
    ],
)
def test_a_link_off_the_base_is_not_followed(link: str) -> None:
    assert EHR.resolve(link) is None


@given(st.text(max_size=60))
@example("https://ehr.example.org/fhir/r4/x@evil")
def test_whatever_a_link_is_it_stays_on_the_base_or_is_dropped(text: str) -> None:
    for link in (text, f"https://ehr.example.org/fhir/r4{text}", f"https://ehr.example.org{text}"):
        found = EHR.resolve(link)
        if found is not None:
            url = httpx.URL(found)
            assert (url.scheme, url.host, url.port) == ("https", "ehr.example.org", None)
            assert url.path.startswith("/fhir/r4")


class _Server:
    """A listening socket that answers anything and counts."""

    def __init__(self) -> None:
        self.connections = 0
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def server() -> AsyncIterator[_Server]:
    made = _Server()
    listening = await asyncio.start_server(made.answer, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    yield made
    listening.close()
    await listening.wait_closed()


def _resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Let every name lead to the addresses, as a rebinding DNS server would."""

    async def getaddrinfo(host: object, port: int, **_: object) -> list[object]:
        return [(2, 1, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)


async def _get(url: str) -> httpx.Response:
    async with httpx.AsyncClient(transport=GuardedTransport(), trust_env=False) as client:
        return await client.get(url, timeout=2.0)


async def test_a_listed_loopback_address_is_reached(server: _Server) -> None:
    answer = await _get(f"http://127.0.0.1:{server.port}/")
    assert answer.content == b"{}"
    assert (await _get(f"http://localhost:{server.port}/")).status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "0.0.0.0",
        "169.254.169.254",
        "100.100.100.200",
        "224.0.0.1",
        "240.0.0.1",
        "::1",
        "::",
        "fe80::1%eth0",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "fd00:ec2::254",
    ],
)
async def test_a_name_that_leads_to_a_forbidden_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, server: _Server, address: str
) -> None:
    _resolve_to(monkeypatch, address)
    with pytest.raises(AddressRefused):
        await _get(f"http://ehr.example.org:{server.port}/")
    assert server.connections == 0


async def test_one_forbidden_address_among_several_is_enough(
    monkeypatch: pytest.MonkeyPatch, server: _Server
) -> None:
    _resolve_to(monkeypatch, "10.0.0.1", "127.0.0.1")
    with pytest.raises(AddressRefused):
        await _get(f"http://ehr.example.org:{server.port}/")
    assert server.connections == 0


async def test_localhost_must_be_loopback(monkeypatch: pytest.MonkeyPatch, server: _Server) -> None:
    _resolve_to(monkeypatch, "10.0.0.1")
    with pytest.raises(AddressRefused):
        await _get(f"http://localhost:{server.port}/")


async def test_the_next_address_is_tried_when_one_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, server: _Server
) -> None:
    # 127.0.0.2 is loopback too, and nothing listens there.
    _resolve_to(monkeypatch, "127.0.0.2", "127.0.0.1")
    assert (await _get(f"http://localhost:{server.port}/")).status_code == 200


async def test_a_name_that_cannot_be_resolved_is_a_connect_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(*_: object, **__: object) -> list[object]:
        raise OSError

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    with pytest.raises(httpx.ConnectError):
        await _get("http://ehr.example.org/")


async def test_a_resolver_that_does_not_answer_is_a_connect_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    async def getaddrinfo(*_: object, **__: object) -> list[object]:
        await asyncio.sleep(60)
        return []

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    async with httpx.AsyncClient(transport=GuardedTransport(), trust_env=False) as client:
        with pytest.raises(httpx.ConnectTimeout):
            await client.get("http://ehr.example.org/", timeout=0.05)


async def test_a_silent_server_is_a_read_timeout() -> None:
    hold = asyncio.Event()

    async def wait(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await hold.wait()
        writer.close()

    listening = await asyncio.start_server(wait, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with httpx.AsyncClient(transport=GuardedTransport(), trust_env=False) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get(f"http://127.0.0.1:{port}/", timeout=0.05)
    hold.set()
    listening.close()
    await listening.wait_closed()


@pytest.mark.parametrize(
    "sent",
    [b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", b"not http at all\r\n\r\n", b""],
)
async def test_a_broken_answer_is_a_transport_error(sent: bytes) -> None:
    async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sent)
        writer.close()
        await writer.wait_closed()

    listening = await asyncio.start_server(break_off, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    with pytest.raises(httpx.TransportError):
        await _get(f"http://127.0.0.1:{port}/")
    listening.close()
    await listening.wait_closed()


async def test_a_body_that_stalls_is_a_read_timeout() -> None:
    hold = asyncio.Event()

    async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{")
        await writer.drain()
        await hold.wait()
        writer.close()

    listening = await asyncio.start_server(stall, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with httpx.AsyncClient(transport=GuardedTransport(), trust_env=False) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get(f"http://127.0.0.1:{port}/", timeout=0.1)
    hold.set()
    listening.close()
    await listening.wait_closed()


def test_a_base_shows_its_port_only_when_it_is_not_the_usual_one() -> None:
    assert Base("https", "ehr", 443, "/r4").url == "https://ehr/r4"
    assert Base("http", "localhost", 443, "").url == "http://localhost:443"


def test_plain_http_is_taken_where_a_person_wants_it() -> None:
    with pytest.raises(InvalidBase):
        parse_base("http://hapi:8080/fhir")
    base = parse_base("http://hapi:8080/fhir", https_only=False)
    assert base.resolve("http://hapi:8080/fhir?page=2") == "http://hapi:8080/fhir?page=2"
    assert base.resolve("https://hapi:8080/fhir?page=2") is None
    assert parse_base("https://hapi/fhir", https_only=False).resolve("http://hapi/fhir?page=2") is None


@pytest.mark.parametrize(
    ("host", "found", "public"),
    [
        ("127.0.0.1", "", False),
        ("10.1.2.3", "", False),
        ("::ffff:192.168.1.1", "", False),
        ("8.8.8.8", "", True),
        ("ehr", "172.16.0.1", False),
        ("ehr", "fe80::1%eth0", False),
        ("fhir.example.org", "8.8.4.4", True),
        ("gone.example.org", "", True),
    ],
)
def test_a_host_outside_private_networks_is_public(
    monkeypatch: pytest.MonkeyPatch, host: str, found: str, public: bool
) -> None:
    def look_up(name: str, port: None, *, type: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        if not found:
            raise gaierror
        return [(0, type, 0, "", (found, 0))]

    monkeypatch.setattr("service.addresses.getaddrinfo", look_up)
    assert is_public(host) == public
