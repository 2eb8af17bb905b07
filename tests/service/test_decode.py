import codecs
import json
from typing import Any

import msgspec
import orjson
import pytest

from service.decode import Problem, decode_call, decode_context, decode_resource
from service.errors import BadJson, JsonTooDeep
from service.resources import Condition, Patient
from tests.service.hook_bodies import BAD, GOOD, SECRET, Json, body, bundle, ids, prefetched

# -- a sound call --------------------------------------------------------------------------------------


def test_a_sound_call_is_decoded_in_one_pass() -> None:
    call = decode_call(body({"patient": {"resourceType": "Patient", "id": "p1"}, "conditions": bundle(GOOD)}))
    assert call.problems == ()
    assert call.envelope.hook == "patient-view"
    found = prefetched(call)
    assert isinstance(found["patient"], Patient)
    assert ids(found["conditions"]) == ["good"]


def test_a_byte_order_mark_is_taken_off() -> None:
    given = body({"conditions": bundle(GOOD)})
    assert ids(prefetched(decode_call(codecs.BOM_UTF8 + given))["conditions"]) == ["good"]
    assert decode_resource(codecs.BOM_UTF8 + orjson.dumps(GOOD), "conditions")[0] == Condition(id="good")


@pytest.mark.parametrize("prefetch", [None, {}])
def test_a_call_may_come_without_prefetch(prefetch: Json | None) -> None:
    assert not decode_call(body(prefetch)).envelope.prefetch


def test_a_null_prefetch_is_none() -> None:
    call = decode_call(orjson.dumps({"hook": "patient-view", "prefetch": None}))
    assert call.envelope.prefetch is None


def test_a_null_value_is_told_from_an_absent_key() -> None:
    sound = prefetched(decode_call(body({"patient": None})))
    assert sound == {"patient": None}
    beside_a_bad_one = prefetched(decode_call(body({"patient": None, "labs": BAD})))
    assert beside_a_bad_one == {"patient": None}


# -- members that no answer needs ----------------------------------------------------------------------

AUTHORIZATION: Json = {
    "access_token": "t",
    "token_type": "Bearer",
    "expires_in": 300,
    "scope": "s",
    "subject": "c",
}


@pytest.mark.parametrize("extension", [[], [{"url": SECRET}], SECRET, 3, False])
def test_an_extension_that_is_no_object_is_not_read(extension: Any) -> None:
    call = decode_call(body({"conditions": bundle(GOOD)}, extension=extension))
    assert call.envelope.extension is None
    assert ids(prefetched(call)["conditions"]) == ["good"]
    assert (call.problems, call.deviations) == ((), ("extension-unread",))
    assert decode_call(body(extension=extension)).envelope.prefetch is None


def test_an_extension_that_is_an_object_or_null_is_no_deviation() -> None:
    for extension in ({}, {"x": [1]}, None):
        call = decode_call(body({"labs": BAD}, extension=extension))
        assert (call.envelope.extension, call.deviations) == (extension, ())


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("expires_in", "300"),
        ("expires_in", True),
        ("scope", None),
        ("scope", ["a", 3]),
        ("subject", 7),
        ("token_type", None),
        ("access_token", {SECRET: SECRET}),
    ],
)
def test_a_member_of_a_token_that_cannot_be_read_counts_as_absent(member: str, value: Any) -> None:
    given = {**AUTHORIZATION, "patient": "p1", member: value}
    call = decode_call(body({"conditions": bundle(GOOD)}, fhirServer="https://e.x", fhirAuthorization=given))
    read = call.envelope.fhirAuthorization
    assert read is not None
    assert read.faults == (member,)
    assert read.patient == "p1"
    assert ids(prefetched(call)["conditions"]) == ["good"]
    assert call.deviations == ()


@pytest.mark.parametrize("given", ["token", [], 3])
def test_a_token_that_is_no_object_is_one_without_members(given: Any) -> None:
    read = decode_call(body(fhirAuthorization=given)).envelope.fhirAuthorization
    assert read is not None
    assert set(read.faults) == set(AUTHORIZATION)


def test_a_token_whose_patient_cannot_be_read_is_not_kept() -> None:
    """It may be another patient's, and nothing found with it would read as nothing there (FHR-06)."""
    call = decode_call(body(fhirAuthorization={**AUTHORIZATION, "patient": 12}))
    read = call.envelope.fhirAuthorization
    assert read is not None
    assert (read.access_token, read.subject) == ("", "c")
    assert call.deviations == ("authorization-patient",)


