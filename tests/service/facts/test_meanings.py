import msgspec
import pytest

from service.datatypes import CodeableConcept, CodeableReference, Coding
from service.facts.meanings import NOTHING, OTHER_HOUR_ANALYTE, Meanings, meanings_of
from tests.service.facts import codes
from tests.service.facts.build import code_index, concept, units

MEANINGS = meanings_of(code_index(), units())


def of(*codings: str) -> CodeableConcept:
    return msgspec.convert(concept(*codings), CodeableConcept)


@pytest.mark.parametrize(
    "given",
    [
        None,
        CodeableConcept(),
        CodeableConcept([]),
        CodeableConcept([Coding(None, None)]),
        of("http://snomed.info/sct|0"),
        of("http://ehr.example|1", "http://ehr.example|2"),
    ],
)
def test_a_concept_in_no_value_set_means_nothing(given: CodeableConcept | None) -> None:
    assert MEANINGS.of(given) is NOTHING


def test_every_coding_adds_its_sets() -> None:
    assert MEANINGS.of(of("http://ehr.example|1", codes.HIP_PAIN, codes.FEVER)).sets == {"hip-pain", "fever"}


def test_a_concept_is_looked_up_once() -> None:
    assert MEANINGS.of(of(codes.HIP_PAIN)) is MEANINGS.of(of(codes.HIP_PAIN))


@pytest.mark.parametrize(
    ("code", "analyte", "number_only", "imaging"),
    [
        (codes.CRP, "crp", True, False),
        (codes.ESR_TWO_HOURS, OTHER_HOUR_ANALYTE, True, False),
        (codes.PAIN_SCORE, "pain-score", True, False),
        (codes.HIP_PAIN, "", False, False),
        (codes.MRI_LUMBAR, "", False, True),
    ],
)
def test_a_meaning_says_what_reading_asks_of_a_code(
    code: str, analyte: str, number_only: bool, imaging: bool
) -> None:
    meaning = MEANINGS.of(of(code))
    assert (meaning.analyte, meaning.number_only, meaning.imaging) == (analyte, number_only, imaging)


def test_a_number_beside_a_finding_is_more_than_a_number() -> None:
    meaning = MEANINGS.of(of(codes.CRP, codes.FEVER))
    assert meaning.analyte == "crp"
    assert not meaning.number_only


def test_a_panel_code_of_a_measured_set_has_no_number() -> None:
    meaning = MEANINGS.of(of("http://loinc.org|24351-9"))
    assert meaning.sets == {"lab-m-protein-spep"}
    assert meaning.analyte == ""


def test_an_r5_reference_without_a_concept_is_read_by_its_codings() -> None:
    assert MEANINGS.of(CodeableReference([Coding("http://snomed.info/sct", "49218002")])).sets == {"hip-pain"}


def test_a_very_long_code_is_answered_and_not_kept() -> None:
    long = CodeableConcept([Coding("http://snomed.info/sct", "9" * 400)])
    assert MEANINGS.of(long) is NOTHING


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.facts.meanings._MEMO_LIMIT", 2)
    own = Meanings(code_index(), units())
    for code in (codes.HIP_PAIN, codes.FEVER, codes.BONE_PAIN, codes.HIP_PAIN):
        assert own.of(of(code)).sets
    assert len(own._memo) == 2


def test_meanings_are_shared_between_calls_over_the_same_tables() -> None:
    assert meanings_of(code_index(), units()) is meanings_of(code_index(), units())
    other = meanings_of(code_index((("hip-pain", (("http://ehr.example", "1"),)),)), units())
    assert other.of(of("http://ehr.example|1")).sets == {"hip-pain"}


def test_codes_in_no_set_beside_known_ones_are_counted() -> None:
    meanings = Meanings(code_index(), units())
    beside = of(
        codes.HIP_PAIN, "http://snomed.info/sct|123456789", "http://ehr.example|local", "http://loinc.org|x"
    )
    for _ in range(3):
        assert meanings.of(beside).sets == {"hip-pain"}
    meanings.of(of("http://snomed.info/sct|123456789"))
    meanings.of(of("http://snomed.info/sct|123456789", "http://ehr.example|local"))
    meanings.of(of(codes.HIP_PAIN, codes.FEVER))
    assert meanings.take_unmapped() == {("snomed", "123456789"): 3}
    assert meanings.take_unmapped() == {}
    meanings.of(beside)
    assert meanings.take_unmapped() == {("snomed", "123456789"): 1}


def test_what_is_counted_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.facts.meanings._MEMO_LIMIT", 1)
    meanings = Meanings(code_index(), units())
    for number in (1, 2, 2):
        concept = of(codes.HIP_PAIN, f"http://snomed.info/sct|12345678{number}")
        assert meanings.of(concept).sets == {"hip-pain"}
    assert meanings.take_unmapped() == {("snomed", "123456781"): 1}
