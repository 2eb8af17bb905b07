"""`tocsin doctor` over the network: each fault injected is one finding that says the fix."""

import asyncio
import datetime as dt
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service.doctor import overall
from service.doctor_network import check_servers
from service.doctor_scene import Dates, Scene
from service.settings import Settings
from service.trust import Clients as ClientList
from service.wire import Wire
from tests.service.diagnoses import NOW, SERVER, Ehr, client_settings, examined, fresh, only
from tests.service.trust.signing import JKU, client, ec_key, jwks, signed

Clients = Callable[..., Settings]


@pytest.fixture
def listed(tmp_path: Path) -> Clients:
    """Makes settings with a client list of one client, whose members are given."""
    return partial(client_settings, tmp_path)


# -- keys, FHIR servers, clock -----------------------------------------------------------------------


async def test_a_sound_ehr(listed: Clients) -> None:
    found = await examined(listed(), ehr := Ehr())
    assert only(found, "keys:ehr").says == "The jku of ehr has 2 keys, for RS384, ES384."
    assert only(found, "fhir:fhir.ehr.example").says == f"{SERVER} answers in a private network: FHIR R4."
    assert only(found, "clock").says == "The clock agrees with 1 server."
    assert overall(one for each in found.values() for one in each) == "warn"
    assert sorted(ehr.asked) == [JKU, f"{SERVER}/metadata"]


async def test_offline_nothing_is_asked(listed: Clients) -> None:
    found = await examined(listed(), ehr := Ehr(), signed(fresh()), offline=True)
    assert ehr.asked == []
    assert not {"clock", "keys:ehr", "public-url"} & found.keys()
    assert found["token"][0].says == "Its signature was not checked, for the keys are fetched."


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"keys": b"<html>"}, "it is no JWK Set"),
        ({"keys": {"keys": []}}, "it holds no usable key"),
        ({"status": {"jwks": 404, "metadata": 200}}, "there is nothing at the URL (404)"),
        ({"status": {"jwks": 302, "metadata": 200}}, "points to another address"),
        ({"away": httpx.ConnectError("secret detail")}, "cannot be reached"),
    ],
)
async def test_keys_that_cannot_be_had(listed: Clients, changes: dict[str, Any], part: str) -> None:
    ehr = Ehr()
    for name, value in changes.items():
        setattr(ehr, name, value)
    one = only(await examined(listed(), ehr), "keys:ehr")
    assert one.state == "fail"
    assert part in one.says
    assert "secret" not in one.says


async def test_keys_for_another_algorithm(listed: Clients) -> None:
    one = only(await examined(listed(algorithms=["ES256"])), "keys:ehr")
    assert (one.state, one.says) == ("fail", "None of the keys of ehr is for ES256.")


