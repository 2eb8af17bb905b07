"""The hooks this package reads, by name. A hook that is not here is refused as unknown."""

from collections.abc import Mapping
from types import MappingProxyType

from hooks import (
    appointment_book,
    encounter_discharge,
    encounter_start,
    order_dispatch,
    order_select,
    order_sign,
    patient_view,
    problem_list_item_create,
)
from hooks.errors import HookUnknown
from hooks.hook import Hook

__all__ = ["REGISTRY", "hook"]

REGISTRY: Mapping[str, Hook] = MappingProxyType(
    {
        module.HOOK.name: module.HOOK
        for module in (
            patient_view,
            order_select,
            order_sign,
            order_dispatch,
            encounter_start,
            encounter_discharge,
            appointment_book,
            problem_list_item_create,
        )
    }
)


def hook(name: str) -> Hook:
    """The hook with this name. Raises HookUnknown."""
    try:
        return REGISTRY[name]
    except KeyError as error:
        raise HookUnknown from error
