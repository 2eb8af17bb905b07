"""Which FHIR version a call is in. The protocol does not say, so it is worked out (VER-01 of the notes).

In this order: what the operator set for the client (or the caller's own statement), what the server's
/metadata says, what the shape of the data shows. R4, R4B and R5 are read; DSTU2 and STU3 are refused, because
half of a record read by the wrong rules is worse than none.
"""

import asyncio
import re
from collections.abc import Iterable
from enum import StrEnum

import msgspec

from service.addresses import Base
from service.errors import FhirVersionRefused
from service.flights import Flights
from service.verdicts import ACCEPT, LARGEST_STATEMENT
from service.wire import FetchError, Wire

__all__ = ["FhirVersion", "ServerVersions", "resolve_version", "shape", "version_named"]

_KEEP_S = 3600.0
_KEEP_FAILURE_S = 60.0
_PATIENCE_S = 10.0


class FhirVersion(StrEnum):
    DSTU2 = "DSTU2"
    STU3 = "STU3"
    R4 = "R4"
    R4B = "R4B"
    R5 = "R5"


_REFUSED = frozenset({FhirVersion.DSTU2, FhirVersion.STU3})
_BY_NUMBER = {"0": "DSTU2", "1": "DSTU2", "3": "STU3", "4": "R4", "4.1": "R4B", "4.3": "R4B", "5": "R5"}
# Resource types that a later version no longer has.
_BY_TYPE = {
    "MedicationOrder": FhirVersion.DSTU2,
    "DiagnosticOrder": FhirVersion.DSTU2,
    "ProcedureRequest": FhirVersion.STU3,
    "ReferralRequest": FhirVersion.STU3,
}


class _Statement(msgspec.Struct):
    fhirVersion: str | None = None


_STATEMENT = msgspec.json.Decoder(_Statement)


def version_named(text: str | None) -> FhirVersion | None:
    """The version a name (`R4`, `STU3`) or number (`4.0.1`) stands for; None when it is neither."""
    word = (text or "").strip().upper()
    if word in FhirVersion.__members__:
        return FhirVersion[word]
    number = re.match(r"(\d+)(\.\d+)?", word)
    if number is None:
        return None
    name = _BY_NUMBER.get(number.group()) or _BY_NUMBER.get(number.group(1))
    return FhirVersion[name] if name else None


def shape(types: Iterable[type]) -> FhirVersion | None:
    """The old version that resource types betray, the older if they disagree; None when they show none."""
    found = {_BY_TYPE[kind.__name__] for kind in types if kind.__name__ in _BY_TYPE}
    return FhirVersion.DSTU2 if FhirVersion.DSTU2 in found else next(iter(found), None)


def resolve_version(
    setting: FhirVersion | None, metadata: FhirVersion | None, shapes: FhirVersion | None
) -> FhirVersion | None:
    """The version by the first source that knows; None, to be read as R4, when none does.

    Raises FhirVersionRefused for DSTU2 and STU3.
    """
    version = setting or metadata or shapes
    if version in _REFUSED:
        raise FhirVersionRefused
    return version


class ServerVersions:
    """What servers say of themselves at /metadata, asked once an hour, without a token."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._flights: Flights[Base, FhirVersion | str] = Flights(self._ask)

    def known(self, base: Base) -> FhirVersion | None:
        """What the server said when it was last asked; None when that did not work, or is under way."""
        stated = self._flights.known(base)
        return stated if isinstance(stated, FhirVersion) else None

    def learn(self, base: Base) -> None:
        """Start asking, if it is not known. Nobody waits: a large statement must not cost a call its time."""
        self._flights.start(base)

    async def aclose(self) -> None:
        await self._flights.aclose()

    async def _ask(self, base: Base) -> tuple[FhirVersion | str, float]:
        loop = asyncio.get_running_loop()
        try:
            body = await self._wire.send(
                "GET",
                f"{base.url}/metadata",
                headers={"Accept": ACCEPT},
                deadline=loop.time() + _PATIENCE_S,
                limit=LARGEST_STATEMENT,
            )
            stated = version_named(_STATEMENT.decode(body).fhirVersion)
        except (FetchError, msgspec.MsgspecError, UnicodeDecodeError):
            return "", _KEEP_FAILURE_S
        return stated or "", _KEEP_S
