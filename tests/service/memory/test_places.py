"""Where a call comes from: the encounter that the context names, among what came with the call."""

from typing import Any

import msgspec
import pytest

from service.memory.places import places
from service.resources import Encounter, Resource
from tests.service.facts.build import PATIENT, Json, record_of, resource

MOVED = [
    {"location": {"reference": "Location/emergency"}, "status": "completed"},
    {"location": {"reference": "Location/w3/_history/2"}, "status": "active"},
    {"location": {"reference": "https://ehr.example.org/r4/Location/bed-2"}},
    {"location": {"reference": "Location/theatre"}, "status": "planned"},
    {"location": {"display": "a place without a reference"}},
    {"status": "active"},
]
DECODER = msgspec.json.Decoder(Resource)


def visit(**members: Any) -> Json:
    return resource("Encounter", **{"id": "e1", "subject": {"reference": f"Patient/{PATIENT}"}, **members})


def found(*given: Json, encounter: str | None = "e1") -> set[str]:
    resources = [DECODER.decode(msgspec.json.encode(one)) for one in given]
    return set(places(encounter, record_of([]), resources))


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"location": MOVED}, {"Location/w3", "Location/bed-2"}),
        ({"serviceProvider": {"reference": "Organization/clinic"}}, {"Organization/clinic"}),
        ({"serviceProvider": {"display": "Clinic"}}, set()),
        ({"location": MOVED[1:2], "subject": None}, {"Location/w3"}),
        ({"location": MOVED[1:2], "subject": {"reference": "Patient/another"}}, set()),
        ({"location": MOVED[1:2], "id": "e2"}, set()),
        ({}, set()),
    ],
)
def test_the_places_of_an_encounter(members: dict[str, Any], expected: set[str]) -> None:
    assert found(visit(**members)) == expected


def test_it_is_found_in_a_searchset_among_others() -> None:
    other = visit(id="e0", location=[{"location": {"reference": "Location/w9"}}])
    mine = visit(location=MOVED)
    entries = [{"resource": other}, {}, {"resource": mine}]
    searchset = {"resourceType": "Bundle", "type": "searchset", "entry": entries}
    assert found(resource("Patient"), searchset) == {"Location/w3", "Location/bed-2"}


def test_without_an_encounter_or_data_the_place_is_unknown() -> None:
    assert found(visit(location=MOVED), encounter=None) == set()
    assert found(visit(location=MOVED, id=None), encounter="") == set()
    assert found() == set()


def test_the_members_read_are_decoded() -> None:
    (decoded,) = [DECODER.decode(msgspec.json.encode(visit(location=MOVED[:1])))]
    assert isinstance(decoded, Encounter)
    assert decoded.location is not None
    assert decoded.location[0].status == "completed"
