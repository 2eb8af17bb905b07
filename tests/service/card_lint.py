"""What a card must and must not be in each render profile, checked on the JSON that goes out.

Source: users-and-ops.md 4.2 (words), 4.1 and conformance notes 4.2 (what each EHR shows), rows CARD, SUG, ACT
and LNK. A limit wider than 4.2 asks for says so.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from html.parser import HTMLParser
from typing import Any

from service.cards import FINDINGS, SAFETY_LINE
from service.dialects import DETAIL_TYPE, FIRST_LINE
from tests.service.markdown import markup

__all__ = [
    "MOST_FOLDED",
    "MOST_WORDS",
    "VERSION_WORDS",
    "faults",
    "grade",
    "most_words",
    "tags",
    "text_of",
    "words",
]

Json = Mapping[str, Any]

MOST_WORDS = 90
"""Words of the detail of a card that stands for one rule, in every profile (4.2)."""

MOST_FOLDED = 110
"""Words of a detail that names other rules too. 4.2 has no such limit; two titles and a count take 20."""

VERSION_WORDS = 4
"""What a detail may have more without a link, whose label else holds the rule's version and review date."""

HIGHEST_GRADE = 10.0
"""Reading grade (Flesch-Kincaid) of summary, lead and what to consider."""

ABBREVIATIONS = frozenset(
    {"ALP", "CRP", "CT", "DXA", "ESR", "FBC", "GGT", "HLA", "HbA1c", "LDH", "MRI", "MSCC", "PMR", "PSA"}
)
"""What may be shortened on a card: names of tests, and two diseases known by their letters."""

_SUMMARY, _LABEL = 80, 40
_TAGS = frozenset({"b", "ul", "li", "p", "br", "a"})
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CAPITALS = re.compile(r"\b[A-Z][A-Za-z]*[A-Z][A-Za-z0-9]*\b")
_NEVER = (
    (re.compile(r"!!"), "!!"),
    (re.compile(r"\bpatient has\b|\bdiagnosed (?:as|with)\b", re.IGNORECASE), "a diagnosis"),
    (re.compile(r"\brul(?:e|es|ed|ing)[ -]out\b|\blow(?:er)?[ -]risk\b", re.IGNORECASE), "an all-clear"),
    (
        re.compile(r"\byesterday\b|\btomorrow\b|\blast (?:week|month|year)\b", re.IGNORECASE),
        "a relative date",
    ),
)


def faults(
    card: Json, profile: str, *, names: Collection[str] = (), rules: Collection[str] = ()
) -> list[str]:
    """What is wrong with a card. `names` are parts of the patient's name, `rules` the ids of all rules."""
    return [
        *_words_of(card, profile, names, rules),
        *_detail(card, profile),
        *_suggestions(card, profile),
        *_links(card, profile),
        *_parts(card),
    ]


# -- words -------------------------------------------------------------------------------------------


def _words_of(card: Json, profile: str, names: Collection[str], rules: Collection[str]) -> Iterator[str]:
    summary, text = card["summary"], text_of(card, profile)
    if len(summary) > _SUMMARY:
        yield "summary is too long"
    if ":" not in summary:
        yield "summary is not of the form finding: ask"
    actions = [action["description"] for one in card.get("suggestions", ()) for action in one["actions"]]
    shown = "\n".join([summary, text, *(one["label"] for one in card.get("suggestions", ())), *actions])
    for pattern, what in _NEVER:
        if pattern.search(shown):
            yield f"says {what}"
    if any(re.search(rf"\b{re.escape(name)}\b", shown) for name in names):
        yield "names the patient"
    if any(re.search(rf"(?<![\w-]){re.escape(rule)}(?![\w-])", shown) for rule in rules):
        yield "names a rule by its id"
    yield from (
        f"{found} is not on the list of abbreviations"
        for found in sorted(set(_CAPITALS.findall(shown.replace(_basis(text), ""))) - ABBREVIATIONS)
    )
    reached = grade([summary, *_asked(text)])
    if reached > HIGHEST_GRADE:
        yield f"reads at grade {reached:.1f}"


def _basis(text: str) -> str:
    """The end of the detail, in which authors have initials and guidelines have numbers."""
    return text[text.find(SAFETY_LINE) :]


def _asked(text: str) -> list[str]:
    """The sentences of the lead, which is the first paragraph, and of what to consider, the last list."""
    lead, *others = text.split("\n\n")
    consider = [block for block in others if block.startswith("- ")][-1:]
    sentences = re.split(r"(?<=[.:])\s", lead)
    return sentences + [line.removeprefix("- ") for block in consider for line in block.split("\n")]


def grade(sentences: list[str]) -> float:
    """The Flesch-Kincaid grade. A syllable is a run of vowels; an e at the end of a word is none."""
    found = [word.lower() for sentence in sentences for word in re.findall(r"[A-Za-z]+", sentence)]
    syllables = sum(max(1, len(re.findall(r"[aeiouy]+", word.removesuffix("e")))) for word in found)
    return 0.39 * len(found) / len(sentences) + 11.8 * syllables / len(found) - 15.59


