"""`order-sign`: orders are about to be signed, or signed again (CDS Hooks library, order-sign 1.0)."""

from typing import TypeVar

from hooks.hook import ENCOUNTER, PATIENT, USER, Context, Field, Hook, Kind

__all__ = ["HOOK", "OrderSign"]

R = TypeVar("R")


class OrderSign(Context[R], frozen=True, kw_only=True):
    """Context of `order-sign`. On signing again, statuses other than `draft` occur among the drafts."""

    draft_orders: tuple[R, ...]

    def drafts(self) -> tuple[R, ...]:
        return self.draft_orders


HOOK = Hook(
    "order-sign",
    OrderSign,
    "1.0",
    5,
    (USER, PATIENT, ENCOUNTER, Field("draftOrders", "draft_orders", Kind.RESOURCES)),
)
