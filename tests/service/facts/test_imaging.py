from typing import Any

import pytest

from service.facts.imaging import MODALITIES
from tests.service.facts import codes
from tests.service.facts.build import (
    AVAILABLE,
    Json,
    ago,
    code_index,
    concept,
    condition,
    encounter,
    facts_of,
    observation,
    procedure,
    report,
    resource,
    service_request,
)

LATER: Json = {"encounter": {"reference": "Encounter/e1"}}


def study(code: str, days: int, status: str = "available", **members: Any) -> Json:
    return resource(
        "ImagingStudy", status=status, started=ago(days), procedureCode=[concept(code)], **members
    )


def studies(*given: Json, **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = facts_of(given, **options)["imaging.studies"]
    return found


def test_every_modality_is_a_value_set_and_every_imaging_set_has_one() -> None:
    sets = {name for name in code_index().titles if name.startswith("imaging-")}
    assert set(MODALITIES) == sets - {"imaging-normal", "imaging-category"}


# -- what was done -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        report(codes.MRI_LUMBAR, 20),
        report(codes.MRI_LUMBAR, None, effectivePeriod={"start": ago(21), "end": ago(20)}),
        report(codes.MRI_LUMBAR, None, issued=f"{ago(20)}T09:00:00Z"),
        study(codes.MRI_LUMBAR, 20),
        resource(
            "ImagingStudy",
            status="available",
            started=ago(20),
            procedure=[{"concept": concept(codes.MRI_LUMBAR)}],
        ),
        procedure(codes.MRI_LUMBAR, 20),
        observation(codes.MRI_LUMBAR, 20),
    ],
    ids=["report", "report by period", "report by issue", "study", "R5 study", "procedure", "observation"],
)
def test_an_examination_may_be_filed_in_any_form(given: Json) -> None:
    (one,) = studies(given)
    assert (one["modality"], one["regions"], one["days"], one.get("result")) == (
        "mri",
        ["lumbar-spine"],
        20,
        None,
    )


def test_a_report_its_study_and_its_procedure_are_one_examination() -> None:
    given = [
        procedure(codes.MRI_LUMBAR, 21),
        study(codes.MRI_LUMBAR, 20),
        report(codes.MRI_LUMBAR, 20, conclusion=[codes.NORMAL]),
    ]
    (one,) = studies(*given)
    assert (one["days"], one.get("result")) == (21, "normal")


def test_examinations_two_days_apart_or_of_another_kind_are_two() -> None:
    assert len(studies(report(codes.MRI_LUMBAR, 20), report(codes.MRI_LUMBAR, 22))) == 2
    assert len(studies(report(codes.MRI_LUMBAR, 20), report(codes.XRAY_LUMBAR, 20))) == 2


@pytest.mark.parametrize(("days", "count"), [(1095, 1), (1096, 0)])
def test_imaging_is_looked_for_over_three_years(days: int, count: int) -> None:
    assert len(studies(report(codes.MRI_LUMBAR, days))) == count


@pytest.mark.parametrize(
    "given",
    [
        report(codes.MRI_LUMBAR, 20, status="cancelled"),
        report(codes.MRI_LUMBAR, 20, status="entered-in-error"),
        report(codes.MRI_LUMBAR, 20, status="unknown"),
        report(codes.MRI_LUMBAR, None),
        report(codes.CRP, 20),
        report("http://loinc.org|34117-2", 20),
        study(codes.MRI_LUMBAR, 20, "registered"),
        study(codes.MRI_LUMBAR, 20, "cancelled"),
        resource("ImagingStudy", status="available", procedureCode=[concept(codes.MRI_LUMBAR)]),
        procedure(codes.MRI_LUMBAR, 20, status="not-done"),
        procedure(codes.MRI_LUMBAR, 20, status="preparation"),
        service_request(codes.MRI_LUMBAR, 20),
        observation(codes.MRI_LUMBAR, 20, status="cancelled"),
    ],
)
def test_what_is_no_examination(given: Json) -> None:
    assert studies(given) == []


