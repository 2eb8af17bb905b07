"""Every shape in which a Bundle of resources arrives."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks.bundles import resources
from tests.hooks.requests import ORDER, RESOURCE, TASK


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


@pytest.mark.parametrize(
    "shape",
    [
        {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": ORDER}, {"resource": TASK}]},
        {
            "resourceType": "Bundle",
            "entry": [{"fullUrl": "urn:uuid:1", "resource": ORDER}, {"resource": TASK}],
        },
        {"entry": [{"resource": ORDER}, {"resource": TASK}]},
        {"resourceType": "Bundle", "entry": [ORDER, TASK]},
        {"resourceType": "Bundle", "entry": [ORDER, None, {"fullUrl": "urn:uuid:2"}, {"resource": TASK}]},
        [ORDER, TASK],
        [{"resource": ORDER}, {"resource": TASK}],
        {"resource": {"resourceType": "Bundle", "entry": [{"resource": ORDER}, {"resource": TASK}]}},
        [{"resourceType": "Bundle", "entry": [{"resource": ORDER}]}, TASK],
    ],
)
def test_two_resources_come_out_of_every_shape_in_order(shape: object) -> None:
    assert resources(raw(shape), RESOURCE.decode) == (ORDER, TASK)


@pytest.mark.parametrize(
    "shape",
    [None, [], {}, {"resourceType": "Bundle"}, {"resourceType": "Bundle", "entry": None}, {"entry": []}],
)
def test_nothing_comes_out_of_an_empty_shape(shape: object) -> None:
    assert resources(raw(shape), RESOURCE.decode) == ()


def test_a_single_resource_stands_for_itself() -> None:
    assert resources(raw(ORDER), RESOURCE.decode) == (ORDER,)


def test_a_resource_with_an_entry_of_its_own_is_not_opened() -> None:
    listed = {"resourceType": "List", "entry": [{"item": {"reference": "Patient/1"}}]}
    assert resources(raw(listed), RESOURCE.decode) == (listed,)


def test_what_the_caller_sets_aside_is_left_out() -> None:
    def only_tasks(item: msgspec.Raw) -> dict[str, object] | None:
        decoded = RESOURCE.decode(item)
        return decoded if decoded["resourceType"] == "Task" else None

    assert resources(raw([ORDER, TASK]), only_tasks) == (TASK,)


@pytest.mark.parametrize("shape", ["text", 7, True, [ORDER, "text"]])
def test_what_is_no_resource_is_left_to_the_callers_decoder(shape: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        resources(raw(shape), RESOURCE.decode)


def test_rubbish_among_resources_costs_none_of_them() -> None:
    def isolating(item: msgspec.Raw) -> dict[str, object] | None:
        try:
            return RESOURCE.decode(item)
        except msgspec.ValidationError:
            return None

    assert resources(raw([ORDER, "text", 7, TASK]), isolating) == (ORDER, TASK)


@given(st.lists(st.sampled_from([ORDER, TASK]), max_size=6), st.data())
def test_mixed_wrapping_never_loses_a_resource(items: list[dict[str, str]], data: st.DataObject) -> None:
    wrapped = [data.draw(st.sampled_from([item, {"resource": item}, [item]])) for item in items]
    shape = data.draw(st.sampled_from([wrapped, {"resourceType": "Bundle", "entry": wrapped}]))
    assert resources(raw(shape), RESOURCE.decode) == tuple(items)
