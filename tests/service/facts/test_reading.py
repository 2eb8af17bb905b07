from typing import Any

import pytest

from service.facts.reading import read
from tests.service.facts import codes
from tests.service.facts.build import (
    Json,
    ago,
    answers,
    concept,
    condition,
    encounter,
    lab,
    observation,
    patient,
    record_of,
)

STRAY = "http://loinc.org|10158-7"


def test_the_patient_and_the_visits_are_read_before_what_they_date() -> None:
    given = [
        condition(codes.HIP_PAIN, onsetAge={"value": 66, "code": "a"}),
        condition(codes.LOW_BACK_PAIN, encounter={"reference": "Encounter/e1"}),
        encounter(8, id="e1"),
        patient(birthDate="1960-05-17"),
    ]
    record = record_of(given)
    (hip,) = record.of("hip-pain")
    (back,) = record.of("low-back-pain")
    assert hip.start is not None
    assert back.start == back.seen == record.calendar.past(ago(8))


@pytest.mark.parametrize(
    ("members", "start", "seen", "end"),
    [
        ({"onset": 30, "recorded": 10}, 30, 10, None),
        ({"onset": 30}, 30, 30, None),
        ({"recorded": 10}, 10, 10, None),
        ({"encounter": {"reference": "Encounter/e1"}}, 8, 8, None),
        ({"recorded": 10, "encounter": {"reference": "Encounter/e1"}}, 10, 8, None),
        ({"recorded": 5, "encounter": {"reference": "Encounter/e1"}}, 5, 5, None),
        ({"onset": 30, "encounter": {"reference": "Encounter/none"}}, 30, 30, None),
        ({"onset": 30, "recorded": 10, "abatementDateTime": ago(4)}, 30, 10, 4),
        ({"onset": 30, "abatementPeriod": {"start": ago(6), "end": ago(4)}}, 30, 30, 4),
        ({"onset": 30, "recorded": 10, "abatementBoolean": True}, 30, 10, 10),
        ({"onset": 30, "abatementBoolean": True}, 30, 30, 30),
        ({"onset": 30, "abatementDateTime": ago(-9)}, 30, 30, None),
        ({}, None, None, None),
    ],
)
def test_the_days_of_a_condition(
    members: dict[str, Any], start: int | None, seen: int | None, end: int | None
) -> None:
    record = record_of([encounter(8, id="e1"), condition(codes.HIP_PAIN, clinical=None, **members)])
    (entry,) = record.of("hip-pain")

    def days(day: Any) -> int | None:
        return None if day is None else record.calendar.today - day.mid

    assert (days(entry.start), days(entry.seen), days(entry.end)) == (start, seen, end)


@pytest.mark.parametrize(
    ("status", "active"),
    [
        ({"coding": [{"code": "active"}]}, True),
        ({"coding": [{"code": "resolved"}]}, False),
        ("active", True),
        ("resolved", False),
        (None, None),
        ({"text": "active"}, None),
    ],
)
def test_clinical_status_is_read_from_a_concept_or_the_bare_code_of_older_senders(
    status: Json | str | None, active: bool | None
) -> None:
    record = record_of([{**condition(codes.HIP_PAIN, clinical=None), "clinicalStatus": status}])
    (entry,) = record.of("hip-pain")
    assert entry.active is active


@pytest.mark.parametrize(
    ("category", "kind"),
    [
        ([concept("x|encounter-diagnosis")], "encounter-diagnosis"),
        (concept("x|encounter-diagnosis"), "encounter-diagnosis"),
        ([concept("x|problem-list-item")], "problem"),
        (None, "problem"),
    ],
)
def test_an_encounter_diagnosis_is_told_from_a_problem(category: Any, kind: str) -> None:
    record = record_of([{**condition(codes.HIP_PAIN), "category": category}])
    (entry,) = record.of("hip-pain")
    assert entry.kind == kind


