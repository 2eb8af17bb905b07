"""Render profiles: what each changes on a card, and that text from a record stays text in all of them."""

import itertools
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hooks import Action, Card, CardError, Coding, Link, Source, Suggestion
from service import demo
from service.cards import SAFETY_LINE
from service.desk import Desk
from service.dialects import DETAIL_TYPE, FIRST_LINE, NARROW_WORDS, adapt
from service.settings import Settings
from service.trust import Caller, Client
from service.wording import escape
from tests.golden import PROFILES
from tests.service.calls import INSTANCE, bundled_knowledge, decided_on
from tests.service.card_lint import tags, text_of
from tests.service.facts import codes
from tests.service.facts.build import NOW, Json, condition, lab, patient
from tests.service.markdown import markup

TOPIC = Coding("PAIN", "https://example.org/topics", "Pain and cancer")
IDS = [f"00000000-0000-4000-8000-00000000000{number}" for number in range(4)]
RECORD = [patient(), condition(codes.LOW_BACK_PAIN, onset=60)]


def order(text: str | None) -> Action:
    code: Json = {"code": {"text": text}} if text is not None else {}
    return Action("create", "Order ESR and CRP", {"resourceType": "ServiceRequest", **code})


def card(detail: str | None = "**Now.**\n\n- Look", **members: Any) -> Card:
    offered = members.pop(
        "suggestions", [Suggestion("Order ESR and CRP", IDS[1], [order("ESR"), order("CRP")])]
    )
    return Card(
        uuid=IDS[0],
        summary="Pain: look",
        detail=detail,
        indicator="info",
        source=Source("Rules", TOPIC),
        suggestions=offered,
        selectionBehavior="any" if offered else None,
        extension={"org.tocsin.findings": [{"rule": "pain"}]},
        **members,
    )


def adapted(written: Card, profile: str) -> Card:
    (found,) = adapt((written,), PROFILES[profile])
    return found


def detail(text: str, profile: str) -> str:
    found = adapted(card(text), profile).detail
    assert found is not None
    return found


# -- generic and selection ---------------------------------------------------------------------------


def test_a_generic_client_gets_the_very_same_cards() -> None:
    cards = (card(),)
    assert adapt(cards, Client(id="ehr")) is cards
    assert adapt(cards, Client(id="ehr", selection_behavior="any")) is cards


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("wanted", ["any", "at-most-one"])
def test_what_the_client_wants_goes_before_what_its_profile_has(profile: str, wanted: Any) -> None:
    client = Client(id="ehr", profile=PROFILES[profile].profile, selection_behavior=wanted)
    offering, bare = adapt((card(), card(suggestions=[])), client)
    assert (offering.selectionBehavior, bare.selectionBehavior) == (wanted, None)


def test_one_of_many_is_not_to_be_recommended_twice() -> None:
    both = [Suggestion(f"Order {name}", name, [order("ESR")], isRecommended=True) for name in IDS[1:3]]
    with pytest.raises(CardError):
        adapted(card(suggestions=both), "oracle")


@pytest.mark.parametrize("profile", PROFILES)
def test_a_card_without_detail_stays_without(profile: str) -> None:
    found = adapted(card(None), profile)
    assert found.detail is None
    assert DETAIL_TYPE not in found.extension


# -- epic --------------------------------------------------------------------------------------------


def test_epic_gets_the_detail_as_html_and_is_told_so() -> None:
    text = (
        r"**Now: \*act\*.**"
        + '\n\n- Do **this**\n- Call \\<b\\> & wait\n\nA "b"\nC [the way](https://e.org/a?b=1&c=2).'
    )
    found = adapted(card(text), "epic")
    assert found.detail == (
        "<p><b>Now: *act*.</b></p>"
        "<ul><li>Do <b>this</b></li><li>Call &lt;b&gt; &amp; wait</li></ul>"
        '<p>A &quot;b&quot;<br>C <a href="https://e.org/a?b=1&amp;c=2">the way</a>.</p>'
    )
    assert found.extension == {"org.tocsin.findings": [{"rule": "pain"}], DETAIL_TYPE: "text/html"}


def test_what_is_no_link_of_ours_is_text_for_epic() -> None:
    for text in (
        r"\[x](https://e.org)",
        "[x](http://e.org)",
        "[x](javascript:alert)",
        '[x](https://e.org"y)',
    ):
        assert tags(detail(text, "epic")) == [("p", ())]


