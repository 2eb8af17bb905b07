"""One patient's record of one call, indexed by what its codes mean.

Every resource is looked at once: another patient's is dropped and counted, and the rest becomes evidence
under the value sets its codings belong to, results under their analyte, medicines, orders and imaging as
lists of their own. No rule and no threshold lives here; `service.facts.reading` fills it. Source:
facts.yaml conventions.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from rules.engine.codes import CodeIndex
from rules.engine.units import Units
from service.facts import concepts
from service.facts.dates import Calendar, Day
from service.facts.entries import Evidence, Imaging, Medicine, Order
from service.facts.results import Result
from service.resources import (
    Bundle,
    CodeableConcept,
    Encounter,
    Medication,
    Patient,
    Reference,
    Resource,
)

__all__ = ["PALLIATIVE_SOURCES", "Record"]

# Resource types that may say a person is in palliative care. CarePlan and Flag are the site's choice:
# Synthea, for one, gives every lung cancer patient a terminal care plan at diagnosis.
PALLIATIVE_SOURCES = frozenset({"Encounter", "Procedure", "Condition", "ServiceRequest"})


class Record:
    """The index. `questions` maps questionnaire linkIds to fact names."""

    def __init__(
        self,
        patient_id: str,
        *,
        calendar: Calendar,
        codes: CodeIndex,
        units: Units,
        palliative_sources: frozenset[str] = PALLIATIVE_SOURCES,
        questions: Mapping[str, str] | None = None,
    ) -> None:
        self.patient_id = patient_id
        self.calendar = calendar
        self.codes = codes
        self.units = units
        self.palliative_sources = palliative_sources
        self.questions = questions or {}
        self.patient: Patient | None = None
        self.evidence: dict[str, list[Evidence]] = {}
        self.answers: dict[str, list[Evidence]] = {}
        self.results: dict[str, list[Result]] = {}
        self.medicines: list[Medicine] = []
        self.orders: list[Order] = []
        self.drafts: list[Order] = []
        self.imaging: list[Imaging] = []
        self.visit_days: dict[str, Day] = {}
        self.medications: dict[str, CodeableConcept] = {}
        self.dropped: Counter[str] = Counter()
        self.uncoded: Counter[str] = Counter()
        self._subjects: dict[str, bool] = {}
        self._urls: dict[str, str] = {}

    def of(self, *sets: str) -> list[Evidence]:
        """Evidence in any of the sets, each entry once, in the order it was read."""
        if len(sets) == 1:
            return self.evidence.get(sets[0], [])
        found: dict[int, Evidence] = {}
        for name in sets:
            for evidence in self.evidence.get(name, ()):
                found[id(evidence)] = evidence
        return list(found.values())

    def add(self, evidence: Evidence) -> None:
        by_set = self.evidence
        for name in evidence.sets:
            try:
                by_set[name].append(evidence)
            except KeyError:
                by_set[name] = [evidence]

    def meaning(self, concept: CodeableConcept | None) -> frozenset[str]:
        return concepts.meaning(concept, self.codes)

    def flatten(self, arrived: Iterable[tuple[str, Resource]]) -> list[tuple[str, Resource]]:
        """Open Bundles and drop doubles; the patient and the visits come first, for others are dated by
        them.
        """
        first: list[tuple[str, Resource]] = []
        rest: list[tuple[str, Resource]] = []
        seen: set[tuple[type, str]] = set()
        stack: list[tuple[str, str | None, Resource]] = [(key, None, value) for key, value in arrived]
        stack.reverse()
        while stack:
            key, url, resource = stack.pop()
            if isinstance(resource, Bundle):
                entries = resource.entry or ()
                stack.extend(
                    (key, e.fullUrl, e.resource) for e in reversed(entries) if e.resource is not None
                )
                continue
            kind = type(resource)
            if url and url.startswith("urn:") and resource.id:
                self._urls[url] = f"{kind.__name__}/{resource.id}"
            if resource.id:
                marker = (kind, resource.id)
                if marker in seen:
                    continue
                seen.add(marker)
            if kind is Patient:
                first.insert(0, (key, resource))
            elif kind is Encounter:
                first.append((key, resource))
            elif isinstance(resource, Medication):
                if resource.code is not None:
                    self.medications[f"Medication/{resource.id}" if resource.id else url or ""] = (
                        resource.code
                    )
            else:
                rest.append((key, resource))
        first += rest
        return first

    def is_patient(self, subject: Reference | None) -> bool:
        """Whether a subject reference names the patient of the call.

        No reference at all is taken for the patient, whose record was asked for. Relative, absolute,
        versioned, contained and `urn:uuid` references are understood (decision 35 on the clinical
        material).
        """
        if subject is None or not subject.reference:
            return True
        reference = subject.reference
        known = self._subjects.get(reference)
        if known is None:
            name = self.target(subject)
            known = name in (
                f"Patient/{self.patient_id}",
                f"#{self.patient_id}",
                f"urn:uuid:{self.patient_id}",
                f"urn:oid:{self.patient_id}",
            )
            self._subjects[reference] = known
        return known

    def target(self, reference: Reference | None) -> str:
        """`Type/id` of what a reference names, versions and server left out; `` when there is none.

        A `urn:` reference is resolved among the Bundles that were read, else kept as it is.
        """
        if reference is None or not reference.reference:
            return ""
        text = reference.reference.split("/_history/", 1)[0]
        return self._urls.get(text) or "/".join(text.split("/")[-2:])

    def mine(self, subject: Reference | None) -> bool:
        """As `is_patient`, counting what is not."""
        if self.is_patient(subject):
            return True
        self.dropped["other-patient"] += 1
        return False
