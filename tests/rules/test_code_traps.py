"""Codes that look like something they are not: one test for each trap of the clinical reference (4.3) that is
decided by codes.
"""

from __future__ import annotations

from pathlib import Path

from rules.engine.codes import CodeIndex
from rules.engine.units import Units

RULES = Path(__file__).parents[2] / "rules"
INDEX = CodeIndex.load(RULES / "codes")
UNITS = Units.load(RULES / "units.yaml")

SNOMED = "http://snomed.info/sct"
CM = "http://hl7.org/fhir/sid/icd-10-cm"
WHO = "http://hl7.org/fhir/sid/icd-10"
GM = "http://fhir.de/CodeSystem/bfarm/icd-10-gm"
ICD_9 = "http://hl7.org/fhir/sid/icd-9-cm"
LOINC = "http://loinc.org"

NOTHING: frozenset[str] = frozenset()


def analyte(code: str) -> str | None:
    return UNITS.analyte(LOINC, code, INDEX.sets(LOINC, code))


def test_esr_two_hour_and_quarter_hour_readings_are_excluded() -> None:
    for code in ("18184-2", "43402-7"):
        assert INDEX.sets(LOINC, code) == {"lab-esr-excluded"}
        assert analyte(code) is None
    assert analyte("4537-7") == "esr"


def test_calcium_in_blood_is_total_and_not_ionised_calcium() -> None:
    assert INDEX.sets(LOINC, "49765-1") == {"lab-calcium-total"}
    assert analyte("49765-1") == "calcium-total"
    assert analyte("1995-0") == "calcium-ionised"


def test_high_sensitivity_crp_is_crp() -> None:
    assert {analyte(code) for code in ("1988-5", "30522-7", "71426-1", "76485-2", "76486-0")} == {"crp"}


def test_crp_without_a_unit_is_unknown_and_is_not_guessed() -> None:
    assert UNITS.convert("crp", 88, None) is None
    assert UNITS.convert("crp", 8.8, "mg/dL") == 88


def test_light_chains_are_not_their_ratio() -> None:
    assert analyte("36916-5") == "free-light-chain-kappa"
    assert analyte("104544-2") == "free-light-chain-kappa"
    assert analyte("33944-0") == "free-light-chain-lambda"
    assert analyte("48378-4") == analyte("104546-7") == "free-light-chain-ratio"


def test_an_electrophoresis_panel_is_not_an_m_protein_value() -> None:
    assert analyte("33358-3") == "m-protein"
    for panel in ("24351-9", "90991-1"):
        assert "lab-m-protein-spep" in INDEX.sets(LOINC, panel)
        assert analyte(panel) is None


def test_neoplasm_of_prostate_counts_as_prostate_cancer() -> None:
    assert "cancer-prostate" in INDEX.sets(SNOMED, "126906006")


def test_in_situ_cancer_beside_it_is_an_exclusion_of_its_own() -> None:
    assert INDEX.sets(SNOMED, "92691004") == {"exclude-nmsc-in-situ-benign"}
    assert "exclude-nmsc-in-situ-benign" not in INDEX.sets(SNOMED, "126906006")


def test_metastasis_from_bone_is_not_bone_metastasis() -> None:
    assert INDEX.sets(SNOMED, "314990009") == NOTHING


def test_spread_recorded_as_secondary_of_colon_is_a_metastasis_and_not_of_bone() -> None:
    sets = INDEX.sets(SNOMED, "94260004")
    assert "secondary-malignancy-any" in sets
    assert "secondary-malignancy-bone" not in sets


def test_metastasis_of_the_spine_is_bone_metastasis_and_can_be_told_from_other_bones() -> None:
    for code in ("94602001", "94389000", "94250008", "285619009"):
        assert {"secondary-malignancy-spine", "secondary-malignancy-bone"} <= INDEX.sets(SNOMED, code)
    for code in ("94222008", "94300004", "1237517009", "285618001"):
        assert "secondary-malignancy-spine" not in INDEX.sets(SNOMED, code)
    assert "secondary-malignancy-spine" not in INDEX.sets(CM, "C79.51")