def test_epic_gets_one_action_in_a_suggestion_with_ids_that_stay() -> None:
    alone = Suggestion("Refer", IDS[2], [Action("create", "Refer to oncology", {"resourceType": "Task"})])
    written = card(suggestions=[Suggestion("Order", IDS[1], [order("ESR"), order(None)]), alone])
    found = adapted(written, "epic")
    assert [(one.label, [action.description for action in one.actions]) for one in found.suggestions] == [
        (says, [f"{says}. Reason: Pain and cancer."])
        for says in (
            "Order ESR and CRP (1 of 2: ESR)",
            "Order ESR and CRP (2 of 2: ServiceRequest)",
            "Refer to oncology",
        )
    ]
    ids = [one.uuid for one in found.suggestions]
    assert len({*ids, IDS[0], IDS[1]}) == 5
    assert ids[2] == IDS[2]
    assert ids == [one.uuid for one in adapted(written, "epic").suggestions]
    given = [action.resource for one in written.suggestions for action in one.actions]
    assert [one.actions[0].resource for one in found.suggestions] == given
    assert found.selectionBehavior == "any"


# -- oracle ------------------------------------------------------------------------------------------


def test_oracle_gets_plain_text() -> None:
    text = "**Now: \\*act\\*.**\n\n- Do **this**, see [the way](https://e.org/a)\n\nWBC 3 10\\*9/L, N\\\\A."
    assert (
        detail(text, "oracle")
        == "Now: ^act^.\n\n- Do this, see the way (https://e.org/a)\n\nWBC 3 10^9/L, N'A."
    )


@pytest.mark.parametrize(
    ("lead", "first"),
    [
        ("Now: this may be spinal cord compression.", "Now: this may be spinal cord compression."),
        (f"Routine: imaging was done. {'It may point to cancer. ' * 3}", "Routine: imaging was done."),
        (f"Within 2 weeks: pain {'and more pain ' * 6}", "Within 2 weeks:"),
        (f"{'pain ' * 20}", f"{'pain ' * 20}".strip()),
        (f"Within 2 weeks: 1. pain {'and more pain ' * 6}", "Within 2 weeks: 1."),
        (f"Now: # pain {'and more pain ' * 6}", f"Now: # pain {'and more pain ' * 6}".strip()),
    ],
)
def test_the_first_line_for_oracle_ends_where_a_sentence_does(lead: str, first: str) -> None:
    """Unless what follows could open a heading or a list."""
    found = detail(f"**{lead.strip()}**\n\n- Do", "oracle")
    assert found.split("\n")[0] == first
    assert found.replace("\n", " ").split() == [*lead.split(), "-", "Do"]
    assert markup(found) == set()
    assert len(first) <= FIRST_LINE or first == lead.strip()


def test_oracle_gets_absolute_https_links_alone_and_one_choice() -> None:
    basis = Link("Basis", "https://e.org/rules", "absolute")
    others = [
        Link("App", "https://e.org/app", "smart", "patient=1"),
        Link("Here", "http://e.org", "absolute"),
    ]
    found = adapted(card(links=[basis, *others]), "oracle")
    assert (found.links, found.selectionBehavior) == ((basis,), "at-most-one")


# -- narrow ------------------------------------------------------------------------------------------

LEAD = "**Within 24 hours: this may be cancer.**"
CONSIDER = "- Consider MRI\n- Check ESR"
WHY = "Why: CRP 72 mg/L (2026-11-21); night pain; pain 40 days."
UNREAD = "Could not be read, check: CRP 88 (no unit)."
UNHAD = "Not available: laboratory results."
LOWER = "Urgency lowered: Palliative status: hospice."
ALSO = "Also consider: hip fracture; infection."
BASIS = f"{SAFETY_LINE} Basis: Downie 2013; NICE NG234 2023. Rule 1.0.0, review 2027-06-30."
STAYS = [
    LEAD,
    "Why:\n\n- CRP 72 mg/L (2026-11-21)\n- night pain\n- pain 40 days.",
    f"To consider:\n\n{CONSIDER}",
]


def narrow(*blocks: str) -> list[str]:
    found = detail("\n\n".join([LEAD, WHY, CONSIDER, *blocks]), "narrow")
    start = "\n\n".join(STAYS)
    assert found.startswith(start)
    return found.removeprefix(start).split("\n\n")[1:]


def test_a_short_card_only_gets_its_reasons_one_a_line() -> None:
    assert narrow("Not recorded: age.", BASIS) == ["Not recorded: age.", BASIS]


