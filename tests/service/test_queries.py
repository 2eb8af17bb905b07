"""PF-01 to PF-08, PF-12, DSC-08: what is asked for, and that it is safe to publish."""

from urllib.parse import parse_qs

import pytest

from hooks import REGISTRY
from hooks.prefetch import PrefetchTemplate, lint
from rules.engine.bundle import Bundle, load
from rules.engine.overlay import Overlay
from service.facts import concepts
from service.queries import Query, plan
from service.resources import OTHERS

PAIN_VIEW = "patient-view"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return load()


@pytest.fixture(scope="module")
def local_bundle() -> Bundle:
    overlay = Overlay(
        codes={
            "lab-crp": (("urn:oid:1.2.3.4", "CRP hs"), ("https://lab.example.org/codes", "C,R|P$1\\&#+é{}")),
            "night-pain": (("https://ehr.example.org/flowsheet", "4711"),),
        },
        palliative_sources=("Encounter", "Condition", "CarePlan", "Flag"),
    )
    return load(overlay=overlay)


def _templates(bundle: Bundle, hook: str) -> dict[str, str]:
    return {query.key: query.template().query for query in plan(bundle, hook)}


@pytest.mark.parametrize("hook", sorted(REGISTRY))
def test_pf_02_to_pf_07_every_template_is_safe_to_publish(
    bundle: Bundle, local_bundle: Bundle, hook: str
) -> None:
    for one in (bundle, local_bundle):
        found = plan(one, hook)
        assert [lint(query.template(), REGISTRY[hook]) for query in found] == [[] for _ in found]
        assert len({query.key for query in found}) == len(found)


def test_pain_on_view_asks_for_every_need_of_the_vocabulary(bundle: Bundle) -> None:
    needs = {need for spec in bundle.vocabulary for need in spec.needs}
    assert {query.need for query in plan(bundle, PAIN_VIEW)} == needs
    assert _templates(bundle, PAIN_VIEW)["patient"] == "Patient/{{context.patientId}}"
    assert _templates(bundle, PAIN_VIEW)["conditions"] == "Condition?patient={{context.patientId}}&_count=500"


def test_pf_12_a_hook_without_rules_asks_only_for_what_is_always_needed(bundle: Bundle) -> None:
    assert [query.key for query in plan(bundle, "no-such-hook")] == ["patient", "conditions"]
    also = plan(bundle, "no-such-hook", also=["labs.crp.value"])
    assert [query.key for query in also] == ["patient", "conditions", "labs", "findings"]


def test_the_plan_does_not_change_between_processes(bundle: Bundle) -> None:
    assert plan(bundle, PAIN_VIEW) == plan(load(), PAIN_VIEW)
    for query in plan(bundle, PAIN_VIEW):
        assert list(query.listed) == sorted(set(query.listed))


def test_labs_are_asked_for_by_loinc(bundle: Bundle) -> None:
    labs = _templates(bundle, PAIN_VIEW)["labs"]
    for code in ("1988-5", "30341-2", "718-7", "2857-1", "8310-5", "29463-7", "72514-3"):
        assert f"http://loinc.org|{code}" in labs
    assert "http://loinc.org|18184-2" in labs  # ESR after two hours is no ESR, but it says that one was done
    assert "icd-10" not in labs


def test_findings_are_asked_for_by_what_facts_can_read(bundle: Bundle) -> None:
    findings = next(query for query in plan(bundle, PAIN_VIEW) if query.key == "findings")
    for code in ("http://snomed.info/sct|279039007", "http://loinc.org|72166-2", "http://loinc.org|82810-3"):
        assert code in findings.listed
    read = {name for token in findings.listed for name in bundle.codes.sets(*token.split("|"))}
    asked_for = {
        name
        for name in bundle.codes.titles
        if concepts.is_finding(name) and bundle.codes.find(name, "http://snomed.info/sct")
    }
    assert len(asked_for) > 20
    assert asked_for <= read
    assert {"history-of-metastatic-cancer", "injection-drug-use", "pregnancy"} <= read
    assert not any("icd" in token for token in findings.listed)


def test_imaging_is_asked_for_by_category(bundle: Bundle) -> None:
    imaging = _templates(bundle, PAIN_VIEW)["imaging"]
    assert "category=" in imaging
    assert "http://loinc.org|LP29684-5" in imaging
    assert "http://terminology.hl7.org/CodeSystem/v2-0074|RAD" in imaging


def test_newest_first_where_the_newest_suffice(bundle: Bundle) -> None:
    assert any(query.newest_suffices and not query.is_read for query in plan(bundle, PAIN_VIEW))
    for query in plan(bundle, PAIN_VIEW):
        if query.newest_suffices and not query.is_read:
            assert dict(query.parameters)["_sort"].startswith("-")
        if not query.is_read:
            assert "_count" in dict(query.parameters)
    assert not any(
        query.newest_suffices
        for query in plan(bundle, PAIN_VIEW)
        if query.key in ("conditions", "procedures")
    )


def test_care_plans_and_flags_only_where_the_site_names_them(bundle: Bundle, local_bundle: Bundle) -> None:
    assert not {"careplans", "flags"} & _templates(bundle, PAIN_VIEW).keys()
    found = _templates(local_bundle, PAIN_VIEW)
    assert found["careplans"].startswith("CarePlan?patient={{context.patientId}}")
    assert found["flags"].startswith("Flag?patient={{context.patientId}}")


def test_a_sites_own_codes_are_asked_for_and_escaped(local_bundle: Bundle) -> None:
    by_key = {query.key: query for query in plan(local_bundle, PAIN_VIEW)}
    assert "https://ehr.example.org/flowsheet|4711" in by_key["findings"].listed
    assert "urn:oid:1.2.3.4|CRP hs" in by_key["labs"].listed
    assert "https://lab.example.org/codes|C\\,R\\|P\\$1\\\\&#+é{}" in by_key["labs"].listed
    template = by_key["labs"].template().query
    _, _, query = template.partition("?")
    assert set(parse_qs(query)) == {"patient", "code", "_sort", "_count"}
    assert by_key["labs"].listed == tuple(_split(parse_qs(query)["code"][0]))


def _split(text: str) -> list[str]:
    """Split a token list at the commas that are not escaped."""
    parts, escaped = [""], False
    for mark in text:
        if mark == "," and not escaped:
            parts.append("")
        else:
            parts[-1] += mark
        escaped = mark == "\\" and not escaped
    return parts


def test_the_fallback_asks_the_same_as_the_template() -> None:
    query = Query("labs", "observations", "Observation", (("_sort", "-date"),), "code", ("s|1", "s|2"))
    request = query.request("p1")
    assert request.pairs(request.listed) == [("patient", "p1"), ("code", "s|1,s|2"), ("_sort", "-date")]
    assert query.template() == PrefetchTemplate(
        "labs", "Observation?patient={{context.patientId}}&code=s|1,s|2&_sort=-date"
    )


def test_every_type_that_is_asked_for_is_read(local_bundle: Bundle) -> None:
    unread = {kind.__name__ for kind in OTHERS}
    asked = {query.resource_type for query in plan(local_bundle, PAIN_VIEW)}
    assert not asked & unread