# -- detail ------------------------------------------------------------------------------------------


def _detail(card: Json, profile: str) -> Iterator[str]:
    detail, text = card["detail"], text_of(card, profile)
    if words(text) > most_words(card):
        yield f"detail has {words(text)} words"
    if "\n\nWhy:" not in text:
        yield "detail gives no reason"
    if re.search(r"[{}]", text):
        yield "detail shows data, not words"
    if SAFETY_LINE not in text:
        yield "detail lacks the safety line"
    if profile == "epic":
        foreign = {name for name, _ in tags(detail)} - _TAGS
        if foreign or any(value != ("href",) and value for _, value in tags(detail)):
            yield f"detail has HTML beside {', '.join(sorted(_TAGS))}"
    elif markup(detail):
        yield f"detail has markup: {', '.join(sorted(markup(detail)))}"
    if profile == "oracle" and re.search(r"\*\*|\\|`|\]\(", detail):
        yield "detail is not plain"
    if profile == "oracle" and len(detail.split("\n")[0]) > FIRST_LINE:
        yield "first line of the detail is too long"
    if (card.get("extension", {}).get(DETAIL_TYPE) == "text/html") != (profile == "epic"):
        yield "detail is not of the type that is declared"


def words(text: str) -> int:
    """Words as a reader counts them: what has a letter or a digit. The sign of a list is none."""
    return len(re.findall(r"\S*\w\S*", text))


def most_words(card: Json) -> int:
    findings = card.get("extension", {}).get(FINDINGS, ())
    folded = any(one["role"] == "folded" for one in findings)
    return (MOST_FOLDED if folded else MOST_WORDS) + (0 if card.get("links") else VERSION_WORDS)


def text_of(card: Json, profile: str) -> str:
    """The detail as it is read: paragraphs, and bullets a line each."""
    detail: str = card["detail"]
    if profile == "epic":
        return _parsed(detail).text()
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", re.sub(r"\*\*(.+?)\*\*", r"\1", detail))


def tags(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """The elements of HTML with the names of their attributes, comments and the like as `!`."""
    return _parsed(text).found


def _parsed(text: str) -> "_Reader":
    reader = _Reader(convert_charrefs=True)
    reader.feed(text)
    reader.close()
    return reader


class _Reader(HTMLParser):
    def __init__(self, *, convert_charrefs: bool) -> None:
        super().__init__(convert_charrefs=convert_charrefs)
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self._said: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))
        self._said.append({"li": "- ", "br": "\n"}.get(tag, ""))

    def handle_endtag(self, tag: str) -> None:
        self._said.append({"p": "\n\n", "ul": "\n", "li": "\n"}.get(tag, ""))

    def handle_data(self, data: str) -> None:
        self._said.append(data)

    def handle_comment(self, data: str) -> None:
        self.found.append(("!", ()))

    def handle_decl(self, decl: str) -> None:
        self.found.append(("!", ()))

    def unknown_decl(self, data: str) -> None:
        self.found.append(("!", ()))

    def handle_pi(self, data: str) -> None:
        self.found.append(("!", ()))

    def text(self) -> str:
        return "".join(self._said).strip()


# -- suggestions, links, the rest --------------------------------------------------------------------


def _suggestions(card: Json, profile: str) -> Iterator[str]:
    suggestions = card.get("suggestions", ())
    behaviour = "at-most-one" if profile == "oracle" else "any"
    if card.get("selectionBehavior") != (behaviour if suggestions else None):
        yield "selectionBehavior does not fit the profile"
    ids = [card["uuid"], *(one["uuid"] for one in suggestions)]
    if len(set(ids)) < len(ids) or not all(map(_UUID.fullmatch, ids)):
        yield "ids are not distinct UUIDs"
    for action in (action for one in suggestions for action in one["actions"]):
        if action["type"] != "create" or "resourceType" not in action["resource"]:
            yield "an action creates nothing"
        if profile == "epic" and not action["description"].endswith(f"Reason: {_topic(card)['display']}."):
            yield "the description of an action does not say why"
    if profile == "epic" and any(len(one["actions"]) != 1 for one in suggestions):
        yield "a suggestion has not exactly one action"


def _links(card: Json, profile: str) -> Iterator[str]:
    for link in card.get("links", ()):
        if not link["url"].startswith("https://"):
            yield "a link is not https"
        if len(link["label"]) > _LABEL:
            yield "the label of a link is too long"
        if profile == "oracle" and (link["type"] != "absolute" or "appContext" in link):
            yield "a link is not absolute"


def _parts(card: Json) -> Iterator[str]:
    if not re.fullmatch(r"[A-Za-z0-9]{1,100}", _topic(card)["code"]):
        yield "the topic is not 1 to 100 letters and digits"
    if not card.get("extension", {}).get(FINDINGS):
        yield "the findings are missing"


def _topic(card: Json) -> Json:
    topic: Json = card["source"]["topic"]
    return topic
