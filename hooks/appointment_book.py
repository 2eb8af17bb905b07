"""`appointment-book`: future visits are being scheduled (CDS Hooks library, appointment-book 1.0)."""

from typing import TypeVar

from hooks.hook import ENCOUNTER, PATIENT, USER, Context, Field, Hook, Kind

__all__ = ["HOOK", "AppointmentBook"]

R = TypeVar("R")


class AppointmentBook(Context[R], frozen=True, kw_only=True):
    """Context of `appointment-book`: Appointments with status proposed."""

    appointments: tuple[R, ...]

    def drafts(self) -> tuple[R, ...]:
        return self.appointments


HOOK = Hook(
    "appointment-book",
    AppointmentBook,
    "1.0",
    1,
    (USER, PATIENT, ENCOUNTER, Field("appointments", "appointments", Kind.RESOURCES)),
)
