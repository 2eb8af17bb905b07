"""`problem-list-item-create`: problems were put on the problem list (CDS Hooks library, version 0.1.0)."""

from typing import TypeVar

from hooks.hook import ENCOUNTER, PATIENT, USER, Context, Field, Hook, Kind

__all__ = ["HOOK", "ProblemListItemCreate"]

R = TypeVar("R")


class ProblemListItemCreate(Context[R], frozen=True, kw_only=True):
    """Context of `problem-list-item-create`. The Conditions are final, no longer drafts to be changed."""

    conditions: tuple[R, ...]

    def drafts(self) -> tuple[R, ...]:
        return self.conditions


HOOK = Hook(
    "problem-list-item-create",
    ProblemListItemCreate,
    "0.1.0",
    1,
    (USER, PATIENT, ENCOUNTER, Field("conditions", "conditions", Kind.RESOURCES)),
)
