"""What a Bundle says about itself: how much is in it, whether the search went wrong, and where it goes on.

Sources: FHIR R4 search (`search.mode`, `link.relation`); conformance notes PF-14, PF-17, PF-18. Epic answers
a search without hits with a searchset holding one OperationOutcome of severity warning (its code 4101).
"""

from collections.abc import Iterable

import msgspec

from service.resources import Bundle, OperationOutcome

__all__ = ["Contents", "contents", "is_error"]

_NO_DATA = frozenset({OperationOutcome, type(None)})
_HARMLESS = frozenset({"warning", "information", "success"})
# Issue types by which a server says, even in a warning, that it holds more than it gave (FHIR issue-type).
_WITHHELD = frozenset(
    {
        "security",
        "login",
        "expired",
        "forbidden",
        "suppressed",
        "too-costly",
        "transient",
        "timeout",
        "incomplete",
        "throttled",
    }
)


class Contents(msgspec.Struct, frozen=True, gc=False):
    """How many resources, of which types; whether an outcome among them reports failure or withholding."""

    count: int
    types: frozenset[type]
    failed: bool
    withheld: bool
    next: str | None


def is_error(outcome: OperationOutcome) -> bool:
    """Whether the outcome reports a failure. One without issues, or without a severity, does."""
    issues = outcome.issue or ()
    return not issues or any(issue.severity not in _HARMLESS for issue in issues)


def contents(bundle: Bundle) -> Contents:
    """Look through a Bundle once."""
    resources = [entry.resource for entry in bundle.entry or ()]
    kinds = list(map(type, resources))
    types = frozenset(kinds)
    outcomes: list[OperationOutcome] = []
    if OperationOutcome in types:
        outcomes = [resource for resource in resources if isinstance(resource, OperationOutcome)]
    return Contents(
        len(kinds) - len(outcomes) - kinds.count(type(None)),
        types - _NO_DATA,
        any(map(is_error, outcomes)),
        _is_withheld(outcomes),
        _next(bundle),
    )


def _is_withheld(outcomes: Iterable[OperationOutcome]) -> bool:
    return any(issue.code in _WITHHELD for outcome in outcomes for issue in outcome.issue or ())


def _next(bundle: Bundle) -> str | None:
    for link in bundle.link or ():
        if link.relation == "next" and link.url:
            return link.url
    return None
