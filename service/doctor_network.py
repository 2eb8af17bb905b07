"""The checks of `tocsin doctor` that ask what the settings already name: key sets, FHIR servers, ourselves.

Nothing else is asked, and no request holds anything of a patient.
"""

import asyncio
import ssl
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import httpx
import msgspec

from service.addresses import Base, is_public, parse_base
from service.desk import SERVICE_ID
from service.doctor_scene import Finding, Scene, counted
from service.fhir_version import FhirVersion, version_named
from service.trust import Client, KeysError, TimeRules
from service.trust.keys import KeySet, parse_keys
from service.verdicts import ACCEPT, LARGEST_STATEMENT
from service.wire import FetchError

__all__ = ["check_public", "check_servers", "keys_of", "told_by_trust"]

_PATIENCE_S = 8.0
_LARGEST_KEYS = 256 * 1024
_SKEW_WARN_S = 20.0
_EXPIRY_WARN_D = 21
_DAY_S = 86_400.0
_READ = (FhirVersion.R4, FhirVersion.R4B, FhirVersion.R5)

_WHY: Mapping[str, str] = {
    "address-refused": "its name leads to this machine, its link or a metadata service, where no EHR may be",
    "busy": "it is busy (429)",
    "deadline": f"it did not answer within {_PATIENCE_S:g} seconds",
    "forbidden": "it does not permit it (403)",
    "keys-file": "the file cannot be read",
    "keys-malformed": "it is no JWK Set",
    "keys-none-usable": "it holds no usable key: RSA of 2048 bits or EC, with a kid, for signatures",
    "not-fhir": "it answers something else than JSON",
    "not-found": "there is nothing at the URL (404)",
    "redirected": "it points to another address, which is not followed",
    "rejected": "it rejects the request (4xx)",
    "server-error": "it fails (5xx)",
    "too-large": "its answer is too large",
    "unauthorised": "it wants a token (401)",
    "unreachable": "it cannot be reached: name, port, firewall or certificate",
}


class _Statement(msgspec.Struct):
    resourceType: str = ""
    fhirVersion: str | None = None


class _Entry(msgspec.Struct):
    id: str = ""


class _Discovery(msgspec.Struct):
    services: list[_Entry]


async def check_servers(scene: Scene) -> list[Finding]:
    """The key set of each client, each listed FHIR server, and the clock beside theirs."""
    servers = _servers(scene)
    keys = [_check_keys(client, scene) for client in scene.clients if client.issuer]
    asked = [_check_server(base, declared, scene) for base, declared in servers.items()]
    found = await asyncio.gather(*keys, *asked)
    return [*found, *_clock(scene, asked=bool(found))]


def told_by_trust(clients: Iterable[Client], *, auth: bool) -> Iterator[Finding]:
    """What the client list says by itself."""
    listed = list(clients)
    if not auth or not listed:
        return
    yield Finding("clients", "ok", f"The client list is sound: {counted(len(listed), 'client')}.")
    for client in listed:
        if not client.fhir_servers and not client.canary:
            says = f"{client.id} has no FHIR server: what it does not send as prefetch is not read."
            yield Finding("clients", "warn", says, "List its base URL under fhir_servers, if it has one.")


# -- keys --------------------------------------------------------------------------------------------


async def keys_of(client: Client, scene: Scene) -> KeySet:
    """The keys of a client from where the list says. Raises KeysError, FetchError."""
    if isinstance(client.jwks, KeySet):
        return client.jwks
    if isinstance(client.jwks, Path):
        try:
            return parse_keys(client.jwks.read_bytes())
        except OSError as error:
            raise KeysError("keys-file") from error
    headers = {"Accept": "application/jwk-set+json, application/json"}
    return parse_keys(await _get(client.jku, headers, _LARGEST_KEYS, scene))


