"""From what is shown to CDS Hooks cards: words, suggested orders, override reasons.

A card reads: why now, what to consider, the facts with their dates, what is not recorded or could not be
read, what else was found, the basis. Text from the record is escaped before it reaches Markdown. Source:
clinical.md 3.4 and the card rules of users-and-ops.md 4.2; CDS Hooks 2.0.1, Card Attributes.
"""

import datetime as dt
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hooks import OVERRIDE_REASONS, Action, Card, Coding, Context, Link, Source, Suggestion
from rules.engine import Decision, Evidence, Fact, OrderTemplate, Rule, Span
from service.facts.results import Result
from service.policy import Shown
from service.resources import Resource

__all__ = ["TOPIC_SYSTEM", "Writer", "escape"]

TOPIC_SYSTEM = "https://tocsin.org/CodeSystem/red-flag"
FINDINGS = "org.tocsin.findings"
SAFETY_LINE = "Normal tests or no card do not exclude cancer."
_MARKUP = re.compile(r"([\\`*_\[\]<>#~|&@]|:(?=//)|(?<=www)\.)")
_SPACE = re.compile(r"\s+")
_PLACEHOLDER = re.compile(r"\{(contact:[a-z]+|imaging_date|fact:[a-z0-9_.]+)\}")
_NO_CONTACT = "no number is set here, use the on-call list"
_IONISING = frozenset({"xray", "ct", "nuclear", "pet", "dxa"})
_NAMESPACE = uuid.UUID("6f0b6c9e-6a5d-5f0e-9b0a-3c1f2f7b9e11")
_MOST_UNREAD = 3


