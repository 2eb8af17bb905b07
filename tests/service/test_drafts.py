"""Draft orders by name, code and file."""

import json

import pytest

from service.bodies import InputRefused
from service.drafts import drafts, is_file
from tests.service.pages.visits import bundled

SERVICE = {"resourceType": "ServiceRequest", "id": "s1"}


def test_an_order_of_the_rules_by_its_name() -> None:
    found = drafts("esr-crp", bundled().bundle)
    assert [one["resourceType"] for one in found] == ["ServiceRequest", "ServiceRequest"]


@pytest.mark.parametrize(
    ("named", "system", "code"),
    [
        ("30854-4", "http://loinc.org", "30854-4"),
        ("loinc|30854-4", "http://loinc.org", "30854-4"),
        ("CPT|72148", "http://www.ama-assn.org/go/cpt", "72148"),
        ("urn:oid:1.2|MR1", "urn:oid:1.2", "MR1"),
    ],
)
def test_a_code_becomes_a_service_request(named: str, system: str, code: str) -> None:
    (found,) = drafts(named, bundled().bundle)
    assert found["resourceType"] == "ServiceRequest"
    assert found["code"] == {"coding": [{"system": system, "code": code}]}
    assert (found["status"], found["intent"]) == ("draft", "proposal")


@pytest.mark.parametrize("named", ["M05BX04", "atc|M05BX04", "rxnorm|46041"])
def test_a_code_of_a_medicine_becomes_a_prescription(named: str) -> None:
    (found,) = drafts(named, bundled().bundle)
    assert found["resourceType"] == "MedicationRequest"
    assert found["medicationCodeableConcept"]["coding"][0]["code"] == named.rpartition("|")[2]


@pytest.mark.parametrize("named", ["leeches", "C39", "72148", ""])
def test_what_is_neither_is_told_with_the_names_there_are(named: str) -> None:
    with pytest.raises(InputRefused, match=r"SYSTEM\|CODE"):
        drafts(named, bundled().bundle)


@pytest.mark.parametrize(
    "given",
    [
        SERVICE,
        [SERVICE],
        {"resourceType": "Bundle", "entry": [{"resource": SERVICE}]},
        [1, {"x": 1}, SERVICE],
    ],
)
def test_a_file_holds_a_resource_several_or_a_bundle(given: object) -> None:
    assert drafts("o.json", bundled().bundle, json.dumps(given).encode()) == [SERVICE]


@pytest.mark.parametrize(
    ("text", "says"), [(b"{", "not JSON"), (b"{}", "no FHIR resource"), (b"[]", "no FHIR")]
)
def test_a_file_without_orders_is_told(text: bytes, says: str) -> None:
    with pytest.raises(InputRefused, match=says):
        drafts("o.json", bundled().bundle, text)


def test_which_names_are_files() -> None:
    assert all(map(is_file, ("-", "o.json", "a/b.json.gz")))
    assert not any(map(is_file, ("esr-crp", "30854-4", "loinc|30854-4", "json")))
