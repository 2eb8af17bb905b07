import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from service import resources
from service.datatypes import CodeableConcept
from service.resources import (
    OTHERS,
    Condition,
    Encounter,
    MedicationRequest,
    Observation,
    Other,
    Patient,
    QuestionnaireResponse,
    Resource,
    Task,
)
from tests.files import globbed

Json = dict[str, Any]


def read(given: Json) -> Any:
    return msgspec.json.decode(msgspec.json.encode(given), type=Resource)


@pytest.mark.parametrize("name", resources.__all__)
def test_every_public_name_exists(name: str) -> None:
    assert hasattr(resources, name)


def test_every_element_may_be_absent() -> None:
    for kind in (Patient, Condition, Observation, Encounter, MedicationRequest, QuestionnaireResponse):
        assert read({"resourceType": kind.__name__}) == kind()


def test_elements_nobody_reads_are_skipped_whatever_they_hold() -> None:
    assert read({"resourceType": "Patient", "id": "p1", "name": 5, "photo": [{}]}) == Patient(id="p1")


def test_a_null_is_an_absence() -> None:
    assert read({"resourceType": "Condition", "code": None, "category": None}) == Condition()


@pytest.mark.parametrize("category", [{"coding": [{"code": "x"}]}, [{"coding": [{"code": "x"}]}]])
def test_one_concept_is_taken_where_a_list_belongs(category: Any) -> None:
    condition = read({"resourceType": "Condition", "category": category})
    given = condition.category if isinstance(condition.category, list) else [condition.category]
    assert given[0].coding[0].code == "x"


@pytest.mark.parametrize("status", ["active", {"coding": [{"code": "active"}]}])
def test_a_status_may_be_a_bare_code(status: Any) -> None:
    assert read({"resourceType": "Condition", "clinicalStatus": status}).clinicalStatus is not None


def test_r5_elements_stand_beside_those_of_r4() -> None:
    concept = {"coding": [{"code": "7052"}]}
    request = read({"resourceType": "MedicationRequest", "medication": {"concept": concept}})
    assert request.medication.concept == msgspec.convert(concept, CodeableConcept)
    visit = read(
        {
            "resourceType": "Encounter",
            "actualPeriod": {"start": "2026"},
            "serviceType": [{"concept": concept}],
        }
    )
    assert visit.actualPeriod.start == "2026"
    assert visit.serviceType[0].concept.coding[0].code == "7052"


def test_a_word_of_python_is_read_by_its_name_on_the_wire() -> None:
    task = read({"resourceType": "Task", "for": {"reference": "Patient/p1"}})
    assert isinstance(task, Task)
    assert task.for_ is not None
    assert task.for_.reference == "Patient/p1"


def test_contained_resources_and_nested_items_are_read() -> None:
    inner = {"resourceType": "Medication", "id": "m1"}
    request = read({"resourceType": "MedicationRequest", "contained": [inner, {"resourceType": "Basic"}]})
    assert [one.id for one in request.contained] == ["m1", None]
    items = [{"linkId": "a", "item": [{"linkId": "b", "answer": [{"item": [{"linkId": "c"}]}]}]}]
    response = read({"resourceType": "QuestionnaireResponse", "item": items})
    assert response.item[0].item[0].answer[0].item[0].linkId == "c"


@pytest.mark.parametrize("kind", OTHERS, ids=lambda kind: kind.__name__)
def test_other_types_keep_only_their_id(kind: type[Any]) -> None:
    value = read({"resourceType": kind.__name__, "id": "x", "status": 5})
    assert isinstance(value, Other)
    assert type(value) is kind
    assert value.id == "x"


@pytest.mark.parametrize(
    "given", [{"resourceType": "Unheard"}, {}, {"resourceType": "Condition", "code": "text"}]
)
def test_what_cannot_be_read_is_refused(given: Json) -> None:
    with pytest.raises(msgspec.ValidationError):
        read(given)


def test_every_resource_type_of_the_corpus_is_known(shared: Path) -> None:
    known = {kind.__name__ for kind in OTHERS} | set(resources.__all__)
    for file in globbed(shared / "corpus" / "patients", "*.json.gz"):
        found = {one["resourceType"] for one in _resources(file)}
        assert found, file.name
        assert found <= known, file.name


def _resources(file: Path) -> Iterator[Json]:
    content = json.loads(gzip.decompress(file.read_bytes()))
    for entry in content.get("entry", ()):
        if "resource" in entry:
            yield entry["resource"]