async def _check_keys(client: Client, scene: Scene) -> Finding:
    name = f"keys:{client.id}"
    source = "jku" if client.jwks is None else "key file" if isinstance(client.jwks, Path) else "client list"
    try:
        keys = await keys_of(client, scene)
    except (KeysError, FetchError) as error:
        says = f"No keys can be had from the {source} of {client.id}: {_why(error.reason)}."
        return Finding(
            name, "fail", says, "Until then its calls are answered 401. Check the URL with its people."
        )
    served = [alg for alg in client.algorithms if keys.serves(alg)]
    if not served:
        says = f"None of the keys of {client.id} is for {' or '.join(client.algorithms)}."
        return Finding(name, "fail", says, "Set the algorithms it signs with, or ask for other keys.")
    held = counted(len(keys.entries), "key")
    return Finding(name, "ok", f"The {source} of {client.id} has {held}, for {', '.join(served)}.")


# -- FHIR servers ------------------------------------------------------------------------------------


def _servers(scene: Scene) -> dict[Base, bool]:
    """Each listed FHIR server, and whether the list says its version."""
    found: dict[Base, bool] = {}
    for client in scene.clients:
        for base in client.fhir_servers:
            found[base] = found.get(base, True) and client.fhir_version is not None
    if not scene.settings.auth:
        found |= {parse_base(text): False for text in scene.settings.fhir_allow}
    return found


async def _check_server(base: Base, declared: bool, scene: Scene) -> Finding:
    name = f"fhir:{base.host}"
    headers = {"Accept": ACCEPT}
    try:
        body = await _get(f"{base.url}/metadata", headers, LARGEST_STATEMENT, scene)
        stated = msgspec.json.decode(body, type=_Statement)
    except FetchError as error:
        closed = error.reason in ("unauthorised", "forbidden")
        says = f"/metadata of {base.url} cannot be had: {_why(error.reason)}."
        if closed:
            return Finding(name, "warn", says, "Set fhir_version for the client, since it cannot be asked.")
        return Finding(name, "fail", says, "Correct the base URL, or open the way to it.")
    except (msgspec.MsgspecError, UnicodeDecodeError):
        says = f"{base.url} answers something else than a CapabilityStatement."
        return Finding(name, "fail", says, "Give the base URL of its FHIR R4 endpoint.")
    version = version_named(stated.fhirVersion)
    if version is None:
        says = f"{base.url} does not say its FHIR version."
        return Finding(name, "ok" if declared else "warn", says, "" if declared else "Set fhir_version.")
    if version not in _READ:
        says = f"{base.url} is FHIR {version}, which is not read."
        return Finding(name, "fail", says, "List its R4 endpoint instead.")
    public = await asyncio.to_thread(is_public, base.host)
    where = "over a public address" if public else "in a private network"
    return Finding(name, "ok", f"{base.url} answers {where}: FHIR {version}.")


def _clock(scene: Scene, *, asked: bool) -> Iterator[Finding]:
    """Our clock beside those of the servers that answered: tokens are judged by it."""
    if not scene.dates.ahead_s:
        if asked:
            says = "There was no server to compare the clock with."
            yield Finding("clock", "warn", says, "Keep it set by NTP.")
        return
    leeway = TimeRules().leeway
    host, ahead = max(scene.dates.ahead_s.items(), key=lambda one: abs(one[1]))
    if abs(ahead) <= _SKEW_WARN_S:
        says = f"The clock agrees with {counted(len(scene.dates.ahead_s), 'server')}."
        yield Finding("clock", "ok", says)
        return
    says = f"The clock is {abs(ahead):.0f} seconds {'behind' if ahead > 0 else 'ahead of'} that of {host}."
    action = f"Set it by NTP: beyond {leeway:.0f} seconds tokens are refused."
    yield Finding("clock", "warn" if abs(ahead) <= leeway else "fail", says, action)


# -- ourselves ---------------------------------------------------------------------------------------


