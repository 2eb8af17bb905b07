"""Finished cards put the way one EHR shows them: the render profiles generic, epic, oracle and narrow.

A profile changes how a card is worded and laid out, never what it stands for: ids of cards, indicator, topic,
override reasons and the findings extension are the same in all four. Sources: users-and-ops.md 4.1 and 4.2;
conformance notes 4.2 (vendors) and 4.3; Epic's CDS Hooks documentation, Card and Suggestion Attributes.

    generic   GitHub Flavored Markdown of bold, lists, links and line breaks: cards as they were written
    epic      HTML detail, one action in a suggestion, the advice in full in `action.description`
    oracle    plain text with a short first line, absolute https links only, `at-most-one` as in 1.0
    narrow    Markdown for a side panel: one reason a line, shortened from NARROW_WORDS words on
"""

import html
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence

from msgspec.structs import replace

from hooks import Card, Suggestion
from service.cards import SAFETY_LINE
from service.trust import Client

__all__ = ["DETAIL_TYPE", "FIRST_LINE", "NARROW_WORDS", "adapt"]

DETAIL_TYPE = "com.epic.cdshooks.card.detail.content-type"
"""Epic's extension of a card that says what `detail` is written in."""

FIRST_LINE = 80
"""Longest first line of a detail for Oracle Health, in characters: as long as a summary may be (4.2)."""

NARROW_WORDS = 90
"""Words from which on a detail for a narrow panel is shortened (4.2)."""

# The Markdown that cards are made of: an escaped sign, bold, a link. An escaped sign opens neither of these.
_INLINE = re.compile(
    r"\\(?P<sign>[!-/:-@\[-`{-~])"
    r"|\*\*(?P<bold>(?:\\.|[^\\*])+)\*\*"
    r"|\[(?P<label>(?:\\.|[^\\\[\]])+)\]\((?P<url>https://[^\s()<>\"]+)\)"
)
# Escaped signs in plain text. Whoever reads it as Markdown, or looks for addresses in it, finds none.
_HARMLESS = {
    "\\": "'", "`": "'", "*": "^", "_": "-", "[": "(", "]": ")", "<": "< ", "~": "≈", "|": "¦", "&": "+",
    "@": " at ", ":": ": ", ".": " .",
}  # fmt: skip
_REASONS, _OTHERS, _MISSING = "Why: ", "Also found: ", "Not recorded: "
_ADVICE = "To consider:"
_MORE = re.compile(r"\d+ more")
_WORD = re.compile(r"\S*\w\S*")
# Reasons start with a letter. Cut at nothing else, text from the record cannot start a line with a list sign.
_NEXT_REASON = re.compile(r"; (?=[A-Za-z])")


def adapt(cards: tuple[Card, ...], client: Client) -> tuple[Card, ...]:
    """The cards as `client` shows them; the very same ones when it takes them as they are written.

    Raises CardError for cards of which two suggestions are recommended and only one may be taken.
    """
    profile, selection = client.profile, client.selection_behavior
    if profile == "generic" and selection in (None, "any"):
        return cards
    adapted = [_DIALECTS[profile](card) for card in cards]
    if selection is not None:
        adapted = [
            replace(card, selectionBehavior=selection) if card.suggestions else card for card in adapted
        ]
    return tuple(adapted)


def _as_written(card: Card) -> Card:
    return card


# -- epic --------------------------------------------------------------------------------------------


def _epic(card: Card) -> Card:
    if card.detail is None:
        return replace(card, suggestions=_one_action_each(card))
    return replace(
        card,
        detail="".join(map(_html_block, card.detail.split("\n\n"))),
        suggestions=_one_action_each(card),
        extension={**card.extension, DETAIL_TYPE: "text/html"},
    )


def _html_block(block: str) -> str:
    lines = block.split("\n")
    if all(line.startswith("- ") for line in lines):
        return f"<ul>{''.join(f'<li>{_html(line[2:])}</li>' for line in lines)}</ul>"
    return f"<p>{'<br>'.join(map(_html, lines))}</p>"


def _html(text: str) -> str:
    return "".join(_html_parts(text))


def _html_parts(text: str) -> Iterator[str]:
    at = 0
    for match in _INLINE.finditer(text):
        yield html.escape(text[at : match.start()])
        at = match.end()
        sign, bold, label, url = match.group("sign", "bold", "label", "url")
        if sign:
            yield html.escape(sign)
        elif bold:
            yield f"<b>{_html(bold)}</b>"
        else:
            yield f'<a href="{html.escape(url)}">{_html(label)}</a>'
    yield html.escape(text[at:])


