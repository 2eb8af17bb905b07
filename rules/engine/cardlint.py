"""Checks on the words people will read: cards at every urgency, banned wording, placeholders."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from rules.engine.catalogue import RuleFile
from rules.engine.content import Content
from rules.engine.documents import Path
from rules.engine.errors import Problem
from rules.engine.rule import Rule, Urgency
from rules.engine.text import placeholders, stray_braces

__all__ = ["CARD_CHECKS", "banned"]

# clinical.md 3.4: no percentage, no "low risk", no "rule out", no drug dose as an order.
_BANNED = (
    (re.compile(r"\brul(?:e|es|ed|ing)[ -]out\b", re.IGNORECASE), "'rule out'"),
    (re.compile(r"\blow(?:er)?[ -]risk\b", re.IGNORECASE), "'low risk'"),
    (re.compile(r"%|\bper ?cent\b", re.IGNORECASE), "a percentage"),
    (re.compile(r"\b\d+(?:\.\d+)?\s?(?:mg|mcg|micrograms?|grams?|g|IU)\b(?!\s?(?:/|per\b))"), "a drug dose"),
)


def banned(text: str) -> list[str]:
    """What a text says that no card may say."""
    return [name for pattern, name in _BANNED if pattern.search(text)]


def _texts(rule: Rule) -> Iterator[tuple[Path, str]]:
    for urgency, card in rule.card.items():
        yield ("card", urgency, "summary"), card.summary
        yield ("card", urgency, "lead"), card.lead
        yield from ((("card", urgency, "consider", index), text) for index, text in enumerate(card.consider))


def _problem(file: RuleFile, content: Content, rule: Rule, code: str, message: str, path: Path) -> Problem:
    """A problem where the text stands: in the site's file when the site has worded it, else in the rule."""
    site = content.overlay.settings(rule.id).card
    if path[0] == "card" and path[2] in site.get(str(path[1]), {}):
        return content.overlay.problem(code, f"{rule.id}: {message}", ("rules", rule.id, *path))
    return file.document.problem(code, message, path)


def _missing_cards(file: RuleFile, rule: Rule, content: Content) -> Iterator[Problem]:
    for urgency in rule.card_urgencies:
        if urgency not in rule.card:
            yield file.document.problem(
                "R029", f"no card text for {urgency}: {_why(rule, urgency)}", ("card",)
            )


def _why(rule: Rule, urgency: Urgency) -> str:
    if urgency == rule.urgency:
        return "it is the rule's own urgency"
    return f"{'S1' if rule.urgency == 'critical' else 'S3'} lowers the rule to it"


def _card_placeholders(file: RuleFile, rule: Rule, content: Content) -> Iterator[Problem]:
    for path, text in _texts(rule):
        if stray_braces(text):
            yield _problem(file, content, rule, "R030", "a brace that belongs to no placeholder", path)
        for name in placeholders(text):
            if not _can_be_filled(name, rule, content):
                yield _problem(file, content, rule, "R030", f"nothing fills {{{name}}}", path)


def _can_be_filled(name: str, rule: Rule, content: Content) -> bool:
    space, _, rest = name.partition(":")
    if space == "fact":
        return rest in content.vocabulary
    return space == "contact" if rest else name == "imaging_date" and "S3" in rule.suppression


def _sentence_placeholders(file: RuleFile, rule: Rule, content: Content) -> Iterator[Problem]:
    """Criteria, purpose and limits are read outside any call, so only parameters can fill them."""
    places: list[tuple[int, str]] = [
        (leaf.line, text) for leaf in rule.leaves for text in (leaf.says, leaf.unknown_says)
    ]
    places += [(file.document.key_line(("purpose",)), rule.purpose)]
    places += [(file.document.line(("limits", index)), text) for index, text in enumerate(rule.limits)]
    for line, text in places:
        if stray_braces(text) or placeholders(text):
            yield Problem(
                file.document.name, line, "R030", f"only parameters can stand in braces here: {text}"
            )


def _banned_words(file: RuleFile, rule: Rule, content: Content) -> Iterator[Problem]:
    title: tuple[Path, str] = (("title",), rule.title)
    for path, text in (title, *_texts(rule)):
        for words in banned(text):
            yield _problem(file, content, rule, "R031", f"cards never carry {words}", path)
    for index, name in enumerate(rule.suggest):
        order = content.orders.get(name)
        for words in banned(order.says) if order else ():
            yield file.document.problem("R031", f"{name}: cards never carry {words}", ("suggest", index))


def _whom_to_call(file: RuleFile, rule: Rule, content: Content) -> Iterator[Problem]:
    """A critical card names the local contact (clinical.md 3.4)."""
    card = rule.card.get("critical")
    if card is not None and not any("{contact:" in text for text in card.texts):
        line = file.document.key_line(("card", "critical"))
        yield Problem(file.document.name, line, "R032", "a critical card should name whom to call", "warning")


CARD_CHECKS: tuple[Callable[[RuleFile, Rule, Content], Iterator[Problem]], ...] = (
    _missing_cards,
    _card_placeholders,
    _sentence_placeholders,
    _banned_words,
    _whom_to_call,
)
