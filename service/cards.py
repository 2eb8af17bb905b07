"""From what is shown to CDS Hooks cards: words, suggested orders, override reasons.

A card reads: what it may be and how soon to act, the facts with their dates, what to consider, what is not
recorded or could not be read, what else was found, the basis. Text from the record is escaped before it
reaches Markdown. Source: clinical.md 3.4 and the card rules of users-and-ops.md 4.2; CDS Hooks 2.0.1, Card
Attributes.
"""

import datetime as dt
import hashlib
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from hooks import OVERRIDE_REASONS, Action, Card, Coding, Context, Filling, Link, Source, Suggestion, Template
from rules.engine import Decision, Evidence, Fact, Rule, Span
from service.facts.results import Result
from service.policy import Shown, imaged_on, worded_at
from service.resources import Resource

__all__ = ["FINDINGS", "TOPIC_SYSTEM", "Writer", "basis_url", "escape"]

TOPIC_SYSTEM = "https://tocsin.org/CodeSystem/red-flag"
FINDINGS = "org.tocsin.findings"
"""Extension member of a card: the rules it stands for, with version, urgency and role."""

SAFETY_LINE = "Normal tests or no card do not exclude cancer."
_MARKUP = re.compile(r"([\\`*_\[\]<>#~|&@]|:(?=//)|(?<=[wW]{3})\.)")
# Control characters no card can hold, and those that hide text or turn it round.
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_SPACE = re.compile(r"\s+")
# Most of what is shown is a number with its unit, and needs no closer look.
_HARMLESS = re.compile(r"(?:[0-9.]+|[A-Za-z0-9/%]+)(?: [A-Za-z0-9/%]+)*")
_PLACEHOLDER = re.compile(r"\{(contact:[a-z]+|imaging_date|fact:[a-z0-9_.]+)\}")
_NO_CONTACT = "see the on-call list."
_IONISING = frozenset({"xray", "ct", "nuclear", "pet", "dxa"})
_NAMESPACE = uuid.UUID("6f0b6c9e-6a5d-5f0e-9b0a-3c1f2f7b9e11").bytes
_MOST_UNREAD = 3
# Of what is folded into a card only so many are named; the findings extension has them all.
_MOST_TITLES = 3
_LONGEST_RAW = 40
_ON_EVERY_CARD = ("cancer.suspected",)
_MOST_STUDIES = 2
_MODALITIES = {
    "mri": "MRI",
    "ct": "CT",
    "xray": "X-ray",
    "pet": "PET",
    "dxa": "DXA",
    "nuclear": "nuclear scan",
    "us": "ultrasound",
}