async def check_public(scene: Scene) -> list[Finding]:
    """The public URL as an EHR reaches it: certificate, discovery, feedback."""
    url = scene.settings.public_url
    if url is None:
        return [Finding("public-url", "ok", "No public URL is set (TOCSIN_PUBLIC_URL), so none was called.")]
    found = []
    if url.startswith("https:"):
        found.append(await _certificate(url, scene))
        if found[0].state == "fail":
            return found
    async with httpx.AsyncClient(verify=scene.tls, trust_env=False, timeout=_PATIENCE_S) as client:
        return [*found, await _discovery(client, url), await _feedback(client, url)]


async def _certificate(url: str, scene: Scene) -> Finding:
    base = parse_base(url)
    try:
        async with asyncio.timeout(_PATIENCE_S):
            _, writer = await asyncio.open_connection(
                base.host, base.port, ssl=scene.tls, server_hostname=base.host
            )
    except ssl.SSLCertVerificationError as error:
        says = f"The certificate of {url} is not trusted: {error.verify_message.rstrip('.')}."
        action = "Serve the whole chain, renew it, or trust your authority (SSL_CERT_FILE)."
        return Finding("tls", "fail", says, action)
    except ssl.SSLError as error:
        says = f"{url} does not speak TLS 1.2 or later ({error.reason})."
        return Finding("tls", "fail", says, "Correct the TLS settings of the proxy.")
    except (OSError, TimeoutError) as error:
        says = f"{url} cannot be reached from here ({type(error).__name__})."
        return Finding(
            "public-url", "fail", says, "Start the service and its proxy, or check DNS and firewall."
        )
    ends = ssl.cert_time_to_seconds(writer.get_extra_info("peercert")["notAfter"])
    writer.close()
    days = int((ends - scene.now.timestamp()) / _DAY_S)
    says = f"The certificate of {url} is trusted and valid for {counted(days, 'more day')}."
    if days < _EXPIRY_WARN_D:
        return Finding("tls", "warn", says, "Renew it now: without it every call fails.")
    return Finding("tls", "ok", says)


async def _discovery(client: httpx.AsyncClient, url: str) -> Finding:
    path = "/cds-services"
    try:
        answer = await client.get(url + path)
        ids = {one.id for one in msgspec.json.decode(answer.content, type=_Discovery).services}
    except httpx.HTTPError as error:
        return _closed("discovery", url + path, type(error).__name__)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _closed("discovery", url + path, f"status {answer.status_code}, no discovery document")
    if SERVICE_ID not in ids:
        return _closed("discovery", url + path, f"no service {SERVICE_ID}")
    return Finding("discovery", "ok", f"{url}{path} answers with the service {SERVICE_ID}.")


async def _feedback(client: httpx.AsyncClient, url: str) -> Finding:
    """An unsigned, empty feedback. 401, and 400 without authentication, are ours; a proxy says 403 to 405."""
    path = f"/cds-services/{SERVICE_ID}/feedback"
    try:
        answer = await client.post(url + path, json={"feedback": []})
    except httpx.HTTPError as error:
        return _closed("feedback", url + path, type(error).__name__)
    if answer.status_code not in (200, 400, 401):
        return _closed("feedback", url + path, f"status {answer.status_code}")
    return Finding("feedback", "ok", f"{url}{path} takes POST.")


def _closed(check: str, url: str, why: str) -> Finding:
    action = "Start the service, and let the proxy pass GET and POST below /cds-services to it unchanged."
    return Finding(check, "fail", f"{url} does not answer as it should ({why}).", action)


# -- helpers -----------------------------------------------------------------------------------------


async def _get(url: str, headers: Mapping[str, str], limit: int, scene: Scene) -> bytes:
    deadline = asyncio.get_running_loop().time() + _PATIENCE_S
    return await scene.wire.send("GET", url, headers=headers, deadline=deadline, limit=limit)


def _why(reason: str) -> str:
    return _WHY.get(reason, reason)
