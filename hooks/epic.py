"""What Epic tells in its request extensions beyond the hook itself.

Epic knows patient-view, order-select and order-sign. Its other native triggers arrive as patient-view and are
told apart by an extension. Source: Epic on FHIR, CDS Hooks (features to February 2024); conformance notes
4.2.
"""

from collections.abc import Mapping
from typing import Any

from hooks.request import Envelope

__all__ = ["FHIR_VERSION", "TRIGGER_ACTION", "effective_hook", "fhir_version"]

TRIGGER_ACTION = "com.epic.cdshooks.request.bpa-trigger-action"
FHIR_VERSION = "com.epic.cdshooks.request.fhir-version"

# 5 general, 29 transfer and 60 open chart stay patient-view: no hook of the library stands for them.
_HOOKS: Mapping[str, str] = {
    "6": "problem-list-item-create",
    "7": "problem-list-item-create",
    "18": "order-select",
    "23": "order-sign",
    "26": "encounter-start",
    "27": "encounter-discharge",
}


def effective_hook(envelope: Envelope[Any]) -> str:
    """The hook whose moment in the workflow this call is, for choosing rules.

    Only patient-view is ever replaced, and its context stays that of patient-view: ids, no drafts.
    """
    if envelope.hook != "patient-view":
        return envelope.hook
    # Captured calls hold a string, other descriptions a number.
    return _HOOKS.get(str(_member(envelope, TRIGGER_ACTION)), envelope.hook)


def fhir_version(envelope: Envelope[Any]) -> str | None:
    """FHIR version of the resources in the call as Epic names it (`DSTU2`, `STU3`, `R4`), in capitals."""
    value = _member(envelope, FHIR_VERSION)
    return value.strip().upper() if isinstance(value, str) and value.strip() else None


def _member(envelope: Envelope[Any], name: str) -> object:
    return (envelope.extension or {}).get(name)
