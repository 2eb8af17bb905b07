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
from collections.abc import Mapping, Sequence
from typing import Any

from hooks import OVERRIDE_REASONS, Action, Card, Coding, Context, Filling, Link, Source, Suggestion, Template
from rules.engine import CardText, Decision, Fact, FactSpec, OrderTemplate, Outcome, Rule, Span
from service.facts.results import Result
from service.policy import Shown, elsewhere, imaged_on, worded_at
from service.resources import Resource
from service.wording import (
    basis,
    bullets,
    cut,
    escape,
    few,
    interval,
    lasting,
    lower_first,
    printed,
    studies,
    unread,
)

__all__ = ["FINDINGS", "TOPIC_SYSTEM", "Writer", "basis_url"]

TOPIC_SYSTEM = "https://tocsin.org/CodeSystem/red-flag"
FINDINGS = "org.tocsin.findings"
"""Extension member of a card: the rules it stands for, with version, urgency and role."""

SAFETY_LINE = "Normal tests or no card do not exclude cancer."
_PLACEHOLDER = re.compile(r"\{(contact:[a-z]+|imaging_date|fact:[a-z0-9_.]+)\}")
_NO_CONTACT = "see on-call list."
_IONISING = frozenset({"xray", "ct", "nuclear", "pet", "dxa"})
_NAMESPACE = uuid.UUID("6f0b6c9e-6a5d-5f0e-9b0a-3c1f2f7b9e11").bytes
_MOST_UNREAD = 3
# Of what is folded into a card only so many are named; the findings extension has them all.
_MOST_TITLES = 2
_ON_EVERY_CARD = ("cancer.suspected",)
_ONSET = "onset of "
_SINCE = "Days since"
_FRESH_DAYS = 7
_BACK = frozenset({"whole-spine", "thoracic-spine", "lumbar-spine", "sacroiliac"})
_HIP = frozenset({"pelvis", "hip", "femur", "sacroiliac"})


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
        return [Link(f"Basis ({_version(rule)})", basis_url(self.public_url, rule.id), "absolute")]

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
        names = dict.fromkeys((*_ON_EVERY_CARD, *rule.show))
        because = [line for name in names if (line := self._because(name))]
        if because:
            parts.append(f"Why: {'; '.join(few(because))}.")
        parts.append(bullets(self._filled(line, rule) for line in text.consider))
        parts += [
            line
            for line in (
                _lowered(outcome, text),
                self._not_recorded(rule),
                self._not_read(),
                self._not_available(),
            )
            if line
        ]
        if shown.folded:
            parts.append(f"Also found: {self._found(shown.folded)}.")
        if shown.also:
            parts.append(f"Also consider: {self._titles(shown.also)}.")
        version = "" if self.public_url else f" {_version(rule).capitalize()}."
        parts.append(f"{SAFETY_LINE} {self._basis(rule)}{version}")
        return "\n\n".join(parts)

    def _titles(self, rule_ids: Sequence[str]) -> str:
        return "; ".join(lower_first(self._rule(rule_id).title) for rule_id in rule_ids)

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
        if fact.value == 0 and spec.type.name == "int" and not spec.says.startswith(_SINCE):
            return ""
        dated = f" ({fact.dated})" if fact.dated else ""
        if fact.value is True:
            note = f", {lower_first(escape(fact.note))}" if fact.note else ""
            return f"{lower_first(spec.says)}{note}{dated}"
        if spec.type.element is not None and spec.type.element.record == "imaging":
            return studies(fact.value, self.today)
        if spec.kind == "days":
            return self._days(fact, spec, dated)
        return f"{spec.label}{':' if isinstance(fact.value, list) else ''} {self._value(fact)}{dated}"

    def _days(self, fact: Fact, spec: FactSpec, dated: str) -> str:
        """How long something lasts, "back pain 32 days (2026-10-24)", or the day of an event."""
        days = lasting(fact.value)
        if spec.label.startswith(_ONSET):
            return f"{spec.label.removeprefix(_ONSET)} {days}{dated}"
        if not spec.says.startswith(_SINCE):
            return f"{spec.label} {days}{dated}"
        if dated and not isinstance(fact.value, Span):
            return f"{spec.label}{dated}"
        return f"{spec.label} {days} ago{dated}"

    def _value(self, fact: Fact) -> str:
        spec = self.bundle.vocabulary.spec(fact.name)
        value = fact.value
        if spec.kind == "quantity" and fact.note:
            # As it was recorded: a clinician knows the number of the own laboratory.
            return escape(printed(cut(fact.note)))
        if isinstance(value, Span):
            value = interval(value)
        elif isinstance(value, float):
            value = f"{value:.4g}"
        elif isinstance(value, list):
            value = ", ".join(self._item(str(item)) for item in value)
        unit = spec.unit if spec.kind == "quantity" and spec.unit not in ("1", "{score}") else ""
        return escape(printed(f"{value} {unit}"))

    def _item(self, name: str) -> str:
        """An entry of a list: a value set under its title, anything else as the vocabulary spells it."""
        return lower_first(self.bundle.codes.titles.get(name) or name.replace("-", " "))

    def _not_recorded(self, rule: Rule) -> str:
        asked = (self.bundle.vocabulary.spec(name) for name in rule.ask if self.facts[name] is None)
        labels = ["age"] if self.facts["person.age"] is None else []
        labels += [lower_first(spec.label) for spec in asked]
        return f"Not recorded: {', '.join(few(list(dict.fromkeys(labels))))}." if labels else ""

    def _not_read(self) -> str:
        """Results that stand in the record and could not be read (decision 16)."""
        latest = sorted(self.unread, key=lambda result: result.day.mid if result.day else 0, reverse=True)
        lines = [unread(result) for result in latest[:_MOST_UNREAD]]
        return f"Could not be read, check: {'; '.join(lines)}." if lines else ""

    def _not_available(self) -> str:
        return f"Not available: {', '.join(self.missing)}." if self.missing else ""

    def _basis(self, rule: Rule) -> str:
        return basis(*(self.bundle.evidence[name] for name in rule.evidence[:2]))

    # -- suggestions -------------------------------------------------------------------------------

    def _suggestions(self, rule: Rule) -> list[Suggestion]:
        lowered = self.decision[rule.id].lowered
        code = lowered.code if lowered is not None else ""
        placed = set(self.facts["orders.active"] or ()) | set(self.facts["orders.draft"] or ())
        made: list[Suggestion] = []
        filling: Filling | None = None
        for name in self._where_it_hurts([name for name in map(self._fitting, rule.suggest) if name]):
            order = self.bundle.orders[name]
            if placed.intersection(order.sets) or self._just_done(order, rule):
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

    def _just_done(self, order: OrderTemplate, rule: Rule) -> bool:
        """Whether the results of an order are a week old at most. What the rule rests on may be repeated."""
        ages = [self.facts[name] for name in order.results]
        if not ages or not all(isinstance(age, int) and age <= _FRESH_DAYS for age in ages):
            return False
        own = {_analyte(name) for name in self.bundle.programs[rule.id].facts}
        return own.isdisjoint(map(_analyte, order.results))

    def _fitting(self, name: str) -> str:
        """The order's name, its substitute's in pregnancy (S8), or empty where it does not fit the person."""
        order = self.bundle.orders[name]
        if order.sex and self.facts["person.sex"] != order.sex:
            return ""
        if order.modality in _IONISING and self.facts["person.pregnant"]:
            return order.in_pregnancy
        return name

    def _where_it_hurts(self, names: Sequence[str]) -> Sequence[str]:
        """Of several regions to image, those that hurt."""
        facts, orders = self.facts, self.bundle.orders
        painful: frozenset[str] = frozenset()
        if facts["pain.back.current"]:
            painful |= _BACK
        if facts["pain.hip.current"] or facts["pain.pelvic.current"]:
            painful |= _HIP
        imaging = {name: orders[name].regions for name in names if orders[name].kind == "imaging"}
        apart = elsewhere(painful, imaging)
        return [name for name in names if name not in apart]

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


def _analyte(fact: str) -> str:
    return fact.rpartition(".")[0]


def basis_url(public_url: str, rule_id: str) -> str:
    """Where cards of a rule link to: the page of the rule, below the URL that callers know us under."""
    return f"{public_url}/rules/{rule_id}"


def _lowered(outcome: Outcome, text: CardText) -> str:
    """Why the urgency is lower, or empty. A lead that gives the day of an unread examination has said it."""
    if outcome.lowered is None:
        return ""
    lower = "Urgency lowered" if outcome.urgency != outcome.base_urgency else ""
    told = outcome.lowered.code == "S3" and "{imaging_date}" in text.lead
    said = ": ".join(part for part in (lower, "" if told else escape(outcome.lowered.text)) if part)
    return f"{said}." if said else ""


def _version(rule: Rule) -> str:
    return f"rule {rule.version}, review {rule.review_by}"