# -- one malformed resource ----------------------------------------------------------------------------


def test_one_malformed_resource_costs_only_itself() -> None:
    last = {"resourceType": "Observation", "id": "last"}
    call = decode_call(body({"conditions": bundle(GOOD, BAD, last), "patient": {"resourceType": "Patient"}}))
    found = prefetched(call)
    assert ids(found["conditions"]) == ["good", "last"]
    assert isinstance(found["patient"], Patient)
    assert call.problems == (
        Problem("resource-unreadable", "conditions", type="Condition", index=1, at="$.code"),
    )


def test_the_envelope_survives_a_malformed_resource() -> None:
    authorization = {
        "access_token": "t",
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "s",
        "subject": "c",
    }
    call = decode_call(
        body(
            {"labs": BAD},
            fhirServer="https://ehr.example/fhir",
            fhirAuthorization=authorization,
            extension={"x": 1},
        )
    )
    envelope = call.envelope
    assert (envelope.hook, envelope.hookInstance, envelope.fhirServer) == (
        "patient-view",
        "h1",
        "https://ehr.example/fhir",
    )
    assert envelope.fhirAuthorization is not None
    assert envelope.fhirAuthorization.access_token == "t"
    assert json.loads(bytes(envelope.context)) == {"patientId": "p1"}
    assert prefetched(call) == {}


@pytest.mark.parametrize(
    "malformed",
    [
        {"resourceType": "Condition", "code": SECRET},
        {"resourceType": "Condition", "code": {"coding": [{"code": {SECRET: SECRET}}]}},
        {"resourceType": "Observation", "valueQuantity": {"value": SECRET}},
        {"resourceType": "Patient", "birthDate": [SECRET]},
        {"resourceType": SECRET},
        {"resourceType": ["Condition"], "text": SECRET},
        {"id": SECRET},
        {SECRET: SECRET},
        SECRET,
        [SECRET],
        19,
        True,
    ],
)
def test_no_content_of_the_record_is_kept_in_a_problem(malformed: Any) -> None:
    for prefetch in ({"conditions": bundle(GOOD, malformed)}, {"conditions": malformed}):
        call = decode_call(body(prefetch))
        (problem,) = call.problems
        assert SECRET not in repr(problem)
        assert "Distinctive" not in repr(problem)
        assert (problem.code, problem.key) == ("resource-unreadable", "conditions")


@pytest.mark.parametrize(
    ("malformed", "type_name", "at"),
    [
        (BAD, "Condition", "$.code"),
        (
            {"resourceType": "Observation", "component": [{}, {"valueBoolean": 3}]},
            "Observation",
            "$.component[1].valueBoolean",
        ),
        ({"resourceType": "Unheard"}, "Unheard", "$.resourceType"),
        ({"id": "x"}, "", "$"),
        (7, "", "$"),
    ],
)
def test_a_problem_says_what_and_where(malformed: Any, type_name: str, at: str) -> None:
    _, problems = decode_resource(orjson.dumps(malformed), "labs")
    (problem,) = problems
    assert (problem.key, problem.type, problem.index, problem.at) == ("labs", type_name, -1, at)


@pytest.mark.parametrize(
    "entry",
    [
        5,
        "text",
        None,
        [],
        {"resource": 5},
        {"fullUrl": 7, "resource": GOOD},
        {"search": [], "resource": GOOD},
    ],
)
def test_a_malformed_entry_costs_only_itself(entry: Any) -> None:
    given = bundle(GOOD)
    given["entry"] = [entry, {"resource": GOOD}]
    call = decode_call(body({"conditions": given}))
    assert ids(prefetched(call)["conditions"]) == ["good"]
    (problem,) = call.problems
    assert (problem.key, problem.index) == ("conditions", 0)


@pytest.mark.parametrize("entry", [{}, {"fullUrl": "urn:uuid:1"}, {"resource": None}])
def test_an_entry_without_a_resource_is_no_problem(entry: Json) -> None:
    given = {**bundle(), "entry": [entry, {"resource": BAD}]}
    call = decode_call(body({"conditions": given}))
    assert ids(prefetched(call)["conditions"]) == []
    assert [problem.index for problem in call.problems] == [1]


