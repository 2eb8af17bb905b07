"""`encounter-discharge`: a discharge is under way (CDS Hooks library, encounter-discharge 1.0)."""

from typing import TypeVar

import msgspec

from hooks.hook import ENCOUNTER, PATIENT, USER, Context, Hook

__all__ = ["HOOK", "EncounterDischarge"]

R = TypeVar("R")


class EncounterDischarge(Context[R], frozen=True, kw_only=True):
    """Context of `encounter-discharge`. It can come several times for one encounter."""


HOOK = Hook(
    "encounter-discharge",
    EncounterDischarge,
    "1.0",
    1,
    (USER, PATIENT, msgspec.structs.replace(ENCOUNTER, required=True)),
)