class Writer:
    """Writes the cards of one call."""

    def __init__(
        self,
        decision: Decision,
        templates: Mapping[str, Sequence[Template]],
        *,
        instance: str,
        today: dt.date,
        unread: Sequence[Result],
        missing: Sequence[str],
        context: Context[Resource],
        public_url: str,
    ) -> None:
        """`templates` are the resources of the bundle's orders, by order. `unread` are results that could not
        be read, `missing` data that could not be had, in words; `public_url` is empty when no page of ours
        can be linked to.
        """
        self.decision = decision
        self.templates = templates
        self.bundle = decision.bundle
        self.facts = decision.facts
        self.instance = instance
        self.today = today
        self.unread = unread
        self.missing = missing
        self.context = context
        self.public_url = public_url

    def card(self, shown: Shown) -> Card:
        rule = self._rule(shown.lead)
        outcome = self.decision[shown.lead]
        suggestions = self._suggestions(rule)
        return Card(
            uuid=self._uuid(rule.id),
            summary=self._filled(rule.card[worded_at(self.decision, rule.id)].summary, rule),
            detail=self._detail(rule, shown),
            indicator=outcome.urgency,
            source=Source("Tocsin red-flag rules", Coding(rule.topic, TOPIC_SYSTEM, rule.title)),
            suggestions=suggestions,
            selectionBehavior="any" if suggestions else None,
            overrideReasons=OVERRIDE_REASONS,
            links=self._links(rule),
            extension={FINDINGS: self._findings(shown)},
        )

    def _links(self, rule: Rule) -> list[Link]:
        if not self.public_url:
            return []
        return [Link("Basis of this card", basis_url(self.public_url, rule.id), "absolute")]

    def _rule(self, rule_id: str) -> Rule:
        return self.bundle.programs[rule_id].rule

    def _uuid(self, *names: str) -> str:
        """The same call always gets the same ids, so that feedback on a repeated answer finds its card.

        This is `uuid.uuid5` (RFC 4122, name-based with SHA-1) without the detour over a UUID object.
        """
        name = "/".join((self.instance, self.bundle.digest, *names)).encode()
        digest = hashlib.sha1(_NAMESPACE + name, usedforsecurity=False).hexdigest()
        variant = "89ab"[int(digest[16], 16) & 3]
        return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"

    def _findings(self, shown: Shown) -> list[dict[str, str]]:
        folded = self.decision[shown.lead].folded
        return [
            {
                "rule": rule_id,
                "version": self.decision[rule_id].version,
                "urgency": self.decision[rule_id].urgency,
                "role": role,
            }
            for rule_id, role in ((shown.lead, "lead"), *((name, "folded") for name in folded))
        ]

    # -- words -------------------------------------------------------------------------------------

    def _detail(self, rule: Rule, shown: Shown) -> str:
        outcome = self.decision[rule.id]
        text = rule.card[worded_at(self.decision, rule.id)]
        parts = [f"**{self._filled(text.lead, rule)}**"]
        names = dict.fromkeys((*rule.show, *_ON_EVERY_CARD))
        because = [line for name in names if (line := self._because(name))]
        if because:
            parts.append(f"Why: {'; '.join(because)}.")
        parts.append(_bullets(self._filled(line, rule) for line in text.consider))
        if outcome.lowered is not None:
            lower = "Shown at lower urgency: " if outcome.urgency != outcome.base_urgency else ""
            parts.append(f"{lower}{escape(outcome.lowered.text)}.")
        parts += [
            line for line in (self._not_recorded(rule), self._not_read(), self._not_available()) if line
        ]
        if shown.folded:
            parts.append(f"Also found: {self._found(shown.folded)}.")
        if shown.also:
            parts.append(f"Also consider: {self._titles(shown.also)}.")
        parts.append(f"{SAFETY_LINE} {self._basis(rule)}")
        return "\n\n".join(parts)

    def _titles(self, rule_ids: Sequence[str]) -> str:
        return "; ".join(_lower_first(self._rule(rule_id).title) for rule_id in rule_ids)

    def _found(self, folded: Sequence[str]) -> str:
        more = len(folded) - _MOST_TITLES
        return self._titles(folded[:_MOST_TITLES]) + (f"; {more} more" if more > 0 else "")

    def _filled(self, text: str, rule: Rule) -> str:
        return _PLACEHOLDER.sub(lambda match: self._value_of(match[1], rule), text) if "{" in text else text

    def _value_of(self, placeholder: str, rule: Rule) -> str:
        kind, _, name = placeholder.partition(":")
        if kind == "contact":
            return escape(self.bundle.overlay.contacts.get(name, "")) or _NO_CONTACT
        if kind == "fact":
            fact = self.facts.get(name)
            return self._value(fact) if fact.known else "not recorded"
        day = imaged_on(rule, self.facts, self.today)
        return day.isoformat() if day is not None else "the last examination"

    def _because(self, name: str) -> str:
        """One fact as a reason, e.g. "CRP 72 mg/L (2026-11-21)"; empty when it is unknown or says no."""
        fact = self.facts.get(name)
        if not fact.known or fact.value is False or fact.value in ([], "none"):
            return ""
        spec = self.bundle.vocabulary.spec(name)
        if spec.type.name == "int" and fact.value == 0 and spec.kind != "days":
            return ""
        dated = f" ({fact.date.isoformat()})" if fact.date is not None else ""
        if fact.value is True:
            note = f", {escape(fact.note)}" if fact.note else ""
            return f"{_lower_first(spec.says)}{note}{dated}"
        if spec.type.element is not None and spec.type.element.record == "imaging":
            return _studies(fact.value, self.today)
        if spec.kind == "days":
            since = " ago" if spec.says.startswith("Days since") else ""
            return f"{spec.label}: {self._value(fact)} days{since}{dated}"
        return f"{spec.label} {self._value(fact)}{dated}"

    def _value(self, fact: Fact) -> str:
        spec = self.bundle.vocabulary.spec(fact.name)
        value = fact.value
        if isinstance(value, Span):
            value = _interval(value)
        elif isinstance(value, float):
            value = f"{value:.4g}"
        elif isinstance(value, list):
            value = ", ".join(self._item(str(item)) for item in value)
        unit = spec.unit if spec.kind == "quantity" and spec.unit not in ("1", "{score}") else ""
        return escape(f"{value} {unit}")

    def _item(self, name: str) -> str:
        """An entry of a list: a value set under its title, anything else as the vocabulary spells it."""
        return _lower_first(self.bundle.codes.titles.get(name) or name.replace("-", " "))

    def _not_recorded(self, rule: Rule) -> str:
        labels = [self.bundle.vocabulary.spec(name).label for name in rule.ask if self.facts[name] is None]
        if self.facts["person.age"] is None:
            labels.append("age")
        return f"Not recorded: {', '.join(dict.fromkeys(labels))}." if labels else ""

    def _not_read(self) -> str:
        """Results that stand in the record and could not be read (decision 16)."""
        latest = sorted(self.unread, key=lambda result: result.day.mid if result.day else 0, reverse=True)
        lines = [_unread(result) for result in latest[:_MOST_UNREAD]]
        return f"Could not be read, check: {'; '.join(lines)}." if lines else ""

    def _not_available(self) -> str:
        return f"Not available for this answer: {', '.join(self.missing)}." if self.missing else ""

    def _basis(self, rule: Rule) -> str:
        return _basis(*(self.bundle.evidence[name] for name in rule.evidence[:2])) + (
            f" Rule version {rule.version}, review by {rule.review_by}."
        )

    # -- suggestions -------------------------------------------------------------------------------

    def _suggestions(self, rule: Rule) -> list[Suggestion]:
        lowered = self.decision[rule.id].lowered
        code = lowered.code if lowered is not None else ""
        placed = set(self.facts["orders.active"] or ()) | set(self.facts["orders.draft"] or ())
        made: list[Suggestion] = []
        filling: Filling | None = None
        for wanted in rule.suggest:
            name = self._fitting(wanted)
            if not name:
                continue
            order = self.bundle.orders[name]
            if placed.intersection(order.sets):
                continue
            # Imaging that was done is to be read, not repeated; at the end of life the talk comes before
            # any order.
            if (code == "S3" and order.kind == "imaging") or (
                code == "S1" and order.kind in ("imaging", "referral")
            ):
                continue
            filling = filling or self._filling(rule)
            actions = [
                Action("create", order.says, template.fill(filling)) for template in self.templates[name]
            ]
            made.append(Suggestion(order.says, self._uuid(rule.id, name), actions))
        return made

    def _fitting(self, name: str) -> str:
        """The order's name, its substitute's in pregnancy (S8), or empty where it does not fit the person."""
        order = self.bundle.orders[name]
        if order.sex and self.facts["person.sex"] != order.sex:
            return ""
        if order.modality in _IONISING and self.facts["person.pregnant"]:
            return order.in_pregnancy
        return name

    def _filling(self, rule: Rule) -> Filling:
        """What this call adds to an order template: subject, visit, date, and the reason."""
        members: dict[str, Any] = {
            "subject": {"reference": f"Patient/{self.context.patient_id}"},
            "authoredOn": self.today.isoformat(),
            "reasonCode": [{"text": rule.title}],
        }
        if self.context.encounter_id is not None:
            members["encounter"] = {"reference": f"Encounter/{self.context.encounter_id}"}
        return Filling(members)


