"""PF-14, PF-17, PF-18: what a Bundle says about itself."""

import pytest

from service.resources import (
    Bundle,
    BundleLink,
    Condition,
    Entry,
    Issue,
    OperationOutcome,
    Patient,
)
from service.searchsets import contents, is_error


def _outcome(*issues: tuple[str | None, str]) -> OperationOutcome:
    return OperationOutcome(issue=[Issue(severity, code) for severity, code in issues])


def test_resources_are_counted_by_type_and_empty_entries_are_not() -> None:
    bundle = Bundle(entry=[Entry(resource=Condition()), Entry(resource=Patient()), Entry()])
    found = contents(bundle)
    assert (found.count, found.types) == (2, frozenset({Condition, Patient}))
    assert not found.failed
    assert not found.withheld
    assert found.next is None


def test_epic_says_no_hits_with_a_warning_that_is_no_error() -> None:
    found = contents(Bundle(entry=[Entry(resource=_outcome(("warning", "processing")))]))
    assert (found.count, found.failed, found.withheld) == (0, False, False)


@pytest.mark.parametrize(
    ("issues", "failed"),
    [
        ((), True),
        ((("error", "processing"),), True),
        ((("fatal", "exception"),), True),
        (((None, "processing"),), True),
        ((("warning", "processing"), ("error", "timeout")), True),
        ((("information", "informational"),), False),
        ((("warning", "processing"),), False),
    ],
)
def test_an_outcome_is_an_error_unless_every_issue_says_otherwise(
    issues: tuple[tuple[str | None, str], ...], failed: bool
) -> None:
    outcome = _outcome(*issues)
    assert is_error(outcome) is failed
    found = contents(Bundle(entry=[Entry(resource=Condition()), Entry(resource=outcome)]))
    assert (found.count, found.failed) == (1, failed)


@pytest.mark.parametrize("code", ["suppressed", "security", "incomplete", "throttled", "timeout"])
def test_a_warning_may_say_that_something_was_withheld(code: str) -> None:
    found = contents(Bundle(entry=[Entry(resource=_outcome(("warning", code)))]))
    assert (found.failed, found.withheld) == (False, True)


def test_only_a_next_link_with_a_url_leads_on() -> None:
    links = [BundleLink("self", "a"), BundleLink("next"), BundleLink("next", "b"), BundleLink("next", "c")]
    assert contents(Bundle(link=links)).next == "b"
    assert contents(Bundle(link=links[:2])).next is None
