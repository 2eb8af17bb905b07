"""The envelope: one pass, three prefetch states, and each fault with its own code."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hooks.errors import HookError
from hooks.registry import REGISTRY
from hooks.request import Envelope, FhirAuthorization, check
from tests.hooks.requests import (
    AUTHORIZATION,
    ENVELOPE,
    INSTANCE,
    RESOURCE,
    TOKEN,
    Resource,
    body,
    envelope,
)

OFFERED = frozenset(REGISTRY)
SERVER = "https://ehr.example.org/fhir"

# Vectors the schema refuses and this package takes on purpose: senders write the patient as a reference.
TOLERATED = {"patientId as reference"}
# Vectors the schema takes and this package refuses: no rule is offered for a hook it does not know.
UNKNOWN = {"unknown hook, free context"}


def refusal(given: dict[str, Any], offered: frozenset[str] = OFFERED) -> str:
    with pytest.raises(HookError) as caught:
        check(envelope(given), offered)
    return caught.value.code


def test_a_minimal_request_is_taken() -> None:
    found = envelope(body())
    assert check(found, OFFERED).name == "patient-view"
    assert found.hook_instance_is_uuid
    assert (found.fhirServer, found.fhirAuthorization, found.prefetch, found.extension) == (
        None,
        None,
        None,
        None,
    )


def test_prefetch_states_stay_apart() -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": []}
    patient = {"resourceType": "Patient", "id": "p1"}
    found = envelope(body(prefetch={"patient": patient, "labs": None, "conditions": outcome})).prefetch
    assert found == {"patient": patient, "labs": None, "conditions": outcome}
    assert "orders" not in found


def test_null_members_count_as_absent_and_unknown_members_are_ignored() -> None:
    found = envelope(body(fhirServer=None, fhirAuthorization=None, prefetch=None, extension=None, foo=1))
    assert check(found, OFFERED).name == "patient-view"


@pytest.mark.parametrize("name", ["", "medication-prescribe", "PATIENT-VIEW"])
def test_a_hook_that_is_not_known(name: str) -> None:
    assert refusal(body(name)) == "hook-unknown"


def test_no_hook_at_all() -> None:
    assert refusal({"hookInstance": INSTANCE, "context": {}}) == "hook-unknown"


def test_a_hook_the_service_is_not_offered_for() -> None:
    assert refusal(body("order-sign"), frozenset({"patient-view"})) == "hook-mismatch"


@pytest.mark.parametrize("instance", ["", "  ", "a" * 129, "a\nb", "a\u2028b"])
def test_a_hook_instance_that_cannot_be_used(instance: str) -> None:
    assert refusal(body(hookInstance=instance)) == "hook-instance-invalid"


def test_no_hook_instance() -> None:
    given = body()
    del given["hookInstance"]
    assert refusal(given) == "hook-instance-invalid"


@pytest.mark.parametrize(
    ("instance", "uuid"),
    [(INSTANCE, True), (INSTANCE.upper(), True), ("rec08-p02-5", False), ("a" * 128, False)],
)
def test_a_hook_instance_that_is_no_uuid_is_taken_and_flagged(instance: str, uuid: bool) -> None:
    found = envelope(body(hookInstance=instance))
    assert check(found, OFFERED).name == "patient-view"
    assert found.hook_instance_is_uuid is uuid
    assert found.deviations == (() if uuid else ("instance-no-uuid",))


def test_a_token_without_a_server() -> None:
    assert refusal(body(fhirAuthorization=AUTHORIZATION)) == "fhir-server-missing"
    assert refusal(body(fhirAuthorization=AUTHORIZATION, fhirServer="")) == "fhir-server-missing"


@pytest.mark.parametrize(
    "server", ["/fhir", "ftp://ehr/fhir", "https://", "https://u:p@ehr/fhir", "https://ehr/a b"]
)
def test_a_server_that_is_no_http_url(server: str) -> None:
    assert refusal(body(fhirServer=server)) == "fhir-server-invalid"


@pytest.mark.parametrize(
    "server", [SERVER, "http://localhost:8080/fhir", "HTTPS://ehr.example.org", "http://[::1]/r4/"]
)
def test_a_server_that_is_a_base_url(server: str) -> None:
    assert check(envelope(body(fhirServer=server)), OFFERED).name == "patient-view"


@pytest.mark.parametrize(
    ("member", "bad"),
    [
        ("access_token", ""),
        ("access_token", "tok\r\nen"),
        ("access_token", "tok en"),
        ("access_token", "tokén"),
        ("token_type", ""),
        ("token_type", "mac"),
        ("expires_in", None),
        ("expires_in", -1),
        ("scope", " "),
        ("scope", []),
        ("subject", " "),
    ],
)
def test_an_authorization_with_an_unusable_member(member: str, bad: object) -> None:
    """The call is taken, for it may need no token; what is wrong is counted."""
    found = envelope(body(fhirServer=SERVER, fhirAuthorization={**AUTHORIZATION, member: bad}))
    assert check(found, OFFERED).name == "patient-view"
    assert faults(found) == (member,)
    assert found.deviations == (f"authorization-{member.replace('_', '-')}",)


@pytest.mark.parametrize("member", sorted(AUTHORIZATION))
def test_an_authorization_without_a_member(member: str) -> None:
    short = {name: value for name, value in AUTHORIZATION.items() if name != member}
    found = envelope(body(fhirServer=SERVER, fhirAuthorization=short))
    assert check(found, OFFERED).name == "patient-view"
    assert faults(found) == (member,)


def faults(found: Envelope[Resource]) -> tuple[str, ...]:
    assert found.fhirAuthorization is not None
    return found.fhirAuthorization.faults


@pytest.mark.parametrize(("kind", "bearer"), [("Bearer", True), ("BEARER", True), ("", True), ("mac", False)])
def test_a_token_without_a_type_is_taken_for_a_bearer_token(kind: str, bearer: bool) -> None:
    assert FhirAuthorization(TOKEN, kind).is_bearer is bearer


def test_a_whole_authorization() -> None:
    found = envelope(body(fhirServer=SERVER, fhirAuthorization={**AUTHORIZATION, "token_type": "bearer"}))
    assert check(found, OFFERED).name == "patient-view"
    assert found.fhirAuthorization is not None
    assert found.fhirAuthorization.scopes == ("user/Patient.read", "user/Observation.read")
    assert found.fhirAuthorization.faults == found.deviations == ()
    assert FhirAuthorization(scope=["EPIC.FHIR.R4"]).scopes == ("EPIC.FHIR.R4",)


def test_no_representation_shows_the_token_or_the_patient() -> None:
    found = envelope(
        body(context={"patientId": "planted-id"}, fhirServer=SERVER, fhirAuthorization=AUTHORIZATION)
    )
    for shown in (repr(found), str(found), repr(found.fhirAuthorization), f"{[found]}", repr(vars_of(found))):
        assert TOKEN not in shown
        assert "planted-id" not in shown
    assert found.__rich_repr__() == []


def vars_of(struct: msgspec.Struct) -> list[object]:
    return [getattr(struct, name) for name in struct.__struct_fields__]


def test_vectors(vectors: dict[str, list[dict[str, Any]]]) -> None:
    for vector in vectors["request"]:
        expected = (vector["valid"]["request"] or vector["name"] in TOLERATED) and vector[
            "name"
        ] not in UNKNOWN
        assert readable(msgspec.json.encode(vector["body"])) is expected, vector["name"]


def readable(raw: bytes) -> bool:
    try:
        found = ENVELOPE.decode(raw)
        check(found, OFFERED).read(found.context, RESOURCE.decode)
    except (HookError, msgspec.ValidationError):
        return False
    return True


def test_every_captured_request_for_a_known_hook_is_read(shared: Path) -> None:
    count = 0
    for path in sorted((shared / "corpus" / "cds-requests").glob("*.json")):
        found = ENVELOPE.decode(path.read_bytes())
        given = json.loads(path.read_bytes())
        # One example of the specification lacks the patient that its hook requires.
        if found.hook not in REGISTRY or "patientId" not in given["context"]:
            assert not readable(path.read_bytes()), path.name
            continue
        context = check(found, OFFERED).read(found.context, RESOURCE.decode)
        assert context.patient_id == given["context"]["patientId"].removeprefix("Patient/"), path.name
        assert len(context.drafts()) == number_of_resources(given), path.name
        assert found.prefetch == given.get("prefetch"), path.name
        count += 1
    assert count >= 60


def number_of_resources(given: dict[str, Any]) -> int:
    field = REGISTRY[given["hook"]].resources_field
    value = given["context"].get(field, [])
    if isinstance(value, list):
        return len(value)
    return len(value["entry"]) if value["resourceType"] == "Bundle" else 1


def test_text_after_the_json_is_refused_by_the_decoder(shared: Path) -> None:
    paths = sorted((shared / "corpus" / "hostile" / "cds-requests-trailing-text").glob("*.json"))
    assert paths
    for path in paths:
        with pytest.raises(msgspec.DecodeError):
            ENVELOPE.decode(path.read_bytes())
