from typing import Any

import pytest

from tests.service.facts import codes
from tests.service.facts.build import (
    AVAILABLE,
    Json,
    ago,
    condition,
    encounter,
    facts_of,
    lab,
    observation,
    prescription,
    procedure,
    service_request,
)

NO: Json = {"valueBoolean": False}
DIAGNOSES = {
    "context.osteoporosis": codes.OSTEOPOROSIS,
    "context.axspa": codes.AXIAL_SPONDYLOARTHRITIS,
    "context.pmr": codes.POLYMYALGIA,
    "context.spa_feature": codes.PSORIASIS,
    "context.injection_drug_use": codes.OPIOID_INJECTION,
    "context.liver_disease": codes.CIRRHOSIS,
    "context.paget": codes.PAGET_DISEASE,
    "context.anaemia_explained": codes.IRON_DEFICIENCY,
    "context.immunosuppressed": codes.HIV,
}


# -- diagnoses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("fact", "code"), DIAGNOSES.items())
@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, True),
        ({"clinical": None}, True),
        ({"clinical": "resolved"}, False),
        ({"clinical": None, "abatementDateTime": ago(900)}, False),
        ({"verification": "provisional"}, False),
        ({"verification": "refuted"}, False),
        ({"category": "encounter-diagnosis"}, True),
    ],
)
def test_a_diagnosis_counts_while_it_is_confirmed_and_not_over(
    fact: str, code: str, members: dict[str, Any], expected: bool
) -> None:
    assert facts_of([condition(code, onset=1000, recorded=1000, **members)])[fact] is expected


@pytest.mark.parametrize("fact", DIAGNOSES)
def test_a_diagnosis_that_is_not_on_record_is_none(fact: str) -> None:
    assert facts_of([])[fact] is False
    assert facts_of([], available=AVAILABLE - {"conditions"})[fact] is None


@pytest.mark.parametrize(
    "given",
    [observation(codes.OSTEOPOROSIS, 5), service_request(codes.OSTEOPOROSIS, 5)],
    ids=["said", "ordered"],
)
def test_a_diagnosis_must_be_a_condition_or_a_reason(given: Json) -> None:
    assert facts_of([given])["context.osteoporosis"] is False
    assert facts_of([encounter(5, reason=[codes.OSTEOPOROSIS])])["context.osteoporosis"] is True


def test_trap_never_injecting_is_no_drug_use() -> None:
    assert facts_of([condition(codes.NEVER_INJECTING)])["context.injection_drug_use"] is False


@pytest.mark.parametrize(
    ("code", "fact"),
    [(codes.AXIAL_SPONDYLOARTHRITIS, "context.axspa_days"), (codes.POLYMYALGIA, "context.pmr_days")],
)
def test_a_label_is_as_old_as_its_first_record(code: str, fact: str) -> None:
    given = [condition(code, onset=900, recorded=170), condition(code, recorded=20)]
    assert facts_of(given)[fact] == 170
    assert facts_of([condition(code, onset=50)])[fact] == 50
    assert facts_of([condition(code)])[fact] is None


@pytest.mark.parametrize(("days", "recent"), [(90, True), (91, False)])
def test_bacteraemia_counts_for_90_days_even_when_treated(days: int, recent: bool) -> None:
    given = [condition(codes.BACTERAEMIA, onset=days, recorded=days, clinical="resolved")]
    assert facts_of(given)["context.bacteraemia_recent"] is recent


def test_bacteraemia_counts_by_its_onset_not_by_its_record() -> None:
    old = condition(codes.BACTERAEMIA, onset=730, recorded=3, clinical="resolved")
    assert facts_of([old])["context.bacteraemia_recent"] is False
    known_late = condition(codes.BACTERAEMIA, onset=91, recorded=89)
    assert facts_of([known_late])["context.bacteraemia_recent"] is False


def test_bacteraemia_without_a_date_is_unknown() -> None:
    assert facts_of([condition(codes.BACTERAEMIA)])["context.bacteraemia_recent"] is None


@pytest.mark.parametrize(
    ("when", "recent"),
    [(29, True), (30, True), (31, False), ("2026-11", True), ("2026-10", None), (None, None)],
)
def test_decision_25_trauma_counts_for_30_days(when: int | str | None, recent: bool | None) -> None:
    assert facts_of([condition(codes.FALL, onset=when)])["context.trauma_recent"] is recent


@pytest.mark.parametrize(
    "given", [condition(codes.FALL, onset=5, verification="provisional"), observation(codes.FALL, 5, **NO)]
)
def test_trauma_suspected_or_denied_is_none(given: Json) -> None:
    assert facts_of([given])["context.trauma_recent"] is False


@pytest.mark.parametrize(("days", "recent"), [(90, True), (91, False)])
def test_a_spinal_procedure_comes_through_the_site_map(days: int, recent: bool) -> None:
    site = {"spinal-procedure": [("http://www.ama-assn.org/go/cpt", "63030")]}
    given = [procedure("http://www.ama-assn.org/go/cpt|63030", days)]
    assert facts_of(given, site=site)["context.spinal_procedure_recent"] is recent
    assert facts_of(given)["context.spinal_procedure_recent"] is False