def basis_url(public_url: str, rule_id: str) -> str:
    """Where cards of a rule link to: the page of the rule, below the URL that callers know us under."""
    return f"{public_url}/rules/{rule_id}"


def escape(text: str) -> str:
    """Text from the record made inert: one line, no Markdown or HTML of its own, no links."""
    if _HARMLESS.fullmatch(text):
        return text
    return _MARKUP.sub(r"\\\1", _HIDDEN.sub("", _SPACE.sub(" ", text)).strip())


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _lower_first(text: str) -> str:
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


def _studies(studies: Iterable[Mapping[str, Any]], today: dt.date) -> str:
    """The newest examinations in words: what of which region, when, and what was found."""
    newest = sorted(studies, key=lambda study: int(study["days"]))[:_MOST_STUDIES]
    return "; ".join(_study(study, today - dt.timedelta(days=study["days"])) for study in newest)


def _study(study: Mapping[str, Any], day: dt.date) -> str:
    name = str(study["modality"])
    name = _MODALITIES.get(name, name)
    regions = " and ".join(str(region).replace("-", " ") for region in study["regions"])
    of = f" of the {regions}" if regions else ""
    result = str(study.get("result") or "result not coded").replace("-", " ")
    return escape(f"{name}{of}") + f" ({day.isoformat()}): {escape(result)}"


def _unread(result: Result) -> str:
    name = result.analyte.replace("-", " ")
    name = name.upper() if len(name) <= 4 else name
    of = f" of {result.day.date.isoformat()}" if result.day is not None else ""
    return (
        f"{name} {escape(_cut(result.raw))}{of} ({result.reason})"
        if result.raw
        else f"{name}{of} ({result.reason})"
    )


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_RAW else f"{text[:_LONGEST_RAW]}…"


@lru_cache(maxsize=256)
def _basis(*evidence: Evidence) -> str:
    return f"Basis: {escape('; '.join(map(_cited, evidence)))}."


def _cited(evidence: Evidence) -> str:
    """A source as a card can hold it: who, and when."""
    author = evidence.short or re.split(r"[.:(,]", evidence.citation, maxsplit=1)[0].strip()
    year = f" {evidence.year}" if evidence.year and str(evidence.year) not in author else ""
    return f"{author}{year}"


def _interval(value: Span) -> str:
    if value.high >= 36500 or value.high == float("inf"):
        return f"{'more than' if value.low_open else 'at least'} {value.low:g}"
    if value.low == 0 and value.high_open:
        return f"less than {value.high:g}"
    return f"{value.low:g} to {value.high:g}"