def test_the_longest_of_what_can_be_spared_goes_first() -> None:
    found = f"Also found: {'; '.join(['new back pain in a person with cancer'] * 6)}; 2 more."
    missing = "Not recorded: age, night pain."
    assert narrow(missing, found, BASIS) == [missing, "Also found: 8 more red flags.", BASIS]
    some = f"Also found: {'; '.join(['new back pain in a person with cancer'] * 2)}."
    asked = f"Not recorded: {', '.join(['pain on walking'] * 15)}."
    assert narrow(asked, some, BASIS) == [some, BASIS]


def test_nothing_that_has_to_be_seen_is_ever_cut() -> None:
    must = [LOWER, UNREAD, UNHAD, ALSO]
    filler = f"Not available: {'imaging reports, ' * NARROW_WORDS}labs."
    spared = ["Not recorded: age.", "Also found: hip pain.", BASIS]
    assert narrow(*must, filler, *spared) == [*must, filler, "Also found: 1 more red flag.", SAFETY_LINE]


# -- through the desk --------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
async def test_the_hook_and_its_explanation_show_the_same_cards(profile: str) -> None:
    desk = Desk(Settings(auth=False), bundled_knowledge())
    (person,) = (one for one in demo.load() if one.id == "demo-esr")
    body = orjson.dumps(demo.to_request(person, NOW.date(), INSTANCE))
    answered = await desk.answer(body, Caller(PROFILES[profile]), NOW)
    sent, explained = orjson.loads(desk.encoded(answered)), orjson.loads(desk.explained(answered))
    await desk.aclose()
    assert explained["cards"] == sent["cards"]
    (shown,) = sent["cards"]
    assert (shown["detail"].startswith("<p>"), "**" in shown["detail"]) == {
        "generic": (False, True),
        "epic": (True, False),
        "oracle": (False, False),
        "narrow": (False, True),
    }[profile]


# -- text from the record ----------------------------------------------------------------------------

SIGNS = "\\`*_[]()<>#~|&@:;/.!-+=\"'{}w \nhtps1ae"
HOSTILE = st.text() | st.text(st.sampled_from(SIGNS)) | st.sampled_from(
    [
        "<script>alert(1)</script>", "</p><a href=//e.org>", "<img src=x onerror=y>", "<!-- x", "&lt;b&gt;",
        "[x](https://e.org)", "![x](//e.org/a.png)", "https://e.org", "https:\\//e.org", "https:||e.org",
        "www.e.org", "me@e.org", "a&#64;e.org", "**x**", "\\**", "~~x~~", "x; # y", "x; 1. y", "x. # y",
        "a | b\n--|--\nc | d", "10*9/L and 10*9/L", "javascript:alert(1)", "<https://e.org>", "```",
    ]
)  # fmt: skip


def holding(text: str) -> str:
    """A detail as cards have it, with the text wherever the record, or the site, puts some."""
    said = escape(text)
    blocks = [
        f"**Now: {said} here. Look at {said}**",
        f"- Call: {said}\n- Consider {said}",
        f"Why: WBC 3 {said}; CRP {said} (2026-11-21).",
        f"Could not be read, check: CRP 88 {said} of 2026-11-22 (no unit).",
        SAFETY_LINE,
    ]
    return "\n\n".join(blocks)


@given(HOSTILE)
def test_no_text_becomes_markup_or_a_link(text: str) -> None:
    for profile in ("generic", "oracle", "narrow"):
        assert markup(detail(holding(text), profile)) == set()


@given(HOSTILE)
def test_no_text_becomes_html_and_all_of_it_is_shown(text: str) -> None:
    found = detail(holding(text), "epic")
    assert tags(found) == tags(detail(holding("x"), "epic"))
    said = text_of({"detail": holding(text)}, "generic")
    assert text_of({"detail": found}, "epic").split() == said.split()


@given(HOSTILE)
def test_no_text_starts_a_line_of_plain_text(text: str) -> None:
    """A line break of ours never lets the record choose how a line begins."""
    lines = [line for line in detail(holding(text), "oracle").split("\n") if line]
    assert all(line[0].isalpha() or line.startswith(("- Call: ", "- Consider ")) for line in lines)


@given(HOSTILE)
def test_a_unit_from_the_record_is_harmless_in_every_profile(unit: str) -> None:
    (shown,) = decided_on(*RECORD, lab(codes.CRP, 88, unit, 3)).cards
    for profile in ("generic", "oracle", "narrow"):
        assert markup(adapted(shown, profile).detail or "") == set()
    found = tags(adapted(shown, "epic").detail or "")
    assert {name for name, _ in found} == {"p", "b", "ul", "li"}
    assert set(itertools.chain.from_iterable(attributes for _, attributes in found)) == set()