def _one_action_each(card: Card) -> list[Suggestion]:
    """Epic takes one action in a suggestion and shows only its description, which therefore says why."""
    reason = card.source.topic.display
    return [single for suggestion in card.suggestions for single in _singles(suggestion, reason)]


def _singles(suggestion: Suggestion, reason: str) -> Iterator[Suggestion]:
    count = len(suggestion.actions)
    for number, action in enumerate(suggestion.actions, 1):
        says, name = action.description, suggestion.uuid
        if count > 1:
            says = f"{says} ({number} of {count}: {_ordered(action.resource or {})})"
            name = str(uuid.uuid5(uuid.UUID(suggestion.uuid), str(number)))
        told = replace(action, description=f"{says}. Reason: {reason}.")
        yield replace(suggestion, label=says, uuid=name, actions=[told])


def _ordered(resource: Mapping[str, object]) -> str:
    """What a resource of a suggestion is for, in words: its code's text, else what kind of resource it is."""
    code = resource.get("code")
    text = code.get("text") if isinstance(code, dict) else None
    return text if isinstance(text, str) else str(resource.get("resourceType", "order"))


# -- oracle ------------------------------------------------------------------------------------------


def _oracle(card: Card) -> Card:
    detail = card.detail
    return replace(
        card,
        detail=None if detail is None else _short_first_line(_plain(detail)),
        selectionBehavior="at-most-one" if card.suggestions else None,
        # SMART links need set-up in each domain, and the appContext they may carry is not supported.
        links=[link for link in card.links if link.type == "absolute" and link.url.startswith("https:")],
    )


def _plain(text: str) -> str:
    return _INLINE.sub(_plainly, text)


def _plainly(match: re.Match[str]) -> str:
    sign, bold, label, url = match.group("sign", "bold", "label", "url")
    if sign:
        return _HARMLESS.get(sign, sign)
    return _plain(bold) if bold else f"{_plain(label)} ({url})"


def _short_first_line(text: str) -> str:
    """The text with a line break behind its first sentence, or behind "Within 2 weeks:", when that is long.

    What follows has to start with a letter, so that no line becomes a heading or a list.
    """
    first, *rest = text.split("\n")
    if len(first) <= FIRST_LINE:
        return text
    for end in (". ", ": "):
        head, _, tail = first.partition(end)
        if len(head) < FIRST_LINE and tail[:1].isalpha():
            return "\n".join([head + end[0], tail, *rest])
    return text


# -- narrow ------------------------------------------------------------------------------------------


def _narrow(card: Card) -> Card:
    if card.detail is None:
        return card
    blocks = _within(NARROW_WORDS - _words(_ADVICE), card.detail.split("\n\n"))
    return replace(card, detail="\n\n".join(map(_one_a_line, blocks)))


def _within(most: int, blocks: Sequence[str]) -> list[str]:
    """The blocks with the longest of those that can be spared cut until `most` words are left.

    Never cut: the lead, what to consider, the reasons, why the urgency is lower, results that could not be
    read, data that could not be had, findings that are on no card, and that normal tests exclude nothing.
    """
    kept = list(blocks)
    spare = [place for place, block in enumerate(blocks) if _cut(block) is not None]
    for place in sorted(spare, key=lambda place: -_words(blocks[place])):
        if sum(map(_words, kept)) > most:
            kept[place] = _cut(blocks[place]) or ""
    return [block for block in kept if block]


def _cut(block: str) -> str | None:
    """The block in short, empty to leave it out; None when it has to stay."""
    if block.startswith(_OTHERS):
        *named, last = block.removesuffix(".").split("; ")
        count = len(named) + (int(last.split()[0]) if _MORE.fullmatch(last) else 1)
        return f"{_OTHERS}{count} more red {'flag' if count == 1 else 'flags'}."
    if block.startswith(_MISSING):
        return ""
    return SAFETY_LINE if block.startswith(SAFETY_LINE) else None


def _words(text: str) -> int:
    """How many words: the sign of a list is none."""
    return len(_WORD.findall(text))


def _one_a_line(block: str) -> str:
    """Reasons as a list. What to consider is one too, so a line stands between them and keeps them apart."""
    if block.startswith("- "):
        return f"{_ADVICE}\n\n{block}"
    if not block.startswith(_REASONS):
        return block
    reasons = _NEXT_REASON.split(block.removeprefix(_REASONS))
    return "\n".join([_REASONS.strip(), "", *(f"- {reason}" for reason in reasons)])


_DIALECTS: Mapping[str, Callable[[Card], Card]] = {
    "generic": _as_written,
    "epic": _epic,
    "oracle": _oracle,
    "narrow": _narrow,
}
