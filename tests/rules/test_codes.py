"""The bundled value sets: their content as a whole, and how codings find their sets."""

from __future__ import annotations

import csv
import json
import re
from collections import defaultdict
from pathlib import Path

import pytest

from rules.engine.codes import Code, CodeIndex, CodeSet
from rules.engine.codetables import Tables
from rules.engine.codings import System
from rules.engine.errors import BundleError
from tests.files import globbed

CODES = Path(__file__).parents[2] / "rules" / "codes"

SNOMED = "http://snomed.info/sct"
CM = "http://hl7.org/fhir/sid/icd-10-cm"
WHO = "http://hl7.org/fhir/sid/icd-10"
GM = "http://fhir.de/CodeSystem/bfarm/icd-10-gm"
ICD_9 = "http://hl7.org/fhir/sid/icd-9-cm"
LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
ATC = "http://www.whocc.no/atc"
CPT = "http://www.ama-assn.org/go/cpt"

INDEX = CodeIndex.load(CODES)


def rows(name: str) -> list[dict[str, str]]:
    with (CODES / name).open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert found, name
    return found


def code_files() -> list[str]:
    others = {"sets.csv", "systems.csv", "rxnorm-products.csv"}
    return [file.name for file in globbed(CODES, "*.csv") if file.name not in others]


# -- the tables ---------------------------------------------------------------------------------------------


def test_rows_are_sorted_so_that_a_review_sees_only_what_changed() -> None:
    order = ["snomed", "icd-10-cm", "icd-10", "icd-9-cm", "loinc", "rxnorm", "atc", "mcode-requested"]
    for name in code_files():
        keys = [(row["set"], order.index(row["system"]), row["code"]) for row in rows(name)]
        assert keys == sorted(keys), name


def test_every_row_names_its_source_and_licence() -> None:
    for name in [*code_files(), "rxnorm-products.csv"]:
        assert [row for row in rows(name) if not row["source"] or not row["licence"]] == [], name


def test_core_files_hold_snomed_of_the_free_set_only_and_the_extension_holds_no_terms() -> None:
    for name in code_files():
        snomed = [row for row in rows(name) if row["system"] == "snomed"]
        if name == "snomed-extension.csv":
            assert len(snomed) == len(rows(name))
            assert {row["display"] for row in snomed} == {""}
        else:
            assert {row["licence"] for row in snomed} <= {"CC-BY-4.0 (HL7 IPS free set)"}
            assert all(row["display"] for row in rows(name)), name


def test_an_exact_icd_row_says_why_it_is_not_a_prefix() -> None:
    exact = [row for name in code_files() for row in rows(name) if row["system"].startswith("icd")]
    exact = [row for row in exact if row["match"] == "exact" and len(row["code"]) <= 5]
    assert exact
    assert [row["code"] for row in exact if not row["note"].startswith("exact:")] == []


def loinc_check(code: str) -> bool:
    """Check digit of a LOINC code (modulus 10 over the digits before the hyphen)."""
    body, check = code.split("-")
    digits = [int(digit) for digit in reversed(body)]
    total = sum(sum(divmod(2 * d, 10)) if at % 2 == 0 else d for at, d in enumerate(digits))
    return (10 - total % 10) % 10 == int(check)


def dihedral(a: int, b: int) -> int:
    """Product in the dihedral group D5, rotations 0 to 4, reflections 5 to 9."""
    if a < 5:
        return (a + b) % 5 if b < 5 else 5 + (a + b) % 5
    return 5 + (a - b) % 5 if b < 5 else (a - b) % 5


def verhoeff_check(code: str) -> bool:
    """Check digit of a SNOMED identifier (Verhoeff)."""
    step, total = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4], 0
    for at, digit in enumerate(reversed(code)):
        value = int(digit)
        for _ in range(at % 8):
            value = step[value]
        total = dihedral(total, value)
    return total == 0


def damaged(row: dict[str, str]) -> bool:
    return row["note"].startswith("damaged:")


def test_check_digits_of_snomed_and_loinc_are_right() -> None:
    assert verhoeff_check("279039007")
    assert not verhoeff_check("279039070")
    assert loinc_check("1988-5")
    assert not loinc_check("1898-5")
    every = [row for name in code_files() for row in rows(name)]
    snomed = {row["code"] for row in every if row["system"] == "snomed" and not damaged(row)}
    loinc = {row["code"] for row in every if row["system"] == "loinc" and not row["code"].startswith("LP")}
    assert {code for code in snomed if not verhoeff_check(code)} == set()
    assert {code for code in loinc if not loinc_check(code)} == set()
    # What number rounding has done to a code, beside the code itself.
    rounded = [row for row in every if damaged(row)]
    assert rounded
    for row in rounded:
        assert row["code"].endswith("00")
        assert {code for code in snomed if code.startswith(row["code"][:-2])}


