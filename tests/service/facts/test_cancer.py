from typing import Any

import pytest

from rules.engine import Span
from tests.service.facts import codes
from tests.service.facts.build import (
    AVAILABLE,
    Json,
    ago,
    condition,
    encounter,
    facts_of,
    observation,
    report,
    service_request,
)

CERTAINTY = "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit"


def gm(code: str, letter: str = "", extension: str = "") -> Json:
    """A Condition coded in ICD-10-GM with a certainty letter in the code, or as an extension."""
    coding: Json = {"system": "http://fhir.de/CodeSystem/bfarm/icd-10-gm", "code": f"{code} {letter}".strip()}
    if extension:
        coding["extension"] = [{"url": CERTAINTY, "valueCoding": {"code": extension}}]
    return {**condition(codes.FEVER, recorded=100, clinical=None), "code": {"coding": [coding]}}


# -- now and before ------------------------------------------------------------------------------------


@pytest.mark.parametrize("clinical", ["active", "recurrence", "relapse", None])
def test_cancer_is_active_unless_its_status_says_otherwise(clinical: str | None) -> None:
    facts = facts_of([condition(codes.PROSTATE_CANCER, onset=900, clinical=clinical)])
    assert facts["cancer.active"] is True
    assert facts["cancer.history"] is False
    assert facts["cancer.any"] is True


@pytest.mark.parametrize(
    "members",
    [
        {"clinical": "resolved"},
        {"clinical": "remission"},
        {"clinical": "inactive"},
        {"clinical": None, "abatementDateTime": ago(400)},
    ],
)
def test_a_cancer_that_is_over_is_history(members: dict[str, Any]) -> None:
    facts = facts_of([condition(codes.PROSTATE_CANCER, onset=900, **members)])
    assert facts["cancer.active"] is False
    assert facts["cancer.history"] is True
    assert facts["cancer.any"] is True
    assert facts["cancer.prostate"] is True


def test_a_history_code_is_history_whatever_its_status_and_names_the_site() -> None:
    facts = facts_of([condition(codes.HISTORY_OF_PROSTATE_CANCER, recorded=20)])
    assert facts["cancer.active"] is False
    assert facts["cancer.history"] is True
    assert facts["cancer.prostate"] is True
    assert facts["cancer.sites"] == ["prostate"]


def test_no_cancer_on_record_is_none() -> None:
    facts = facts_of([condition(codes.LOW_BACK_PAIN, onset=9)])
    for name in ("any", "active", "history", "suspected", "prostate", "lung", "bone_metastases", "mgus"):
        assert facts[f"cancer.{name}"] is False
    assert facts["cancer.sites"] == []


def test_cancer_is_unknown_when_the_problem_list_was_not_read() -> None:
    facts = facts_of([], available=AVAILABLE - {"conditions"})
    assert facts["cancer.any"] is None
    assert facts["cancer.sites"] is None


def test_a_cancer_that_was_given_counts_even_when_not_all_was_read() -> None:
    given = [condition(codes.PROSTATE_CANCER)]
    assert facts_of(given, available=frozenset())["cancer.any"] is True


@pytest.mark.parametrize("status", ["refuted", "entered-in-error"])
def test_a_refuted_cancer_does_not_count(status: str) -> None:
    assert facts_of([condition(codes.PROSTATE_CANCER, verification=status)])["cancer.any"] is False


@pytest.mark.parametrize(
    "given",
    [
        observation(codes.PROSTATE_CANCER, 5, valueBoolean=True),
        observation("http://loinc.org|54115-1", 5, valueCodeableConcept={"coding": [{"code": "C61"}]}),
        encounter(5, reason=[codes.PROSTATE_CANCER]),
        service_request(codes.PROSTATE_CANCER, 5),
    ],
    ids=["Observation", "family member's cancer", "visit reason", "order"],
)
def test_only_a_condition_makes_a_cancer(given: Json) -> None:
    assert facts_of([given])["cancer.any"] is False


def test_decision_8_a_metastasis_in_an_imaging_result_is_no_cancer_on_record() -> None:
    facts = facts_of([report(codes.MRI_LUMBAR, 9, conclusion=[codes.BONE_METASTASIS])])
    assert facts["cancer.any"] is False
    assert facts["cancer.bone_metastases"] is False
    assert facts_of([condition(codes.BONE_METASTASIS)])["cancer.any"] is True


