"""Spelling of codings: what senders write, and the place it is looked up in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.engine.codings import Codings, System

SNOMED = "http://snomed.info/sct"
WHO = "http://hl7.org/fhir/sid/icd-10"
CM = "http://hl7.org/fhir/sid/icd-10-cm"
GM = "http://fhir.de/CodeSystem/bfarm/icd-10-gm"
ICD_9 = "http://hl7.org/fhir/sid/icd-9-cm"
ATC = "http://www.whocc.no/atc"

CODINGS = Codings(
    [
        System(SNOMED, "snomed", "snomed"),
        System("urn:oid:2.16.840.1.113883.6.96", "snomed", "snomed"),
        System(WHO, "icd-10", "icd-10"),
        System(CM, "icd-10-cm", "icd-10-cm"),
        System(GM, "icd-10-gm", "icd-10"),
        System(ICD_9, "icd-9-cm", "icd-9-cm"),
        System("http://loinc.org", "loinc", "loinc"),
        System(ATC, "atc", "atc"),
    ]
)


@pytest.mark.parametrize(
    ("uri", "code", "place"),
    [
        (CM, "M54.50", ("icd-10-cm", "M5450")),
        (CM, " m54.50 ", ("icd-10-cm", "M5450")),
        (CM, "M5450", ("icd-10-cm", "M5450")),
        (CM, "M48.56XA", ("icd-10-cm", "M4856XA")),
        (CM, "C4A.9", ("icd-10-cm", "C4A9")),
        (WHO, "M54.-", ("icd-10", "M54")),
        (WHO, "C79.5†", ("icd-10", "C795")),
        (WHO, "M49.5*", ("icd-10", "M495")),
        (WHO, "C79.5+", ("icd-10", "C795")),
        (GM, "B96.2!", ("icd-10", "B962")),
        (GM, "C61 G", ("icd-10", "C61")),
        (GM, "c61.v", ("icd-10", "C61")),
        (GM, "M54.5G", ("icd-10", "M545")),
        (GM, "C79.5+ Z", ("icd-10", "C795")),
        (ICD_9, "198.5", ("icd-9-cm", "1985")),
        (ICD_9, "V10.83", ("icd-9-cm", "V1083")),
        (SNOMED, "279039007 |Low back pain|", ("snomed", "279039007")),
        ("http://loinc.org", "lp29684-5", ("loinc", "LP29684-5")),
        (ATC, "n02aa05", ("atc", "N02AA05")),
    ],
)
def test_spellings_of_one_code_share_a_place(uri: str, code: str, place: tuple[str, str]) -> None:
    assert CODINGS.place(uri, code) == place


@pytest.mark.parametrize(
    "uri",
    [
        SNOMED,
        SNOMED + "/",
        SNOMED + "|http://snomed.info/sct/900000000000207008",
        SNOMED + "/900000000000207008",
        SNOMED + "/900000000000207008/version/20240101",
        "https://snomed.info/sct",
        "urn:oid:2.16.840.1.113883.6.96",
        " http://snomed.info/sct ",
    ],
)
def test_names_of_one_system_share_a_table(uri: str) -> None:
    assert CODINGS.place(uri, "22298006")[0] == "snomed"


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        (WHO, "C00-C14"),
        (WHO, "back pain"),
        (WHO, "II"),
        (CM, "M5450XXXX"),
        (ICD_9, "19"),
        (ICD_9, "7243344"),
        (ATC, "N02A5"),
        (CM, ""),
    ],
)
def test_what_cannot_be_a_code_has_no_spelling(uri: str, code: str) -> None:
    assert CODINGS.place(uri, code)[1] == ""


def test_a_certainty_letter_is_read_in_the_german_system_only() -> None:
    assert [CODINGS.certainty(GM, f"C61{mark}") for mark in (" A", "G", ".V", " z", "")] == [*"AGVZ", ""]
    assert CODINGS.certainty(CM, "M48.56XA") == ""
    assert CODINGS.place(CM, "M84.58XA") == ("icd-10-cm", "M8458XA")
    assert CODINGS.certainty("http://example.org/local", "C61 A") == ""


def test_an_unknown_system_keeps_its_name_and_the_code_its_case() -> None:
    assert CODINGS.place("http://example.org/Lab/", " crP ") == ("http://example.org/lab", "crP")


def test_the_first_uri_of_a_system_is_its_canonical_one() -> None:
    assert CODINGS.uri("snomed") == SNOMED
    assert CODINGS.uri("cpt") is None


@given(st.sampled_from([CM, WHO, GM, ICD_9, ATC, SNOMED, "urn:x"]), st.text(max_size=80))
def test_any_text_has_a_place(uri: str, code: str) -> None:
    table, spelled = CODINGS.place(uri, code)
    assert table
    assert CODINGS.spell(table, spelled) == spelled


@pytest.mark.parametrize(
    ("uri", "code", "place"),
    [
        (SNOMED, "279039007 |Low back pain|", ("snomed", "279039007")),
        (CM, "m54.59", ("icd-10-cm", "M5459")),
        (GM, "M54.5 G", ("icd-10", "M545")),
        (ICD_9, "724.2", ("icd-9-cm", "7242")),
        (ATC, "N02BE01", ("atc", "N02BE01")),
        ("http://loinc.org", "1988-5", ("loinc", "1988-5")),
        (SNOMED, "John Smith", None),
        (SNOMED, "12345", None),
        ("http://loinc.org", "CRP", None),
        (CM, "C00-C14", None),
        ("http://ehr.example", "1988-5", None),
    ],
)
def test_a_code_of_a_published_terminology_has_its_shape(
    uri: str, code: str, place: tuple[str, str] | None
) -> None:
    assert CODINGS.standard(uri, code) == place
