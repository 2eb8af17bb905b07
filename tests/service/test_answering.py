"""One call from a record to cards and to its explanation: what is kept beside the Decision, and what is not
told.
"""

import datetime as dt
from zoneinfo import ZoneInfo

import msgspec
import orjson
import pytest

from hooks import REGISTRY
from rules.engine.rule import HOOK_ALIASES
from service.answering import POLICY_FACTS, conclude, consider, decide, explanation
from service.decode import Problem, decode_resource
from service.outcomes import Outcome, State
from service.prefetch import Gathered
from tests.rules.bundles import bundled
from tests.service.calls import bundled_knowledge, context_of, decided_on, states
from tests.service.facts import codes
from tests.service.facts.build import AVAILABLE, Json, condition, lab, patient, resource
from tests.service.facts.build import service_request as order

SURVIVOR = [
    patient(),
    condition(codes.LOW_BACK_PAIN, onset=21),
    condition("http://hl7.org/fhir/sid/icd-10-cm|Z85.038", onset=2200),
]
NEW_BACK = "cancer-history-new-back-pain"


def test_policy_facts_are_declared_and_extracted_for_every_hook() -> None:
    assert all(name in bundled().vocabulary for name in POLICY_FACTS)
    given = condition(codes.HOSPICE, onset=20)
    for hook in ("patient-view", "order-select", "order-sign"):
        assert states(decided_on(*SURVIVOR, given, hook=hook))[NEW_BACK] == "suppressed S1"


@pytest.mark.parametrize("hook", sorted(REGISTRY))
def test_every_hook_of_the_registry_is_answered_by_the_rules_it_stands_for(hook: str) -> None:
    stands_for = HOOK_ALIASES.get(hook, hook)
    context: Json = {
        "userId": "Practitioner/u1",
        "patientId": "p1",
        "encounterId": "e1",
        "performer": "Organization/o1",
        "order": "ServiceRequest/s1",
        "dispatchedOrders": ["ServiceRequest/s1"],
        "selections": [],
        "draftOrders": {"resourceType": "Bundle", "entry": []},
        "appointments": {"resourceType": "Bundle", "entry": []},
        "conditions": {"resourceType": "Bundle", "entry": []},
    }
    answer = decided_on(*SURVIVOR, hook=hook, context=context)
    assert answer.decision.outcomes.keys() == {
        rule.id for rule in bundled().rules.values() if stands_for in rule.hooks
    }
    assert states(answer)[NEW_BACK] == "fired"
    assert len(answer.response.cards) == 1


def test_a_draft_of_the_context_is_an_order_being_entered() -> None:
    draft = {**order(codes.MRI_LUMBAR, 0), "status": "draft"}
    for hook in ("order-select", "order-sign"):
        answer = decided_on(*SURVIVOR, hook=hook, drafts=[draft])
        assert states(answer)[NEW_BACK] == "suppressed S4"
        assert answer.cards == ()


def test_the_answer_keeps_what_was_seen_and_left_out() -> None:
    other = {**condition(codes.BREAST_CANCER), "subject": {"reference": "Patient/p2"}}
    uncoded = resource(
        "Condition", code={"text": "bad back"}, clinicalStatus={"coding": [{"code": "active"}]}
    )
    problem = Problem("resource-unreadable", "labs", "Observation", 3, "$.valueQuantity")
    unread = lab(codes.CRP, 88, None, 3)
    failed = {"labs": Outcome(State.FAILED, "server-error")}
    answer = decided_on(*SURVIVOR, other, uncoded, unread, problems=[problem], outcomes=failed)
    told = explanation(answer)
    assert told["hook"] == "patient-view"
    assert told["coverage"]["covered"] is True
    assert told["data"]["otherPatient"] == {"other-patient": 1}
    assert told["data"]["uncoded"]["says"] == "uncoded: 1 entries not read"
    assert told["data"]["problems"] == [
        {
            "code": "resource-unreadable",
            "key": "labs",
            "type": "Observation",
            "index": 3,
            "at": "$.valueQuantity",
        }
    ]
    assert told["data"]["prefetch"]["labs"]["state"] == "failed"
    assert told["data"]["prefetch"]["labs"]["says"] == "the FHIR server failed"
    (result,) = told["data"]["unreadable"]
    assert (result["analyte"], result["value"], result["reason"]) == ("crp", "88", "no unit")
    assert [card["uuid"] for card in told["cards"]] == [answer.cards[0].uuid]
    assert told["milliseconds"].keys() >= {"facts", "rules", "cards"}
    # It is JSON all the way down.
    assert orjson.loads(orjson.dumps(told))["bundle"]["digest"] == bundled().digest