def test_decision_20_a_problem_in_words_is_counted_and_no_cancer() -> None:
    facts = facts_of([{**condition(), "code": {"text": "my prostate cancer has spread"}}])
    assert facts["cancer.any"] is False
    assert facts["record.uncoded_conditions"] == 1


# -- suspicion and certainty ---------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["provisional", "differential", "unconfirmed"])
def test_decision_19_an_unconfirmed_cancer_is_suspected(status: str) -> None:
    facts = facts_of([condition(codes.PROSTATE_CANCER, verification=status)])
    assert facts["cancer.suspected"] is True
    assert facts["cancer.any"] is False
    assert facts["cancer.prostate"] is False


@pytest.mark.parametrize("members", [{"clinical": "resolved"}, {"abatementDateTime": ago(10)}])
def test_a_suspicion_that_was_closed_is_none(members: dict[str, Any]) -> None:
    suspicion = condition(codes.PROSTATE_CANCER, recorded=60, verification="provisional", **members)
    assert facts_of([suspicion])["cancer.suspected"] is False


def test_a_confirmed_cancer_is_not_suspected() -> None:
    assert facts_of([condition(codes.PROSTATE_CANCER, verification="confirmed")])["cancer.suspected"] is False


@pytest.mark.parametrize("form", ["letter", "extension"])
@pytest.mark.parametrize(
    ("certainty", "active", "history", "suspected"),
    [
        ("A", False, False, False),
        ("V", False, False, True),
        ("Z", False, True, False),
        ("G", True, False, False),
        ("", True, False, False),
    ],
)
def test_decisions_18_and_19_certainty_of_icd_10_gm(
    form: str, certainty: str, active: bool, history: bool, suspected: bool
) -> None:
    facts = facts_of([gm("C61", certainty) if form == "letter" else gm("C61", extension=certainty)])
    assert facts["cancer.active"] is active
    assert facts["cancer.history"] is history
    assert facts["cancer.suspected"] is suspected


@pytest.mark.parametrize("code", ["C61", "c61", "C61.-", "C61.0", " C61 ", "C61+"])
def test_decision_18_spellings_of_icd_10(code: str) -> None:
    assert facts_of([gm(code)])["cancer.prostate"] is True


# -- sites and spread ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "sites"),
    [
        (codes.LUNG_CANCER, ["lung"]),
        (codes.BREAST_CANCER, ["breast"]),
        (codes.MELANOMA, ["melanoma"]),
        (codes.MYELOMA, ["multiple-myeloma"]),
        (codes.BONE_METASTASIS, []),
    ],
)
def test_sites_are_those_of_the_codes(code: str, sites: list[str]) -> None:
    assert facts_of([condition(code)])["cancer.sites"] == sites


def test_sites_of_cancers_now_and_before_are_sorted() -> None:
    given = [condition(codes.PROSTATE_CANCER, clinical="remission"), condition(codes.LUNG_CANCER)]
    facts = facts_of(given)
    assert facts["cancer.sites"] == ["lung", "prostate"]
    assert facts["cancer.lung"] is True


@pytest.mark.parametrize(
    ("code", "clinical", "expected"),
    [
        (codes.PROSTATE_CANCER, "active", True),
        (codes.CERVIX_CANCER, None, True),
        (codes.PROSTATE_CANCER, "remission", False),
        (codes.BREAST_CANCER, "active", False),
    ],
)
def test_an_active_abdominal_or_pelvic_cancer(code: str, clinical: str | None, expected: bool) -> None:
    assert facts_of([condition(code, clinical=clinical)])["cancer.abdominopelvic_active"] is expected


@pytest.mark.parametrize("code", [codes.BONE_METASTASIS, codes.BONE_METASTASIS_SCT])
def test_bone_metastases_count_from_their_first_record(code: str) -> None:
    facts = facts_of([condition(code, onset=40), condition(codes.BONE_METASTASIS, recorded=300)])
    assert facts["cancer.bone_metastases"] is True
    assert facts["cancer.bone_metastases_days"] == 300
    assert facts["cancer.active"] is True


def test_bone_metastases_of_a_month_are_a_span() -> None:
    facts = facts_of([condition(codes.BONE_METASTASIS, onset="2026-10")])
    assert facts["cancer.bone_metastases_days"] == Span(25, 55, 41)


def test_bone_metastases_without_a_date_have_no_age() -> None:
    facts = facts_of([condition(codes.BONE_METASTASIS)])
    assert facts["cancer.bone_metastases"] is True
    assert facts["cancer.bone_metastases_days"] is None


