"""The data a call needs, as FHIR searches: published as prefetch templates, put to the server as a fallback.

Both forms come from one Query, so that prefetched and fetched data are the same data (PF-21, PF-22).
Templates keep to the search subset of CDS Hooks 2.0.1 (PF-04 to PF-07) and use each parameter once, because
the reference sandbox joins repeats. Needs are the names under `needs` in rules/facts.yaml.
"""

from collections.abc import Iterable
from urllib.parse import quote

import msgspec

from hooks.prefetch import PrefetchTemplate
from rules.engine.bundle import Bundle
from service.facts import concepts
from service.fhir import SearchRequest

__all__ = ["Query", "plan"]

_LOINC = "http://loinc.org"
_SNOMED = "http://snomed.info/sct"
_LABORATORY = ("lab-", "vital-")
_MEASURED = ("pain-score", "performance-status", "post-void-residual", "hla-b27")
_UNREAD = frozenset({"lab-panels"})
_STATED = (
    "history-of-cancer",
    "history-of-metastatic-cancer",
    "injection-drug-use",
    "pregnancy",
    "spinal-cord-compression",
    "cauda-equina-syndrome",
    "lumbosacral-plexopathy",
)
# Questions whose answer carries the meaning: smoking status, pregnancy status, symptom, clinical finding.
_QUESTIONS = tuple(f"{_LOINC}|{code}" for code in ("72166-2", "82810-3", "75325-1", "75321-0"))
_RADIOLOGY = "http://terminology.hl7.org/CodeSystem/v2-0074|RAD"


class Query(msgspec.Struct, frozen=True):
    """One prefetch key.

    `listed` are token alternatives of the parameter `list_name`. `newest_suffices`: sorted newest first, so
    that what a cut leaves out is the oldest. `essential`: without it the need counts as not available.
    """

    key: str
    need: str
    resource_type: str
    parameters: tuple[tuple[str, str], ...] = ()
    list_name: str = ""
    listed: tuple[str, ...] = ()
    newest_suffices: bool = True
    essential: bool = True

    @property
    def is_read(self) -> bool:
        """Whether this reads the patient itself instead of searching."""
        return self.resource_type == "Patient"

    def template(self) -> PrefetchTemplate:
        if self.is_read:
            return PrefetchTemplate(self.key, "Patient/{{context.patientId}}")
        pairs = [("patient", "{{context.patientId}}")]
        pairs += ((name, _in_template(value)) for name, value in self._rest())
        return PrefetchTemplate(
            self.key, f"{self.resource_type}?" + "&".join(f"{name}={value}" for name, value in pairs)
        )

    def request(self, patient_id: str) -> SearchRequest:
        return SearchRequest(
            self.resource_type, (("patient", patient_id), *self.parameters), self.list_name, self.listed
        )

    def _rest(self) -> Iterable[tuple[str, str]]:
        if self.listed:
            yield self.list_name, ",".join(self.listed)
        yield from self.parameters


def plan(bundle: Bundle, hook: str, also: Iterable[str] = ()) -> tuple[Query, ...]:
    """The queries for what the hook's rules read, and for the facts in `also`; in a fixed order.

    Patient and conditions are always among them: nothing is decided without. CarePlan and Flag are asked for
    only where the site names them as sources of palliative status. A site's own codes are in the lists.
    """
    facts = bundle.needed(hook).union(also)
    needs = {
        "patient",
        "conditions",
        *(need for fact in facts for need in bundle.vocabulary.spec(fact).needs),
    }
    found = [query for query in _all(bundle) if query.need in needs]
    for key, kind in (("careplans", "CarePlan"), ("flags", "Flag")):
        if kind in bundle.overlay.palliative_sources:
            found.append(Query(key, key, kind, (("_count", "50"),), newest_suffices=False))
    return tuple(found)


def _all(bundle: Bundle) -> list[Query]:
    measured = [name for name in bundle.codes.titles if name.startswith(_LABORATORY) and name not in _UNREAD]
    stated = [name for name in bundle.codes.titles if concepts.is_finding(name)]
    return [
        Query("patient", "patient", "Patient"),
        # History counts however old, and Condition has no sort order that every server keeps.
        Query("conditions", "conditions", "Condition", (("_count", "500"),), newest_suffices=False),
        Query("encounters", "encounters", "Encounter", _newest("date", 100)),
        Query(
            "labs",
            "observations",
            "Observation",
            _newest("date", 200),
            "code",
            _tokens(bundle, (*measured, *_MEASURED)),
        ),
        Query(
            "findings",
            "observations",
            "Observation",
            _newest("date", 200),
            "code",
            tuple(sorted({*_QUESTIONS, *_tokens(bundle, (*stated, *_STATED))})),
        ),
        # A pelvic radiation field from fifteen years ago is still a reason to look.
        Query("procedures", "procedures", "Procedure", _newest("date", 500), newest_suffices=False),
        Query("medications", "medications", "MedicationRequest", _newest("authoredon", 200)),
        Query(
            "imaging",
            "imaging",
            "DiagnosticReport",
            _newest("date", 100),
            "category",
            tuple(sorted({_RADIOLOGY, *_tokens(bundle, ("imaging-category",))})),
        ),
        # Many EHRs have no ImagingStudy; it only adds studies that were done and have no report yet.
        Query("studies", "imaging", "ImagingStudy", _newest("started", 100), essential=False),
        Query("orders", "orders", "ServiceRequest", _newest("authored", 100)),
        Query("questionnaires", "questionnaires", "QuestionnaireResponse", _newest("authored", 20)),
    ]


def _newest(parameter: str, count: int) -> tuple[tuple[str, str], ...]:
    return ("_sort", f"-{parameter}"), ("_count", str(count))


def _tokens(bundle: Bundle, sets: Iterable[str]) -> tuple[str, ...]:
    """`system|code` of what an Observation or report may carry: LOINC, SNOMED CT, the site's own codes."""
    found: set[tuple[str, str]] = set()
    for name in sets:
        for system in (_LOINC, _SNOMED):
            found.update((system, code) for code in bundle.codes.find(name, system))
        found.update(bundle.overlay.codes.get(name, ()))
    return tuple(sorted(f"{_escaped(system)}|{_escaped(code)}" for system, code in found))


def _escaped(text: str) -> str:
    """Escape what separates tokens in a FHIR search value."""
    for mark in "\\,|$":
        text = text.replace(mark, f"\\{mark}")
    return text


def _in_template(value: str) -> str:
    return quote(value, safe=":/|,-")
