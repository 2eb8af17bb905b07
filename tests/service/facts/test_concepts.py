import msgspec
import pytest

from service.datatypes import CodeableConcept, CodeableReference, Coding, Extension, Quantity, Reference
from service.facts import concepts
from service.resources import Answer, Observation
from tests.service.facts import codes
from tests.service.facts.build import code_index, concept

INDEX = code_index()
CERTAINTY = "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit"


def of(*codings: str) -> CodeableConcept:
    return msgspec.convert(concept(*codings), CodeableConcept)


def gm(code: str, extension: list[Extension] | None = None) -> CodeableConcept:
    return CodeableConcept([Coding("http://fhir.de/CodeSystem/bfarm/icd-10-gm", code, extension=extension)])


def test_every_coding_of_a_concept_counts() -> None:
    found = concepts.meaning(of("https://ehr.example/codes|4711", codes.LOW_BACK_PAIN, codes.HIP_PAIN), INDEX)
    assert found == {"low-back-pain", "hip-pain"}


@pytest.mark.parametrize("given", [None, CodeableConcept(), CodeableConcept([]), CodeableConcept([Coding()])])
def test_a_concept_without_codes_means_nothing(given: CodeableConcept | None) -> None:
    assert concepts.meaning(given, INDEX) == frozenset()
    assert concepts.codings((given,)) == ()


def test_meanings_of_several_concepts_add_up() -> None:
    assert concepts.meanings([of(codes.HIP_PAIN), of(codes.FEVER)], INDEX) == {"hip-pain", "fever"}
    assert concepts.meanings([], INDEX) == frozenset()


def test_the_label_is_the_first_coding_as_a_token() -> None:
    given = concepts.codings((of(codes.FEVER, codes.HIP_PAIN),))
    assert concepts.label(given) == codes.FEVER
    assert concepts.label(()) == ""


def test_an_element_is_read_as_a_list_whatever_its_form() -> None:
    one = of(codes.FEVER)
    assert concepts.each(None) == []
    assert concepts.each(one) == [one]
    assert concepts.each([one, one]) == [one, one]


def test_an_r5_reference_to_a_concept_gives_the_concept() -> None:
    inner = of(codes.FEVER)
    assert concepts.concept_of(CodeableReference(concept=inner)) is inner
    given = CodeableReference([Coding("s", "c")], reference=Reference("X/1"))
    assert concepts.concept_of(given) is given


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, ""),
        (" Active ", "active"),
        (CodeableConcept([Coding(code="Resolved")]), "resolved"),
        (CodeableConcept([Coding(system="only"), Coding(code="inactive")]), "inactive"),
        (CodeableConcept([]), ""),
    ],
)
def test_a_status_is_read_from_a_concept_or_a_bare_code(
    given: CodeableConcept | str | None, expected: str
) -> None:
    assert concepts.status(given) == expected


@pytest.mark.parametrize("letter", ["A", "G", "V", "Z"])
def test_decision_18_certainty_behind_the_code(letter: str) -> None:
    assert concepts.certainty(gm(f"C61 {letter}"), INDEX) == letter


@pytest.mark.parametrize("letter", ["A", "g", "V", "Z"])
def test_decision_19_certainty_as_an_extension(letter: str) -> None:
    given = gm("C61", [Extension("https://other.example"), Extension(CERTAINTY, Coding(code=letter))])
    assert concepts.certainty(given, INDEX) == letter.upper()


def test_no_certainty_is_none() -> None:
    assert concepts.certainty(None, INDEX) == ""
    assert concepts.certainty(gm("C61"), INDEX) == ""
    assert concepts.certainty(gm("C61", [Extension(CERTAINTY, Coding())]), INDEX) == ""


@pytest.mark.parametrize(
    ("holder", "expected"),
    [
        (Observation(), True),
        (Observation(valueBoolean=True), True),
        (Observation(valueBoolean=False), False),
        (Observation(valueCodeableConcept=of(codes.YES)), True),
        (Observation(valueCodeableConcept=of(codes.NO)), False),
        (Observation(valueCodeableConcept=of(codes.ABSENT)), False),
        (Observation(valueCodeableConcept=of("http://loinc.org|LA32-8")), False),
        (Observation(valueCodeableConcept=of("http://loinc.org|LA9634-2")), False),
        (Observation(valueCodeableConcept=of(codes.UNKNOWN)), None),
        (Observation(valueCodeableConcept=CodeableConcept()), None),
        (Observation(valueString="a little"), None),
        (Observation(valueInteger=3), None),
        (Observation(valueQuantity=Quantity(3.0)), None),
        (Observation(dataAbsentReason=of(codes.UNKNOWN)), None),
        (Observation(dataAbsentReason=of(codes.UNKNOWN), valueBoolean=True), None),
    ],
)
def test_presence_is_three_valued(holder: Observation, expected: bool | None) -> None:
    assert concepts.presence(holder) is expected


@pytest.mark.parametrize(
    ("site", "coding", "expected"),
    [
        (None, codes.MUSCLE_WEAKNESS, set()),
        (codes.LEFT, codes.MUSCLE_WEAKNESS, {"left"}),
        (codes.RIGHT, codes.MUSCLE_WEAKNESS, {"right"}),
        (codes.BOTH_SIDES, codes.MUSCLE_WEAKNESS, {"left", "right"}),
        (codes.PELVIS, codes.MUSCLE_WEAKNESS, set()),
        (None, codes.FOOT_DROP_LEFT, {"left"}),
        (None, codes.FOOT_DROP_RIGHT, {"right"}),
        (None, codes.PARAPARESIS, {"left", "right"}),
        (None, "http://hl7.org/fhir/sid/icd-10-cm|G82.20", {"left", "right"}),
        (codes.RIGHT, codes.FOOT_DROP_LEFT, {"left", "right"}),
    ],
)
def test_sides_come_from_body_site_and_code(site: str | None, coding: str, expected: set[str]) -> None:
    place = of(site) if site else None
    assert concepts.sides(place, concepts.codings((of(coding),))) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(valueBoolean=True), True),
        (Answer(valueBoolean=False), False),
        (Answer(valueCoding=Coding(code="373066001")), True),
        (Answer(valueCoding=Coding(code="373067005")), False),
        (Answer(valueCoding=Coding(code="LA33-6")), True),
        (Answer(valueCoding=Coding(code="261665006")), None),
        (Answer(valueCoding=Coding(code="sometimes")), None),
        (Answer(valueCoding=Coding()), None),
        (Answer(), None),
    ],
)
def test_an_answer_is_yes_no_or_undecided(answer: Answer, expected: bool | None) -> None:
    assert concepts.answered(answer) is expected


def test_findings_are_symptoms_and_not_diagnoses() -> None:
    assert concepts.is_finding("saddle-anaesthesia")
    assert not concepts.is_finding("cancer-prostate")


def test_every_finding_is_a_value_set() -> None:
    assert {name for name in concepts._FINDINGS if name not in INDEX.titles} == set()


@pytest.mark.parametrize(
    ("identity", "name"), [("o1", "Observation/o1"), (None, "Observation"), ("", "Observation")]
)
def test_a_resource_without_an_id_is_named_by_its_type(identity: str | None, name: str) -> None:
    assert concepts.named("Observation", identity) == name