class Writer:
    """Writes the cards of one call."""

    def __init__(
        self,
        decision: Decision,
        *,
        instance: str,
        today: dt.date,
        unread: Sequence[Result],
        missing: Sequence[str],
        context: Context[Resource],
        public_url: str,
    ) -> None:
        """`unread` are results that could not be read, `missing` data that could not be had, in words;
        `public_url` is empty when no page of ours can be linked to."""
        self.decision = decision
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
            summary=self._filled(rule.card[outcome.urgency].summary),
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
        return [Link("Basis of this card", f"{self.public_url}/rules/{rule.id}", "absolute")]

    def _rule(self, rule_id: str) -> Rule:
        return self.bundle.programs[rule_id].rule

    def _uuid(self, *names: str) -> str:
        """The same call always gets the same ids, so that feedback on a repeated answer finds its card."""
        return str(uuid.uuid5(_NAMESPACE, "/".join((self.instance, self.bundle.digest, *names))))

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
        text = rule.card[outcome.urgency]
        parts = [f"**{self._filled(text.lead)}**", _bullets(self._filled(line) for line in text.consider)]
        because = [line for name in rule.show if (line := self._because(name))]
        if because:
            parts.append(f"Why: {'; '.join(because)}.")
        if outcome.lowered is not None:
            parts.append(f"Shown at lower urgency: {escape(outcome.lowered.text)}.")
        parts += [
            line for line in (self._not_recorded(rule), self._not_read(), self._not_available()) if line
        ]
        if shown.folded:
            parts.append(f"Also found: {self._titles(shown.folded)}.")
        if shown.also:
            parts.append(f"Also consider: {self._titles(shown.also)}.")
        parts.append(f"{SAFETY_LINE} {self._basis(rule)}")
        return "\n\n".join(parts)

    def _titles(self, rule_ids: Iterable[str]) -> str:
        return "; ".join(_lower_first(self._rule(rule_id).title) for rule_id in rule_ids)

    def _filled(self, text: str) -> str:
        return _PLACEHOLDER.sub(self._value_of, text) if "{" in text else text

    def _value_of(self, match: re.Match[str]) -> str:
        kind, _, name = match.group(1).partition(":")
        if kind == "contact":
            return escape(self.bundle.overlay.contacts.get(name, "")) or _NO_CONTACT
        if kind == "fact":
            fact = self.facts.get(name)
            return self._value(fact) if fact.known else "not recorded"
        days = [study["days"] for study in self.facts["imaging.studies"] or () if "result" not in study]
        return (self.today - dt.timedelta(days=min(days))).isoformat() if days else "the last examination"

    def _because(self, name: str) -> str:
        """One fact as a reason, e.g. "CRP 72 mg/L (2026-11-21)"; empty when it is unknown or says no."""
        fact = self.facts.get(name)
        if not fact.known or fact.value is False or fact.value in ([], "none"):
            return ""
        spec = self.bundle.vocabulary.spec(name)
        dated = f" ({fact.date.isoformat()})" if fact.date is not None else ""
        if fact.value is True:
            note = f", {escape(fact.note)}" if fact.note else ""
            return f"{_lower_first(spec.says)}{note}{dated}"
        if spec.type.name == "list" and spec.type.record:
            return ""
        if spec.kind == "days":
            return f"{spec.label}: {self._value(fact)} days ago{dated}"
        return f"{spec.label} {self._value(fact)}{dated}"

    def _value(self, fact: Fact) -> str:
        spec = self.bundle.vocabulary.spec(fact.name)
        value = fact.value
        if isinstance(value, Span):
            value = _interval(value)
        elif isinstance(value, float):
            value = f"{value:.4g}"
        elif isinstance(value, list):
            value = ", ".join(str(item).replace("-", " ") for item in value)
        unit = spec.unit if spec.kind == "quantity" and spec.unit not in ("1", "{score}") else ""
        return escape(f"{value} {unit}")

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
        sources = "; ".join(_cited(self.bundle.evidence[name]) for name in rule.evidence[:2])
        return f"Basis: {escape(sources)}. Rule version {rule.version}, review by {rule.review_by}."

    # -- suggestions -------------------------------------------------------------------------------

    def _suggestions(self, rule: Rule) -> list[Suggestion]:
        lowered = self.decision[rule.id].lowered
        code = lowered.code if lowered is not None else ""
        placed = set(self.facts["orders.active"] or ()) | set(self.facts["orders.draft"] or ())
        made: list[Suggestion] = []
        for name in rule.suggest:
            order = self._fitting(self.bundle.orders[name])
            if order is None or placed.intersection(order.sets):
                continue
            # Imaging that was done is to be read, not repeated; at the end of life the talk comes before
            # any order.
            if (code == "S3" and order.kind == "imaging") or (
                code == "S1" and order.kind in ("imaging", "referral")
            ):
                continue
            actions = [
                Action("create", order.says, self._resource(resource, rule)) for resource in order.resources
            ]
            made.append(Suggestion(order.says, self._uuid(rule.id, name), actions))
        return made

    def _fitting(self, order: OrderTemplate) -> OrderTemplate | None:
        """The order, its substitute in pregnancy (S8), or None where it does not fit the person."""
        if order.sex and self.facts["person.sex"] != order.sex:
            return None
        if self.facts["person.pregnant"] and order.modality in _IONISING:
            return self.bundle.orders[order.in_pregnancy] if order.in_pregnancy else None
        return order

    def _resource(self, template: Mapping[str, Any], rule: Rule) -> dict[str, Any]:
        """A template with this call's subject, visit, date and reason. It was validated when the bundle was
        loaded; what is filled in here cannot break it."""
        filled = {
            **template,
            "subject": {"reference": f"Patient/{self.context.patient_id}"},
            "authoredOn": self.today.isoformat(),
            "reasonCode": [{"text": rule.title}],
        }
        if self.context.encounter_id is not None:
            filled["encounter"] = {"reference": f"Encounter/{self.context.encounter_id}"}
        return filled


def escape(text: str) -> str:
    """Text from the record made inert: one line, no Markdown or HTML of its own, no links."""
    return _MARKUP.sub(r"\\\1", _SPACE.sub(" ", text).strip())


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _lower_first(text: str) -> str:
    return text if text[:2].isupper() else text[:1].lower() + text[1:]


def _unread(result: Result) -> str:
    name = result.analyte.replace("-", " ")
    name = name.upper() if len(name) <= 4 else name
    of = f" of {result.day.date.isoformat()}" if result.day is not None else ""
    return (
        f"{name} {escape(result.raw)}{of} ({result.reason})"
        if result.raw
        else f"{name}{of} ({result.reason})"
    )


def _cited(evidence: Evidence) -> str:
    """A source as a card can hold it: who, and when."""
    author = re.split(r"[.:(,]", evidence.citation, maxsplit=1)[0].strip()
    year = f" {evidence.year}" if evidence.year and str(evidence.year) not in author else ""
    return f"{author}{year}"


def _interval(value: Span) -> str:
    if value.high >= 36500 or value.high == float("inf"):
        return f"{'more than' if value.low_open else 'at least'} {value.low:g}"
    if value.low == 0 and value.high_open:
        return f"less than {value.high:g}"
    return f"{value.low:g} to {value.high:g}"
