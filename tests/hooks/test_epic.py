"""Epic's triggers and version hint."""

import pytest

from hooks.epic import FHIR_VERSION, TRIGGER_ACTION, effective_hook, fhir_version
from hooks.registry import REGISTRY
from tests.hooks.requests import body, envelope


@pytest.mark.parametrize(
    ("action", "hook"),
    [
        ("5", "patient-view"),
        ("6", "problem-list-item-create"),
        ("7", "problem-list-item-create"),
        ("18", "order-select"),
        (18, "order-select"),
        ("23", "order-sign"),
        ("26", "encounter-start"),
        ("27", "encounter-discharge"),
        ("29", "patient-view"),
        (60, "patient-view"),
        ("999", "patient-view"),
        (None, "patient-view"),
        (["18"], "patient-view"),
        (True, "patient-view"),
    ],
)
def test_a_native_trigger_sent_as_patient_view(action: object, hook: str) -> None:
    assert effective_hook(envelope(body(extension={TRIGGER_ACTION: action}))) == hook
    assert hook in REGISTRY


def test_a_real_hook_is_never_replaced() -> None:
    assert effective_hook(envelope(body("order-select", extension={TRIGGER_ACTION: "23"}))) == "order-select"


def test_without_an_extension_the_hook_is_what_it_says() -> None:
    assert effective_hook(envelope(body())) == "patient-view"
    assert fhir_version(envelope(body())) is None


@pytest.mark.parametrize(("value", "version"), [("R4", "R4"), (" stu3 ", "STU3"), ("", None), (4, None)])
def test_the_fhir_version_hint(value: object, version: str | None) -> None:
    assert fhir_version(envelope(body(extension={FHIR_VERSION: value}))) == version