def test_unverified_rows_are_kept_and_never_matched() -> None:
    unverified = [row for name in code_files() for row in rows(name) if row["verified"] == "no"]
    assert sorted(row["code"] for row in unverified) == ["11473", "77655", "993449"]
    assert all(INDEX.sets(RXNORM, row["code"]) == frozenset() for row in unverified)
    assert not {row["code"] for row in unverified} & set(INDEX.find("bone-modifying-agent", RXNORM))
    assert INDEX.sets(LOINC, "3128-6") == {"lab-plasma-viscosity"}  # component-only rows are matched


def unpaired_sets() -> dict[str, list[str]]:
    systems = {"SNOMED CT": SNOMED, "ICD-10-CM": CM, "ICD-10": WHO}
    found: dict[str, list[str]] = defaultdict(list)
    for name in sorted(INDEX.titles):
        missing = [title for title, uri in systems.items() if not INDEX.find(name, uri)]
        if missing and len(missing) < len(systems) and not name.startswith("imaging-"):
            found[", ".join(missing)].append(name)
    return dict(found)


def test_sets_without_a_twin_in_another_diagnosis_system_are_the_documented_ones() -> None:
    text = (CODES / "README.md").read_text(encoding="utf-8").partition("## Sets without a twin")[2]
    documented = dict(re.findall(r"^\| ((?:SNOMED|ICD)[^|]*?) \| ([^|]+?) \|$", text, flags=re.M))
    assert {key: value.split(", ") for key, value in documented.items()} == unpaired_sets()


def test_every_set_has_a_code_or_says_that_it_waits_for_the_site() -> None:
    notes = {row["set"]: row["note"] for row in rows("sets.csv")}
    empty = {name for name in INDEX.titles if not INDEX.codes_of(name)}
    assert empty == {name for name, note in notes.items() if note.startswith("No bundled code")}


def test_tiers_are_the_three_of_palliative_care_or_a_cancer_set() -> None:
    for name in code_files():
        for row in rows(name):
            if row["set"] in {"palliative-hospice", "terminal-illness"}:
                assert row["tier"] in {"hospice", "terminal", "palliative"}, row
            elif row["tier"]:
                assert row["set"] == "history-of-cancer"
                assert row["tier"] in INDEX.titles


# -- matching -----------------------------------------------------------------------------------------------

