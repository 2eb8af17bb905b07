import codecs
import gzip
import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.decode import decode_call, decode_resource, instance_in
from service.errors import BadJson, JsonTooDeep, MemberInvalid
from service.resources import Bundle, Condition, Observation
from tests.service.hook_bodies import BAD, GOOD, SECRET, body, bundle, ids, prefetched

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


# -- what is no call -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"nothing",
        b"[]",
        b"null",
        b'"text"',
        body() + b"}",
        body({"labs": BAD}) + b"}",
        body({"labs": BAD})[:-1],
        b"\xff\xfe" + body(),
        body(hookInstance="x").replace(b'"x"', b'"\xe9"'),
        body({"labs": {**BAD, "id": "x"}}).replace(b'"x"', b'"\xe9"'),
        body(hook=5)[:-1],
        body(extension=[])[:-1],
    ],
)
def test_what_is_no_call_is_refused_with_a_stable_code(data: bytes) -> None:
    with pytest.raises(BadJson) as caught:
        decode_call(data)
    assert caught.value.code == "body-not-json"
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "byte"),
    [
        (b"", 0),
        (b"{", 1),
        (b"[1,", 3),
        (b'{"hook": "patient-view", }', 23),
        (codecs.BOM_UTF8 + b'{"hook": "patient-view", }', 26),
        (b'{"hook": "pati\xe9nt-view"}', 14),
        (b'{"hook": 3, "context": nil}', 23),
        (b'{"x": "\xc3\xa4", "hook": NaN}', 20),
        (b'{"hook": "\xc3\xa4\\ud800"}', 12),
        (b'{"hook": "x"} y', 14),
        (body({"labs": BAD})[:-9], len(body({"labs": BAD})) - 9),
        (body({"labs": {**BAD, "id": "x"}}).replace(b'"x"', b'"\xe9"'), 125),
        (b"[]", None),
        (b"7", None),
    ],
)
def test_broken_json_is_told_where_it_breaks_off(data: bytes, byte: int | None) -> None:
    with pytest.raises(BadJson) as caught:
        decode_call(data)
    assert caught.value.byte == byte


@pytest.mark.parametrize(
    ("member", "values"),
    [
        ("hook", (5, None, ["patient-view"], {SECRET: SECRET})),
        ("hookInstance", (5, None, True, [SECRET])),
        ("fhirServer", (5, [SECRET], {})),
        ("prefetch", ([], SECRET, 5)),
    ],
)
def test_a_member_of_another_type_is_named_and_not_repeated(member: str, values: tuple[Any, ...]) -> None:
    for value in values:
        for beside in ({}, {"extension": [SECRET]}):
            with pytest.raises(MemberInvalid) as caught:
                decode_call(body(**{"prefetch": {"labs": BAD}, member: value, **beside}))
            assert caught.value.names == (member,)
            assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("instance", "told"), [("h7", "h7"), (5, ""), (None, ""), ([[]], ""), ("x" * 5000, "x" * 5000)]
)
def test_a_body_refused_for_a_member_still_names_its_call(instance: Any, told: str) -> None:
    assert instance_in(body(hook=5, hookInstance=instance)) == told
    assert instance_in(body(hook=5, hookInstance="x").replace(b'"x"', b'"\xe9"')) == ""
    assert instance_in(b'{"hookInstance":' + b"[" * DEEP + b"]" * DEEP + b"}") == ""


DEEP = 100_000


@pytest.mark.parametrize(
    "data",
    [
        b"[" * DEEP,
        b'{"prefetch":{"a":' + b'{"x":' * DEEP + b"1" + b"}" * DEEP + b"}}",
        b'{"hook":5,"prefetch":{"a":' + b"[" * DEEP + b"]" * DEEP + b"}}",
        b'{"prefetch":{"a":' + b'{"resource":' * DEEP + b"1" + b"}" * DEEP + b"}}",
    ],
    ids=["arrays", "objects", "after a wrong type", "wrapped"],
)
def test_deep_nesting_is_refused(data: bytes) -> None:
    with pytest.raises((BadJson, JsonTooDeep)):
        decode_call(data)


