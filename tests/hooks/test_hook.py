"""Reading a context: what is required, what is tolerated, how a fault is named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from hooks.errors import ContextFieldInvalid, ContextFieldMissing, ContextInvalid, ContextMissing
from hooks.registry import REGISTRY, hook
from tests.hooks.requests import ORDER, RESOURCE, read


@pytest.mark.parametrize("raw", [b"", b"null"])
def test_no_context(raw: bytes) -> None:
    with pytest.raises(ContextMissing) as caught:
        hook("patient-view").read(Raw(raw), RESOURCE.decode)
    assert caught.value.code == "context-missing"


@pytest.mark.parametrize("raw", [b"[]", b'"p1"', b"7", b"{", b'{"patientId": "p1"', b"[" * 5000])
def test_a_context_that_is_no_object(raw: bytes) -> None:
    with pytest.raises(ContextInvalid) as caught:
        hook("patient-view").read(Raw(raw), RESOURCE.decode)
    assert caught.value.code == "context-invalid"


def test_unknown_fields_are_ignored() -> None:
    context = read("patient-view", {"patientId": "p1", "services": None, "com.example.new": {"deep": [1]}})
    assert (context.patient_id, context.user_id, context.encounter_id) == ("p1", None, None)


@pytest.mark.parametrize(
    ("given_id", "bare"),
    [
        ("p1", "p1"),
        ("Patient/p1", "p1"),
        ("eXoGxqgBaJuNkuahMYmiDhg3", "eXoGxqgBaJuNkuahMYmiDhg3"),
        ("example_with-all.kinds~of:id", "example_with-all.kinds~of:id"),
        ("a" * 256, "a" * 256),
        # FHIR: [A-Za-z0-9\-\.]{1,64}
        ("-p.1", "-p.1"),
        (".p", ".p"),
        ("-", "-"),
        ("...", "..."),
        ("Patient/-p.1", "-p.1"),
    ],
)
def test_patient_ids_come_bare(given_id: str, bare: str) -> None:
    assert read("patient-view", {"patientId": given_id}).patient_id == bare


@pytest.mark.parametrize(
    "given_id",
    [
        *("p 1", "p1&_include=x", "p1,p2", "a/b/c", "patient/p1", "a" * 257, "p1\n", 7, ["p1"]),
        *("../p1", "./p1", "Patient/..", "_search", "$everything", "p1/_history/2"),
        "https://ehr.example.org/fhir/Patient/p1",
    ],
)
def test_a_patient_id_that_is_no_id_is_refused_without_repeating_it(given_id: object) -> None:
    with pytest.raises(ContextFieldInvalid) as caught:
        read("patient-view", {"patientId": given_id})
    assert "patientId" in caught.value.message
    assert str(given_id) not in str(caught.value)


@pytest.mark.parametrize("given_id", [".", "..", "Patient/."])
def test_a_step_of_a_path_is_no_id(given_id: str) -> None:
    with pytest.raises(ContextFieldInvalid, match="patientId"):
        read("patient-view", {"patientId": given_id})


@pytest.mark.parametrize("blank", [None, ""])
def test_a_blank_required_field_is_missing_and_a_blank_optional_one_absent(blank: object) -> None:
    with pytest.raises(ContextFieldMissing, match="patientId"):
        read("patient-view", {"patientId": blank})
    assert (
        read("patient-view", {"patientId": "p1", "encounterId": blank, "userId": blank}).encounter_id is None
    )


@pytest.mark.parametrize(
    "user",
    [
        "https://ehr.example.org/fhir/r4/Practitioner/-u.1",
        "HTTPS://ehr.example.org/Practitioner/-u.1/_history/3",
        "http://[::1]:8080/Practitioner/-u.1",
        "Practitioner/-u.1",
    ],
)
def test_a_user_is_reduced_to_type_and_id(user: str) -> None:
    context = read("patient-view", {"patientId": "p1", "userId": user})
    assert context.user_id == "Practitioner/-u.1"
    assert context.tokens()["userPractitionerId"] == "-u.1"


@pytest.mark.parametrize(
    "user",
    [
        *("1", "Practitioner", "Practitioner/", "practitioner/1", "Practitioner/1/2", 1),
        *("Practitioner/.", "Practitioner/..", "ftp://ehr.example.org/Practitioner/1"),
        *("https://ehr.example.org/Practitioner/..", "https://ehr.example.org/practitioner/1"),
        *("https://u:p@ehr.example.org/Practitioner/1", "https://ehr.example.org/Practitioner?_id=1"),
        *("https:///Practitioner/1", "https://Practitioner/1", "https://" + "a/" * 300 + "Practitioner/1"),
    ],
)
def test_a_user_that_is_no_reference_is_refused(user: object) -> None:
    with pytest.raises(ContextFieldInvalid, match="userId"):
        read("patient-view", {"patientId": "p1", "userId": user})


def test_the_first_required_field_that_lacks_is_named() -> None:
    with pytest.raises(ContextFieldMissing) as caught:
        read("order-select", {"patientId": "p1", "selections": ["ServiceRequest/o1"]})
    assert caught.value.message == "The context lacks draftOrders, which the hook order-select requires."


@pytest.mark.parametrize("selections", [["a b"], [""], [7], {"a": 1}, ["a,b"]])
def test_selections_that_are_no_references_are_refused(selections: object) -> None:
    with pytest.raises(ContextFieldInvalid, match="selections"):
        read("order-select", {"patientId": "p1", "selections": selections, "draftOrders": [ORDER]})


@pytest.mark.parametrize(
    "selections", [["ServiceRequest/o1"], "ServiceRequest/o1", ["o1"], ["urn:uuid:0b7e1c0e"], []]
)
def test_selections_are_taken_as_the_sender_writes_them(selections: list[str] | str) -> None:
    context = read("order-select", {"patientId": "p1", "selections": selections, "draftOrders": [ORDER]})
    assert context.selections() == tuple([selections] if isinstance(selections, str) else selections)


def test_a_malformed_resource_names_its_field() -> None:
    with pytest.raises(ContextFieldInvalid, match="draftOrders"):
        read("order-sign", {"patientId": "p1", "draftOrders": "text"})


def test_tokens_hold_only_what_the_call_gives() -> None:
    full = read(
        "patient-view", {"patientId": "p1", "encounterId": "Encounter/e1", "userId": "PractitionerRole/r1"}
    )
    assert full.tokens() == {
        "context.patientId": "p1",
        "context.encounterId": "e1",
        "context.userId": "PractitionerRole/r1",
        "userPractitionerRoleId": "r1",
    }
    assert read("patient-view", {"patientId": "p1"}).tokens() == {"context.patientId": "p1"}
    device = read("patient-view", {"patientId": "p1", "userId": "Device/d1"})
    assert set(device.tokens()) == {"context.patientId", "context.userId"}


def test_no_representation_holds_an_id() -> None:
    context = read("order-sign", {"patientId": "planted", "draftOrders": [ORDER]})
    assert repr(context) == "OrderSign(...)"
    assert context.__rich_repr__() == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
fields = st.sampled_from(
    sorted(
        {name for hook in REGISTRY.values() for field in hook.fields for name in (field.name, *field.aliases)}
    )
)


@given(st.sampled_from(sorted(REGISTRY)), st.dictionaries(fields, json_values, max_size=8))
def test_any_json_is_read_or_refused_with_a_hook_error(name: str, context: dict[str, object]) -> None:
    try:
        patient = read(name, context).patient_id
    except (ContextFieldInvalid, ContextFieldMissing):
        return
    assert patient