def test_no_imaging_on_record() -> None:
    facts = facts_of([])
    assert facts["imaging.studies"] == []
    assert facts["imaging.suspicious_open"] is False
    unread = facts_of([], available=AVAILABLE - {"imaging"})
    assert unread["imaging.studies"] is None
    assert unread["imaging.suspicious_open"] is None


# -- what it concluded ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("conclusion", "result"),
    [
        ([codes.NORMAL], "normal"),
        ([codes.SPONDYLOSIS], "degenerative"),
        ([codes.VERTEBRAL_FRACTURE], "fracture"),
        ([codes.DISCITIS], "infection"),
        ([codes.MYELOMA], "lytic-lesion"),
        ([codes.PATHOLOGICAL_FRACTURE], "pathological-fracture"),
        ([codes.BONE_METASTASIS], "bone-metastasis"),
        ([codes.BONE_METASTASIS_SCT], "bone-metastasis"),
        ([codes.SPINE_METASTASIS], "metastasis"),
        ([codes.LIVER_METASTASIS], "metastasis"),
        ([codes.CORD_COMPRESSION], "cord-compression"),
        ([codes.SPONDYLOSIS, codes.BONE_METASTASIS], "bone-metastasis"),
        # Spread elsewhere hides no bone that may break, whatever the order of the codes.
        ([codes.SPINE_METASTASIS, codes.BONE_METASTASIS], "bone-metastasis"),
        ([codes.BONE_METASTASIS, codes.LIVER_METASTASIS], "bone-metastasis"),
        ([codes.LIVER_METASTASIS, codes.PATHOLOGICAL_FRACTURE], "pathological-fracture"),
        ([codes.SPINE_METASTASIS, codes.MYELOMA], "lytic-lesion"),
        (["http://ehr.example|1"], None),
        ([], None),
    ],
)
def test_the_result_is_the_most_serious_coded_conclusion(conclusion: list[str], result: str | None) -> None:
    (one,) = studies(report(codes.MRI_LUMBAR, 20, conclusion=conclusion))
    assert one.get("result") == result


def test_two_codes_for_one_thing_say_what_the_narrower_says() -> None:
    """A concept coded as metastasis to the spine and as C79.51 is in the spine, not in two bones."""
    spine = concept(codes.SPINE_METASTASIS)
    both = {"coding": [*spine["coding"], *concept(codes.BONE_METASTASIS)["coding"]]}
    (one,) = studies({**report(codes.MRI_PELVIS, 20), "conclusionCode": [both]})
    assert one.get("result") == "metastasis"


def test_the_conclusion_of_an_observation_is_its_value() -> None:
    (one,) = studies(observation(codes.MRI_LUMBAR, 20, valueCodeableConcept=concept(codes.BONE_METASTASIS)))
    assert one.get("result") == "bone-metastasis"


def test_free_text_is_never_read() -> None:
    (one,) = studies({**report(codes.MRI_LUMBAR, 20), "conclusion": "No metastasis. Normal."})
    assert one.get("result") is None


@pytest.mark.parametrize(
    ("status", "result"),
    [
        ("final", "bone-metastasis"),
        ("amended", "bone-metastasis"),
        ("corrected", "bone-metastasis"),
        ("appended", "bone-metastasis"),
        (None, "bone-metastasis"),
        ("preliminary", "bone-metastasis"),
        ("partial", "bone-metastasis"),
        ("registered", "bone-metastasis"),
    ],
)
def test_a_grave_conclusion_counts_as_soon_as_it_is_there(status: str | None, result: str | None) -> None:
    (one,) = studies(report(codes.MRI_LUMBAR, 20, conclusion=[codes.BONE_METASTASIS], status=status))
    assert one.get("result") == result
    assert one["pending"] is (status in ("preliminary", "partial", "registered"))


