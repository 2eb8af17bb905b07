"""`patient-view`: a record has just been opened. Ids only (CDS Hooks library, patient-view 1.0)."""

from typing import TypeVar

from hooks.hook import ENCOUNTER, PATIENT, USER, Context, Hook

__all__ = ["HOOK", "PatientView"]

R = TypeVar("R")


class PatientView(Context[R], frozen=True, kw_only=True):
    """Context of `patient-view`."""


HOOK = Hook("patient-view", PatientView, "1.0", 5, (USER, PATIENT, ENCOUNTER))
