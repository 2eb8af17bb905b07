"""One patient's record of one call, indexed by what its codes mean.

Every resource is looked at once: another patient's is dropped and counted, and the rest becomes evidence
under the value sets its codings belong to, results under their analyte, medicines, orders and imaging as
lists of their own. No rule and no threshold lives here; `service.facts.reading` fills it. Source: facts.yaml
conventions.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from operator import itemgetter
from typing import Any

from rules.engine.codes import CodeIndex
from rules.engine.units import Units
from service.datatypes import CodeableConcept, CodeableReference, Reference
from service.facts.dates import MIDDLE_DECIDES, Calendar, Day
from service.facts.entries import Evidence, Imaging, Medicine, Order
from service.facts.meanings import Meaning, meanings_of
from service.facts.questionnaires import Questions
from service.facts.results import Result, observed
from service.resources import (
    Bundle,
    Entry,
    Medication,
    Observation,
    Patient,
    Resource,
)

__all__ = ["PALLIATIVE_SOURCES", "Record"]

# Resource types that may say a person is in palliative care. CarePlan and Flag are the site's choice:
# Synthea, for one, gives every lung cancer patient a terminal care plan at diagnosis.
PALLIATIVE_SOURCES = frozenset({"Encounter", "Procedure", "Condition", "ServiceRequest"})


Piles = dict[type, list[tuple[str, Resource]]]
_Dated = tuple[int, Day, Observation, Any, str]
_first = itemgetter(0)
_OPENED = frozenset({Bundle, Medication})


class Record:
    """The index. `questions` says which answers of questionnaires are facts."""

    def __init__(
        self,
        patient_id: str,
        *,
        calendar: Calendar,
        codes: CodeIndex,
        units: Units,
        palliative_sources: frozenset[str] = PALLIATIVE_SOURCES,
        questions: Questions | None = None,
    ) -> None:
        self.patient_id = patient_id
        self.calendar = calendar
        self.codes = codes
        self.units = units
        self.palliative_sources = palliative_sources
        self.questions = questions or Questions()
        self.meanings = meanings_of(codes, units)
        self.patient: Patient | None = None
        self.evidence: dict[str, list[Evidence]] = {}
        self.answers: dict[str, list[Evidence]] = {}
        self._numbers: dict[str, list[tuple[Observation, Any, str]]] = {}
        self._dated: dict[str, list[_Dated]] = {}
        self._results: dict[str, list[Result]] = {}
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
        # Servers named by absolute references to the patient.
        self.bases: set[str] = set()

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

    def number(self, analyte: str, resource: Observation, holder: Any, key: str) -> None:
        """Keep an Observation, or `holder`, a component of it, that states a number of an analyte."""
        try:
            self._numbers[analyte].append((resource, holder, key))
        except KeyError:
            self._numbers[analyte] = [(resource, holder, key)]

    @property
    def analytes(self) -> Iterable[str]:
        """The analytes there are numbers of."""
        return self._numbers.keys()

    def newest(self, analyte: str, window: int) -> Iterator[Result]:
        """Results of the last `window` days, newest first. Those without a date are left out."""
        if analyte not in self._numbers:
            return
        within, read = self.calendar.within, self._results.setdefault(analyte, [])
        for position, (_, day, resource, holder, key) in enumerate(self._by_day(analyte)):
            if position == len(read):
                read.append(Result(analyte, resource, holder, day, key, self.units))
            if within(day, window):
                yield read[position]
            elif window >= MIDDLE_DECIDES:
                # Sorted by the day that decides, so nothing later in the list is newer.
                return

    def _by_day(self, analyte: str) -> list[_Dated]:
        dated = self._dated.get(analyte)
        if dated is None:
            dated = self._dated[analyte] = [
                (-day.mid, day, resource, holder, key)
                for resource, holder, key in self._numbers[analyte]
                if (day := observed(self.calendar, resource)) is not None
            ]
            dated.sort(key=_first)
        return dated

    def meaning(self, concept: CodeableConcept | CodeableReference | None) -> Meaning:
        return self.meanings.of(concept)

    def sort(self, arrived: Iterable[tuple[str, Resource]]) -> Piles:
        """Open Bundles and pile up (key, resource) pairs by resource type; doubles count once."""
        piles: Piles = {}
        seen: dict[type, set[str]] = {}
        for key, value in arrived:
            entries = value.entry or () if isinstance(value, Bundle) else (Entry(None, value),)
            self._open(key, entries, piles, seen)
        return piles

    def _open(self, key: str, entries: Iterable[Entry], piles: Piles, seen: dict[type, set[str]]) -> None:
        for entry in entries:
            resource = entry.resource
            if resource is None:
                continue
            kind, identity = resource.__class__, resource.id
            if identity:
                url = entry.fullUrl
                if url is not None and url[:4] == "urn:":
                    self._urls[url] = f"{kind.__name__}/{identity}"
                known = seen.get(kind)
                if known is None:
                    known = seen[kind] = set()
                elif identity in known:
                    continue
                known.add(identity)
            pile = piles.get(kind)
            if pile is None:
                pile = piles[kind] = []
            pile.append((key, resource))
            if kind in _OPENED:
                self._look_inside(key, entry, piles, seen)

    def _look_inside(self, key: str, entry: Entry, piles: Piles, seen: dict[type, set[str]]) -> None:
        resource = entry.resource
        if isinstance(resource, Bundle):
            self._open(key, resource.entry or (), piles, seen)
        elif isinstance(resource, Medication) and resource.code is not None:
            name = f"Medication/{resource.id}" if resource.id else entry.fullUrl or ""
            self.medications[name] = resource.code

    def is_patient(self, subject: Reference | None) -> bool:
        """Whether a subject reference names the patient of the call.

        No reference at all is taken for the patient, whose record was asked for. Relative, absolute,
        versioned, contained and `urn:uuid` references are understood (decision 35 on the clinical material).
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
            if known and "://" in reference:
                self.bases.add(reference.rpartition("/Patient/")[0])
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
        # Asked for every resource of a call, so the common answer comes without another call.
        if subject is None or self._subjects.get(subject.reference or "") or self.is_patient(subject):
            return True
        self.dropped["other-patient"] += 1
        return False
