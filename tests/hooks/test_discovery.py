"""The discovery body and what must not get into it."""

from collections.abc import Callable
from typing import Any

import pytest

from hooks.discovery import Service, discovery
from hooks.errors import ServiceInvalid
from hooks.prefetch import PrefetchTemplate

PATIENT = PrefetchTemplate("patient", "Patient/{{context.patientId}}")
LABS = PrefetchTemplate("labs", "Observation?patient={{context.patientId}}&_count=50")


def service(**members: Any) -> Service:
    usual: dict[str, Any] = {
        "id": "red-flags",
        "title": "Red flags",
        "description": "Warns of red flags.",
        "hooks": ("order-sign", "patient-view"),
        "templates": {"patient-view": (LABS, PATIENT)},
        "usage_requirements": "Better with access to the FHIR server.",
    }
    return Service(**{**usual, **members})


def test_one_entry_for_each_hook_under_one_id() -> None:
    assert discovery([service()]) == {
        "services": [
            {
                "hook": "patient-view",
                "title": "Red flags",
                "description": "Warns of red flags.",
                "id": "red-flags",
                "prefetch": {"labs": LABS.query, "patient": PATIENT.query},
                "usageRequirements": "Better with access to the FHIR server.",
            },
            {
                "hook": "order-sign",
                "title": "Red flags",
                "description": "Warns of red flags.",
                "id": "red-flags",
                "usageRequirements": "Better with access to the FHIR server.",
            },
        ]
    }


def test_order_does_not_depend_on_how_hooks_are_listed() -> None:
    other = service(hooks=("patient-view", "order-sign"))
    assert discovery([other]) == discovery([service()])


def test_nothing_to_offer_and_optional_members() -> None:
    assert discovery([]) == {"services": []}
    bare = service(hooks=("patient-view",), templates={}, usage_requirements="")
    (entry,) = discovery([bare], version="3.0.0")["services"]
    assert list(entry) == ["hook", "title", "description", "id", "version"]
    assert entry["version"] == "3.0.0"


def test_an_id_is_used_once() -> None:
    with pytest.raises(ServiceInvalid, match="another service"):
        discovery([service(), service()])


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"id": "red flags"}, "URL"),
        ({"id": ""}, "URL"),
        ({"title": " "}, "title"),
        ({"description": ""}, "description"),
        ({"hooks": (), "templates": {}}, "hooks"),
        ({"hooks": ("patient-view", "patient-view")}, "hooks"),
        ({"hooks": ("patient-view", "medication-refill")}, "hooks"),
        ({"hooks": ("order-sign",)}, "templates for a hook"),
        ({"templates": {"patient-view": (LABS, LABS)}}, "repeated"),
        (
            {"templates": {"patient-view": (PrefetchTemplate("x", "Patient/1?a"),)}},
            "prefetch x for patient-view: shape",
        ),
    ],
)
def test_a_definition_that_must_not_be_published(members: dict[str, Any], why: str) -> None:
    with pytest.raises(ServiceInvalid, match=why) as caught:
        service(**members)
    assert caught.value.code == "service-invalid"


def test_the_body_is_valid_against_both_schemas(faults: Callable[[str, object], list[str]]) -> None:
    for found in (discovery([]), discovery([service()]), discovery([service()], version="3.0.0")):
        assert faults("discovery", found) == []
        assert faults("discovery-emit-strict", found) == []