EQUIVALENT = {
    "low back pain": [(SNOMED, "279039007"), (CM, "M54.5"), (CM, "M54.50"), (WHO, "M54.5"), (GM, "M54.5G")],
    "lumbago with sciatica": [(SNOMED, "202794004"), (CM, "M54.41"), (WHO, "M54.4"), (GM, "M54.4")],
    "sciatica": [(SNOMED, "23056005"), (CM, "M54.31"), (WHO, "M54.3")],
    "lumbar radiculopathy": [(SNOMED, "128196005"), (CM, "M54.16"), (GM, "M54.16")],
    "thoracic back pain": [(SNOMED, "279038004"), (CM, "M54.6"), (WHO, "M54.6")],
    "backache": [(SNOMED, "161891005"), (CM, "M54.9"), (WHO, "M54.9"), (GM, "M54.99")],
    "hip pain": [(SNOMED, "49218002"), (CM, "M25.551"), (GM, "M25.55")],
    "thigh pain": [(SNOMED, "78514002"), (CM, "M79.652"), (GM, "M79.65")],
    "pelvic pain": [(SNOMED, "30473006"), (CM, "R10.20"), (CM, "R10.2"), (WHO, "R10.2")],
    "weight loss": [(SNOMED, "267024001"), (CM, "R63.4"), (WHO, "R63.4")],
    "fever": [(SNOMED, "386661006"), (CM, "R50.9"), (WHO, "R50.9")],
    "paraplegia": [(SNOMED, "60389000"), (CM, "G82.20"), (WHO, "G82.2")],
    "foot drop": [(SNOMED, "6077001"), (CM, "M21.371"), (GM, "M21.37")],
    "paraesthesia": [(SNOMED, "91019004"), (CM, "R20.2"), (WHO, "R20.2")],
    "urinary retention": [(SNOMED, "267064002"), (CM, "R33.9"), (WHO, "R33")],
    "flaccid neurogenic bladder": [(SNOMED, "427482006"), (CM, "N31.2"), (WHO, "N31.2")],
    "urinary incontinence": [(SNOMED, "165232002"), (CM, "R32"), (WHO, "R32")],
    "faecal incontinence": [(SNOMED, "72042002"), (CM, "R15.9"), (WHO, "R15")],
    "abnormal gait": [(SNOMED, "22325002"), (CM, "R26.9"), (WHO, "R26.8")],
    "cauda equina syndrome": [(SNOMED, "192970008"), (CM, "G83.4"), (WHO, "G83.4")],
    "cord compression": [(SNOMED, "71286001"), (CM, "G95.20"), (WHO, "G95.2")],
    "prostate cancer": [(SNOMED, "399068003"), (CM, "C61"), (WHO, "C61"), (GM, "C61 G"), (ICD_9, "185")],
    "breast cancer": [(SNOMED, "254837009"), (CM, "C50.911"), (WHO, "C50.9"), (ICD_9, "174.9")],
    "lung cancer": [(SNOMED, "363358000"), (CM, "C34.90"), (WHO, "C34.9"), (ICD_9, "162.9")],
    "cancer of the cervix": [(SNOMED, "363354003"), (CM, "C53.9"), (WHO, "C53.9"), (ICD_9, "180.9")],
    "cancer of the rectum": [(SNOMED, "254582000"), (CM, "C20"), (WHO, "C20"), (ICD_9, "154.1")],
    "liver cancer": [(SNOMED, "95214007"), (CM, "C22.9"), (WHO, "C22.9"), (ICD_9, "155.2")],
    "melanoma": [(SNOMED, "372244006"), (CM, "C43.9"), (WHO, "C43.9"), (ICD_9, "172.9")],
    "myeloma": [(SNOMED, "109989006"), (CM, "C90.00"), (WHO, "C90.0"), (ICD_9, "203.00")],
    "monoclonal gammopathy": [(SNOMED, "277577000"), (CM, "D47.2"), (WHO, "D47.2")],
    "bone metastasis": [
        (SNOMED, "94222008"),
        (SNOMED, "285618001"),
        (CM, "C79.51"),
        (WHO, "C79.5"),
        (GM, "C79.5 G"),
        (ICD_9, "198.5"),
    ],
    "liver metastasis": [(SNOMED, "94381002"), (CM, "C78.7"), (WHO, "C78.7"), (ICD_9, "197.7")],
    "in situ cancer of the cervix": [(SNOMED, "92564006"), (CM, "D06.9"), (WHO, "D06.9"), (ICD_9, "233.1")],
    "basal cell carcinoma": [(SNOMED, "254701007"), (CM, "C44.91"), (WHO, "C44.9"), (ICD_9, "173.91")],
    "cancer in the family": [(SNOMED, "275937001"), (CM, "Z80.9"), (WHO, "Z80.9"), (ICD_9, "V16.9")],
    "past prostate cancer": [(SNOMED, "428262008"), (CM, "Z85.46"), (WHO, "Z85.4"), (ICD_9, "V10.46")],
    "osteoporosis": [(SNOMED, "64859006"), (CM, "M81.0"), (WHO, "M81.9"), (ICD_9, "733.00")],
    "ankylosing spondylitis": [(SNOMED, "9631008"), (CM, "M45.9"), (WHO, "M45"), (GM, "M45.09")],
    "polymyalgia rheumatica": [(SNOMED, "65323003"), (CM, "M35.3"), (WHO, "M35.3")],
    "discitis": [(SNOMED, "2304001"), (CM, "M46.46"), (WHO, "M46.4"), (GM, "M46.46")],
    "endocarditis": [(SNOMED, "233850007"), (CM, "I33.0"), (WHO, "I33.0")],
    "rheumatoid arthritis": [(SNOMED, "69896004"), (CM, "M06.9"), (WHO, "M06.9")],
    "Paget disease of bone": [(SNOMED, "2089002"), (CM, "M88.9"), (WHO, "M88.9")],
    "osteoarthritis of the hip": [(SNOMED, "239872002"), (CM, "M16.11"), (WHO, "M16.1")],
    "leg vein thrombosis": [(SNOMED, "404223003"), (CM, "I82.401"), (WHO, "I80.2")],
    "pregnancy": [(SNOMED, "77386006"), (CM, "Z33.1"), (WHO, "Z33")],
    "smoker": [(SNOMED, "77176002"), (CM, "F17.210"), (WHO, "F17.2")],
    "palliative care": [(SNOMED, "103735009"), (CM, "Z51.5"), (WHO, "Z51.5"), (ICD_9, "V66.7")],
    "past radiotherapy": [(SNOMED, "429479009"), (CM, "Z92.3"), (WHO, "Z92.3"), (ICD_9, "V15.3")],
    "oxycodone": [(RXNORM, "7804"), (RXNORM, "1049621"), (ATC, "N02AA05"), (ATC, "N02AA55")],
    "prednisone": [(RXNORM, "8640"), (RXNORM, "312617"), (ATC, "H02AB07")],
}


