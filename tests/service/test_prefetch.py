"""PF-11 to PF-22: every way a prefetch key can end, and what that leaves known."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest
import respx
from hypothesis import given
from hypothesis import strategies as st

from service.errors import DataUnavailable
from service.fhir import FhirClient, Limits
from service.outcomes import Outcome, State
from service.prefetch import Gathered
from service.wire import Wire
from tests.service.gathering import BASE, EMPTY, NEEDS, PATIENT, PLAN, WHOLE, answer_emptily, gathered
from tests.service.searches import Json, condition, outcome, searchset


@pytest.fixture
async def client() -> AsyncIterator[FhirClient]:
    made = FhirClient(Wire(), Limits(pages=4))
    yield made
    await made.aclose()


@pytest.fixture
def server() -> Iterator[respx.MockRouter]:
    with respx.mock(assert_all_called=False, base_url=BASE.url) as router:
        answer_emptily(router)
        yield router


async def test_pf_21_complete_prefetch_sends_nothing(client: FhirClient, server: respx.Router) -> None:
    found = await gathered(client, WHOLE)
    assert not server.calls
    assert found.available == NEEDS
    assert {key: outcome.state for key, outcome in found.outcomes.items()} == {
        "patient": State.GIVEN,
        "conditions": State.GIVEN,
        "labs": State.GIVEN,
        "medications": State.GIVEN,
        "imaging": State.EMPTY,
        "studies": State.EMPTY,
    }
    assert [key for key, _ in found.resources] == ["patient", "conditions", "labs", "medications", "imaging"]
    assert found.outcomes["conditions"].count == 1


@pytest.mark.parametrize(
    "value",
    [None, EMPTY, searchset(outcome("warning")), {"resourceType": "Bundle"}, outcome("information")],
    ids=["null", "empty", "epic-4101", "bare-bundle", "harmless-outcome"],
)
async def test_pf_15_and_17_nothing_found_is_an_answer_and_is_not_asked_again(
    client: FhirClient, server: respx.Router, value: Json | None
) -> None:
    found = await gathered(client, {**WHOLE, "conditions": value})
    assert found.outcomes["conditions"] == Outcome(State.EMPTY)
    assert "conditions" in found.available
    assert not server.calls


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (outcome("error"), "outcome"),
        (searchset(outcome("fatal")), "outcome"),
        ({"resourceType": "OperationOutcome"}, "outcome"),
        (searchset({"resourceType": "Observation"}), "unexpected"),
        ({"resourceType": "Observation"}, "unexpected"),
        ({"resourceType": "Basic"}, "unexpected"),
    ],
)
async def test_pf_14_a_failed_query_is_asked_again_or_stays_an_error(
    client: FhirClient, server: respx.Router, value: Json, reason: str
) -> None:
    found = await gathered(client, {**WHOLE, "conditions": value}, fetching=False)
    assert found.outcomes["conditions"] == Outcome(State.ERROR, reason)
    assert found.available == NEEDS - {"conditions"}
    server["conditions"].respond(json=searchset(condition(1), condition(2)))
    found = await gathered(client, {**WHOLE, "conditions": value})
    assert found.outcomes["conditions"] == Outcome(State.FETCHED, count=2)
    assert found.available == NEEDS
    server["conditions"].respond(403)
    found = await gathered(client, {**WHOLE, "conditions": value})
    assert found.outcomes["conditions"] == Outcome(State.ERROR, reason)


async def test_the_patient_of_another_context_does_not_count(
    client: FhirClient, server: respx.Router
) -> None:
    other = {"resourceType": "Patient", "id": "p2"}
    found = await gathered(client, {**WHOLE, "patient": other}, fetching=False)
    assert found.outcomes["patient"] == Outcome(State.ERROR, "other-patient")
    found = await gathered(client, {**WHOLE, "patient": other})
    assert found.outcomes["patient"] == Outcome(State.FETCHED, count=1)
    server["patient"].respond(json=other)
    given = {key: value for key, value in WHOLE.items() if key != "patient"}
    found = await gathered(client, given)
    assert found.outcomes["patient"] == Outcome(State.FAILED, "other-patient")
    assert found.available == NEEDS - {"patient"}


async def test_a_secondary_query_that_fails_leaves_its_need(client: FhirClient, server: respx.Router) -> None:
    server["studies"].respond(404)
    found = await gathered(client, {**WHOLE, "studies": outcome("error")})
    assert found.outcomes["studies"].state is State.ERROR
    assert "imaging" in found.available


async def test_less_than_the_search_found_is_asked_for_again(
    client: FhirClient, server: respx.Router
) -> None:
    given = {**WHOLE, "conditions": searchset(condition(1), total=2)}
    found = await gathered(client, given, fetching=False)
    assert found.outcomes["conditions"] == Outcome(State.GIVEN, partial="total", count=1)
    server["conditions"].respond(json=searchset(condition(1), condition(2)))
    found = await gathered(client, given)
    assert found.outcomes["conditions"] == Outcome(State.FETCHED, count=2)
    server["conditions"].respond(403)
    found = await gathered(client, given)
    assert found.outcomes["conditions"] == Outcome(State.GIVEN, partial="total", count=1)
    found = await gathered(client, {**WHOLE, "labs": searchset(total=3)}, fetching=False)
    assert found.outcomes["labs"] == Outcome(State.EMPTY, partial="total")


async def test_a_resource_that_cannot_be_read_is_counted_as_sent(client: FhirClient) -> None:
    bad = {"resourceType": "Condition", "id": "2", "recordedDate": 5}
    given = {**WHOLE, "conditions": searchset(condition(1), bad, total=2)}
    found = await gathered(client, given, fetching=False)
    assert found.outcomes["conditions"] == Outcome(State.GIVEN, count=1)
    assert [(problem.key, problem.type) for problem in found.problems] == [("conditions", "Condition")]


async def test_one_resource_in_place_of_a_search_is_taken(client: FhirClient) -> None:
    found = await gathered(client, {**WHOLE, "conditions": condition(1)}, fetching=False)
    assert found.outcomes["conditions"] == Outcome(State.GIVEN, count=1)


async def test_the_patient_is_known_under_any_key(client: FhirClient, server: respx.Router) -> None:
    given = {key: value for key, value in WHOLE.items() if key != "patient"}
    for value in (PATIENT, searchset(condition(1), PATIENT)):
        found = await gathered(client, {**given, "somebody": value})
        assert found.outcomes["patient"] == Outcome(State.GIVEN, count=1, borrowed=True)
    assert not server.calls


async def test_foreign_conditions_stand_in_only_when_ours_cannot_be_had(
    client: FhirClient, server: respx.Router
) -> None:
    given = {"patient": PATIENT, "condition": searchset(condition(1))}
    found = await gathered(client, given, fetching=False)
    assert found.outcomes["conditions"] == Outcome(State.GIVEN, count=1, borrowed=True)
    assert found.available == {"patient", "conditions"}
    assert [key for key, _ in found.resources] == ["patient", "condition"]
    found = await gathered(client, given)
    assert found.outcomes["conditions"] == Outcome(State.FETCHED)
    server["conditions"].respond(500)
    found = await gathered(client, given)
    assert found.outcomes["conditions"].borrowed


@pytest.mark.parametrize(
    "value",
    [
        searchset(condition(1), {"resourceType": "Observation"}),
        searchset(condition(1), type="collection"),
        searchset(condition(1), outcome("error")),
        condition(1),
        searchset(),
    ],
)
async def test_other_foreign_data_is_data_but_stands_for_nothing(client: FhirClient, value: Json) -> None:
    given = {**WHOLE, "theirs": value}
    del given["conditions"]
    found = await gathered(client, given, fetching=False)
    assert found.outcomes["conditions"] == Outcome(State.REFUSED, "no-fhir-server")
    assert "theirs" in [key for key, _ in found.resources]


LAB: Json = {"resourceType": "Observation", "id": "o1"}
OTHERS: list[Json] = [{"resourceType": kind, "id": "x"} for kind in ("Encounter", "Procedure")]


@pytest.mark.parametrize(
    ("record", "stands"),
    [
        (searchset(PATIENT, condition(1), LAB, type="collection"), True),
        (searchset(PATIENT, condition(1), LAB, type="document"), True),
        (searchset(PATIENT, condition(1), LAB, *OTHERS), True),
        (searchset(PATIENT, condition(1), LAB), False),
        (searchset(PATIENT, condition(1), type="collection"), False),
        (searchset(PATIENT, LAB, *OTHERS, type="collection"), False),
        (searchset(condition(1), LAB, *OTHERS, type="collection"), False),
        (searchset({**PATIENT, "id": "p2"}, condition(1), LAB, type="collection"), False),
        (searchset(PATIENT, condition(1), LAB, *OTHERS, link="?page=2"), False),
        (searchset(PATIENT, condition(1), LAB, *OTHERS, outcome("error")), False),
    ],
)
async def test_a_whole_record_under_one_foreign_key_stands_for_all_keys(
    client: FhirClient, server: respx.Router, record: Json, stands: bool
) -> None:
    found = await gathered(client, {"record": record}, fetching=False)
    assert (found.available == NEEDS) is stands
    assert all(outcome.borrowed for outcome in found.outcomes.values()) is stands
    fetched = await gathered(client, {"record": record})
    assert fetched.outcomes["labs"].state == State.FETCHED


async def test_foreign_conditions_with_more_pages_are_partial(client: FhirClient) -> None:
    given = {"condition": searchset(condition(1), link="Condition?page=2")}
    found = await gathered(client, given, fetching=False)
    assert found.outcomes["conditions"] == Outcome(State.GIVEN, partial="pages", count=1, borrowed=True)
    assert "conditions" not in found.available


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"patient": PATIENT},
        {"theirs": PATIENT},
        {"theirs": None},
        {"theirs": {"resourceType": "Claim"}},
        {"conditions": outcome("error")},
    ],
)
async def test_pf_19_nothing_given_and_nothing_to_be_had_is_a_412_that_names_the_keys(
    client: FhirClient, server: respx.Router, given: dict[str, Any]
) -> None:
    for key in server.routes:
        key.respond(503)
    for fetching in (False, True):
        with pytest.raises(DataUnavailable) as caught:
            await gathered(client, given, fetching=fetching)
        assert {"conditions", "labs", "medications"} <= set(caught.value.names)
        assert ("patient" in caught.value.names) is (PATIENT not in given.values())
        assert ("server-error" if fetching else "no-fhir-server") in caught.value.reasons


@pytest.mark.parametrize(
    "given",
    [{"conditions": None}, {"labs": EMPTY}, {"theirs": {"resourceType": "Observation"}}],
)
async def test_pf_20_a_record_that_holds_nothing_is_no_412(client: FhirClient, given: dict[str, Any]) -> None:
    found = await gathered(client, given, fetching=False)
    assert "medications" not in found.available


_STATES: Mapping[str, Any] = {
    "absent": ...,
    "null": None,
    "empty": EMPTY,
    "error": outcome("error"),
    "withheld": searchset(outcome("warning", "suppressed")),
    "foreign": {"resourceType": "Basic"},
    "whole": ...,
}


@given(states=st.fixed_dictionaries({query.key: st.sampled_from(sorted(_STATES)) for query in PLAN}))
def test_a_need_is_available_only_if_each_of_its_essential_keys_was_answered_whole(
    states: dict[str, str],
) -> None:
    values = {key: WHOLE[key] if state == "whole" else _STATES[state] for key, state in states.items()}
    sent = {key: value for key, value in values.items() if value is not ...}
    try:
        found = asyncio.run(_without_server(sent))
    except DataUnavailable:
        assert not any(states[query.key] in _ANSWERED for query in PLAN[1:])
        return
    assert list(found.outcomes) == [query.key for query in PLAN]
    lacking = {query.need for query in PLAN if query.essential and states[query.key] not in _WHOLE}
    assert found.available == NEEDS - lacking


_WHOLE = ("null", "empty", "whole")
_ANSWERED = (*_WHOLE, "withheld")


async def _without_server(sent: Mapping[str, Any]) -> Gathered:
    client = FhirClient(Wire())
    try:
        return await gathered(client, sent, fetching=False)
    finally:
        await client.aclose()
