"""Suggested orders in the FHIR release of the caller (VER-02). They are written in R4, which is R4B as well.

Source: FHIR R5, ServiceRequest: `code` and `reason` hold a concept inside, and `orderDetail` holds coded
parameters only, so that what is said in words goes into `note`.
"""

from typing import Any

from msgspec.structs import replace

from hooks import Action, Card, Suggestion
from service.fhir_version import FhirVersion

__all__ = ["in_release"]


def in_release(cards: tuple[Card, ...], version: FhirVersion | None) -> tuple[Card, ...]:
    """The cards for a caller of `version`; the very same ones unless that is R5."""
    if version is not FhirVersion.R5:
        return cards
    return tuple(replace(card, suggestions=[_suggestion(one) for one in card.suggestions]) for card in cards)


def _suggestion(suggestion: Suggestion) -> Suggestion:
    return replace(suggestion, actions=[_action(action) for action in suggestion.actions])


def _action(action: Action) -> Action:
    return action if action.resource is None else replace(action, resource=_order(action.resource))


def _order(order: dict[str, Any]) -> dict[str, Any]:
    """An order of ours, which is a ServiceRequest, in R5."""
    changed = dict(order)
    changed["code"] = {"concept": changed["code"]}
    reasons, details = changed.pop("reasonCode", []), changed.pop("orderDetail", [])
    if reasons:
        changed["reason"] = [{"concept": reason} for reason in reasons]
    if details:
        changed["note"] = [*changed.get("note", []), *({"text": detail["text"]} for detail in details)]
    return changed
