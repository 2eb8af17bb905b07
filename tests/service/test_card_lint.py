"""Cards of every rule, in every render profile, against the card rules; and that these see faults."""

import copy
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hooks import REGISTRY, Card
from rules.engine import Rule
from rules.engine.cases import case_facts
from service import demo
from service.cards import FINDINGS, Writer
from service.dialects import adapt
from service.policy import fold, suppress
from tests.contract.corpus import vignette, vignettes
from tests.golden import PROFILES
from tests.service.calls import INSTANCE, bundled_knowledge, decided_on
from tests.service.card_lint import MOST_FOLDED, MOST_WORDS, VERSION_WORDS, faults, text_of, words
from tests.service.decisions import TODAY, decided, study
from tests.service.facts.build import NOW, PATIENT

Json = dict[str, Any]
PUBLIC = "https://cds.example.org"
CONTEXT = msgspec.json.encode({"userId": "Practitioner/u1", "patientId": PATIENT})
EVERY = pytest.mark.parametrize("profile", PROFILES)


@cache
def rule_ids() -> frozenset[str]:
    return frozenset(bundled_knowledge().bundle.rules)


def sent(card: Card, profile: str) -> Json:
    """The card as the profile's client gets it."""
    (adapted,) = adapt((card,), PROFILES[profile])
    found: Json = msgspec.json.decode(msgspec.json.encode(adapted))
    return found


def wrong(cards: list[tuple[str, Card, list[str]]], profile: str) -> dict[str, list[str]]:
    """Faults of cards, by what each is the card of."""
    found = {}
    for name, card, patient in cards:
        problems = faults(sent(card, profile), profile, names=patient, rules=rule_ids())
        if problems:
            found[name] = problems
    return found


# -- every rule --------------------------------------------------------------------------------------


# Cases say that there is cancer and leave out which; a record says it.
USUAL = {"cancer.sites": ["breast"], "pain.axial.days": 30}


def lowered_by(rule: Rule) -> Iterator[Json]:
    """Facts that lower a rule and do not silence it: palliative care, imaging whose result is not coded."""
    yield {}
    if rule.urgency == "critical":
        yield from ({"care.palliative": tier} for tier in ("palliative", "hospice"))
    elif rule.key_imaging is not None:
        modality = rule.key_imaging.modalities[0]
        done = study(tuple(rule.key_imaging.regions), 9, modality=modality)
        # MRI or CT answers for no bone pain, so that a card about it is not lowered.
        yield {"imaging.studies": [done], "pain.hip.current": True, "pain.bone.current": False}


@cache
def rule_cards(public_url: str = PUBLIC) -> list[tuple[str, Card, list[str]]]:
    """The longest card of each rule at each urgency it has words for, over the facts of its own tests, with
    data that could not be had.
    """
    bundle = bundled_knowledge().bundle
    found: dict[str, tuple[str, Card, list[str]]] = {}
    for rule_id, file in bundle.files.items():
        rule = bundle.rules[rule_id]
        assert file.tests is not None
        for case in (case for case in file.tests.cases if case.expect == "fired"):
            for change in lowered_by(rule):
                facts = {**USUAL, **case.facts, **change}
                card = _card(rule, facts, case.hook or rule.hooks[0], public_url)
                key = f"{rule_id} {card.indicator}" if card is not None else ""
                if card is not None and (key not in found or _length(card) > _length(found[key][1])):
                    found[key] = f"{key}: {case.name}", card, []
    assert found
    return list(found.values())


def _length(card: Card) -> int:
    return words(card.detail or "")


def _card(rule: Rule, written: Json, hook: str, public_url: str) -> Card | None:
    known = bundled_knowledge()
    decision = decided([rule.id], case_facts(known.bundle.vocabulary, written), hook=hook)
    suppress(decision, TODAY)
    shown = fold(decision)
    writer = Writer(
        decision,
        known.templates,
        instance=INSTANCE,
        today=TODAY,
        unread=(),
        missing=["laboratory results"],
        context=REGISTRY["patient-view"].read(msgspec.Raw(CONTEXT), lambda raw: None),
        public_url=public_url,
    )
    return writer.card(shown[0]) if shown else None


def test_the_cards_are_of_every_rule_at_every_urgency_it_has_words_for() -> None:
    rules = bundled_knowledge().bundle.rules
    worded = {f"{rule.id} {urgency}" for rule in rules.values() for urgency in rule.card}
    assert {
        f"{card.extension[FINDINGS][0]['rule']} {card.indicator}" for _, card, _ in rule_cards()
    } == worded