def test_a_preliminary_report_is_never_clean_and_gives_way_to_the_final_one() -> None:
    early = report(codes.MRI_LUMBAR, 20, conclusion=[codes.NORMAL], status="preliminary")
    (one,) = studies(early)
    assert (one.get("result"), one["pending"]) == (None, True)
    grave = report(codes.MRI_LUMBAR, 20, conclusion=[codes.BONE_METASTASIS], status="preliminary")
    final = report(codes.MRI_LUMBAR, 20, conclusion=[codes.NORMAL])
    for given in ([grave, final], [final, grave]):
        (one,) = studies(*given)
        assert (one.get("result"), one["pending"]) == ("normal", False)


def test_of_two_reports_of_one_examination_the_more_serious_counts() -> None:
    given = [
        report(codes.MRI_LUMBAR, 20, conclusion=[codes.NORMAL]),
        report(codes.MRI_LUMBAR, 20, conclusion=[codes.BONE_METASTASIS]),
    ]
    assert [one.get("result") for one in studies(*given)] == ["bone-metastasis"]
    assert [one.get("result") for one in studies(*given[::-1])] == ["bone-metastasis"]


@pytest.mark.parametrize(
    ("diagnosis", "result"),
    [
        (condition(codes.BONE_METASTASIS, recorded=20, **LATER), "bone-metastasis"),
        (condition(codes.BONE_METASTASIS, recorded=18, **LATER), "bone-metastasis"),
        (condition(codes.BONE_METASTASIS, recorded=21, **LATER), None),
        (condition(codes.BONE_METASTASIS, recorded=20), None),
        (condition(codes.BONE_METASTASIS, recorded=20, encounter={"reference": "Encounter/e2"}), None),
        (condition(codes.BONE_METASTASIS, recorded=20, verification="provisional", **LATER), None),
        (condition(codes.BONE_METASTASIS, **LATER), None),
        # Worn joints beside a report nobody coded do not make the report clean.
        (condition(codes.SPONDYLOSIS, recorded=20, **LATER), None),
    ],
)
def test_a_diagnosis_of_the_same_visit_says_what_an_uncoded_report_led_to(
    diagnosis: Json, result: str | None
) -> None:
    (one,) = studies(report(codes.MRI_LUMBAR, 20, **LATER), diagnosis)
    assert one.get("result") == result


def test_a_coded_report_is_not_overruled_by_a_diagnosis() -> None:
    found = [condition(codes.BONE_METASTASIS, recorded=18, **LATER)]
    (one,) = studies(report(codes.MRI_LUMBAR, 20, conclusion=[codes.NORMAL], **LATER), *found)
    assert one.get("result") == "normal"


# -- since the pain began ------------------------------------------------------------------------------


PAINS = {
    "back": codes.LOW_BACK_PAIN, "hip": codes.HIP_PAIN, "pelvic": codes.PELVIC_PAIN, "bone": codes.BONE_PAIN
}  # fmt: skip


@pytest.mark.parametrize("pain", PAINS)
@pytest.mark.parametrize(("onset", "since"), [(30, True), (20, True), (19, False)])
def test_decision_31_imaging_is_compared_with_the_onset_of_each_pain(
    pain: str, onset: int, since: bool
) -> None:
    (one,) = studies(report(codes.MRI_LUMBAR, 20), condition(PAINS[pain], onset=onset))
    assert {name: one[f"since_{name}"] for name in PAINS} == {**dict.fromkeys(PAINS), pain: since}


def test_a_newer_pain_leaves_an_older_one_imaged_and_is_not_imaged_by_it() -> None:
    given = [condition(codes.PELVIC_PAIN, onset=30), condition(codes.HIP_PAIN, onset=10)]
    (one,) = studies(report(codes.MRI_PELVIS, 20), *given)
    assert (one["since_pelvic"], one["since_hip"], one["since_back"]) == (True, False, None)


