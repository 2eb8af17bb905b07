"""The admin API: look up a decision, throw and take back kill switches. Off without TOCSIN_ADMIN_TOKEN.

It has a token of its own, so that no EHR's credentials open it, and it belongs on an internal path.
"""

import asyncio
import hmac
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from service.errors import BadJson, NotFound, Overloaded, Unauthorised
from service.memory.exports import decisions_of
from service.memory.memory import Memory
from service.memory.rows import SwitchRow
from service.memory.store import StoreError
from service.settings import Settings

__all__ = ["SwitchRequest", "authorise", "decisions", "read_switch", "switches", "throw_switch"]

_BEARER = "bearer "


class SwitchRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A kill switch to throw (`off` true) or to take back, with who and why. `target` is empty for the
    service.
    """

    kind: Literal["service", "module", "rule", "client"]
    off: bool
    who: str
    why: str
    target: str = ""


_SWITCH = msgspec.json.Decoder(SwitchRequest)
_LONGEST = 200


def authorise(settings: Settings, authorization: str) -> None:
    """Raises NotFound when the admin API is off, Unauthorised for a wrong token."""
    if settings.admin_token is None:
        raise NotFound
    token = authorization[len(_BEARER) :] if authorization[: len(_BEARER)].lower() == _BEARER else ""
    known = settings.admin_token.get_secret_value().split(",")
    # Every token is compared, each in constant time.
    fits = [hmac.compare_digest(token.encode(errors="replace"), one.encode()) for one in known]
    if True not in fits:
        raise Unauthorised("admin-token")


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


def read_switch(body: bytes) -> SwitchRequest:
    """Raises BadJson for a body that is no switch with who and why."""
    try:
        request = _SWITCH.decode(body)
    except msgspec.DecodeError as error:
        raise BadJson from error
    texts = (request.who, request.why, request.target)
    if not request.who or not request.why or any(len(text) > _LONGEST for text in texts):
        raise BadJson
    if bool(request.target) == (request.kind == "service"):
        raise BadJson
    return request


async def throw_switch(memory: Memory, request: SwitchRequest, now: float) -> None:
    """Record a switch; every worker heeds it within seconds, this one at once. Raises Overloaded."""
    row = SwitchRow(now, request.kind, request.target, int(request.off), request.who, request.why)
    memory.start()
    try:
        await asyncio.to_thread(memory.throw, row)
    except StoreError as error:
        raise Overloaded from error


def switches(memory: Memory) -> list[Mapping[str, Any]]:
    """What is off now, with who did it and why."""
    return [
        {"kind": row.kind, "target": row.target, "who": row.who, "why": row.why, "at": row.at}
        for row in memory.switches.thrown()
    ]