def test_refuted_conditions_are_counted_apart() -> None:
    gm = "http://fhir.de/CodeSystem/bfarm/icd-10-gm|C61 A"
    given = [
        condition(codes.HIP_PAIN, verification="refuted"),
        condition(codes.HIP_PAIN, verification="entered-in-error"),
        condition(gm),
    ]
    assert dict(record_of(given).dropped) == {"refuted": 2, "entered-in-error": 1}


@pytest.mark.parametrize(
    ("given", "uncoded"),
    [
        ({**condition(), "code": {"text": "sore back"}}, 1),
        ({**condition(), "code": None}, 1),
        (condition("http://snomed.info/sct|38341003"), 0),
        (condition("https://ehr.example/codes|4711"), 0),
        (condition(codes.HIP_PAIN), 0),
    ],
)
def test_decision_20_problems_without_a_code_are_counted(given: Json, uncoded: int) -> None:
    assert record_of([given]).uncoded["Condition"] == uncoded


def test_decision_26_components_have_the_subject_date_and_status_of_their_parent() -> None:
    part = {"code": concept(codes.SADDLE_ANAESTHESIA), "valueBoolean": True}
    panel = observation(STRAY, 6, status="amended", component=[part])
    (entry,) = record_of([panel]).of("saddle-anaesthesia")
    assert entry.start is not None
    assert entry.start.date.isoformat() == ago(6)
    assert entry.status == "amended"
    assert record_of([{**panel, "subject": {"reference": "Patient/p2"}}]).of("saddle-anaesthesia") == []


def test_members_of_a_panel_count_only_where_they_are_in_the_data() -> None:
    panel = observation(STRAY, 6, hasMember=[{"reference": "Observation/o2"}])
    assert record_of([panel]).evidence == {}
    member = observation(codes.FEVER, 6, id="o2")
    assert len(record_of([panel, member]).of("fever")) == 1


def test_a_value_that_only_repeats_its_code_is_read_once() -> None:
    given = observation(codes.FEVER, 6, valueCodeableConcept=concept(codes.FEVER))
    assert len(record_of([given]).of("fever")) == 1


def test_a_diagnosis_named_as_a_value_is_no_evidence() -> None:
    given = observation(STRAY, 6, valueCodeableConcept=concept(codes.OSTEOPOROSIS))
    assert record_of([given]).evidence == {}


@pytest.mark.parametrize(
    "given", [observation(None, 6), observation(None, 6, valueCodeableConcept=concept(codes.FEVER))]
)
def test_an_observation_without_a_code_says_nothing(given: Json) -> None:
    assert record_of([given]).evidence == {}


@pytest.mark.parametrize("status", ["completed", "amended", "in-progress", None])
def test_a_questionnaire_that_stands_is_read(status: str | None) -> None:
    given = {**answers(5, bowel={"valueBoolean": True}), "status": status}
    (entry,) = record_of([given]).answers["neuro.faecal_incontinence"]
    assert entry.present is True
    assert entry.source.code == "bowel"
    assert entry.seen is not None
    assert entry.seen.date.isoformat() == ago(5)


@pytest.mark.parametrize("status", ["entered-in-error", "stopped"])
def test_a_questionnaire_that_does_not_stand_is_not_read(status: str) -> None:
    given = {**answers(5, bowel={"valueBoolean": True}), "status": status}
    assert record_of([given]).answers == {}


def test_questions_in_groups_and_below_answers_are_found() -> None:
    yes = {"valueBoolean": True}
    inner = {"linkId": "bowel", "answer": [yes]}
    grouped = {"linkId": "group", "item": [{"linkId": "bladder", "answer": [{**yes, "item": [inner]}]}]}
    given = {**answers(5), "item": [grouped, {"linkId": "other", "answer": [yes]}, {}]}
    assert set(record_of([given]).answers) == {"neuro.urinary_retention", "neuro.faecal_incontinence"}


def test_an_empty_questionnaire_says_nothing() -> None:
    assert record_of([{**answers(5), "item": None}]).answers == {}


def test_reading_twice_adds_up() -> None:
    record = record_of([lab(codes.CRP, 5, "mg/L")])
    read(record, [])
    assert list(record.analytes) == ["crp"]