def test_retroperitoneal_metastases() -> None:
    assert facts_of([condition(codes.RETROPERITONEAL_METASTASIS)])["cancer.retroperitoneal"] is True
    assert facts_of([condition(codes.BONE_METASTASIS)])["cancer.retroperitoneal"] is False


def test_mgus_is_no_cancer() -> None:
    facts = facts_of([condition(codes.MGUS)])
    assert facts["cancer.mgus"] is True
    assert facts["cancer.any"] is False


def test_decision_5_an_exclusion_wins_over_an_inclusion_by_prefix() -> None:
    assert facts_of([condition("http://hl7.org/fhir/sid/icd-10-cm|Z85.820")])["cancer.history"] is True
    assert facts_of([condition(codes.HISTORY_OF_NMSC)])["cancer.history"] is False


def test_decision_6_a_code_is_evidence_of_cancer_only_where_its_set_says_cancer() -> None:
    cachexia = facts_of([condition("http://snomed.info/sct|788876001", recorded=9)])
    assert cachexia["context.weight_loss"] is True
    assert cachexia["cancer.any"] is False
    spread = facts_of([condition("http://snomed.info/sct|314994000")])
    assert spread["cancer.prostate"] is True
    assert spread["cancer.bone_metastases"] is False


# -- the traps of clinical.md 4.3 ----------------------------------------------------------------------


def test_trap_neoplasm_of_prostate_counts_as_prostate_cancer() -> None:
    assert facts_of([condition(codes.NEOPLASM_OF_PROSTATE)])["cancer.prostate"] is True


def test_trap_an_exclusion_holds_for_its_condition_and_not_for_the_patient() -> None:
    alone = facts_of([condition(codes.PROSTATE_IN_SITU)])
    assert alone["cancer.any"] is False
    beside = facts_of([condition(codes.PROSTATE_IN_SITU), condition(codes.NEOPLASM_OF_PROSTATE)])
    assert beside["cancer.any"] is True
    assert beside["cancer.prostate"] is True


def test_trap_metastasis_from_bone_is_no_bone_metastasis() -> None:
    facts = facts_of([condition(codes.METASTASIS_FROM_BONE)])
    assert facts["cancer.bone_metastases"] is False


def test_trap_secondary_of_colon_is_a_metastasis_and_not_of_bone() -> None:
    facts = facts_of([condition(codes.METASTASIS_OF_COLON)])
    assert facts["cancer.active"] is True
    assert facts["cancer.bone_metastases"] is False


def test_trap_suspected_lung_cancer_is_neither_cancer_nor_exclusion() -> None:
    alone = facts_of([condition(codes.SUSPECTED_LUNG_CANCER)])
    assert alone["cancer.any"] is False
    assert alone["cancer.suspected"] is True
    beside = facts_of([condition(codes.SUSPECTED_LUNG_CANCER), condition(codes.LUNG_CANCER)])
    assert beside["cancer.lung"] is True


@pytest.mark.parametrize("code", [codes.HISTORY_OF_NMSC, codes.HISTORY_OF_SKIN_CANCER, codes.BASAL_CELL])
def test_trap_skin_cancer_that_is_no_melanoma_is_excluded(code: str) -> None:
    assert facts_of([condition(code)])["cancer.any"] is False
    assert facts_of([condition(code), condition(codes.MELANOMA)])["cancer.any"] is True


def test_trap_a_family_history_is_not_the_patients() -> None:
    assert facts_of([condition(codes.FAMILY_HISTORY_OF_PROSTATE_CANCER)])["cancer.any"] is False


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"valueBoolean": True}, True),
        ({"valueBoolean": False}, False),
        ({"dataAbsentReason": {"text": "?"}}, False),
    ],
)
def test_trap_history_of_metastatic_cancer_may_be_false(value: Json, expected: bool) -> None:
    facts = facts_of([observation(codes.HISTORY_OF_METASTASIS, 50, **value)])
    assert facts["cancer.history"] is expected
    assert facts["cancer.any"] is expected
    assert facts["cancer.active"] is False


def test_trap_no_code_says_metastatic_cord_compression() -> None:
    facts = facts_of([condition(codes.CORD_COMPRESSION, onset=3), condition(codes.PROSTATE_CANCER)])
    assert facts["neuro.cord_or_cauda_coded"] is True
    assert facts["cancer.any"] is True
