"""One rule as a page of Markdown: for `tocsin rules explain` and the reference page of all rules."""

from collections.abc import Iterable, Iterator

from rules.engine import Bundle, Evidence, Rule, RuleSheet, Sentence, rule_sheet

__all__ = ["CHECKED", "SUPPRESSIONS", "sheet"]

CHECKED = {
    "verified-abstract": "abstract or text read",
    "verified-page": "issuer's page read",
    "verified-secondary": "a report of it read, not the source",
    "citation-only": "reference only",
    "unverified": "not verified",
    "opinion": "design choice, no study",
}
"""How far a source was checked, in words, by the `status` of evidence.yaml."""

SUPPRESSIONS = {
    "S1": "palliative, hospice or terminal care (a critical rule is lowered, not silenced)",
    "S2": "bone metastases that are known and under oncology care",
    "S3": "imaging of the painful area since the pain began (without a coded result: lowered)",
    "S4": "the key order is active or being entered",
    "S5": "an open suspected-cancer or oncology referral",
    "S6": "the same card answered before on the same facts",
    "S7": "diagnoses that do not count: skin cancer other than melanoma, in situ, benign, refuted",
    "S8": "pregnancy (imaging without radiation is suggested instead)",
    "S9": "age under 18",
    "S10": "more than three cards",
}
"""What each suppression stands for; clinical reference, `suppression_codes`."""


def sheet(bundle: Bundle, rule_id: str, *, heading: str = "#") -> str:
    """The rule in words under the settings of the bundle, starting with its heading. RulesError when there is
    none of that id.
    """
    found = rule_sheet(bundle, rule_id)
    parts = [
        f"{heading} {rule_id}",
        f"**{found.rule.title}**",
        found.rule.purpose,
        _facts_of(found),
        _listed("For", _tree(found.population)),
        _listed("Fires when", _tree(found.criteria)),
        _listed("Parameters", map(_bullet, found.parameters)),
        _listed("Cards", map(_bullet, _cards(found.rule))),
        _listed("Suggested orders", (_bullet(bundle.orders[name].says) for name in found.rule.suggest)),
        _listed("Silenced or lowered by", map(_bullet, _suppressions(found.rule))),
        _listed("Takes the place of", (_bullet(f"`{name}`") for name in found.rule.supersedes)),
        _listed("Evidence", (line for source in found.evidence for line in _evidence(source))),
        _listed("Limits", map(_bullet, found.rule.limits)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts_of(found: RuleSheet) -> str:
    row, rule = found.row, found.rule
    lines = [
        f"Urgency {row.urgency}, act within: {rule.act_within}. Hooks: {', '.join(row.hooks)}.",
        f"Version {row.version} ({row.status}), review by {row.review_by}. Mode: {row.mode}.",
    ]
    return " ".join([*lines, f"{row.off}."] if row.off else lines)


def _listed(title: str, lines: Iterable[str]) -> str:
    text = "\n".join(lines)
    return f"**{title}**\n\n{text}" if text else ""


def _bullet(text: str) -> str:
    return f"- {text}"


def _tree(sentences: Iterable[Sentence]) -> Iterator[str]:
    return (f"{'  ' * line.depth}- {line.text}" for line in sentences)


def _cards(rule: Rule) -> Iterator[str]:
    return (f"{urgency}: {card.summary}" for urgency, card in rule.card.items())


def _suppressions(rule: Rule) -> Iterator[str]:
    return (f"{code}: {SUPPRESSIONS[code]}" for code in rule.suppression)


def _evidence(source: Evidence) -> Iterator[str]:
    """The citation, how far it was checked, and what it measured."""
    yield f"- {source.citation} ({source.kind}; {CHECKED[source.status]}{_link(source)})"
    for measured in source.measured:
        yield f"  - {measured}"
    if source.limits:
        yield f"  - Limits: {source.limits}"


def _link(source: Evidence) -> str:
    if source.pmid:
        return f"; PMID {source.pmid}"
    return f"; doi:{source.doi}" if source.doi else ""