@EVERY
def test_cards_of_every_rule_keep_the_card_rules(profile: str) -> None:
    assert wrong(rule_cards(), profile) == {}


@EVERY
def test_cards_that_link_to_no_page_keep_the_card_rules(profile: str) -> None:
    cards = rule_cards("")
    assert not any(card.links for _, card, _ in cards)
    assert all("Rule 1." in (card.detail or "") for _, card, _ in cards)
    assert wrong(cards, profile) == {}


@EVERY
def test_room_is_left_for_the_longest_titles_that_can_be_folded_in(profile: str) -> None:
    titles = sorted((rule.title for rule in bundled_knowledge().bundle.rules.values()), key=words)[-2:]
    found = words(f"Also found: {'; '.join(titles)}; 9 more.")
    for name, card, _ in rule_cards():
        assert words(text_of(sent(card, profile), profile)) + found <= MOST_FOLDED, name


# -- patients ----------------------------------------------------------------------------------------


@cache
def demo_cards() -> list[tuple[str, Card, list[str]]]:
    """The cards of the bundled patients. Their family names are words of medicine, so count only in full."""
    found = []
    for patient in demo.load():
        request = demo.to_request(patient, NOW.date(), INSTANCE)
        answer = decided_on(
            *demo.resources(patient, NOW.date()),
            hook=patient.hook,
            context=request["context"],
            public_url=PUBLIC,
        )
        found += [(patient.id, card, [patient.name, patient.name.split()[0]]) for card in answer.cards]
    return found


@EVERY
def test_cards_of_the_bundled_patients_keep_the_card_rules(profile: str) -> None:
    assert len(demo_cards()) >= 12
    assert wrong(demo_cards(), profile) == {}


@cache
def vignette_cards(shared: Path) -> list[tuple[str, Card, list[str]]]:
    found = []
    for name, written in vignettes(shared).items():
        built = vignette(shared, written)
        resources = [entry["resource"] for entry in built["bundle"]["entry"]]
        (person,) = (one for one in resources if one["resourceType"] == "Patient")
        names = [part for one in person["name"] for part in (one["family"], *one["given"])]
        answer = decided_on(*resources, hook=built["hook"], context=built["context"], public_url=PUBLIC)
        found += [(name, card, names) for card in answer.cards]
    return found


@EVERY
def test_cards_of_the_vignettes_keep_the_card_rules(shared: Path, profile: str) -> None:
    assert len(vignette_cards(shared)) >= 25
    assert wrong(vignette_cards(shared), profile) == {}


# -- what a profile may not change -------------------------------------------------------------------


@EVERY
def test_a_profile_changes_neither_what_a_card_stands_for_nor_its_reasons(profile: str) -> None:
    for name, card, _ in [*rule_cards(), *demo_cards()]:
        given, plain = sent(card, profile), sent(card, "generic")
        for member in ("uuid", "summary", "indicator", "source", "overrideReasons"):
            assert given[member] == plain[member], name
        assert given["extension"][FINDINGS] == plain["extension"][FINDINGS]
        assert orders(given) == orders(plain), name
        _, _, behind = text_of(plain, "generic").partition("Why: ")
        reasons = behind.split("\n\n")[0].removesuffix(".").split("; ")
        # Oracle gets 10^9/L for 10*9/L, which Markdown could take for emphasis.
        text = text_of(given, profile).replace("^", "*")
        assert [reason for reason in reasons if reason not in text] == [], name


def orders(card: Json) -> list[Json]:
    return [action["resource"] for one in card.get("suggestions", ()) for action in one["actions"]]


def test_a_topic_is_the_one_of_the_rule() -> None:
    rules = bundled_knowledge().bundle.rules
    topics = {card.extension[FINDINGS][0]["rule"]: card.source.topic.code for _, card, _ in rule_cards()}
    assert topics == {rule.id: rule.topic for rule in rules.values()}
    assert len(set(topics.values())) == len(topics)


# -- the linter sees faults --------------------------------------------------------------------------


def put(member: str, value: object) -> Callable[[Json], None]:
    """Sets a member, given by a path of names and numbers."""

    def change(card: Json) -> None:
        *path, last = (int(part) if part.isdigit() else part for part in member.split("."))
        place: Any = card
        for part in path:
            place = place[part]
        place[last] = value

    return change


def add(text: str) -> Callable[[Json], None]:
    """Puts text at the end of the detail."""

    def change(card: Json) -> None:
        card["detail"] += text

    return change


