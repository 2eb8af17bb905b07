"""The admin API: look up a decision, throw and take back kill switches. Off unless a setting opens it.

It is opened by a token of its own, so that no EHR's credentials open it, or by a proxy that people sign in to
(OpenID Connect), which says in a header who they are. That header is believed only from the proxy's address.
"""

import asyncio
import hmac
import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any, Literal

import msgspec

from service.decode import breaks_off
from service.errors import BadJson, NotFound, Overloaded, SwitchInvalid, Unauthorised
from service.memory.exports import decisions_of
from service.memory.killswitch import Switches
from service.memory.memory import Memory
from service.memory.rows import SwitchRow
from service.memory.store import StoreError
from service.memory.targets import SwitchTargetUnknown
from service.settings import Settings

__all__ = ["SwitchRequest", "authorise", "decisions", "read_switch", "switches", "throw_switch"]

Headers = Iterable[tuple[bytes, bytes]]

_BEARER = "bearer "
# oauth2-proxy puts commas between groups, authentik bars.
_SEPARATOR = re.compile(r"[,|]")


class SwitchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kill switch to throw (`off` true) or to take back, with who and why. `target` is empty for the
    service. Whoever has signed in need not say who. `read_switch` names who and why when they lack.
    `unknown` says that nothing has to be known by the name of the target yet.
    """

    kind: Literal["service", "module", "rule", "client"]
    off: bool
    why: str = ""
    who: str = ""
    target: str = ""
    unknown: bool = False


_SWITCH = msgspec.json.Decoder(SwitchRequest)
_LONGEST = 200


def authorise(settings: Settings, headers: Headers, peer: str) -> str:
    """Who is calling: the name that the proxy people sign in to gives, empty for a bearer of the token.

    `headers` are raw ASGI headers and `peer` the address at the other end of the connection. Raises NotFound
    when the admin API is off, Unauthorised for anyone else.
    """
    if settings.admin_token is None and not settings.admin_header:
        raise NotFound
    if settings.admin_token is not None and _bears(settings.admin_token.get_secret_value(), headers):
        return ""
    return _signed_in(settings, headers, peer)


def _bears(tokens: str, headers: Headers) -> bool:
    given = _one(headers, "authorization")
    token = given[len(_BEARER) :] if given[: len(_BEARER)].lower() == _BEARER else ""
    # Every token is compared, each in constant time.
    fits = [hmac.compare_digest(token.encode(errors="replace"), one.encode()) for one in tokens.split(",")]
    return True in fits


def _signed_in(settings: Settings, headers: Headers, peer: str) -> str:
    """The person whom the proxy names, if it is the proxy and the person is listed. Raises Unauthorised."""
    if not settings.admin_header or not _is_within(peer, settings.admin_proxies):
        raise Unauthorised("admin-token")
    who = _one(headers, settings.admin_header)
    groups = {name.strip() for name in _SEPARATOR.split(_one(headers, settings.admin_groups_header))}
    listed = who in settings.admin_users or not groups.isdisjoint(settings.admin_groups)
    if not who or len(who) > _LONGEST or not listed:
        raise Unauthorised("admin-not-listed")
    return who


def _one(headers: Headers, name: str) -> str:
    """The value of a header. Given twice, one may be the caller's and one the proxy's: Unauthorised."""
    wanted = name.lower().encode("latin-1", "replace")
    values = [value for key, value in headers if key == wanted]
    if len(values) > 1:
        raise Unauthorised("admin-header-twice")
    return values[0].decode("utf-8", "replace").strip() if values else ""


def _is_within(peer: str, networks: Iterable[str]) -> bool:
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    return any(address in ip_network(network) for network in networks)


async def decisions(memory: Memory, instance: str) -> list[dict[str, Any]]:
    """The calls with a hookInstance. Raises NotFound when there is none, Overloaded when it
    cannot be read.
    """
    memory.start()
    await memory.settle()
    try:
        found = await asyncio.to_thread(decisions_of, memory.store, instance)
    except StoreError as error:
        raise Overloaded from error
    if not found:
        raise NotFound
    return found


def read_switch(body: bytes, signed_in: str = "") -> SwitchRequest:
    """The switch of a body. Who has signed in is on record, whoever the body says it is.

    Raises BadJson, and SwitchInvalid for JSON that is no switch with who and why.
    """
    try:
        request = _SWITCH.decode(body)
    except msgspec.ValidationError as error:
        raise SwitchInvalid from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadJson(breaks_off(body)) from error
    texts = {"who": signed_in or request.who, "why": request.why, "target": request.target}
    request = msgspec.structs.replace(request, **{name: text.strip() for name, text in texts.items()})
    fits = {
        "who": 0 < len(request.who) <= _LONGEST,
        "why": 0 < len(request.why) <= _LONGEST,
        "target": len(request.target) <= _LONGEST and bool(request.target) != (request.kind == "service"),
    }
    if not all(fits.values()):
        raise SwitchInvalid(*(member for member, good in fits.items() if not good))
    return request


async def throw_switch(memory: Memory, request: SwitchRequest, now: float) -> None:
    """Record a switch; every worker heeds it within seconds, this one at once.

    Raises Overloaded, and SwitchTargetUnknown for a target that is neither known nor, to be taken back, off.
    """
    row = SwitchRow(now, request.kind, request.target, int(request.off), request.who, request.why)
    memory.start()
    if not request.unknown:
        await asyncio.to_thread(_check_target, memory.switches, request)
    try:
        await asyncio.to_thread(memory.throw, row)
    except StoreError as error:
        raise Overloaded from error


def _check_target(switches: Switches, request: SwitchRequest) -> None:
    kind, target = request.kind, request.target
    if switches.targets is None or switches.targets.knows(kind, target):
        return
    if not request.off:
        # Another worker may just have thrown it.
        switches.refresh()
        if switches.off(kind, target) is not None:
            return
        off = [row.target for row in switches.thrown() if row.kind == kind]
        raise SwitchTargetUnknown(off or switches.targets.near(kind, target))
    raise SwitchTargetUnknown(switches.targets.near(kind, target))


def switches(memory: Memory) -> list[Mapping[str, Any]]:
    """What is off now, with who did it and why; `known` says whether it can silence anything."""
    return [
        {
            "kind": row.kind,
            "target": row.target,
            "known": memory.switches.knows(row.kind, row.target),
            "who": row.who,
            "why": row.why,
            "at": row.at,
        }
        for row in memory.switches.thrown()
    ]