def test_nesting_just_below_the_decoders_limit_never_raises_anything_else() -> None:
    for depth in (200, 500, 800, 900, 950, 990):
        data = b'{"prefetch":{"a":' + b'{"resource":' * depth + b"1" + b"}" * depth + b"}}"
        try:
            call = decode_call(data)
        except JsonTooDeep:
            continue
        assert [problem.key for problem in call.problems] == ["a"]


# -- whatever comes ------------------------------------------------------------------------------------


@settings(deadline=None)
@given(JSON)
def test_anything_in_one_entry_never_costs_the_others(anything: Any) -> None:
    for entry in (anything, {"resource": anything}, {"fullUrl": anything, "resource": BAD}):
        given_bundle = bundle(GOOD)
        given_bundle["entry"] += [entry, {"resource": {"resourceType": "Observation", "id": "last"}}]
        prefetch = {"conditions": given_bundle, "beside": GOOD}
        call = decode_call(json.dumps({"hook": "patient-view", "prefetch": prefetch}).encode())
        found = prefetched(call)
        kept = ids(found["conditions"])
        assert (kept[0], kept[-1]) == ("good", "last")
        assert isinstance(found["beside"], Condition)
        assert len(call.problems) <= 1


@settings(deadline=None)
@given(
    JSON,
    st.sampled_from(["Condition", "Observation", "MedicationRequest", "Bundle", "QuestionnaireResponse"]),
)
def test_anything_in_one_element_never_raises(anything: Any, kind: str) -> None:
    names = ("id", "status", "code", "subject", "entry", "item", "contained", "component", "onsetDateTime")
    for name in names:
        data = json.dumps({"resourceType": kind, name: anything}).encode()
        value, problems = decode_resource(data, "x")
        assert (value is None) <= bool(problems)


# -- the corpus ----------------------------------------------------------------------------------------


def test_every_patient_of_the_corpus_decodes_without_a_problem(shared: Path) -> None:
    files = sorted((shared / "corpus" / "patients").glob("*.json.gz"))
    assert len(files) > 100
    for file in files:
        value, problems = decode_resource(gzip.decompress(file.read_bytes()), file.name)
        assert isinstance(value, Bundle), file.name
        assert problems == (), file.name


def test_every_invalid_resource_of_the_corpus_decodes_or_is_reported(shared: Path) -> None:
    folder = shared / "corpus" / "hostile" / "fhir-validator"
    files = sorted(file for file in folder.glob("*.json") if file.name != "index.json")
    assert len(files) == 88
    for file in files:
        try:
            value, problems = decode_resource(file.read_bytes(), file.name)
        except BadJson:
            with pytest.raises(ValueError, match=r"Expecting|delimiter|BOM"):
                json.loads(file.read_text("utf-8"))
            continue
        assert (value is not None) or problems, file.name


def test_requests_with_trailing_text_are_refused(shared: Path) -> None:
    files = sorted((shared / "corpus" / "hostile" / "cds-requests-trailing-text").glob("*.json"))
    assert files
    for file in files:
        with pytest.raises(BadJson):
            decode_call(file.read_bytes())


def test_requests_as_they_were_sent_decode(shared: Path) -> None:
    files = sorted((shared / "corpus" / "cds-requests").glob("*.json"))
    assert files
    for file in files:
        call = decode_call(file.read_bytes())
        assert call.envelope.hook, file.name


def test_observations_keep_what_facts_are_read_from() -> None:
    given = {"resourceType": "Observation", "valueQuantity": {"value": 3, "unit": "mg/L"}, "unheard": [1]}
    value, _ = decode_resource(orjson.dumps(given), "labs")
    assert isinstance(value, Observation)
    assert value.valueQuantity is not None
    assert value.valueQuantity.value == 3.0
