"""A pasted token tried as that of a call: which part of it would be refused, and how it should be.

Unlike the gate, which stops at the first fault, everything is looked at. Of the token only issuer, tenant and
jti are ever repeated (SEC-15), and those in the form a log line takes.
"""

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from service.desk import SERVICE_IDS
from service.doctor_network import keys_of
from service.doctor_scene import Finding, Scene
from service.errors import Unauthorised
from service.logs import FIELDS
from service.trust import Client, KeysError, TimeRules
from service.trust.audience import Endpoint, Kind, audience_fit
from service.trust.jwt import Claims, Token, bearer, check_signature, check_times, read_token
from service.wire import FetchError

__all__ = ["check_token", "pasted"]

_ENDPOINTS: tuple[tuple[Kind, str], ...] = (
    *(("service", f"/cds-services/{name}") for name in SERVICE_IDS),
    *(("feedback", f"/cds-services/{name}/feedback") for name in SERVICE_IDS),
    ("discovery", "/cds-services"),
)
_SAYS: Mapping[str, tuple[str, str]] = {
    "token-malformed": ("It is no JWT of three parts.", "Paste the whole token, and nothing else."),
    "token-too-long": ("It is longer than 8192 bytes.", "Ask the EHR for a shorter one."),
    "authorization-not-bearer": ("It is no bearer token.", "Paste what follows `Bearer`."),
    "alg-refused": (
        "alg: it is none of the algorithms that are ever taken.",
        "Let the EHR sign with RS384 or ES384.",
    ),
    "crit-refused": ("crit: critical extensions are not taken.", "Let the EHR leave crit out."),
    "typ-refused": ("typ: it is not JWT.", "Let the EHR set typ to JWT."),
    "issuer-not-listed": (
        "iss: no client has this issuer.",
        "Set it as `issuer` in the client list, letter by letter.",
    ),
    "jku-not-listed": (
        "jku: it is not the one listed for this issuer.",
        "Set it as `jku` of the client, letter by letter.",
    ),
    "tenant-not-listed": ("tenant: it is not listed for this issuer.", "Add it to `tenants` of the client."),
    "client-ambiguous": (
        "More than one client could have sent it.",
        "Give these clients different `tenants` or `jku`, or let the EHR send them.",
    ),
    "token-from-future": ("iat: it was issued in the future.", "Compare both clocks."),
    "token-not-yet-valid": ("nbf: it is not valid yet.", "Compare both clocks."),
    "token-lifetime": (
        f"exp: it lives longer than {TimeRules().max_lifetime / 60:.0f} minutes, or not at all.",
        "Ask the EHR for tokens that live for five minutes.",
    ),
    "signature-wrong": (
        "The signature is not that of the key it names.",
        "Check that the key set is that of this environment of the EHR.",
    ),
    "kid-unknown": (
        "kid: the key set holds no such key for this algorithm.",
        "Renew the key file, or check jku.",
    ),
}


def pasted(text: bytes) -> bytes:
    """The token in what was pasted: with or without `Authorization:` and `Bearer`, over several lines."""
    words = text.split()
    kept = [word for word in words if word.lower() not in (b"authorization:", b"bearer")]
    return b"".join(kept)


async def check_token(scene: Scene) -> list[Finding]:
    """Everything that would keep the token from being accepted now, or that it would be."""
    try:
        compact = bearer([(b"authorization", b"Bearer " + scene.token)])
        token = read_token(compact or b"")
    except Unauthorised as error:
        return [_finding(error.reason)]
    found = list(_times(token.claims, scene))
    try:
        client = scene.clients.choose(token.claims.issuer, token.header.jku, token.claims.tenant)
    except Unauthorised as error:
        return [_finding(error.reason), *found]
    if token.header.alg not in client.algorithms:
        says = f"alg: {token.header.alg} is not listed for {client.id}."
        found.append(
            Finding("token", "fail", says, f"Take one of {', '.join(client.algorithms)}, or list it.")
        )
    endpoint = _fitting(token.claims, client, scene)
    if not endpoint:
        found.append(_audience(token.claims, client, scene))
    found += await _signature(token, client, scene)
    if not any(one.state == "fail" for one in found):
        says = f"It would be accepted from {client.id} at {endpoint}{_named(token.claims)}."
        found.append(Finding("token", "ok", says))
    return found


