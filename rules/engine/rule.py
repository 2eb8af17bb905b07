"""One rule as data: identity, governance, criteria, card texts, and what it suggests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from rules.engine.criteria import Criterion, Group, Leaf, Reader, leaves
from rules.engine.documents import Document
from rules.engine.overlay import Mode, RuleSettings
from rules.engine.text import fill, number, placeholders

__all__ = [
    "HOOK_ALIASES",
    "CardText",
    "Change",
    "KeyImaging",
    "ParamSpec",
    "Rule",
    "Urgency",
    "parse_rule",
    "severity",
]

Urgency = Literal["critical", "warning", "info"]
_ORDER: tuple[Urgency, ...] = ("critical", "warning", "info")
_UNRANKED = 9999

# Decision 13: hooks no rule names evaluate what these evaluate.
HOOK_ALIASES: Mapping[str, str] = {
    "encounter-start": "patient-view",
    "encounter-discharge": "patient-view",
    "problem-list-item-create": "patient-view",
    "appointment-book": "order-sign",
    "order-dispatch": "order-sign",
}


def severity(urgency: Urgency) -> int:
    """0 for critical, 1 for warning, 2 for info: smaller is more urgent."""
    return _ORDER.index(urgency)


class ParamSpec(msgspec.Struct, frozen=True):
    """A threshold a site may move between `min` and `max`. `default` is the bundled value, `value` the one in
    force.
    """

    name: str
    value: int | float
    default: int | float
    min: int | float
    max: int | float
    says: str
    unit: str = ""


class CardText(msgspec.Struct, frozen=True):
    """The words of a card at one urgency. Facts and contacts are still placeholders."""

    summary: str
    lead: str
    consider: tuple[str, ...] = ()

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.summary, self.lead, *self.consider)


class KeyImaging(msgspec.Struct, frozen=True):
    """The imaging that would answer the rule's question (suppression S3)."""

    regions: tuple[str, ...]
    modalities: tuple[str, ...]


class Change(msgspec.Struct, frozen=True):
    """One version of a rule: the day it was released (ISO 8601), and what changed, in a sentence."""

    version: str
    date: str
    says: str


class Rule(msgspec.Struct, frozen=True):
    """One rule of the catalogue with the site's settings applied. Dates are text: lint judges them.

    `history` has the newest version first; a rule may have none. Of equally urgent cards with the same time
    to act in, the one with the lower `rank` comes first.
    """

    id: str
    version: str
    title: str
    topic: str
    status: Literal["proposal", "approved", "retired"]
    owner: str
    review_by: str
    released: str
    pathology: str
    region: Literal["back", "hip", "both"]
    urgency: Urgency
    act_within: str
    module: Literal["critical", "standard"]
    hooks: tuple[str, ...]
    purpose: str
    population: Group
    when: Criterion
    card: Mapping[Urgency, CardText]
    evidence: tuple[str, ...]
    rank: int = _UNRANKED
    history: tuple[Change, ...] = ()
    limits: tuple[str, ...] = ()
    params: Mapping[str, ParamSpec] = {}
    supersedes: tuple[str, ...] = ()
    suppression: tuple[str, ...] = ()
    s1_exempt: str = ""
    key_imaging: KeyImaging | None = None
    key_orders: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    show: tuple[str, ...] = ()
    suggest: tuple[str, ...] = ()
    mode: Mode = "live"
    max_indicator: Urgency = "critical"

    @property
    def leaves(self) -> tuple[Leaf, ...]:
        return (*leaves(self.population), *leaves(self.when))

    @property
    def contacts(self) -> tuple[str, ...]:
        """Site contacts the card texts name (`{contact:mscc}`), each once."""
        names = [name for card in self.card.values() for text in card.texts for name in placeholders(text)]
        return tuple(dict.fromkeys(name[8:] for name in names if name.startswith("contact:")))

    @property
    def card_urgencies(self) -> tuple[Urgency, ...]:
        """Every urgency the rule's card can appear with: its own, and those it can be lowered to: by S1,
        which lowers every critical rule, and by S3. A site's limit changes the indicator alone, not the
        words.
        """
        found: list[Urgency] = [self.urgency]
        if self.urgency == "critical":
            found += ["warning", "info"]
        if self.urgency == "warning" and "S3" in self.suppression:
            found.append("info")
        return tuple(sorted(found, key=severity))


def parse_rule(document: Document, settings: RuleSettings) -> Rule:
    """The rule of a document its schema accepts, with the site's parameters, mode and words in place."""
    raw: dict[str, Any] = document.data
    params = {spec.name: spec for spec in _params(raw.get("params", {}), settings)}
    words = {name: number(spec.value) for name, spec in params.items()}
    reader = Reader(document, words)
    population = Group(
        "all", reader.read_all(raw["population"], ("population",)), document.line(("population",))
    )
    when = reader.read(raw["when"], ("when",))
    plain = {key: _frozen(raw[key]) for key in _PLAIN if key in raw}
    return Rule(
        **plain,
        population=population,
        when=when,
        params=params,
        purpose=fill(raw["purpose"], words),
        limits=tuple(fill(limit, words) for limit in raw.get("limits", ())),
        card=_cards(raw["card"], settings.card, words),
        history=tuple(Change(**entry) for entry in raw.get("history", ())),
        s1_exempt=raw.get("s1_exempt") or "",
        key_imaging=KeyImaging(**_frozen_values(raw["key_imaging"])) if "key_imaging" in raw else None,
        mode=settings.mode,
        max_indicator=settings.max_indicator,
    )


# Members that are taken as they are written, lists as tuples.
_PLAIN = (
    *(
        "id",
        "version",
        "title",
        "topic",
        "status",
        "owner",
        "review_by",
        "released",
        "pathology",
        "region",
        "urgency",
    ),
    *("act_within", "rank", "module", "hooks", "evidence", "supersedes", "suppression", "key_orders"),
    *("ask", "show", "suggest"),
)


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _frozen_values(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _frozen(value) for key, value in raw.items()}


def _params(raw: Mapping[str, Any], settings: RuleSettings) -> Iterator[ParamSpec]:
    for name, entry in raw.items():
        cast = (
            float if entry["type"] == "float" else int
        )  # lint looks at the raw numbers and refuses fractions
        yield ParamSpec(
            name=name,
            value=cast(settings.params.get(name, entry["value"])),
            default=cast(entry["value"]),
            min=cast(entry["min"]),
            max=cast(entry["max"]),
            says=entry["says"],
            unit=entry.get("unit", ""),
        )


def _cards(
    raw: Mapping[Urgency, Any], site: Mapping[str, Mapping[str, Any]], words: Mapping[str, str]
) -> dict[Urgency, CardText]:
    cards: dict[Urgency, CardText] = {}
    for urgency in _ORDER:
        if urgency in raw:
            text = {**raw[urgency], **site.get(urgency, {})}
            consider = tuple(fill(line, words) for line in text["consider"])
            cards[urgency] = CardText(fill(text["summary"], words), fill(text["lead"], words), consider)
    return cards