@pytest.mark.parametrize("meaning", EQUIVALENT)
def test_equivalent_codes_are_in_the_same_sets_whatever_their_system(meaning: str) -> None:
    found = {coding: INDEX.sets(*coding) for coding in EQUIVALENT[meaning]}
    assert len(set(found.values())) == 1, found
    assert next(iter(found.values()))


def test_narrower_sets_bring_their_broader_ones() -> None:
    small_cell = INDEX.sets(SNOMED, "254632001")
    assert {"cancer-lung-small-cell", "cancer-lung", "cancer-any-icd"} <= small_cell
    assert {"opioid-strong", "opioid-any"} <= INDEX.sets(RXNORM, "7052")
    assert INDEX.sets(RXNORM, "10689") == {"opioid-any"}  # tramadol


def test_sets_above_are_found_once_however_many_ways_lead_to_them() -> None:
    def one(name: str, *broader: str) -> CodeSet:
        return CodeSet(name, name, "strong", broader, (), "")

    sets = {item.name: item for item in (one("a", "b", "c"), one("b", "d"), one("c", "d"), one("d", "a"))}
    system = System(LOINC, "loinc", "loinc")
    index = CodeIndex(Tables((system,), sets, (Code("a", LOINC, "1988-5"),)))
    assert index.sets(LOINC, "1988-5") == {"a", "b", "c", "d"}


def test_prefix_rows_reach_down_and_never_up() -> None:
    assert "cancer-breast" in INDEX.sets(CM, "C50.9")
    assert "cancer-breast" in INDEX.sets(CM, "C50")
    assert INDEX.sets(CM, "C5") == frozenset()
    assert INDEX.sets(CM, "M25.5") == frozenset()
    assert INDEX.sets(ATC, "N02") == frozenset()


def test_the_tier_comes_from_the_most_specific_row() -> None:
    assert INDEX.tier(CM, "Z85.46") == "cancer-prostate"
    assert INDEX.tier(CM, "Z85.118") == "cancer-lung"
    assert INDEX.tier(CM, "Z85.9") is None
    assert INDEX.tier(WHO, "Z85.3") == "cancer-breast"
    assert INDEX.tier(SNOMED, "385763009") == "hospice"
    assert INDEX.tier(SNOMED, "182964004") == "terminal"
    assert INDEX.tier(SNOMED, "133918004") == "palliative"  # ambiguous
    assert INDEX.tier(SNOMED, "306205009") == "palliative"  # referral is not care
    assert INDEX.tier(CM, "C61") is None
    assert INDEX.tier(CM, "Z85.828") is None  # overruled with its set


def test_absent_and_unknown_codings_are_in_no_set() -> None:
    for system, code in [(None, "C61"), (CM, None), (CM, ""), ("", "C61"), (CPT, "72148"), (CM, "Q99.9")]:
        assert INDEX.sets(system, code) == frozenset()
        assert INDEX.tier(system, code) is None
    assert INDEX.certainty(None, "C61 A") == ""
    assert INDEX.certainty(GM, "C61 A") == "A"


def test_answers_do_not_change_when_they_come_from_memory() -> None:
    index = CodeIndex.load(CODES)
    first = [index.sets(CM, "C79.51"), index.sets(CM, "x" * 200), index.sets(CPT, "1")]
    again = [index.sets(CM, "C79.51"), index.sets(CM, "x" * 200), index.sets(CPT, "1")]
    assert first == again == [INDEX.sets(CM, "C79.51"), frozenset(), frozenset()]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rules.engine.codes._MEMO_LIMIT", 10)
    index = CodeIndex.load(CODES)
    for number in range(100):
        index.sets(CPT, str(number))
        assert len(index._memo) <= 10
    index.sets(CPT, "x" * 65)
    assert (CPT, "x" * 65) not in index._memo


