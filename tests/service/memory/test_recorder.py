"""Rows made of answers: what they say, and that nothing of a person is in them."""

from typing import Any

import orjson
import pytest

from rules.engine import Span
from service.decode import Problem
from service.memory.fingerprint import Fingerprint
from service.memory.recorder import OUTCOME_LETTERS, Passage, Recorder, expand
from service.memory.rows import BundleRow, CallRow, CardRow
from service.outcomes import Outcome, State
from tests.rules.bundles import bundled
from tests.service.calls import INSTANCE
from tests.service.facts import codes
from tests.service.facts.build import PATIENT, Json, condition, lab, patient
from tests.service.memory.samples import AT, CLIENT, NEW_BACK, PSEUDONYMS, answer_on, record


def rows(*resources: Json, **options: Any) -> tuple[BundleRow, CallRow, list[CardRow]]:
    answered = answer_on(*(resources or record()), **options)
    return Recorder(PSEUDONYMS).rows(Passage.of(answered, CLIENT))


def test_a_call_says_who_was_asked_when_and_what_became_of_each_rule() -> None:
    bundle, call, cards = rows()
    assert (call.at, call.instance, call.hook, call.client) == (AT, INSTANCE, "patient-view", CLIENT)
    assert call.patient == PSEUDONYMS.of(CLIENT, PATIENT)
    assert call.clinician == PSEUDONYMS.of(CLIENT, "Practitioner/u1")
    assert (call.encounter, call.cards, call.moved) == ("", 1, "{}")
    assert (call.bundle, bundle.version) == (bundled().digest, bundled().version)
    outcomes = expand(bundle.rules, call.outcomes)
    assert outcomes[NEW_BACK] == "fired"
    assert outcomes.keys() == {
        rule.id
        for rule in bundled().rules.values()
        if "patient-view" in rule.hooks and rule.status != "retired"
    }
    facts = orjson.loads(call.facts)
    assert facts["cancer.sites"] == [["colorectal"], "2020-11-16"]
    assert facts["pain.back.days"][0] == 21
    assert "neuro.any_new" in orjson.loads(call.missing)
    assert orjson.loads(call.spent).keys() == {"facts", "rules", "cards"}
    (card,) = cards
    assert (card.rule, card.role, card.urgency, card.mode) == (NEW_BACK, "lead", "warning", "live")
    assert (card.version, card.instance, card.patient) == ("1.0.0", INSTANCE, call.patient)
    assert "cancer.any" in Fingerprint.decode(card.fingerprint).marks


def test_nothing_of_a_person_is_kept() -> None:
    text = repr(rows())
    for planted in ("PLANTED", "Practitioner", "u1'", PATIENT + "'", "1960-05-17"):
        assert planted not in text


def test_an_instance_that_is_no_uuid_is_kept_as_a_hash() -> None:
    _, call, cards = rows(instance="PLANTED patient Jane")
    assert call.instance.startswith("sha256:")
    assert {card.instance for card in cards} == {call.instance}


def test_rules_shown_together_are_each_on_the_card_with_their_role() -> None:
    resources = [patient(birthDate="1950-01-01"), condition(codes.LOW_BACK_PAIN, onset=60)]
    _, call, cards = rows(*resources, condition(codes.PROSTATE_CANCER, onset=900))
    roles = {card.rule: card.role for card in cards}
    moved = orjson.loads(call.moved)
    assert sum(role == "lead" for role in roles.values()) == call.cards
    assert {rule for rule, role in roles.items() if role == "folded"} <= moved.keys()
    assert "SUPERSEDED" in moved.values()


def test_what_was_left_out_is_counted() -> None:
    _, call, _ = rows(
        *record(lab(codes.CRP, 60, None)),
        outcomes={"labs": Outcome(State.FAILED, "server-error"), "conditions": Outcome(State.GIVEN)},
        problems=[Problem("labs", "x", "y")],
    )
    cut = orjson.loads(call.cut)
    assert cut == {"failed": ["labs"], "malformed": 1, "unread": 1}


def test_an_imprecise_value_is_kept_with_its_limits() -> None:
    _, call, _ = rows(*record(lab(codes.CRP, 200, "mg/L", comparator=">")))
    value, day = orjson.loads(call.facts)["labs.crp.value"]
    assert value == [200.0, 200.0, None]
    assert day == "2026-11-24"
    assert Span(200.0, float("inf"), 200.0).high == float("inf")


def test_a_call_without_cards_has_no_card_rows() -> None:
    _, call, cards = rows(patient(), condition(codes.LOW_BACK_PAIN, onset=3))
    assert (call.cards, cards, orjson.loads(call.facts)) == (0, [], {})


@pytest.mark.parametrize("letter", OUTCOME_LETTERS.values())
def test_every_outcome_comes_back_from_its_letter(letter: str) -> None:
    kinds = {letter: kind for kind, letter in OUTCOME_LETTERS.items()}
    assert expand('[["r1","1"],["r2","1"]]', f".{letter}") == {"r2": kinds[letter]}