def test_pain_that_is_over_is_compared_with_nothing() -> None:
    over = condition(codes.LOW_BACK_PAIN, onset=300, status="resolved", abatementDateTime=ago(200))
    (one,) = studies(report(codes.MRI_LUMBAR, 20), over)
    assert one["since_back"] is None


# -- suspicious and not acted on -----------------------------------------------------------------------


FOUND = report(codes.MRI_LUMBAR, 20, conclusion=[codes.BONE_METASTASIS])


@pytest.mark.parametrize(("days", "waiting"), [(3, 3), (180, 180), (181, None)])
def test_a_suspicious_result_is_open_for_180_days(days: int, waiting: int | None) -> None:
    facts = facts_of([report(codes.MRI_LUMBAR, days, conclusion=[codes.BONE_METASTASIS])])
    assert facts["imaging.suspicious_open_days"] == waiting
    assert facts["imaging.suspicious_open"] is (waiting is not None)


@pytest.mark.parametrize(
    ("after", "waiting"),
    [
        ([service_request(codes.ONCOLOGY_REFERRAL, 20)], False),
        ([service_request(codes.ONCOLOGY_REFERRAL, 21)], True),
        ([encounter(20, kind=[codes.ONCOLOGY])], False),
        ([encounter(21, kind=[codes.ONCOLOGY])], True),
        ([condition(codes.PROSTATE_CANCER, recorded=20)], False),
        ([condition(codes.PROSTATE_CANCER, recorded=21)], True),
        ([condition(codes.PROSTATE_CANCER)], True),
        ([condition(codes.PROSTATE_CANCER, recorded=10, verification="provisional")], True),
        ([encounter(10)], True),
        ([], True),
    ],
)
def test_a_suspicious_result_is_open_until_somebody_acts(after: list[Json], waiting: bool) -> None:
    facts = facts_of([FOUND, *after])
    assert facts["imaging.suspicious_open"] is waiting
    assert facts["imaging.suspicious_open_days"] == (20 if waiting else None)


def test_the_oldest_result_that_waits_gives_the_days() -> None:
    given = [FOUND, report(codes.BONE_SCAN, 60, conclusion=[codes.BONE_METASTASIS])]
    assert facts_of(given)["imaging.suspicious_open_days"] == 60


@pytest.mark.parametrize(
    "conclusion", [codes.NORMAL, codes.SPONDYLOSIS, codes.VERTEBRAL_FRACTURE, codes.DISCITIS]
)
def test_other_results_are_not_suspicious(conclusion: str) -> None:
    facts = facts_of([report(codes.MRI_LUMBAR, 20, conclusion=[conclusion])])
    assert facts["imaging.suspicious_open"] is False


@pytest.mark.parametrize(
    ("given", "note"),
    [(report(codes.MRI_LUMBAR, 20), "not coded"), (study(codes.MRI_LUMBAR, 20), "no final report")],
)
def test_an_uncoded_report_is_neither_clean_nor_suspicious(given: Json, note: str) -> None:
    fact = facts_of([given]).get("imaging.suspicious_open")
    assert fact.value is None
    assert note in fact.note


def test_an_old_uncoded_report_leaves_nothing_open() -> None:
    assert facts_of([report(codes.MRI_LUMBAR, 200)])["imaging.suspicious_open"] is False


def test_a_suspicious_result_wins_over_an_uncoded_one() -> None:
    assert facts_of([FOUND, report(codes.XRAY_LUMBAR, 5)])["imaging.suspicious_open"] is True


def test_bone_density_is_no_search_for_a_tumour() -> None:
    site = {"imaging-dxa": [("https://ris.example/codes", "DXA")]}
    given = [report("https://ris.example/codes|DXA", 20)]
    assert facts_of(given, site=site)["imaging.suspicious_open"] is False
    assert [one["modality"] for one in studies(*given, site=site)] == ["dxa"]