def _times(claims: Claims, scene: Scene) -> Iterator[Finding]:
    try:
        check_times(claims, scene.now.timestamp(), TimeRules())
    except Unauthorised as error:
        if error.reason == "token-expired":
            ago = scene.now.timestamp() - claims.expires
            says = f"exp: it expired {_span(ago)} ago."
            yield Finding("token", "fail", says, "Paste a fresh one; if it is fresh, compare both clocks.")
        else:
            yield _finding(error.reason)


def _fitting(claims: Claims, client: Client, scene: Scene) -> str:
    """The endpoint that the audience is right for; empty when it is right for none."""
    for kind, path in _ENDPOINTS:
        fit = audience_fit(claims.audience, Endpoint(kind, path), scene.settings.base_url, client.audience)
        if fit != "wrong":
            return path if fit == "exact" else f"{path} (its audience is tolerated)"
    return ""


def _audience(claims: Claims, client: Client, scene: Scene) -> Finding:
    base = (client.audience.bases or (scene.settings.base_url,))[0]
    wanted = f"{base}{_ENDPOINTS[0][1]}"
    differs = " or ".join(dict.fromkeys(_difference(one, wanted) for one in claims.audience))
    action = f"Let the EHR send {wanted}, which is the URL it calls; or set `audience` of the client."
    return Finding("token", "fail", f"aud: it is not the URL of this service: {differs}.", action)


def _difference(named: str, wanted: str) -> str:
    """How two URLs differ, without repeating the one from the token."""
    try:
        one, other = urlsplit(named), urlsplit(wanted)
        ports = one.port, other.port
    except ValueError:
        return "it is no URL"
    if not one.scheme or not one.hostname:
        return "it is no URL"
    if one.hostname != other.hostname:
        return "another host"
    if one.scheme != other.scheme:
        return (
            f"{one.scheme if one.scheme in ('http', 'https') else 'another scheme'} instead of {other.scheme}"
        )
    if ports[0] != ports[1]:
        return "another port"
    return "a slash at its end" if named.rstrip("/") == wanted else "another path"


async def _signature(token: Token, client: Client, scene: Scene) -> list[Finding]:
    if scene.offline and client.jwks is None:
        says = "Its signature was not checked, for the keys are fetched."
        return [Finding("token", "warn", says, "Try it without --offline.")]
    try:
        keys = await keys_of(client, scene)
    except (KeysError, FetchError):
        says = f"Its signature could not be checked: there are no keys of {client.id}."
        return [Finding("token", "fail", says, f"See keys:{client.id}.")]
    key = keys.find(token.header.kid, token.header.alg)
    if key is None:
        return [_finding("kid-unknown")]
    try:
        check_signature(token, key)
    except Unauthorised as error:
        return [_finding(error.reason)]
    return []


def _finding(reason: str) -> Finding:
    name, _, fault = reason.partition("-")
    says, action = _SAYS.get(reason) or (
        f"{name}: it is {'not there' if fault == 'missing' else 'not of the form it should have'}.",
        "Let the EHR send header and claims as CDS Hooks has them: alg, kid, typ; iss, aud, exp, iat, jti.",
    )
    return Finding("token", "fail", says, action)


def _named(claims: Claims) -> str:
    given = {"issuer": claims.issuer, "tenant": claims.tenant, "jti": claims.jti}
    known = [f"{name} {value}" for name, value in given.items() if FIELDS[name](value)]
    return f" ({', '.join(known)})" if known else ""


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