async def test_keys_from_a_file_and_from_the_list(listed: Clients, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_bytes(orjson.dumps(jwks()))
    one = only(await examined(listed(jwks_file="keys.json")), "keys:ehr")
    assert one.says.startswith("The key file of ehr has 2 keys")
    one = only(await examined(listed(jwks=jwks(ec_key()))), "keys:ehr")
    assert one.says == "The client list of ehr has 1 key, for ES384."


@pytest.mark.parametrize(
    ("changes", "state", "part"),
    [
        ({"statement": {"fhirVersion": "3.0.2"}}, "fail", "is FHIR STU3, which is not read"),
        ({"statement": {"resourceType": "CapabilityStatement"}}, "warn", "does not say its FHIR version"),
        ({"statement": b"[]"}, "fail", "something else than a CapabilityStatement"),
        ({"headers": {"Content-Type": "text/html"}}, "fail", "something else than JSON"),
        ({"status": {"jwks": 200, "metadata": 401}}, "warn", "it wants a token (401)"),
        ({"status": {"jwks": 200, "metadata": 503}}, "fail", "it fails (5xx)"),
        ({"status": {"jwks": 200, "metadata": 422}}, "fail", "rejects the request"),
    ],
)
async def test_fhir_servers(listed: Clients, changes: dict[str, Any], state: str, part: str) -> None:
    ehr = Ehr()
    for name, value in changes.items():
        setattr(ehr, name, value)
    one = only(await examined(listed(), ehr), "fhir:fhir.ehr.example")
    assert one.state == state
    assert part in one.says


async def test_a_declared_version_needs_no_statement(listed: Clients) -> None:
    ehr = Ehr()
    ehr.statement = {}
    one = only(await examined(listed(fhir_version="R4"), ehr), "fhir:fhir.ehr.example")
    assert one.state == "ok"


async def test_without_authentication_the_open_list_is_asked() -> None:
    found = await examined(Settings(auth=False, fhir_allow=(SERVER,)))
    assert only(found, "fhir:fhir.ehr.example").state == "ok"
    assert "clients" not in found


async def test_a_public_address_is_said() -> None:
    found = await examined(Settings(auth=False, fhir_allow=("https://public.example/r4",)))
    assert "answers over a public address" in only(found, "fhir:public.example").says


async def test_a_key_file_that_is_gone(listed: Clients, tmp_path: Path) -> None:
    gone = tmp_path / "gone.json"
    scene = Scene(
        settings=Settings(),
        problems=(),
        clients=ClientList([client(jwks=gone)]),
        wire=Wire(Ehr()),
        dates=Dates(Ehr()),
        tls=ssl.create_default_context(),
        now=NOW,
        token=b"",
        offline=False,
    )
    one, *_ = await check_servers(scene)
    assert (one.state, "the file cannot be read" in one.says) == ("fail", True)


async def test_a_client_without_a_server_is_a_warning(listed: Clients) -> None:
    found = await examined(listed(fhir_servers=None))
    assert [one.state for one in found["clients"]] == ["ok", "warn"]


@pytest.mark.parametrize(
    ("ahead_s", "state", "part"),
    [(40, "warn", "behind that"), (-600, "fail", "ahead of that"), (600, "fail", "tokens are refused")],
)
async def test_the_clock(listed: Clients, ahead_s: float, state: str, part: str) -> None:
    ehr = Ehr()
    ehr.ahead_s = ahead_s
    one = only(await examined(listed(), ehr), "clock")
    assert one.state == state
    assert part in f"{one.says} {one.action}"


async def test_no_date_is_no_clock(listed: Clients) -> None:
    ehr = Ehr()
    ehr.headers = {"Date": "yesterday"}
    one = only(await examined(listed(), ehr), "clock")
    assert (one.state, one.says) == ("warn", "There was no server to compare the clock with.")


async def test_a_tolerant_audience_is_told(listed: Clients) -> None:
    found = await examined(listed(audience={"tolerant": True, "reason": "the vendor strips the path"}))
    assert "the vendor strips the path" in found["clients"][0].says
    assert found["clients"][0].state == "warn"


# -- the public URL ----------------------------------------------------------------------------------


def certificate(folder: Path, days: int, host: str = "localhost") -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate with its key in one file, and a context that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - dt.timedelta(days=400))
        .not_valid_after(NOW + dt.timedelta(days=days, hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + pem
    )
    return file, ssl.create_default_context(cadata=pem.decode())


Reply = Callable[[bytes], bytes]


@asynccontextmanager
async def served(reply: Reply, pem: Path | None = None) -> AsyncIterator[int]:
    """A server on a port of its own that answers each request line as `reply` says."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(reply(head))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    context = None
    if pem is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
    server = await asyncio.start_server(answer, "localhost", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def tocsin_like(head: bytes, *, discovery: bytes = b"", feedback: int = 401) -> bytes:
    if head.startswith(b"GET /cds-services "):
        body = discovery or b'{"services":[{"hook":"patient-view","id":"red-flags"}]}'
        return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    assert head.startswith(b"POST /cds-services/red-flags/feedback ")
    return b"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % feedback


async def test_a_sound_public_url(tmp_path: Path) -> None:
    pem, trusting = certificate(tmp_path, 90)
    async with served(tocsin_like, pem) as port:
        found = await examined(Settings(auth=False, public_url=f"https://localhost:{port}"), tls=trusting)
    assert only(found, "tls").says.endswith("is trusted and valid for 90 more days.")
    assert (only(found, "discovery").state, only(found, "feedback").state) == ("ok", "ok")


@pytest.mark.parametrize(("days", "state"), [(20, "warn"), (-1, "fail")])
async def test_a_certificate_that_ends(tmp_path: Path, days: int, state: str) -> None:
    pem, trusting = certificate(tmp_path, days)
    async with served(tocsin_like, pem) as port:
        found = await examined(Settings(auth=False, public_url=f"https://localhost:{port}"), tls=trusting)
    assert only(found, "tls").state == state
    assert "Renew it now" in only(found, "tls").action or "expired" in only(found, "tls").says


async def test_a_certificate_nobody_trusts_and_one_of_another_host(tmp_path: Path) -> None:
    pem, trusting = certificate(tmp_path, 90, "other.example")
    async with served(tocsin_like, pem) as port:
        url = f"https://localhost:{port}"
        found = await examined(Settings(auth=False, public_url=url))
        other = await examined(Settings(auth=False, public_url=url), tls=trusting)
    assert "self-signed" in only(found, "tls").says
    assert "SSL_CERT_FILE" in only(found, "tls").action
    assert "ostname mismatch" in only(other, "tls").says
    assert not {"discovery", "feedback"} & found.keys()


async def test_a_port_without_tls() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "localhost", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = await examined(Settings(auth=False, public_url=f"https://localhost:{port}"))
    assert "does not speak TLS 1.2 or later" in only(found, "tls").says
    assert not {"discovery", "feedback"} & found.keys()


async def test_nothing_behind_the_public_url(unused_tcp_port: int) -> None:
    url = f"http://localhost:{unused_tcp_port}"
    found = await examined(Settings(auth=False, public_url=url))
    assert {only(found, name).state for name in ("discovery", "feedback")} == {"fail"}
    found = await examined(Settings(auth=False, public_url=url.replace("http:", "https:")))
    assert "cannot be reached from here" in only(found, "public-url").says


@pytest.mark.parametrize(
    ("reply", "check"),
    [
        (lambda head: tocsin_like(head, discovery=b"<html>"), "discovery"),
        (lambda head: tocsin_like(head, discovery=b'{"services":[]}'), "discovery"),
        (lambda head: tocsin_like(head, feedback=405), "feedback"),
    ],
)
async def test_a_proxy_that_does_not_pass_everything(reply: Reply, check: str) -> None:
    async with served(reply) as port:
        found = await examined(Settings(auth=False, public_url=f"http://localhost:{port}"))
    assert only(found, check).state == "fail"
    assert only(found, "feedback" if check == "discovery" else "discovery").state == "ok"
