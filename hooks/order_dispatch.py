"""`order-dispatch`: a performer is chosen for orders that name none (CDS Hooks library, order-dispatch 1.1).

The form of the 2023 ballot, with `order` (one reference) and `task` (one Task), is read too: test kits still
send it. `dispatched-orders` and `fulfillment-tasks` are spellings of published examples.
"""

from typing import TypeVar

from hooks.hook import PATIENT, Context, Field, Hook, Kind

__all__ = ["HOOK", "OrderDispatch"]

R = TypeVar("R")


class OrderDispatch(Context[R], frozen=True, kw_only=True):
    """Context of `order-dispatch`. There is no user and no encounter; the orders are references only."""

    dispatched_orders: tuple[str, ...]
    performer: str
    fulfilment_tasks: tuple[R, ...] = ()

    def drafts(self) -> tuple[R, ...]:
        return self.fulfilment_tasks

    def selections(self) -> tuple[str, ...]:
        return self.dispatched_orders

    def tokens(self) -> dict[str, str]:
        own = {
            "context.dispatchedOrders": ",".join(self.dispatched_orders),
            "context.performer": self.performer,
        }
        return {**super().tokens(), **{name: value for name, value in own.items() if value}}


HOOK = Hook(
    "order-dispatch",
    OrderDispatch,
    "1.1",
    0,
    (
        PATIENT,
        Field(
            "dispatchedOrders",
            "dispatched_orders",
            Kind.REFERENCES,
            token=True,
            aliases=("order", "dispatched-orders"),
        ),
        Field("performer", "performer", Kind.REFERENCE, token=True),
        Field(
            "fulfillmentTasks",
            "fulfilment_tasks",
            Kind.RESOURCES,
            required=False,
            aliases=("task", "fulfillment-tasks"),
        ),
    ),
)
