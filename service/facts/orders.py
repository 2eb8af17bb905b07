"""Facts about orders: what is being entered now, and what is already on its way. Source:
facts.yaml (orders).
"""

from service.facts.derivation import Derivation
from service.facts.entries import Order

__all__ = ["derive"]

ACTIVE_DAYS = 30
_STEROID = "glucocorticoid-systemic"
_PMR = "polymyalgia-rheumatica-gca"


def derive(d: Derivation) -> None:
    drafts = d.record.drafts
    if drafts:
        _put(d, "orders.draft", sorted({name for order in drafts for name in order.sets}), drafts)
        _opioid(d, drafts)
        steroid = [o for o in drafts if _STEROID in o.sets and _PMR in o.reasons]
        if steroid:
            _put(d, "orders.draft_steroid_for_pmr", True, steroid)
    active = [
        order
        for order in d.record.orders
        if order.status in ("active", "on-hold") and d.calendar.within(order.day, ACTIVE_DAYS)
    ]
    if active:
        _put(d, "orders.active", sorted({name for order in active for name in order.sets}), active)
    uncoded = d.record.uncoded.get("Condition", 0)
    if "record.uncoded_conditions" in d.wanted and (uncoded or "conditions" in d.available):
        d.facts.set("record.uncoded_conditions", uncoded)


def _opioid(d: Derivation, drafts: list[Order]) -> None:
    """A strong opioid that is not already taken in the same product. A second product of it is a change of
    dose. What is taken is not known when the medicines could not be read.
    """
    taken = {
        medicine.code
        for medicine in d.record.medicines
        if "opioid-strong" in medicine.sets
        and (medicine.active or d.calendar.within(medicine.end or medicine.start, ACTIVE_DAYS))
    }
    new = [order for order in drafts if "opioid-strong" in order.sets and order.code not in taken]
    if new:
        _put(d, "orders.draft_strong_opioid_new", True if "medications" in d.available else None, new)


def _put(d: Derivation, name: str, value: object, orders: list[Order]) -> None:
    if name in d.wanted:
        d.facts.set(name, value, sources=[order.source for order in orders[:6]])