def test_metastasis_from_the_prostate_is_prostate_cancer_and_metastasis() -> None:
    assert {"cancer-prostate", "secondary-malignancy-any"} <= INDEX.sets(SNOMED, "314994000")


def test_suspected_lung_cancer_is_neither_cancer_nor_exclusion() -> None:
    assert INDEX.sets(SNOMED, "162573006") == {"suspected-cancer"}
    assert INDEX.sets(WHO, "Z03.1") == {"suspected-cancer"}
    assert INDEX.sets(CM, "Z03.89") == NOTHING


def test_history_of_other_skin_cancer_is_not_history_of_cancer() -> None:
    assert INDEX.sets(CM, "Z85.828") == {"exclude-nmsc-in-situ-benign"}
    assert INDEX.sets(ICD_9, "V10.83") == {"exclude-nmsc-in-situ-benign"}
    assert INDEX.sets(CM, "Z85.820") == {"history-of-cancer"}  # melanoma
    assert INDEX.tier(CM, "Z85.820") == "cancer-melanoma"
    assert INDEX.sets(SNOMED, "429050006") == {"exclude-nmsc-in-situ-benign"}  # may be melanoma


def test_other_skin_cancer_is_not_cancer() -> None:
    for system, code in [(CM, "C44.91"), (WHO, "C44.9"), (GM, "C44.3G"), (ICD_9, "173.9")]:
        assert INDEX.sets(system, code) == {"exclude-nmsc-in-situ-benign"}


def test_family_history_is_not_history() -> None:
    for system, code in [(CM, "Z80.3"), (WHO, "Z80.3"), (ICD_9, "V16.3"), (SNOMED, "429740004")]:
        assert INDEX.sets(system, code) == {"exclude-family-history-cancer"}


def test_never_injecting_is_not_injection_drug_use() -> None:
    assert INDEX.sets(SNOMED, "413096007") == NOTHING
    assert INDEX.sets(SNOMED, "228388006") == {"injection-drug-use"}


def test_advised_weight_loss_is_not_weight_loss() -> None:
    assert INDEX.sets(SNOMED, "275919002") == NOTHING


def test_cachexia_of_cancer_is_weight_loss_and_no_cancer_diagnosis() -> None:
    assert INDEX.sets(SNOMED, "788876001") == {"weight-loss"}


def test_dnar_is_not_palliative() -> None:
    assert INDEX.sets(CM, "Z66") == NOTHING
    assert INDEX.sets(SNOMED, "304253006") == NOTHING  # not for resuscitation


def test_terminal_care_has_its_own_tier_so_that_its_source_can_be_an_option() -> None:
    assert INDEX.sets(SNOMED, "182964004") == {"terminal-illness"}
    assert INDEX.tier(SNOMED, "182964004") == "terminal"


def test_joint_codes_of_who_need_the_character_of_the_site() -> None:
    for stem, name in [
        ("M25.5", "hip-pain"),
        ("M24.5", "hip-flexion-restriction"),
        ("M25.6", "hip-flexion-restriction"),
    ]:
        for system in (WHO, GM):
            assert INDEX.sets(system, stem) <= {"joint-pain-unsited"}  # which needs a body site
            assert INDEX.sets(system, stem + "1") == NOTHING  # shoulder
            assert INDEX.sets(system, stem + "5") == {name}
    assert INDEX.sets(WHO, "M62.8") == INDEX.sets(WHO, "M21.3") == INDEX.sets(WHO, "M79.6") == NOTHING


def test_codes_of_icd_10_cm_do_not_match_through_rows_of_who() -> None:
    assert INDEX.sets(CM, "M25.511") == NOTHING  # shoulder
    assert INDEX.sets(CM, "M25.551") == {"hip-pain"}
    assert INDEX.sets(CM, "M62.85") == NOTHING
    assert INDEX.sets(CM, "Z03.1") == NOTHING


