"""The words rules bring to their cards, at every urgency a card can take, before any record fills them in.

The cards themselves, over vignettes and in every render profile, are linted in test_card_lint. Source: card
rules of users-and-ops.md 4.2, wording rules of clinical.md 3.4, decision 15 on the clinical material.
"""

import re
from collections.abc import Iterator

import pytest

from rules.engine import CardText, Rule, placeholders
from rules.engine.cardlint import banned
from tests.rules.bundles import bundled
from tests.service.card_lint import ABBREVIATIONS, HIGHEST_GRADE, grade

RULES = sorted(bundled().rules.values(), key=lambda rule: rule.id)
EACH = pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.id))

# The same red flag keeps its code for ever: EHRs remember by it what was overridden.
TOPICS = {
    "anaemia-persistent-pain-50": "TOCSINANAEMIAPAIN",
    "cancer-history-new-back-pain": "TOCSINCANCERBACK",
    "cancer-history-persistent-hip-pain": "TOCSINCANCERHIP",
    "cancer-history-suspicious-spinal-pain": "TOCSINSUSPICIOUSSPINE",
    "cauda-equina-red-flags": "TOCSINCAUDAEQUINA",
    "combined-minor-red-flags": "TOCSINMINORFLAGS",
    "cord-signs-without-known-cancer": "TOCSINCORDSIGNS",
    "esr-crp-markedly-raised-persistent-pain": "TOCSINESRCRPHIGH",
    "esr-crp-moderately-raised-persistent-pain": "TOCSINESRCRPRAISED",
    "failed-conservative-care": "TOCSINCONSERVATIVE",
    "hip-pathological-fracture-suspected": "TOCSINHIPFRACTURE",
    "inflammatory-back-pain-malignancy-check": "TOCSINAXSPACANCER",
    "known-bone-mets-new-or-worsening-pain": "TOCSINBONEMETS",
    "low-value-imaging-no-red-flags": "TOCSINLOWVALUEIMAGING",
    "lung-cancer-worsening-axial-pain": "TOCSINLUNG",
    "malignant-psoas-syndrome": "TOCSINPSOAS",
    "manual-therapy-order-with-red-flags": "TOCSINMANUALTHERAPY",
    "missing-baseline-bloods": "TOCSINBASELINEBLOODS",
    "mscc-cancer-neuro-signs": "TOCSINMSCC",
    "myeloma-crab-pattern": "TOCSINMYELOMACRAB",
    "myeloma-hypercalcaemia-or-leucopenia-60": "TOCSINMYELOMACALCIUM",
    "myeloma-paraprotein-not-referred": "TOCSINPARAPROTEIN",
    "myeloma-screen-60-bone-pain": "TOCSINMYELOMASCREEN",
    "opioid-order-unexplained-pain-cancer-history": "TOCSINOPIOID",
    "pelvic-rt-chronic-pain-survivorship": "TOCSINPELVICRTLATE",
    "pelvic-rt-insufficiency-fracture": "TOCSINRTFRACTURE",
    "pmr-atypical-malignancy-check": "TOCSINATYPICALPMR",
    "prostate-cancer-axial-or-hip-pain": "TOCSINPROSTATE",
    "psa-raised-with-bone-pain": "TOCSINPSA",
    "raised-alp-bone-pain": "TOCSINALP",
    "severe-hypercalcaemia-axial-pain": "TOCSINHYPERCALCAEMIA",
    "spinal-infection-bacteraemia-or-neuro": "TOCSINBACTERAEMIASPINE",
    "spinal-infection-fever-or-risk-factor": "TOCSINSPINALINFECTION",
    "suspected-axspa-route-to-rheum": "TOCSINAXSPAROUTE",
    "suspicious-imaging-not-actioned": "TOCSINSUSPICIOUSIMAGING",
    "unexplained-vertebral-fracture-malignancy-check": "TOCSINVERTEBRALCANCER",
    "vertebral-fracture-risk": "TOCSINVERTEBRALRISK",
    "weight-loss-back-pain-60-pancreas": "TOCSINPANCREAS",
    "weight-loss-persistent-pain": "TOCSINWEIGHTLOSS",
    "xray-only-order-with-cancer-history": "TOCSINXRAYONLY",
}
WITHIN = {
    "now": "Now: ",
    "24 h": "Within 24 hours: ",
    "48 h": "Within 48 hours: ",
    "2 weeks": "Within 2 weeks: ",
    "routine": "Routine: ",
}
# What a line under "consider" begins with: something the reader can do.
VERBS = frozenset(
    [
        "Add", "Arrange", "Ask", "Avoid", "Call", "Check", "Consider", "Contact", "Discuss", "Examine",
        "Explain", "Give", "Keep", "Open", "Order", "Read", "Refer", "Repeat", "Review", "Screen", "Stop",
        "Take", "Talk", "Tell",
    ]
)  # fmt: skip
DIAGNOSING = re.compile(r"\b(?:has|have) (?:cancer|metast|myeloma|an? infection|a fracture)|\bdiagnos", re.I)
CAPITALS = re.compile(r"\b[A-Z]{2,}\b")


