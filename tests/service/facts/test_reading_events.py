from typing import Any

import pytest

from tests.service.facts import codes
from tests.service.facts.build import (
    Json,
    ago,
    concept,
    encounter,
    observation,
    procedure,
    record_of,
    report,
    resource,
)


def test_a_visit_is_read_by_its_reasons_and_by_its_kind() -> None:
    record = record_of([encounter(9, reason=[codes.HIP_PAIN, codes.FEVER], kind=[codes.ONCOLOGY], id="e1")])
    assert [entry.kind for entry in record.of("hip-pain", "fever", "oncology-contact")] == ["visit"] * 3
    assert record.visit_days["Encounter/e1"].date.isoformat() == ago(9)


def test_a_visit_is_last_seen_at_its_end() -> None:
    period = {"start": ago(9), "end": ago(5)}
    (entry,) = record_of([encounter(None, kind=[codes.ONCOLOGY], period=period)]).of("oncology-contact")
    assert entry.start is not None
    assert entry.seen is not None
    assert (entry.start.date.isoformat(), entry.seen.date.isoformat()) == (ago(9), ago(5))


def test_the_r5_period_of_a_visit_is_read() -> None:
    given = encounter(None, kind=[codes.ONCOLOGY], actualPeriod={"start": ago(9)})
    (entry,) = record_of([given]).of("oncology-contact")
    assert entry.start is not None
    assert entry.start.date.isoformat() == ago(9)


@pytest.mark.parametrize("status", ["planned", "cancelled", "entered-in-error"])
def test_a_visit_that_did_not_take_place_is_left_out(status: str) -> None:
    record = record_of([encounter(9, reason=[codes.HIP_PAIN], status=status)])
    assert record.evidence == {}
    assert record.visit_days == {}


def test_a_visit_ahead_has_no_day() -> None:
    assert record_of([encounter(-9, id="e1")]).visit_days == {}


@pytest.mark.parametrize("status", ["not-done", "preparation", "entered-in-error", "unknown", "on-hold"])
def test_a_procedure_that_was_not_done_is_left_out(status: str) -> None:
    assert record_of([procedure(codes.PHYSIOTHERAPY, 9, status=status)]).evidence == {}


@pytest.mark.parametrize(
    ("timing", "start", "end"),
    [
        ({"performedDateTime": ago(9)}, 9, 9),
        ({"performedPeriod": {"start": ago(9), "end": ago(5)}}, 9, 5),
        ({"performedPeriod": {"end": ago(5)}}, 5, 5),
        ({"performedPeriod": {"start": ago(9)}}, 9, 9),
        ({"occurrenceDateTime": ago(9)}, 9, 9),
        ({"occurrencePeriod": {"start": ago(9), "end": ago(5)}}, 9, 5),
    ],
)
def test_a_procedure_has_its_days(timing: dict[str, Any], start: int, end: int) -> None:
    record = record_of([procedure(codes.PHYSIOTHERAPY, None, **timing)])
    (entry,) = record.of("physiotherapy-manual-therapy")
    assert entry.start is not None
    assert entry.seen is not None
    assert record.calendar.today - entry.start.mid == start
    assert record.calendar.today - entry.seen.mid == end


def test_a_procedure_remembers_whether_a_body_site_was_stated() -> None:
    record = record_of(
        [
            procedure(codes.RADIOTHERAPY, 9, bodySite=[concept(codes.PELVIS)]),
            procedure(codes.RADIOTHERAPY, 9, bodySite=concept(codes.THORAX)),
            procedure(codes.RADIOTHERAPY, 9),
        ]
    )
    stated = ["body-site-stated" in entry.sets for entry in record.of("radiotherapy-procedure")]
    assert stated == [True, True, False]
    assert len(record.of("pelvic-body-site")) == 1


def test_an_imaging_procedure_is_imaging_without_a_report() -> None:
    (item,) = record_of([procedure(codes.MRI_LUMBAR, 9)]).imaging
    assert not item.final
    assert not item.coded


def test_a_procedure_without_a_date_is_no_imaging() -> None:
    assert record_of([procedure(codes.MRI_LUMBAR, None)]).imaging == []


def test_a_note_filed_as_a_report_is_no_imaging() -> None:
    assert (
        record_of([report("http://loinc.org|51847-2", 9, conclusion=[codes.BONE_METASTASIS])]).imaging == []
    )


@pytest.mark.parametrize(
    ("given", "coded"),
    [
        (report(codes.MRI_LUMBAR, 9, conclusion=[codes.NORMAL]), True),
        (report(codes.MRI_LUMBAR, 9, conclusion=["http://ehr.example|1"]), True),
        (report(codes.MRI_LUMBAR, 9), False),
        ({**report(codes.MRI_LUMBAR, 9), "conclusionCode": {"text": "normal"}}, False),
        (observation(codes.MRI_LUMBAR, 9, valueCodeableConcept=concept(codes.NORMAL)), True),
    ],
)
def test_a_report_is_coded_when_its_conclusion_has_a_code(given: Json, coded: bool) -> None:
    (item,) = record_of([given]).imaging
    assert item.coded is coded


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (resource("CarePlan", status="active", category=[concept(codes.TERMINAL_CARE)]), "plan"),
        (resource("CarePlan", status="on-hold", category=[concept(codes.TERMINAL_CARE)]), "plan"),
        (resource("Flag", status="active", code=concept(codes.HOSPICE)), "flag"),
    ],
)
def test_plans_and_flags_are_evidence_of_their_own_kind(given: Json, kind: str) -> None:
    (entry,) = record_of([given]).of("palliative-hospice", "terminal-illness")
    assert entry.kind == kind
    assert entry.active is True
    assert entry.start is None


@pytest.mark.parametrize(
    "given",
    [
        resource("CarePlan", status="active", category=[concept("http://ehr.example|1")]),
        resource("Flag", status="active", code=concept("http://ehr.example|1")),
        resource("Flag", status="inactive", code=concept(codes.HOSPICE)),
        procedure("http://ehr.example|1", 9),
        encounter(9, reason=["http://ehr.example|1"]),
        resource(
            "Appointment",
            status="fulfilled",
            serviceType=[concept("http://ehr.example|1")],
            participant=[{"actor": {"reference": "Patient/p1"}}],
        ),
    ],
    ids=["plan", "flag", "inactive flag", "procedure", "visit", "appointment"],
)
def test_what_is_in_no_value_set_is_left_out(given: Json) -> None:
    assert record_of([given]).evidence == {}
