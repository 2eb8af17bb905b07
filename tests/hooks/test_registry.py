"""The registry against the hook library's tables."""

import json
from pathlib import Path

import pytest

from hooks.errors import HookUnknown
from hooks.hook import Kind
from hooks.registry import REGISTRY, hook
from tests.hooks.requests import ORDER, read

SAMPLE = {
    Kind.ID: "x1",
    Kind.REFERENCE: "Practitioner/x1",
    Kind.REFERENCES: ["ServiceRequest/x1"],
    Kind.RESOURCES: [ORDER],
}


def test_hooks_are_found_by_name_and_others_refused() -> None:
    assert hook("order-sign") is REGISTRY["order-sign"]
    for name in ("", "medication-prescribe", "Order-Sign", "org.example.thing-do"):
        with pytest.raises(HookUnknown) as caught:
            hook(name)
        assert caught.value.code == "hook-unknown"
        assert name == "" or name not in str(caught.value)


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_a_context_has_an_attribute_and_a_token_for_each_row_of_its_table(name: str) -> None:
    found = REGISTRY[name]
    context = read(name, {field.name: SAMPLE[field.kind] for field in found.fields})
    assert {field.attribute for field in found.fields} | {"patient_id", "user_id", "encounter_id"} == set(
        context.__struct_fields__
    )
    assert all(getattr(context, field.attribute) for field in found.fields)
    assert set(context.tokens()) <= found.tokens
    assert found.tokens - set(context.tokens()) <= {
        "userPractitionerRoleId",
        "userPatientId",
        "userRelatedPersonId",
    }


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_drafts_come_from_the_resources_field(name: str) -> None:
    found = REGISTRY[name]
    context = read(name, {field.name: SAMPLE[field.kind] for field in found.fields})
    assert bool(context.drafts()) == bool(found.resources_field)
    kinds = {field.name: field.kind for field in found.fields}
    assert not found.resources_field or kinds[found.resources_field] is Kind.RESOURCES


def test_tables_agree_with_the_hook_library(protocol: Path) -> None:
    library = {entry["hook"]: entry for entry in json.loads((protocol / "hooks.json").read_text())["hooks"]}
    for name, found in REGISTRY.items():
        entry = library[name]
        assert found.version == entry["hookVersion"]
        assert found.maturity == entry["maturity"]
        ours = {field.name: (field.required, field.token) for field in found.fields}
        theirs = {row["name"]: (row["required"], row["prefetchToken"]) for row in entry["context"]}
        assert ours == theirs, name


def test_only_the_user_is_not_insisted_on() -> None:
    lenient = {field.name for found in REGISTRY.values() for field in found.fields if not field.enforced}
    assert lenient == {"userId"}
