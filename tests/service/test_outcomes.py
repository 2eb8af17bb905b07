"""How a key ended, and when its silence may be taken for an answer."""

import pytest

from service.outcomes import WORDS, Outcome, State


@pytest.mark.parametrize(
    ("outcome", "had"),
    [
        (Outcome(State.GIVEN), True),
        (Outcome(State.EMPTY), True),
        (Outcome(State.FETCHED), True),
        (Outcome(State.ERROR, "outcome"), False),
        (Outcome(State.FAILED, "deadline"), False),
        (Outcome(State.REFUSED, "no-fhir-server"), False),
    ],
)
def test_only_an_answer_counts_as_had(outcome: Outcome, had: bool) -> None:
    assert outcome.had is had
    assert outcome.is_whole(newest_suffices=True) is had
    assert bool(outcome.says()) is not had


@pytest.mark.parametrize(
    "partial", ["pages", "page-limit", "page-loop", "page-elsewhere", "total", "deadline"]
)
def test_a_cut_list_is_whole_only_where_the_newest_suffice(partial: str) -> None:
    outcome = Outcome(State.GIVEN, partial=partial, count=20)
    assert outcome.is_whole(newest_suffices=True)
    assert not outcome.is_whole(newest_suffices=False)
    assert outcome.says() == WORDS[partial]


@pytest.mark.parametrize("partial", ["outcome", "withheld", "references"])
def test_a_list_with_gaps_is_never_whole(partial: str) -> None:
    assert not Outcome(State.FETCHED, partial=partial).is_whole(newest_suffices=True)