def test_servers_that_references_to_the_patient_name_are_noted() -> None:
    foreign = {**SURVIVOR[1], "subject": {"reference": "https://other.example/fhir/Patient/p1"}}
    told = explanation(decided_on(*SURVIVOR, {**foreign, "id": "elsewhere"}))
    assert told["data"]["otherServers"] == ["https://other.example/fhir"]
    assert explanation(decided_on(*SURVIVOR))["data"]["otherServers"] == []


def test_silence_says_whether_the_patient_is_covered() -> None:
    quiet = explanation(decided_on(patient()))
    assert list(quiet["cards"]) == []
    assert quiet["coverage"] == {
        "covered": False,
        "code": "no-pain-recorded",
        "reason": "No back, hip, pelvic or bone pain is on record.",
    }


def test_data_that_could_not_be_had_leaves_facts_unknown_and_no_rule_silently_untrue() -> None:
    lasting = [patient(birthDate="1973-03-01"), condition(codes.LOW_BACK_PAIN, onset=60)]
    assert states(decided_on(*lasting)) == {"missing-baseline-bloods": "fired"}
    without = decided_on(*lasting, available=AVAILABLE - {"observations"})
    assert states(without) == {}
    assert without.decision["missing-baseline-bloods"].outcome in ("not-enough-data", "excluded")


def test_the_day_is_that_of_the_site() -> None:
    """At 23:30 UTC it is tomorrow in Auckland, and a pain of 14 days is one day older there."""

    record = [*SURVIVOR[::2], condition(codes.LOW_BACK_PAIN, onset="2026-11-12")]
    late = dt.datetime(2026, 11, 25, 23, 30, tzinfo=dt.UTC)
    assert NEW_BACK not in states(decided_on(*record, now=late))
    auckland = msgspec.structs.replace(bundled_knowledge(), zone=ZoneInfo("Pacific/Auckland"))
    assert states(decided_on(*record, now=late, knowledge=auckland))[NEW_BACK] == "fired"


def test_the_same_call_gives_the_same_decision_and_leaves_no_trace() -> None:
    first = explanation(decided_on(*SURVIVOR))
    decided_on(patient(), condition(codes.HIP_PAIN, onset=100))
    second = explanation(decided_on(*SURVIVOR))
    assert {**first, "milliseconds": {}} == {**second, "milliseconds": {}}


@pytest.mark.parametrize(
    ("user", "state"),
    [
        ("Patient/p1", "suppressed AUDIENCE"),
        ("RelatedPerson/r1", "suppressed AUDIENCE"),
        ("Practitioner/d1", "fired"),
        ("PractitionerRole/d1", "fired"),
        (None, "fired"),
    ],
)
def test_cards_are_for_clinicians(user: str | None, state: str) -> None:
    context = {**context_of("patient-view", ()), "userId": user}
    answer = decided_on(*SURVIVOR, context={name: value for name, value in context.items() if value})
    assert states(answer)[NEW_BACK] == state
    assert bool(answer.cards) is (state == "fired")


@pytest.mark.parametrize("hook", ["order-select", "order-sign"])
def test_a_red_flag_of_another_hook_is_open_at_an_order(hook: str) -> None:
    """The ESR rule has its card when the chart is opened; at an order its red flag is there all the same."""
    given = [patient(), condition(codes.LOW_BACK_PAIN, onset=60), lab(codes.ESR, 110, "mm/h", 5)]
    therapy = order("http://snomed.info/sct|91251008", id="d1")
    answer = decided_on(*given, hook=hook, drafts=[therapy])
    (card,) = answer.cards
    assert "red flag open, markedly raised ESR or CRP" in (card.detail or "")
    assert decided_on(*given[:2], hook=hook, drafts=[therapy]).cards == ()


def test_no_red_flag_is_claimed_where_a_rule_of_another_hook_has_one() -> None:
    given = [patient(gender="male"), condition(codes.LOW_BACK_PAIN, onset=35)]
    mri = order("http://loinc.org|24968-0", id="d1")
    low_value = "low-value-imaging-no-red-flags"
    assert states(decided_on(*given, hook="order-select", drafts=[mri]))[low_value] == "fired"
    for more in (lab(codes.ESR, 110, "mm/h", 5), lab(codes.PSA, 40, "ng/mL", 5)):
        answer = decided_on(*given, more, hook="order-select", drafts=[mri])
        assert low_value not in states(answer)


def test_deciding_is_considering_and_concluding() -> None:
    answer = decided_on(*SURVIVOR)
    call, gathered = answer.call, _gathered()
    considered = consider(bundled_knowledge(), call, gathered)
    assert considered.decision.fired()
    assert (
        conclude(bundled_knowledge(), considered).cards == decide(bundled_knowledge(), call, gathered).cards
    )


def _gathered() -> Gathered:
    values = [decode_resource(orjson.dumps(one), "data")[0] for one in SURVIVOR]
    return Gathered([("data", value) for value in values if value is not None], {}, AVAILABLE, [], None)
