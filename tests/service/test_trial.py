"""What the gaps of a trial make unknown."""

import pytest

from service.replies import Filled
from service.trial import Trial, as_json, lacks, method, why
from tests.service.pages.visits import bundled

RULES = bundled().bundle


def failed(key: str, reason: str = "server-error") -> Filled:
    one = Filled(key, "x", reason=reason, http=503, issue="transient")
    one.settle()
    return one


def answered(key: str, partial: str = "", unread: int = 0) -> Filled:
    one = Filled(key, "x", rows=1, partial=partial, unread=unread)
    one.settle()
    return one


def test_a_failed_key_costs_the_facts_of_its_need_that_the_hook_reads() -> None:
    (lack,) = lacks([failed("labs"), answered("conditions")], RULES, "patient-view", None)
    assert lack.key == "labs"
    assert lack.why == "the FHIR server failed (503 transient)"
    assert "labs.esr.value" in lack.facts
    assert "person.age" not in lack.facts
    assert lack.rules == ()


def test_with_a_decision_only_what_it_took_for_unknown_counts() -> None:
    explanation = {
        "facts": [{"name": "labs.esr.value", "known": True}, {"name": "labs.crp.value", "known": False}],
        "rules": [{"rule": "a", "missing": ["labs.crp.value"]}, {"rule": "b", "missing": ["labs.esr.value"]}],
    }
    (lack,) = lacks([failed("labs")], RULES, "patient-view", explanation)
    assert "labs.esr.value" not in lack.facts
    assert "labs.crp.value" in lack.facts
    assert lack.rules == ("a",)


@pytest.mark.parametrize(
    ("one", "lost"),
    [
        (answered("labs", "page-limit"), False),
        (answered("labs", "withheld"), True),
        (answered("conditions", "page-limit"), True),
        (answered("medications", unread=1), True),
        (answered("medications"), False),
    ],
)
def test_a_cut_counts_as_the_service_counts_it(one: Filled, lost: bool) -> None:
    assert bool(lacks([one], RULES, "patient-view", None)) == lost


def test_a_key_that_is_not_essential_or_not_known_here_has_no_facts() -> None:
    found = lacks([failed("studies"), failed("of-a-later-version")], RULES, "patient-view", None)
    assert [one.facts for one in found] == [(), ()]


def test_why_and_how_in_words() -> None:
    assert why(answered("labs")) == ""
    assert why(answered("labs", unread=2)) == "a medicine is only referred to and could not be read"
    assert why(answered("labs", "page-loop")) == "the pages led in a circle"
    assert (method(Filled("a", "b")), method(Filled("a", "b", posted=True))) == ("GET", "POST")


def test_a_trial_without_a_server_has_no_templates() -> None:
    told = as_json(Trial(hook="patient-view", error="why\x1b"), explain=True)
    assert told == {"hook": "patient-view", "error": "why", "explanation": None}