def cards(rule: Rule) -> Iterator[CardText]:
    yield from rule.card.values()


def filled(text: str) -> str:
    """The text as long as it can get to be: a date for an examination, words for a contact."""
    for name in placeholders(text):
        text = text.replace(f"{{{name}}}", "2026-11-25" if name == "imaging_date" else "the contact")
    return text


def test_topic_codes_are_those_of_ever_before_and_each_belongs_to_one_rule() -> None:
    found = {rule.id: rule.topic for rule in RULES}
    assert {rule: found.get(rule) for rule in TOPICS} == TOPICS
    assert len(set(found.values())) == len(found)
    assert all(re.fullmatch(r"[A-Za-z0-9]{1,100}", topic) for topic in found.values())


@EACH
def test_a_summary_is_short_and_says_finding_and_ask(rule: Rule) -> None:
    assert len(rule.title) <= 60
    assert len(rule.title.split()) <= 8  # It is named on the card of a more urgent rule.
    for card in cards(rule):
        assert len(filled(card.summary)) <= 80
        finding, _, ask = card.summary.partition(": ")
        assert finding
        assert ask


@EACH
def test_the_first_line_says_how_soon_in_words(rule: Rule) -> None:
    order = list(WITHIN)
    for urgency, card in rule.card.items():
        said = next(within for within, words in WITHIN.items() if card.lead.startswith(words))
        if urgency == rule.urgency or rule.urgency == "critical":
            assert said == rule.act_within
        else:  # Imaging on file leaves a report to read: never sooner than the rule itself.
            assert order.index(said) >= order.index(rule.act_within)


@EACH
def test_what_to_consider_begins_with_a_verb(rule: Rule) -> None:
    for card in cards(rule):
        assert {line.split()[0] for line in card.consider} <= VERBS
        assert len(card.consider) <= 6


@EACH
def test_no_word_promises_diagnoses_or_orders_a_dose(rule: Rule) -> None:
    orders = [bundled().orders[name].says for name in rule.suggest]
    for text in (rule.title, *orders, *(text for card in cards(rule) for text in card.texts)):
        assert banned(text) == []
        assert not DIAGNOSING.search(text)
        assert "!" not in text
        assert rule.id not in text


@EACH
def test_words_are_plain_and_shortened_only_where_everyone_knows_it(rule: Rule) -> None:
    for card in cards(rule):
        sentences = [part for text in card.texts for part in re.split(r"(?<=[.:;]) ", filled(text))]
        assert grade(sentences) <= HIGHEST_GRADE
        assert {word for text in sentences for word in CAPITALS.findall(text)} <= ABBREVIATIONS
        assert sum(len(text.split()) for text in sentences) <= 90


@EACH
def test_there_are_words_for_every_urgency_a_card_can_be_lowered_to(rule: Rule) -> None:
    assert rule.urgency in rule.card
    if rule.urgency == "critical":
        assert {"warning", "info"} <= rule.card.keys()  # S1
        assert rule.card["critical"].texts != rule.card["warning"].texts
    elif "S3" in rule.suppression:
        assert "info" in rule.card


@EACH
def test_a_critical_card_says_whom_to_call(rule: Rule) -> None:
    if rule.urgency == "critical":
        assert rule.contacts


@EACH
def test_facts_shown_as_reasons_have_names_a_clinician_uses(rule: Rule) -> None:
    """A fact without a label is shown with its definition, which is written for authors of rules."""
    vocabulary = bundled().vocabulary
    for name in (*rule.show, *rule.ask):
        spec = vocabulary.spec(name)
        assert "value set" not in spec.label, name
        assert len(spec.label.split()) <= 12, name
        if spec.type.name == "bool":
            assert spec.says


@EACH
def test_the_basis_is_cited_with_its_year(rule: Rule) -> None:
    for name in rule.evidence[:2]:
        evidence = bundled().evidence[name]
        assert evidence.citation
        assert evidence.year is None or 1950 <= evidence.year <= 2026
