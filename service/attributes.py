"""Source attributes: what the ONC rule HTI-1 wants told about a decision support intervention.

The 13 attributes of an evidence-based intervention are answered for each rule from the rule itself. The 31 of
a predictive one do not apply and are answered for the whole set. What has no answer says so. Source: 45 CFR
170.315(b)(11)(iv).
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec
import yaml

from rules.engine import Bundle, Evidence, Rule, list_rules
from service import __version__
from service.sheets import CHECKED

__all__ = ["Attribute", "RuleAttributes", "SourceAttributes", "source_attributes", "to_csv", "to_json"]

_SOCIAL = {"context.smoker": "smoking status", "context.injection_drug_use": "injection drug use"}
_SCORED = frozenset({"pain.score", "pain.suspicious_character"})
_NOT_READ = "No. No fact of this kind exists that a rule could read."


class Attribute(msgspec.Struct, frozen=True):
    """One attribute with its answer. `answered` is False where nobody has done or stated what it asks for."""

    n: int
    id: str
    title: str
    says: str
    answered: bool = True


class RuleAttributes(msgspec.Struct, frozen=True):
    """The 13 attributes of one rule."""

    rule: str
    title: str
    version: str
    attributes: tuple[Attribute, ...]


class Group(msgspec.Struct, frozen=True):
    """Some of the 31 attributes under their heading."""

    title: str
    attributes: tuple[Attribute, ...]


class SourceAttributes(msgspec.Struct, frozen=True):
    """Everything that is told, about the rules of one bundle."""

    product: str
    version: str
    bundle: str
    digest: str
    regulation: str
    classification: str
    rules: tuple[RuleAttributes, ...]
    predictive: tuple[Group, ...]


def source_attributes(bundle: Bundle) -> SourceAttributes:
    """The attributes of a bundle, rules by id."""
    texts = _texts()
    return SourceAttributes(
        product="Tocsin",
        version=__version__,
        bundle=bundle.version,
        digest=bundle.digest,
        regulation=texts["regulation"],
        classification=texts["classification"],
        rules=tuple(_of_rule(bundle, row.id) for row in list_rules(bundle)),
        predictive=tuple(_groups(texts["predictive"])),
    )


def to_json(found: SourceAttributes) -> bytes:
    """The attributes as JSON, indented."""
    return msgspec.json.format(msgspec.json.encode(found), indent=2)


def to_csv(found: SourceAttributes) -> str:
    """The attributes as CSV with a header line; cells that a spreadsheet could run are quoted."""
    sheet = io.StringIO()
    writer = csv.writer(sheet)
    writer.writerow(("about", "version", "list", "number", "attribute", "answered", "answer"))
    for rule in found.rules:
        for one in rule.attributes:
            writer.writerow(_cells(rule.rule, rule.version, "evidence-based", one))
    for group in found.predictive:
        for one in group.attributes:
            writer.writerow(_cells("all rules", found.bundle, "predictive", one))
    return sheet.getvalue()


def _cells(about: str, version: str, name: str, one: Attribute) -> tuple[str, ...]:
    says = f"'{one.says}" if one.says[:1] in ("=", "+", "-", "@") else one.says
    return (about, version, name, str(one.n), one.title, "yes" if one.answered else "no", says)


@cache
def _texts() -> Mapping[str, Any]:
    text = (files("service") / "attributes.yaml").read_text("utf-8")
    found: Mapping[str, Any] = yaml.safe_load(text)
    return found


def _groups(groups: list[dict[str, Any]]) -> Iterator[Group]:
    n = 0
    for group in groups:
        attributes = []
        for item in group["items"]:
            n += 1
            attributes.append(Attribute(n, f"predictive-{n}", **item))
        yield Group(group["title"], tuple(attributes))


# -- one rule ----------------------------------------------------------------------------------------


def _of_rule(bundle: Bundle, rule_id: str) -> RuleAttributes:
    program = bundle.programs[rule_id]
    rule = program.rule
    # What is read for the criteria, what a card shows, and what decides about it.
    facts = frozenset({*program.facts, *rule.show, *rule.ask})
    attributes = []
    for one in _texts()["evidence_based"]:
        says = _ANSWERS[one["id"]](bundle, rule, facts)
        attributes.append(Attribute(one["n"], one["id"], one["title"], says, answered=bool(says)))
    told = tuple(one if one.answered else msgspec.structs.replace(one, says=_UNSTATED) for one in attributes)
    return RuleAttributes(rule.id, rule.title, rule.version, told)


_UNSTATED = "The project has not stated who funds it."
_Answer = Callable[[Bundle, Rule, frozenset[str]], str]


def _citation(bundle: Bundle, rule: Rule, facts: frozenset[str]) -> str:
    return " | ".join(_cited(bundle.evidence[name]) for name in rule.evidence)


def _cited(source: Evidence) -> str:
    place = f" doi:{source.doi}" if source.doi else f" PMID {source.pmid}" if source.pmid else ""
    return f"{source.citation}{place} ({CHECKED[source.status]})"


def _developer(bundle: Bundle, rule: Rule, facts: frozenset[str]) -> str:
    approved = "" if rule.status == "approved" else " No clinician has signed it yet."
    return f"The Tocsin authors; owner of the rule: {rule.owner}.{approved}"


def _funding(bundle: Bundle, rule: Rule, facts: frozenset[str]) -> str:
    return ""


def _dates(bundle: Bundle, rule: Rule, facts: frozenset[str]) -> str:
    return f"Version {rule.version}, released {rule.released}, review by {rule.review_by}."


def _none(bundle: Bundle, rule: Rule, facts: frozenset[str]) -> str:
    return _NOT_READ


def _sex(bundle: Bundle, rule: Rule, facts: frozenset[str]) -> str:
    uses = []
    if "person.sex" in facts:
        uses.append("a criterion reads the recorded sex")
    if any(name.endswith((".times_uln", "_range")) for name in facts):
        uses.append(
            "a result without a reference range is held against the site's limit for the sex, if it has one"
        )
    if any(bundle.orders[name].sex for name in rule.suggest):
        uses.append("an order that fits one sex only is suggested to that sex only")
    return f"Yes: {'; '.join(uses)}." if uses else "No."


def _birth(bundle: Bundle, rule: Rule, facts: frozenset[str]) -> str:
    own = facts & {"person.age", "pain.onset_age"}
    return "Yes: people under 18 get no card." + (
        " A criterion or the card's text reads the age." if own else ""
    )


def _social(bundle: Bundle, rule: Rule, facts: frozenset[str]) -> str:
    uses = [words for name, words in _SOCIAL.items() if name in facts]
    return f"Yes: {' and '.join(uses)}." if uses else "No."


def _assessed(bundle: Bundle, rule: Rule, facts: frozenset[str]) -> str:
    asked = {name for name in facts if "questionnaires" in bundle.vocabulary.spec(name).needs}
    uses = [bundle.vocabulary.spec(name).label for name in sorted(asked | (facts & _SCORED))]
    return f"Yes, where they are on record: {', '.join(uses)}." if uses else "No."


_ANSWERS: Mapping[str, _Answer] = {
    "citation": _citation,
    "developer": _developer,
    "funding": _funding,
    "dates": _dates,
    "race": _none,
    "ethnicity": _none,
    "language": _none,
    "sexual-orientation": _none,
    "gender-identity": _none,
    "sex": _sex,
    "date-of-birth": _birth,
    "sdoh": _social,
    "health-status-assessment": _assessed,
}
