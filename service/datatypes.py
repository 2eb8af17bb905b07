"""The slice of FHIR's complex datatypes that facts are read from, as msgspec Structs.

As in `service.resources`, only consumed elements are declared and each is optional. Source: HL7 FHIR R4
(4.0.1) datatypes; FHIR R5 for CodeableReference.
"""

import msgspec

__all__ = [
    "CodeableConcept",
    "CodeableReference",
    "Coding",
    "Concepts",
    "Extension",
    "Period",
    "Quantity",
    "Reference",
    "ReferenceRange",
    "Status",
]


class Extension(msgspec.Struct, gc=False):
    url: str | None = None
    valueCoding: "Coding | None" = None
    valueCode: str | None = None


class Coding(msgspec.Struct, gc=False):
    system: str | None = None
    code: str | None = None
    extension: list[Extension] | None = None


class CodeableConcept(msgspec.Struct, gc=False):
    coding: list[Coding] | None = None


# Some EHRs send one CodeableConcept where the specification has a list (`category` in Epic and in the
# reference sandbox), and STU3-born systems send a bare code.
Concepts = list[CodeableConcept] | CodeableConcept | None
Status = CodeableConcept | str | None


class Reference(msgspec.Struct, gc=False):
    reference: str | None = None


class CodeableReference(msgspec.Struct, gc=False):
    """R5's CodeableReference, or the CodeableConcept that stands in its place in R4."""

    coding: list[Coding] | None = None
    concept: CodeableConcept | None = None
    reference: Reference | None = None


class Period(msgspec.Struct, gc=False):
    start: str | None = None
    end: str | None = None


class Quantity(msgspec.Struct, gc=False):
    value: float | None = None
    comparator: str | None = None
    unit: str | None = None
    code: str | None = None


class ReferenceRange(msgspec.Struct, gc=False):
    low: Quantity | None = None
    high: Quantity | None = None
    type: CodeableConcept | None = None
