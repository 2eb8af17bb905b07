"""The types of an answer: what cannot be built, and that whatever can be built is valid."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hooks.cards import Action, Card, Coding, Link, Response, Source, Suggestion, encode
from hooks.errors import CardError
from hooks.override_reasons import OVERRIDE_REASONS

CARD = "4e0a3a1e-3283-4575-ab82-028d55fe2719"
OTHER = "e56e1945-20b3-4393-8503-a1a20fd73152"
TOPIC = Coding("TOCSINMSCC", "https://tocsin.org/CodeSystem/red-flag", "Cord compression")
SOURCE = Source("Tocsin", TOPIC)
ORDER = {"resourceType": "ServiceRequest", "status": "draft", "subject": {"reference": "Patient/1"}}
CREATE = Action("create", "Consider MRI of the whole spine", ORDER)
SCHEMAS = ("response-emit-strict", "response-2.0.1", "response-3.0")

Faults = Callable[[str, object], list[str]]


def untyped(value: object) -> Any:
    """A value the type checker would refuse, for the checks at run time."""
    return value


def suggestion(*, recommended: bool = False) -> Suggestion:
    return Suggestion("MRI", OTHER, [CREATE], recommended)


def card(**members: Any) -> Card:
    usual = {"uuid": CARD, "summary": "Consider cord compression", "indicator": "critical", "source": SOURCE}
    return Card(**{**usual, **members})


def test_a_full_answer_in_the_order_and_with_the_names_of_the_specification(faults: Faults) -> None:
    whole = card(
        detail="**Leg weakness**\n\n- check",
        suggestions=[suggestion(recommended=True)],
        selectionBehavior="any",
        overrideReasons=list(OVERRIDE_REASONS),
        links=[
            Link("Basis", "https://tocsin.example.org/rules/x", "absolute"),
            Link("App", "https://a.b/l", "smart", "x"),
        ],
        extension={"org.tocsin.findings": [{"rule": "x"}]},
    )
    system = Action("update", "Note", {"resourceType": "ServiceRequest", "id": "1"})
    body = json.loads(encode(Response([whole], [system], {"org.tocsin.x": 1})))
    assert [faults(schema, body) for schema in SCHEMAS] == [[], [], []]
    assert list(body["cards"][0]) == [
        "uuid", "summary", "detail", "indicator", "source", "suggestions", "selectionBehavior",
        "overrideReasons", "links", "extension",
    ]  # fmt: skip
    assert body["cards"][0]["suggestions"][0] == {
        "label": "MRI",
        "uuid": OTHER,
        "actions": [{"type": "create", "description": "Consider MRI of the whole spine", "resource": ORDER}],
        "isRecommended": True,
    }


def test_what_is_not_given_is_not_sent() -> None:
    assert encode(Response([])) == b'{"cards":[]}'
    assert set(json.loads(encode(Response([card()])))["cards"][0]) == {
        "uuid",
        "summary",
        "indicator",
        "source",
    }
    empty = card(suggestions=[], overrideReasons=[], links=[], extension={})
    assert encode(Response([empty])) == encode(Response([card()]))


def test_lists_given_are_kept_as_they_were() -> None:
    links = [Link("Basis", "https://tocsin.example.org", "absolute")]
    built = card(links=links)
    links.clear()
    assert len(built.links) == 1
    for name in built.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(built, name, None)


@pytest.mark.parametrize(
    ("members", "at"),
    [
        ({"uuid": "1"}, "card.uuid"),
        ({"summary": ""}, "card.summary"),
        ({"summary": "a" * 140}, "card.summary"),
        ({"summary": "two\nlines"}, "card.summary"),
        ({"detail": ""}, "card.detail"),
        ({"indicator": "hard-stop"}, "card.indicator"),
        ({"source": {"label": "x"}}, "card.source"),
        ({"suggestions": [suggestion()]}, "card.selectionBehavior"),
        ({"selectionBehavior": "any"}, "card.selectionBehavior"),
        ({"suggestions": [suggestion()], "selectionBehavior": "all"}, "card.selectionBehavior"),
        ({"suggestions": [{"label": "MRI"}], "selectionBehavior": "any"}, "card.suggestions"),
        ({"overrideReasons": [{"code": "a"}]}, "card.overrideReasons"),
        ({"links": [suggestion()]}, "card.links"),
        ({"extension": {"findings": 1}}, "card.extension"),
    ],
)
def test_a_card_that_cannot_be_built(members: dict[str, Any], at: str) -> None:
    with pytest.raises(CardError) as caught:
        card(**members)
    assert caught.value.message.startswith(f"{at} ")
    assert caught.value.code == "card-invalid"


def test_a_summary_may_have_139_characters() -> None:
    assert len(card(summary="a" * 139).summary) == 139


def test_of_suggestions_that_exclude_each_other_one_is_recommended() -> None:
    pair = [suggestion(recommended=True), suggestion()]
    assert card(suggestions=pair, selectionBehavior="at-most-one").selectionBehavior == "at-most-one"
    both = [suggestion(recommended=True), suggestion(recommended=True)]
    assert len(card(suggestions=both, selectionBehavior="any").suggestions) == 2
    with pytest.raises(CardError, match="recommend"):
        card(suggestions=both, selectionBehavior="at-most-one")


@pytest.mark.parametrize(
    "build",
    [
        lambda: Coding("", "s", "d"),
        lambda: Coding("c", " ", "d"),
        lambda: Coding("c", "s", ""),
        lambda: Source("", TOPIC),
        lambda: Source("l", Coding("cord-compression", "s", "d")),
        lambda: Source("l", Coding("a" * 101, "s", "d")),
        lambda: Source("l", TOPIC, url="http://example.org"),
        lambda: Source("l", TOPIC, icon="icon.png"),
        lambda: Source("l", TOPIC, extension={"a": 1}),
        lambda: Link("", "https://a.b", "absolute"),
        lambda: Link("l", "/g", "absolute"),
        lambda: Link("l", "https://a.b", untyped("other")),
        lambda: Link("l", "https://a.b", "absolute", "context"),
        lambda: Link("l", "https://a.b", "smart", ""),
        lambda: Link("l", "https://a.b", "smart", extension={"a": 1}),
        lambda: Action(untyped("CREATE"), "d", ORDER),
        lambda: Action("create", "", ORDER),
        lambda: Action("create", "d"),
        lambda: Action("create", "d", {"status": "draft"}),
        lambda: Action("create", "d", {"resourceType": "service request"}),
        lambda: Action("create", "d", {**ORDER, "note": []}),
        lambda: Action("create", "d", ORDER, "ServiceRequest/1"),
        lambda: Action("create", "d", ORDER, extension={"a": 1}),
        lambda: Action("update", "d", ORDER),
        lambda: Action("delete", "d"),
        lambda: Action("delete", "d", None, "1"),
        lambda: Action("delete", "d", ORDER, "ServiceRequest/1"),
        lambda: Suggestion("", OTHER),
        lambda: Suggestion("l", "1"),
        lambda: Suggestion("l", OTHER, [untyped(suggestion())]),
        lambda: Suggestion("l", OTHER, extension={"a": 1}),
        lambda: Response([card(), untyped(CREATE)]),
        lambda: Response([], [untyped(card())]),
        lambda: Response([], extension={"a": 1}),
    ],
)
def test_a_part_that_cannot_be_built(build: Callable[[], object]) -> None:
    with pytest.raises(CardError):
        build()


def test_an_error_names_the_member_and_never_its_value() -> None:
    with pytest.raises(CardError) as caught:
        Action("create", "d", {"resourceType": "ServiceRequest", "note": [{"text": "planted\x00"}]})
    assert caught.value.message.startswith("action.resource.note.text ")
    assert "planted" not in str(caught.value)


def test_delete_names_what_it_deletes() -> None:
    action = Action("delete", "Remove the X-ray", resourceId="ServiceRequest/1")
    assert json.loads(msgspec.json.encode(action)) == {
        "type": "delete",
        "description": "Remove the X-ray",
        "resourceId": "ServiceRequest/1",
    }


def test_vectors(vectors: dict[str, list[dict[str, Any]]], faults: Faults) -> None:
    built = 0
    for vector in vectors["response"]:
        try:
            response = msgspec.convert(vector["body"], Response)
        except (CardError, msgspec.ValidationError):
            assert not vector["valid"]["emit-strict"], vector["name"]
            continue
        built += 1
        sent = json.loads(encode(response))
        assert faults("response-emit-strict", sent) == [], vector["name"]
        assert sent == vector["body"] or not vector["valid"]["emit-strict"], vector["name"]
    assert built >= 10


line = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=40).filter(
    str.strip
)
detail = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\t"), min_size=1
).filter(str.strip)
uuids = st.uuids().map(str)
urls = st.from_regex(r"https://[a-z]{1,8}\.org(/[a-z0-9]{0,5}){0,2}(\?[a-z]=%20)?", fullmatch=True)
values = st.recursive(
    line | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3) | st.dictionaries(line, inner, min_size=1, max_size=3)
    ),
    max_leaves=5,
)
extensions = st.dictionaries(
    st.from_regex(r"[a-z]{1,5}(\.[A-Za-z0-9-]{1,5}){1,3}", fullmatch=True), values, max_size=2
)
codings = st.builds(Coding, line, line, line)
topics = st.builds(Coding, st.from_regex(r"[A-Za-z0-9]{1,100}", fullmatch=True), line, line)
sources = st.builds(Source, line, topics, st.none() | urls, st.none() | urls, extensions)
links = st.builds(Link, line, urls, st.just("absolute"), st.none(), st.booleans(), extensions) | st.builds(
    Link, line, urls, st.just("smart"), st.none() | line, st.booleans(), extensions
)
contents = st.dictionaries(line, values, max_size=3)
new_resources = contents.map(lambda content: {**content, "resourceType": "ServiceRequest"})
old_resources = new_resources.map(lambda resource: {**resource, "id": "1"})
actions = (
    st.builds(Action, st.just("create"), detail, new_resources, st.none(), extensions)
    | st.builds(Action, st.just("update"), detail, old_resources, st.none(), extensions)
    | st.builds(Action, st.just("delete"), detail, st.none(), st.just("ServiceRequest/a-1.b"), extensions)
)
suggestions = st.builds(Suggestion, line, uuids, st.lists(actions, max_size=2), st.booleans(), extensions)


@st.composite
def cards(draw: st.DrawFn) -> Card:
    offered = draw(st.lists(suggestions, max_size=2))
    recommended = sum(one.isRecommended for one in offered)
    behaviours = ["any"] if recommended > 1 else ["any", "at-most-one"]
    return Card(
        uuid=draw(uuids),
        summary=draw(line),
        detail=draw(st.none() | detail),
        indicator=draw(st.sampled_from(["info", "warning", "critical"])),
        source=draw(sources),
        suggestions=offered,
        selectionBehavior=draw(st.sampled_from(behaviours)) if offered else None,
        overrideReasons=draw(st.lists(codings, max_size=2)),
        links=draw(st.lists(links, max_size=2)),
        extension=draw(extensions),
    )


responses = st.builds(Response, st.lists(cards(), max_size=2), st.lists(actions, max_size=2), extensions)


@settings(
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    deadline=None,
    max_examples=60,
)
@given(response=responses)
def test_whatever_can_be_built_is_valid_and_comes_back_the_same(response: Response, faults: Faults) -> None:
    sent = encode(response)
    body = json.loads(sent)
    for schema in SCHEMAS:
        assert faults(schema, body) == []
    assert msgspec.json.decode(sent, type=Response) == response
