"""From what the EHR sent, and what its FHIR server adds, to the resources of one call and how each key ended.

Per key (PF-11 to PF-22): null or an empty search is an answer and is not asked again; an OperationOutcome, as
the value or inside the Bundle, is a failed query; an absent key was not tried. What is missing is fetched,
side by side, until the time is up. What could not be had leaves its need out of `available`, so that facts
resting on it stay unknown.

Keys of another service are data too, but do not stand for one of ours, with three exceptions: the context's
patient is that patient under any key; when our keys cannot be had, a Bundle with the whole record stands for
them; and a searchset of nothing but Conditions is taken for `conditions`. Other lists are too often narrowed
(one visit, active medicines) to be the whole.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from service.access import AccessRefused
from service.decode import Problem
from service.errors import DataUnavailable
from service.fallback import Fetch, fetch_queries, fetch_references
from service.fhir import Access, Harvest, Session
from service.fhir_version import FhirVersion, resolve_version, shape
from service.outcomes import Outcome, State
from service.queries import Query
from service.references import MOST_READ, unresolved
from service.resources import (
    Bundle,
    Condition,
    Entry,
    Medication,
    MedicationRequest,
    OperationOutcome,
    Other,
    Patient,
    Resource,
)
from service.searchsets import Contents, contents

__all__ = ["Gathered", "gather"]

# Resource types in a record, and in the answer to Patient/$everything, at the least.
_RECORD, _EVERYTHING = 3, 5
_MEDICINES = frozenset({Medication, MedicationRequest})
_MENDED_BY_FETCHING = frozenset({"pages", "total"})


class Gathered(msgspec.Struct):
    """The data of one call.

    `resources` come with the key they arrived under, `fetched:<key>` when we fetched them; doubles are left
    in, for the record drops them by type and id. `available` holds the needs whose data is whole; `version`
    is the FHIR version as far as it is known.
    """

    resources: list[tuple[str, Resource]]
    outcomes: dict[str, Outcome]
    available: frozenset[str]
    problems: list[Problem]
    version: FhirVersion | None


async def gather(
    given: Mapping[str, Resource | None] | None,
    plan: Sequence[Query],
    *,
    patient_id: str,
    access: Access,
    seconds: float,
    version: FhirVersion | None = None,
    problems: Sequence[Problem] = (),
) -> Gathered:
    """Gather the data of one call within `seconds`.

    `problems` are those of decoding `given`; `version` is what the client's settings or its call state.
    Raises DataUnavailable when nothing at all about the patient could be had, FhirVersionRefused.
    """
    resolve_version(version, None, None)
    call = _Call(plan, patient_id, problems)
    call.read(given or {})
    stated: FhirVersion | None = None
    fetches, references = call.missing(), call.references()
    if fetches or references:
        try:
            session = await access.open(seconds)
        except AccessRefused as error:
            call.refuse(error.reason)
        else:
            if version is None:
                session.versions.learn(session.base)
            resolve_version(version, session.versions.known(session.base), None)
            await call.fetch(session, fetches)
            stated = session.versions.known(session.base)
    call.borrow()
    return call.result(resolve_version(version, stated, shape(call.types)))


class _Call:
    """What has been gathered so far."""

    def __init__(self, plan: Sequence[Query], patient_id: str, problems: Sequence[Problem]) -> None:
        self._plan = {query.key: query for query in plan}
        self._patient_id = patient_id
        self._problems = list(problems)
        self._unreadable = Counter(problem.key for problem in problems)
        self._resources: list[tuple[str, Resource]] = []
        self._outcomes: dict[str, Outcome] = {}
        self._links: dict[str, str] = {}
        self._medicines: list[Resource] = []
        self.types: set[type] = set()

    def read(self, given: Mapping[str, Resource | None]) -> None:
        """Take in the prefetch of the request."""
        for key, value in given.items():
            found = _contents(value)
            if value is not None:
                self._keep(key, value, found)
            query = self._plan.get(key)
            if query is not None:
                self._outcomes[key] = self._judged(query, value, found)
                if found.next:
                    self._links[key] = found.next
        if not self._had("patient") and any(self._is_patient(value) for _, value in self._resources):
            self._outcomes["patient"] = Outcome(State.GIVEN, count=1, borrowed=True)

    def missing(self) -> list[Fetch]:
        """What to fetch: keys not tried or failed, searches cut short, and further pages."""
        fetches = []
        for key, query in self._plan.items():
            outcome = self._outcomes.get(key)
            if key in self._links and outcome is not None and outcome.had:
                fetches.append(Fetch(query, Harvest(key), self._links[key]))
            elif outcome is None or not outcome.had or outcome.partial == "total":
                fetches.append(Fetch(query, Harvest(key)))
        return fetches

    def references(self) -> list[str]:
        """Medications that prescriptions refer to and that are not here."""
        return unresolved(self._medicines) if "medications" in self._plan else []

    def refuse(self, reason: str) -> None:
        """Note that nothing may be fetched."""
        for key in self._plan:
            self._outcomes.setdefault(key, Outcome(State.REFUSED, reason))

    async def fetch(self, session: Session, fetches: Sequence[Fetch]) -> None:
        """Fetch what is missing, then the medicines that all prescriptions refer to."""
        await fetch_queries(session, fetches, self._patient_id)
        for fetch in fetches:
            self._take(fetch.query.key, fetch.harvest)
            self._outcomes[fetch.query.key] = self._fetched(fetch)
        names = self.references()
        harvest = Harvest("medications")
        await fetch_references(session, names[:MOST_READ], harvest)
        self._take("medications", harvest)

    def borrow(self) -> None:
        """Let what came under other keys stand for what could not be had: a whole record for every key, a
        searchset of Conditions for `conditions`.
        """
        if all(map(self._had, self._plan)):
            return
        for key, value in self._resources:
            if key not in self._plan and self._is_record(value):
                for missing in self._plan:
                    if not self._had(missing):
                        self._outcomes[missing] = Outcome(State.GIVEN, borrowed=True)
                return
        self._borrow_conditions()

    def _is_record(self, value: Resource) -> bool:
        """Whether a Bundle is the record of the context's patient, not the answer to one search: it holds the
        patient, conditions and more, in a Bundle no search gives or with as many types as `$everything` does.
        """
        if not isinstance(value, Bundle) or not self._is_patient(value):
            return False
        found = contents(value)
        if Condition not in found.types or found.failed or found.withheld or found.next:
            return False
        return len(found.types) >= (_EVERYTHING if value.type == "searchset" else _RECORD)

    def _borrow_conditions(self) -> None:
        if self._had("conditions"):
            return
        for key, value in self._resources:
            found = _contents(value)
            is_search = isinstance(value, Bundle) and value.type == "searchset"
            if key not in self._plan and is_search and found.types == {Condition} and not found.failed:
                partial = _partial(found, cut=False)
                self._outcomes["conditions"] = Outcome(
                    State.GIVEN, partial=partial, count=found.count, borrowed=True
                )
                return

    def result(self, version: FhirVersion | None) -> Gathered:
        if not self._has_data():
            absent = [key for key in self._plan if not self._had(key)]
            reasons = (self._outcomes[key].reason for key in absent if key in self._outcomes)
            raise DataUnavailable(*absent, reasons=reasons)
        outcomes = {key: self._outcomes[key] for key in self._plan}
        if self.references() and not outcomes["medications"].partial:
            outcomes["medications"] = msgspec.structs.replace(outcomes["medications"], partial="references")
        lacking = {
            query.need
            for key, query in self._plan.items()
            if query.essential and not outcomes[key].is_whole(newest_suffices=query.newest_suffices)
        }
        available = frozenset(query.need for query in self._plan.values()) - lacking
        return Gathered(self._resources, outcomes, available, self._problems, version)

    def _judged(self, query: Query, value: Resource | None, found: Contents) -> Outcome:
        if value is None:
            return _EMPTY
        if found.failed and not found.count:
            return Outcome(State.ERROR, "outcome")
        total = value.total or 0 if isinstance(value, Bundle) else 0
        partial = _partial(found, cut=total > found.count + self._unreadable[query.key])
        if not found.count:
            return Outcome(State.EMPTY, partial=partial)
        if query.resource_type not in {kind.__name__ for kind in found.types}:
            return Outcome(State.ERROR, "unexpected")
        if query.is_read and not self._is_patient(value):
            return Outcome(State.ERROR, "other-patient")
        return Outcome(State.GIVEN, partial=partial, count=found.count)

    def _fetched(self, fetch: Fetch) -> Outcome:
        before = self._outcomes.get(fetch.query.key)
        count = sum(_contents(value).count for value in fetch.harvest.values)
        if fetch.link is not None and before is not None:
            mended = "" if before.partial in _MENDED_BY_FETCHING else before.partial
            return Outcome(before.state, partial=fetch.harvest.partial or mended, count=before.count + count)
        if fetch.failure:
            return before or Outcome(State.FAILED, fetch.failure)
        if fetch.query.is_read and not any(self._is_patient(value) for value in fetch.harvest.values):
            return Outcome(State.FAILED, "other-patient")
        return Outcome(State.FETCHED, partial=fetch.harvest.partial, count=count)

    def _take(self, key: str, harvest: Harvest) -> None:
        self._problems += harvest.problems
        for value in harvest.values:
            self._keep(f"fetched:{key}", value, _contents(value))

    def _keep(self, key: str, value: Resource, found: Contents) -> None:
        self._resources.append((key, value))
        self.types |= found.types
        if not found.types.isdisjoint(_MEDICINES):
            self._medicines.append(value)

    def _had(self, key: str) -> bool:
        outcome = self._outcomes.get(key)
        return outcome is not None and outcome.had

    def _has_data(self) -> bool:
        """Whether any query about the patient was answered, or any clinical resource is here at all."""
        answered = any(self._had(key) for key, query in self._plan.items() if not query.is_read)
        return answered or any(
            kind not in (Patient, OperationOutcome) and not issubclass(kind, Other) for kind in self.types
        )

    def _is_patient(self, value: Resource) -> bool:
        """Whether the value is, or holds, the patient of the context."""
        entries = value.entry or () if isinstance(value, Bundle) else (Entry(resource=value),)
        return any(
            isinstance(entry.resource, Patient) and entry.resource.id == self._patient_id for entry in entries
        )


_NOTHING = contents(Bundle())
_EMPTY = Outcome(State.EMPTY)


def _contents(value: Resource | None) -> Contents:
    if value is None:
        return _NOTHING
    return contents(value if isinstance(value, Bundle) else Bundle(entry=[Entry(resource=value)]))


def _partial(found: Contents, *, cut: bool) -> str:
    if found.failed:
        return "outcome"
    if found.withheld:
        return "withheld"
    if found.next:
        return "pages"
    return "total" if cut else ""