def test_the_snomed_extension_can_be_left_out() -> None:
    core = CodeIndex.load(CODES, snomed_extension=False)
    assert core.sets(SNOMED, "36163009") == frozenset()
    assert INDEX.sets(SNOMED, "36163009") == {"night-pain"}
    assert core.sets(SNOMED, "94222008") == INDEX.sets(SNOMED, "94222008")
    assert core.sets(CM, "C61") == INDEX.sets(CM, "C61")


def test_a_site_adds_codes_of_any_system() -> None:
    local = {
        "imaging-mri-lumbar": [(CPT, "72148")],
        "leg-weakness": [(CM, "R29.898")],
        "post-void-residual": [("urn:lab:Hospital", "PVR")],
    }
    index = CodeIndex.load(CODES, local=local)
    assert index.sets(CPT, "72148") == {"imaging-mri-lumbar"}
    assert index.sets(CM, "r29898") == {"leg-weakness"}
    assert index.sets("urn:lab:hospital", "PVR") == {"post-void-residual"}
    assert index.sets("urn:lab:hospital", "pvr") == frozenset()
    assert index.find("imaging-mri-lumbar", CPT) == ("72148",)


def test_a_site_code_that_names_the_excluded_code_stands_beside_the_exclusion() -> None:
    index = CodeIndex.load(CODES, local={"history-of-cancer": [(CM, "Z85.828")]})
    assert index.sets(CM, "Z85.828") == {"history-of-cancer", "exclude-nmsc-in-situ-benign"}


def test_a_site_map_with_faults_is_refused_with_all_of_them() -> None:
    with pytest.raises(BundleError) as caught:
        CodeIndex.load(CODES, local={"hip": [(CPT, "1")], "hip-pain": [(CM, "C00-C14")]})
    assert [problem.code for problem in caught.value.problems] == ["C004", "C006"]


def test_find_lists_the_codes_of_one_system_under_any_of_its_names() -> None:
    crp = INDEX.find("lab-crp", LOINC)
    assert crp == ("1988-5", "30522-7", "48421-2", "71426-1", "76485-2", "76486-0")
    assert INDEX.find("lab-crp", "urn:oid:2.16.840.1.113883.6.1") == crp
    assert "94222008" in INDEX.find("secondary-malignancy-any", SNOMED)
    assert "94389000" in INDEX.find("secondary-malignancy-any", SNOMED)  # from the narrower set
    assert INDEX.find("lab-crp", SNOMED) == ()


def test_strength_and_titles_are_those_of_the_table() -> None:
    assert INDEX.strength("night-pain") == "weak"
    assert INDEX.titles["lab-crp"] == "CRP"
    assert {INDEX.strength(name) for name in INDEX.titles} == {"strong", "medium", "weak"}


def test_the_codes_of_the_acceptance_patients_are_in_their_sets(shared: Path) -> None:
    concepts = json.loads((shared / "vignettes" / "codes.json").read_text(encoding="utf-8"))["concepts"]
    astray = []
    for concept, codings in concepts.items():
        name, _, tier = concept.partition(":")
        for coding in codings:
            here = coding["system"], coding["code"]
            wanted = f"cancer-{tier}" if name == "history-of-cancer" else tier
            if name not in INDEX.sets(*here) or (tier and INDEX.tier(*here) != wanted):
                astray.append((concept, *here))
    assert astray == []


def test_every_verified_code_of_the_clinical_reference_is_kept_or_documented(shared: Path) -> None:
    reference = json.loads(
        (shared / "reference" / "clinical" / "value-sets.json").read_text(encoding="utf-8")
    )
    documented = (CODES / "README.md").read_text(encoding="utf-8").partition("## Departures")[2]
    gone = [
        (one["name"], code["code"])
        for one in reference["value_sets"]
        for code in one["codes"]
        if code["verified"] != "no" and one["name"] not in INDEX.sets(code["system"], code["code"])
    ]
    site_needed = {
        ("hip-pain", "M25.5"),
        ("hip-flexion-restriction", "M24.5"),
        ("hip-flexion-restriction", "M25.6"),
    }
    undocumented = [
        (name, code)
        for name, code in gone
        if (name, code) not in site_needed and f"`{name}`" not in documented
    ]
    assert undocumented == []
    assert len(gone) == 20