ACTION = "suggestions.0.actions.0."
FAULTS: list[tuple[str, Callable[[Json], None], str]] = [
    ("generic", put("summary", f"Pain: {'x' * 80}"), "summary is too long"),
    ("generic", put("summary", "Back pain"), "finding: ask"),
    ("generic", put("summary", "Back pain: act!!"), "says !!"),
    ("generic", put("summary", "Pain: Carla Colon"), "names the patient"),
    ("generic", put("summary", "Pain: see mscc-cancer-neuro-signs"), "names a rule"),
    ("generic", put("summary", "Pain: the patient has cancer"), "a diagnosis"),
    ("generic", put("summary", "Pain: cancer is ruled out"), "an all-clear"),
    ("generic", put("summary", "Pain: seen last week"), "a relative date"),
    ("generic", put("summary", "Pain: consider SPECT"), "SPECT is not on the list"),
    ("generic", put("detail", f"{'Multidisciplinary evaluation ' * 3}\n\n- Do"), "reads at grade"),
    ("generic", add(" word" * 190), "words"),
    ("generic", put("detail", "Lead.\n\n- Do\n\nNormal tests"), "gives no reason"),
    ("generic", put("detail", "Lead.\n\n- Do\n\nWhy: x."), "lacks the safety line"),
    ("generic", add(" {'modality': 'mri'}"), "data, not words"),
    ("generic", add("\n\n# Heading"), "markup: heading"),
    ("narrow", add(" <b>x</b>"), "markup: html_inline"),
    ("narrow", add(" https://example.org"), "markup: bare_link"),
    ("oracle", add(" **x**"), "not plain"),
    ("oracle", put("detail", f"{'long ' * 20}\n\n- Do\n\nWhy: x."), "first line"),
    ("epic", add("<script>x</script>"), "HTML beside"),
    ("epic", add("<p onclick='x'>x</p>"), "HTML beside"),
    ("epic", add("<!-- x -->"), "HTML beside"),
    ("epic", put("extension", {}), "not of the type"),
    ("epic", put("extension", {}), "findings are missing"),
    ("epic", put("selectionBehavior", "at-most-one"), "selectionBehavior"),
    ("epic", put("suggestions.0.actions", []), "exactly one action"),
    ("epic", put(ACTION + "description", "Order"), "does not say why"),
    ("generic", put(ACTION + "type", "delete"), "creates nothing"),
    ("generic", put("suggestions.0.uuid", "1"), "distinct UUIDs"),
    ("generic", put("links.0.url", "http://example.org"), "not https"),
    ("generic", put("links.0.label", "x" * 41), "label of a link"),
    ("oracle", put("links.0.type", "smart"), "not absolute"),
    ("generic", put("source.topic.code", "not-letters"), "the topic"),
]


FOLDED = [{"rule": "a", "role": "lead"}, {"rule": "b", "role": "folded"}]
LIMITS = [
    ({}, MOST_WORDS),
    ({"extension": {FINDINGS: FOLDED[:1]}}, MOST_WORDS),
    ({"extension": {FINDINGS: FOLDED}}, MOST_FOLDED),
    ({"links": []}, MOST_WORDS + VERSION_WORDS),
]


@EVERY
@pytest.mark.parametrize(("members", "most"), LIMITS)
def test_a_detail_may_be_as_long_as_its_limit_and_not_a_word_longer(
    profile: str, members: Json, most: int
) -> None:
    card = sent(demo_card("demo-cancer-history"), profile)
    extension = {**card["extension"], **members.get("extension", {})}
    card = {**card, **members, "extension": extension}
    card["detail"] += " word" * (most - words(text_of(card, profile)))
    assert faults(card, profile) == []
    card["detail"] += " more"
    assert faults(card, profile) == [f"detail has {most + 1} words"]


def demo_card(name: str) -> Card:
    return next(card for one, card, _ in demo_cards() if one == name)


@pytest.mark.parametrize(("profile", "change", "fault"), FAULTS)
def test_a_fault_is_found(profile: str, change: Callable[[Json], None], fault: str) -> None:
    name, written, patient = next(one for one in demo_cards() if one[0] == "demo-cancer-history")
    card = copy.deepcopy(sent(written, profile))
    assert faults(card, profile, names=patient, rules=rule_ids()) == [], name
    change(card)
    assert [one for one in faults(card, profile, names=patient, rules=rule_ids()) if fault in one]
