"""`encounter-start`: admission, check-in or virtual visit (CDS Hooks library, encounter-start 1.0)."""

from typing import TypeVar

import msgspec

from hooks.hook import ENCOUNTER, PATIENT, USER, Context, Hook

__all__ = ["HOOK", "EncounterStart"]

R = TypeVar("R")


class EncounterStart(Context[R], frozen=True, kw_only=True):
    """Context of `encounter-start`. It can come several times for one encounter."""


HOOK = Hook(
    "encounter-start",
    EncounterStart,
    "1.0",
    1,
    (USER, PATIENT, msgspec.structs.replace(ENCOUNTER, required=True)),
)
