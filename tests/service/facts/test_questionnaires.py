"""Which answers of questionnaires are facts."""

import pytest

from tests.service.facts.build import OURS, Json, answers, facts_of

NO: Json = {"valueBoolean": False}
YES: Json = {"valueBoolean": True}


@pytest.mark.parametrize("url", [OURS, f"{OURS}|1.0.0"])
def test_items_of_the_bundled_questionnaire_are_read(url: str) -> None:
    assert facts_of([{**answers(3, walking=YES), "questionnaire": url}])["neuro.gait_disturbance"] is True


@pytest.mark.parametrize("url", ["https://other.example/Questionnaire/fitness", None])
def test_the_same_word_in_another_questionnaire_says_nothing(url: str | None) -> None:
    response = {**answers(3, walking=YES), "questionnaire": url}
    assert facts_of([response])["neuro.gait_disturbance"] is None


@pytest.mark.parametrize(("answer", "expected"), [(YES, True), (NO, False)])
@pytest.mark.parametrize("url", ["https://site.example/Questionnaire/back", None, OURS])
def test_an_item_the_site_has_named_counts_anywhere(url: str | None, answer: Json, expected: bool) -> None:
    response = {**answers(3, our_17=answer), "questionnaire": url}
    assert facts_of([response])["exam.cannot_bear_weight"] is expected