# -- explained findings --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("infection", "sample", "explained"),
    [(10, 5, True), (10, 10, True), (5, 10, False), (10, 91, False), (181, 90, False), (180, 90, True)],
)
def test_an_infection_explains_a_sample_taken_after_it_began(
    infection: int, sample: int, explained: bool
) -> None:
    given = [condition(codes.DISCITIS, onset=infection), lab(codes.CRP, 80, "mg/L", sample)]
    assert facts_of(given)["context.crp_explained"] is explained


@pytest.mark.parametrize(
    "code", [codes.AXIAL_SPONDYLOARTHRITIS, codes.POLYMYALGIA, codes.RHEUMATOID_ARTHRITIS]
)
@pytest.mark.parametrize(
    ("members", "explained"),
    [
        ({"onset": 3000}, True),
        ({"onset": 30}, True),
        ({"onset": 29}, False),
        ({"recorded": 5}, False),
        ({"onset": 60, "recorded": 5}, True),
        ({}, None),
        ({"onset": 3000, "clinical": "resolved"}, False),
        ({"onset": 3000, "verification": "provisional"}, False),
    ],
)
def test_a_lasting_disease_explains_a_sample_taken_after_it_began(
    code: str, members: dict[str, Any], explained: bool | None
) -> None:
    given = [condition(code, **members), lab(codes.ESR, 80, "mm/h", 30)]
    facts = facts_of(given)
    assert facts["context.esr_explained"] is explained
    assert facts["context.crp_explained"] is False


def test_each_marker_is_explained_by_its_own_sample() -> None:
    given = [
        condition(codes.POLYMYALGIA, onset=44),
        lab(codes.ESR, 60, "mm/h", 89),
        lab(codes.CRP, 12, "mg/L", 4),
    ]
    facts = facts_of(given)
    assert facts["context.esr_explained"] is False
    assert facts["context.crp_explained"] is True


@pytest.mark.parametrize(
    "newer",
    [
        lab(codes.CRP, 80, "mg/L", 2, status="preliminary"),
        lab(codes.CRP, 80, None, 2),
        observation(codes.CRP, 2, valueString="raised"),
    ],
    ids=["pending", "no unit", "text"],
)
def test_the_sample_is_that_of_the_value_rules_read(newer: Json) -> None:
    given = [condition(codes.POLYMYALGIA, onset=10), lab(codes.CRP, 80, "mg/L", 30), newer]
    assert facts_of(given)["context.crp_explained"] is False


@pytest.mark.parametrize("over", [{}, {"clinical": "resolved", "abatementDateTime": ago(1)}])
@pytest.mark.parametrize(
    ("infection", "sample", "explained"), [(35, 5, True), (36, 5, False), (5, 5, True), (4, 5, False)]
)
def test_an_everyday_infection_explains_a_sample_of_the_30_days_after_it_began(
    over: dict[str, str], infection: int, sample: int, explained: bool
) -> None:
    pneumonia = "http://hl7.org/fhir/sid/icd-10-cm|J18.9"
    given = [condition(pneumonia, onset=infection, **over), lab(codes.CRP, 80, "mg/L", sample)]
    assert facts_of(given)["context.crp_explained"] is explained


def test_an_infection_without_a_date_explains_nothing() -> None:
    given = [condition(codes.DISCITIS), lab(codes.CRP, 80, "mg/L", 5)]
    assert facts_of(given)["context.crp_explained"] is False


@pytest.mark.parametrize("code", [codes.DISCITIS, codes.RHEUMATOID_ARTHRITIS])
def test_without_a_sample_there_is_nothing_to_explain(code: str) -> None:
    facts = facts_of([condition(code, onset=5)])
    assert facts["context.crp_explained"] is False
    assert facts["context.esr_explained"] is False


@pytest.mark.parametrize(("days", "explained"), [(180, True), (181, False)])
def test_radiotherapy_explains_anaemia_for_180_days(days: int, explained: bool) -> None:
    assert facts_of([procedure(codes.RADIOTHERAPY, days)])["context.anaemia_explained"] is explained


@pytest.mark.parametrize(
    ("given", "suppressed"),
    [
        (prescription(codes.METHOTREXATE, 400), True),
        (prescription(codes.METHOTREXATE, 60, supply=20, status="completed"), True),
        (prescription(codes.METHOTREXATE, 110, supply=20, status="completed"), True),
        (prescription(codes.METHOTREXATE, 111, supply=20, status="completed"), False),
        (prescription(codes.METHOTREXATE, 10, status="stopped"), False),
        (prescription(codes.METHOTREXATE, 10, status="cancelled"), False),
    ],
)
def test_a_medicine_suppresses_immunity_until_90_days_after_its_end(given: Json, suppressed: bool) -> None:
    assert facts_of([given])["context.immunosuppressed"] is suppressed