def test_a_malformed_bundle_keeps_its_readable_entries() -> None:
    given = bundle(
        GOOD, type="searchset", total="two", link=[{"relation": "next", "url": "https://ehr.example/2"}]
    )
    call = decode_call(body({"conditions": given}))
    found = prefetched(call)["conditions"]
    assert ids(found) == ["good"]
    assert found.total is None
    assert call.problems == (Problem("resource-unreadable", "conditions", "Bundle", at="$.total"),)


def test_a_bundle_keeps_its_frame_beside_a_malformed_entry() -> None:
    link = [{"relation": "next", "url": "https://ehr.example/2"}]
    given = bundle(GOOD, BAD, type="searchset", total=2, link=link)
    given["entry"][0] |= {"fullUrl": "https://ehr.example/Condition/good", "search": {"mode": "match"}}
    found = prefetched(decode_call(body({"conditions": given})))["conditions"]
    assert (found.type, found.total, found.link[0].url) == ("searchset", 2, "https://ehr.example/2")
    (entry,) = found.entry
    assert entry.fullUrl == "https://ehr.example/Condition/good"
    assert entry.search.mode == "match"


def test_a_bundle_in_a_bundle_keeps_its_readable_entries() -> None:
    call = decode_call(body({"conditions": bundle(bundle(GOOD, BAD), GOOD)}))
    outer = prefetched(call)["conditions"]
    assert ids(outer.entry[0].resource) == ["good"]
    assert len(outer.entry) == 2
    assert [problem.index for problem in call.problems] == [1]


@pytest.mark.parametrize("entry", [None, []])
def test_an_empty_bundle_beside_a_malformed_value(entry: Any) -> None:
    call = decode_call(body({"conditions": {"resourceType": "Bundle", "entry": entry}, "labs": BAD}))
    assert ids(prefetched(call)["conditions"]) == []


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_wrapped_resource_is_unwrapped(depth: int) -> None:
    wrapped: Json = GOOD
    for _ in range(depth):
        wrapped = {"resource": wrapped}
    call = decode_call(body({"conditions": wrapped, "all": bundle(wrapped)}))
    assert call.problems == ()
    found = prefetched(call)
    assert isinstance(found["conditions"], Condition)
    assert ids(found["all"]) == ["good"]


def test_a_wrapped_bundle_is_unwrapped() -> None:
    call = decode_call(body({"conditions": {"resource": bundle(GOOD, BAD)}}))
    assert ids(prefetched(call)["conditions"]) == ["good"]
    assert [problem.index for problem in call.problems] == [1]


@pytest.mark.parametrize(
    "kind", ["Immunization", "Claim", "DocumentReference", "Goal", "NutritionOrder", "MedicationOrder"]
)
def test_a_resource_nobody_reads_is_no_problem(kind: str) -> None:
    call = decode_call(body({"all": bundle(GOOD, {"resourceType": kind, "id": "x", "status": [1]})}))
    assert call.problems == ()
    assert ids(prefetched(call)["all"]) == ["good", "x"]


# -- one resource --------------------------------------------------------------------------------------


def test_a_fetched_resource_is_decoded_alike() -> None:
    assert decode_resource(orjson.dumps(GOOD), "conditions")[0] == Condition(id="good")
    value, problems = decode_resource(orjson.dumps(bundle(GOOD, BAD)), "conditions")
    assert ids(value) == ["good"]
    assert [problem.index for problem in problems] == [1]
    assert decode_resource(orjson.dumps(BAD), "conditions")[0] is None


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b"[1, 2", orjson.dumps(BAD) + b"}", orjson.dumps(bundle(BAD))[:-1], b"\xff"]
)
def test_a_fetched_answer_that_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(BadJson):
        decode_resource(data, "conditions")


def test_a_deep_answer_is_refused() -> None:
    with pytest.raises(JsonTooDeep):
        decode_resource(b"[" * 100_000, "conditions")


def test_resources_of_the_context_report_under_its_name() -> None:
    problems: list[Problem] = []
    assert decode_context(msgspec.Raw(orjson.dumps(GOOD)), problems) == Condition(id="good")
    assert decode_context(msgspec.Raw(orjson.dumps(BAD)), problems) is None
    assert [(problem.key, problem.type) for problem in problems] == [("context", "Condition")]
