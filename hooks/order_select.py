"""`order-select`: orders have been picked, not yet signed (CDS Hooks library, order-select 1.0)."""

from typing import TypeVar

from hooks.hook import ENCOUNTER, PATIENT, USER, Context, Field, Hook, Kind

__all__ = ["HOOK", "OrderSelect"]

R = TypeVar("R")


class OrderSelect(Context[R], frozen=True, kw_only=True):
    """Context of `order-select`. Details of the orders may still be missing."""

    selected: tuple[str, ...]
    draft_orders: tuple[R, ...]

    def drafts(self) -> tuple[R, ...]:
        return self.draft_orders

    def selections(self) -> tuple[str, ...]:
        return self.selected


HOOK = Hook(
    "order-select",
    OrderSelect,
    "1.0",
    4,
    (
        USER,
        PATIENT,
        ENCOUNTER,
        Field("selections", "selected", Kind.REFERENCES),
        Field("draftOrders", "draft_orders", Kind.RESOURCES),
    ),
)