# -- fractures -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("clinical", ["active", "resolved"])
@pytest.mark.parametrize(("days", "expected"), [(179, True), (180, True), (181, False)])
def test_a_fracture_counts_for_180_days_even_when_healed(days: int, expected: bool, clinical: str) -> None:
    given = [
        condition(codes.VERTEBRAL_FRACTURE, onset=days, clinical=clinical),
        condition(codes.PATHOLOGICAL_FRACTURE, onset=days, clinical=clinical),
    ]
    facts = facts_of(given)
    assert facts["fracture.vertebral"] is expected
    assert facts["fracture.pathological"] is (expected or clinical == "active")
    assert facts["fracture.unexplained"] is expected


def test_an_active_pathological_fracture_counts_whatever_its_day() -> None:
    """The rule of the hip sets it no window, and asks for no date."""
    over = condition(codes.PATHOLOGICAL_FRACTURE, clinical="resolved")
    assert facts_of([over])["fracture.pathological"] is None
    undated = condition(codes.PATHOLOGICAL_FRACTURE, clinical="active")
    assert facts_of([undated])["fracture.pathological"] is True
    assert facts_of([undated])["fracture.unexplained"] is None


def test_a_fracture_counts_by_its_onset_not_by_its_record() -> None:
    given = [
        condition(codes.VERTEBRAL_FRACTURE, onset=181, recorded=3, clinical="resolved"),
        condition(codes.PATHOLOGICAL_FRACTURE, onset=181, recorded=3, clinical="resolved"),
    ]
    facts = facts_of(given)
    assert facts["fracture.vertebral"] is False
    assert facts["fracture.pathological"] is False
    assert facts["fracture.unexplained"] is False


def test_the_latest_fracture_gives_the_days() -> None:
    given = [condition(codes.VERTEBRAL_FRACTURE, onset=days) for days in (150, 20, 70)]
    assert facts_of(given)["fracture.vertebral_days"] == 20
    assert facts_of([])["fracture.vertebral_days"] is None


def test_a_fracture_without_a_date_is_unknown() -> None:
    facts = facts_of([condition(codes.VERTEBRAL_FRACTURE)])
    assert facts["fracture.vertebral"] is None
    assert facts["fracture.vertebral_days"] is None
    assert facts["fracture.unexplained"] is None


@pytest.mark.parametrize(
    ("beside", "unexplained"),
    [
        ([], True),
        ([condition(codes.OSTEOPOROSIS)], False),
        ([condition(codes.OSTEOPOROSIS, clinical="resolved")], True),
        ([condition(codes.FALL, onset=50)], False),
        ([condition(codes.FALL, onset=80)], False),
        ([condition(codes.FALL, onset=81)], True),
        ([condition(codes.FALL, onset=49)], False),
        ([condition(codes.FALL, onset=48)], True),
        ([condition(codes.FALL, onset=20)], True),
        ([observation(codes.FALL, 50, **NO)], True),
        ([condition(codes.FALL)], True),
    ],
)
def test_decision_28_a_fracture_without_trauma_or_osteoporosis(beside: list[Json], unexplained: bool) -> None:
    facts = facts_of([condition(codes.VERTEBRAL_FRACTURE, onset=50), *beside])
    assert facts["fracture.unexplained"] is unexplained


# -- examination ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("days", "expected"), [(90, True), (91, None)])
def test_a_stiff_hip_counts_for_90_days(days: int, expected: bool | None) -> None:
    assert facts_of([observation(codes.HIP_STIFF, days)])["exam.hip_flexion_restricted"] is expected
    assert facts_of([observation(codes.HIP_STIFF, 5, **NO)])["exam.hip_flexion_restricted"] is False


def test_a_plexus_disorder_is_unknown_unless_coded() -> None:
    assert facts_of([condition(codes.PLEXUS_DISORDER, onset=300)])["exam.lumbosacral_plexopathy"] is True
    assert facts_of([])["exam.lumbosacral_plexopathy"] is None


def test_decision_11_a_gait_code_alone_is_no_inability_to_bear_weight() -> None:
    assert facts_of([condition(codes.ABNORMAL_GAIT, onset=3)])["exam.cannot_bear_weight"] is None


@pytest.mark.parametrize(("days", "expected"), [(30, True), (31, None)])
def test_decision_11_a_site_code_says_so_for_30_days(days: int, expected: bool | None) -> None:
    site = {"cannot-bear-weight": [("https://ehr.example/codes", "NWB")]}
    facts = facts_of([observation("https://ehr.example/codes|NWB", days)], site=site)
    assert facts["exam.cannot_bear_weight"] is expected


def test_new_inability_to_bear_weight_counts_by_its_onset() -> None:
    site = {"cannot-bear-weight": [("https://ehr.example/codes", "NWB")]}
    code = "https://ehr.example/codes|NWB"
    facts = facts_of([condition(code, onset=30, recorded=1)], site=site)
    assert facts["exam.cannot_bear_weight"] is True
    facts = facts_of([condition(code, onset=31, recorded=1)], site=site)
    assert facts["exam.cannot_bear_weight"] is None


def test_a_stiff_hip_counts_by_its_last_record() -> None:
    given = [condition(codes.HIP_STIFF, onset=400, recorded=90)]
    assert facts_of(given)["exam.hip_flexion_restricted"] is True