def test_equal_codes_of_two_systems_keep_their_own_meaning() -> None:
    assert "secondary-malignancy-any" in INDEX.sets(CM, "C80.0")  # disseminated
    assert "secondary-malignancy-any" not in INDEX.sets(WHO, "C80.0")  # primary site unknown
    assert INDEX.sets(CM, "R63.6") == {"weight-loss"}  # underweight
    assert INDEX.sets(WHO, "R63.6") == NOTHING  # insufficient intake


def test_spine_codes_of_who_do_not_let_the_neck_in() -> None:
    for code in ("M54.91", "M54.92", "M54.93", "M54.82", "M54.12"):
        assert INDEX.sets(GM, code) == NOTHING
    assert INDEX.sets(GM, "M54.96") == {"back-pain-unspecified"}


def test_unspecific_codes_are_no_leg_weakness() -> None:
    assert INDEX.sets(CM, "R29.898") == NOTHING
    assert INDEX.sets(WHO, "R29.8") == NOTHING
    assert INDEX.sets(SNOMED, "399194009") == NOTHING


def test_weakness_of_icd_10_cm_is_not_fatigue() -> None:
    assert INDEX.sets(CM, "R53.1") == {"leg-weakness"}
    assert INDEX.sets(CM, "R53.83") == {"fatigue-malaise"}


def test_pelvic_pain_codes_of_before_and_after_2026_match() -> None:
    for code in ("R10.2", "R10.20", "R10.24"):
        assert INDEX.sets(CM, code) == {"pelvic-pain"}


def test_low_back_pain_codes_of_before_and_after_2021_match() -> None:
    for code in ("M54.5", "M54.50", "M54.51", "M54.59"):
        assert INDEX.sets(CM, code) == {"low-back-pain"}


def test_stress_incontinence_is_in_no_set() -> None:
    assert INDEX.sets(CM, "N39.3") == INDEX.sets(WHO, "N39.3") == NOTHING


def test_drug_induced_and_postprocedural_retention_are_excluded() -> None:
    assert INDEX.sets(CM, "R33.0") == {"exclude-urinary-retention"}
    assert INDEX.sets(SNOMED, "12245681000119103") == {"exclude-urinary-retention"}
    assert INDEX.sets(CM, "R33.9") == {"urinary-retention"}


def test_icd_cannot_say_small_cell_night_pain_or_saddle_numbness() -> None:
    for name in ("cancer-lung-small-cell", "night-pain", "saddle-anaesthesia"):
        assert {row.system for row in INDEX.codes_of(name)} == {SNOMED}


def test_monoclonal_gammopathy_is_not_myeloma() -> None:
    assert INDEX.sets(SNOMED, "277577000") == INDEX.sets(CM, "D47.2") == {"mgus"}


def test_anaemia_in_cancer_is_no_explained_anaemia() -> None:
    assert INDEX.sets(CM, "D63.0") == NOTHING
    assert INDEX.sets(CM, "D50.9") == INDEX.sets(WHO, "D50.9") == {"anaemia-explained"}


def test_a_low_calcium_of_who_is_no_hypercalcaemia() -> None:
    assert INDEX.sets(WHO, "E83.5") == NOTHING
    assert INDEX.sets(CM, "E83.52") == {"hypercalcaemia"}


def test_a_lumbar_vertebra_is_no_pelvis_and_a_wrist_no_spine() -> None:
    assert INDEX.sets(WHO, "S32.0") == INDEX.sets(CM, "S32.010A") == {"vertebral-fracture"}
    assert "vertebral-fracture" not in INDEX.sets(WHO, "M80.03")
    assert "vertebral-fracture" in INDEX.sets(WHO, "M80.08")


def test_osteoporosis_codes_with_a_fracture_are_both() -> None:
    assert {"osteoporosis", "vertebral-fracture"} <= INDEX.sets(CM, "M80.08XA")


def test_a_certainty_of_excluded_is_reported_with_the_code() -> None:
    assert "cancer-prostate" in INDEX.sets(GM, "C61 A")
    assert INDEX.certainty(GM, "C61 A") == "A"


def test_a_block_of_codes_is_not_its_first_code() -> None:
    assert INDEX.sets(WHO, "C00-C97") == INDEX.sets(CM, "C81-C96") == NOTHING
