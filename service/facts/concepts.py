"""Small questions asked of codes and coded values.

Sources: FHIR R4 Condition and Observation status and value rules; ICD-10-GM diagnostic certainty (decision
19 on the clinical material); SNOMED CT qualifier values for presence and laterality.
"""

from collections.abc import Iterable
from typing import Any

from rules.engine.codes import CodeIndex
from service.datatypes import CodeableConcept, CodeableReference
from service.resources import Answer

__all__ = [
    "answered",
    "certainty",
    "codes",
    "codings",
    "concept_of",
    "each",
    "is_finding",
    "label",
    "meaning",
    "meanings",
    "named",
    "presence",
    "sides",
    "status",
]

Codings = tuple[tuple[str, str], ...]

_NONE: frozenset[str] = frozenset()
_NEGATIVE = frozenset(
    {
        "373067005",  # No
        "2667000",  # Absent
        "260385009",  # Negative
        "260415000",  # Not detected
        "LA32-8",  # LOINC answer: No
        "LA9634-2",  # LOINC answer: Absent
        "N",
        "NEG",
        "ND",
        "no",
        "absent",
        "negative",
    }
)
_UNDECIDED = frozenset({"261665006", "UNK", "ASKU", "NASK", "NAV", "unknown", "asked-unknown", "266927001"})
_CERTAINTY = "http://fhir.de/StructureDefinition/icd-10-gm-diagnosesicherheit"
_LEFT = frozenset({"7771000", "32153003"})
_RIGHT = frozenset({"24028007", "62175007"})
_BOTH = frozenset({"51440002"})
_BOTH_BY_NATURE = frozenset(
    {"23042008", "312444006", "60389000"}
)  # paraparesis, spastic paraparesis, paraplegia
_SIDE_OF_CODE = {
    "M21371": "right",
    "M21372": "left",
    "G8311": "right",
    "G8312": "left",
    "G8313": "right",
    "G8314": "left",
}
# Sets of symptoms, signs and states: what a person may state in any form. A diagnosis must be a Condition.
_FINDINGS = frozenset(
    {
        "low-back-pain",
        "back-pain-unspecified",
        "thoracic-back-pain",
        "hip-pain",
        "groin-thigh-buttock-pain",
        "pelvic-pain",
        "bone-pain",
        "neoplasm-related-pain",
        "sciatica-radiculopathy",
        "night-pain",
        "weight-loss",
        "fever",
        "night-sweats",
        "fatigue-malaise",
        "leg-weakness",
        "saddle-anaesthesia",
        "lower-limb-sensory-disturbance",
        "urinary-retention",
        "urinary-incontinence",
        "faecal-incontinence",
        "gait-disturbance",
        "hip-flexion-restriction",
        "trauma-recent",
        "smoker-current",
        "pain-on-straining",
        "spinal-tenderness",
        "cannot-bear-weight",
        "pain-worsening",
        "pregnancy",
    }
)


def is_finding(name: str) -> bool:
    """Whether a value set holds symptoms or signs."""
    return name in _FINDINGS


def meaning(concept: CodeableConcept | CodeableReference | None, index: CodeIndex) -> frozenset[str]:
    """Names of the value sets any coding of the concept is in."""
    if concept is None or not concept.coding:
        return _NONE
    codings = concept.coding
    if len(codings) == 1:
        coding = codings[0]
        return index.sets(coding.system or "", coding.code or "") if coding.code else _NONE
    found = [index.sets(coding.system or "", coding.code) for coding in codings if coding.code]
    return _NONE.union(*found)


def meanings(concepts: Iterable[CodeableConcept | CodeableReference], index: CodeIndex) -> frozenset[str]:
    """Names of the value sets any coding of any of the concepts is in."""
    return _NONE.union(*(meaning(concept, index) for concept in concepts))


def codings(concepts: Iterable[CodeableConcept | CodeableReference | None]) -> Codings:
    """(system, code) of every coding that has a code."""
    return tuple(
        (coding.system or "", coding.code)
        for concept in concepts
        if concept is not None
        for coding in concept.coding or ()
        if coding.code
    )


def named(kind: str, identity: str | None) -> str:
    """The relative reference of a resource, `Type/id`; of one without an id, as in draft orders, its type."""
    return f"{kind}/{identity}" if identity else kind


def label(codes_given: Codings) -> str:
    """`system|code` of the first coding, the form of a FHIR token search."""
    return "|".join(codes_given[0]) if codes_given else ""


def each(given: Any) -> list[Any]:
    """The CodeableConcepts of an element that is a list, a single one, or missing."""
    if given is None:
        return []
    concepts = given if isinstance(given, list) else [given]
    return [concept_of(concept) for concept in concepts]


def concept_of(given: CodeableConcept | CodeableReference | None) -> Any:
    """The concept of an R5 CodeableReference; an R4 CodeableConcept as it is."""
    inner = getattr(given, "concept", None)
    return inner if inner is not None else given


def codes(given: Any) -> frozenset[str]:
    """All codes of an element, whatever their system."""
    return frozenset(code for _, code in codings(each(given)))


def status(given: CodeableConcept | str | None) -> str:
    """A status code, from a CodeableConcept or the bare code of older senders; empty when there is none."""
    if given is None:
        return ""
    if isinstance(given, str):
        return given.strip().lower()
    return next((coding.code.lower() for coding in given.coding or () if coding.code), "")


def certainty(concept: CodeableConcept | None, index: CodeIndex) -> str:
    """ICD-10-GM diagnostic certainty: A excluded, V suspected, Z history of, G confirmed; empty when not
    given.
    """
    for coding in (concept.coding or ()) if concept is not None else ():
        for extension in coding.extension or ():
            if extension.url == _CERTAINTY and extension.valueCoding is not None:
                return (extension.valueCoding.code or "").upper()
        letter = index.certainty(coding.system, coding.code)
        if letter:
            return letter
    return ""


def presence(holder: Any) -> bool | None:
    """What an Observation or component says of the finding its code names.

    True present, False stated absent, None not decided (no data, free text, a number). A finding code without
    any value is the finding itself.
    """
    if holder.dataAbsentReason is not None:
        return None
    if holder.valueBoolean is not None:
        return bool(holder.valueBoolean)
    value = holder.valueCodeableConcept
    if value is not None:
        given = {coding.code for coding in value.coding or ()}
        if given & _NEGATIVE:
            return False
        return None if given & _UNDECIDED or not given else True
    if holder.valueString is not None or holder.valueQuantity is not None or holder.valueInteger is not None:
        return None
    return True


def sides(body_site: Any, given: Codings) -> frozenset[str]:
    """Sides a finding concerns: left, right, or both of them; empty when the record does not say."""
    found: set[str] = set()
    for code in codes(body_site):
        if code in _LEFT:
            found.add("left")
        elif code in _RIGHT:
            found.add("right")
        elif code in _BOTH:
            found |= {"left", "right"}
    for _, code in given:
        bare = code.replace(".", "").strip().upper()
        if bare in _BOTH_BY_NATURE or bare.startswith("G82"):
            found |= {"left", "right"}
        elif bare in _SIDE_OF_CODE:
            found.add(_SIDE_OF_CODE[bare])
    return frozenset(found)


def answered(answer: Answer) -> bool | None:
    """A questionnaire answer as yes, no, or not decided."""
    if answer.valueBoolean is not None:
        return answer.valueBoolean
    code = answer.valueCoding.code if answer.valueCoding is not None else None
    if code is None:
        return None
    if code in _NEGATIVE:
        return False
    return True if code in ("373066001", "LA33-6", "Y", "yes", "present", "52101004") else None
