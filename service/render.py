"""Cards and Decisions in a terminal, from what `/cds-services` and `/decisions/explain` answer.

Nothing is worked out again here: outcomes, criteria, values and sentences are those of the explanation. All
text is printed as text, never as markup of the terminal library, and without control characters.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.markdown import Markdown
from rich.padding import Padding
from rich.panel import Panel
from rich.text import Text
from rich.tree import Tree

from service.outcomes import WORDS

__all__ = ["card", "chip", "decision", "distance", "printable"]

Json = Mapping[str, Any]

_URGENCY = {"critical": "red", "warning": "yellow", "info": "blue"}
_OUTCOME = {
    "fired": "bold white on red",
    "folded": "black on yellow",
    "suppressed": "black on cyan",
    "error": "bold white on magenta",
    "not-enough-data": "black on white",
    "not-fired": "white on bright_black",
    "excluded": "white on bright_black",
}
_VALUE = {"true": ("✓", "green"), "false": ("✗", "red"), "unknown": ("?", "yellow")}
_HEADING = {"all": "All of", "any": "Any of", "none": "None of"}
_TAKEN = ("fired", "folded", "suppressed", "error")
_NEAREST = 3


def printable(value: Any) -> Any:
    """JSON without the characters that could steer a terminal; line ends stay."""
    if isinstance(value, str):
        return "".join(sign for sign in value if sign.isprintable() or sign == "\n")
    if isinstance(value, dict):
        return {printable(name): printable(one) for name, one in value.items()}
    return [printable(one) for one in value] if isinstance(value, list) else value


def card(given: Json) -> RenderableType:
    """One CDS Hooks card: indicator, summary, detail, suggested orders, links."""
    colour = _URGENCY.get(given["indicator"], "white")
    parts: list[RenderableType] = [Text(given["summary"], style="bold"), Text()]
    if given.get("detail"):
        parts.append(Markdown(given["detail"]))
    offered = [f"[ ] {suggestion['label']}" for suggestion in given.get("suggestions", ())]
    offered += [f"{link['label']}: {link['url']}" for link in given.get("links", ())]
    if offered:
        parts.append(Text("\n".join(["", *offered]), style="bold"))
    title = Text(f" {given['indicator'].upper()} ", style=f"bold {colour}")
    return Panel(Group(*parts), title=title, title_align="left", border_style=colour)


def decision(explanation: Json, *, whole: bool = False) -> RenderableType:
    """What the rules concluded, from the body that /decisions/explain answers.

    Rules that fired with their criteria; those folded or suppressed with the reason; when no rule is shown,
    why not, and the rules that were nearest. `whole` prints every rule with its criteria.
    """
    facts = {fact["name"]: fact for fact in explanation["facts"]}
    rules: Sequence[Json] = explanation["rules"]
    parts: list[RenderableType] = []
    if whole:
        parts += [_whole(rule, facts) for rule in rules]
    else:
        taken = [rule for rule in rules if rule["outcome"] in _TAKEN]
        taken.sort(key=lambda rule: _TAKEN.index(rule["outcome"]))
        parts += [_taken(rule, facts) for rule in taken]
        if not any(rule["outcome"] == "fired" for rule in rules):
            parts += _silence(explanation, facts)
    parts += map(Text, _data(explanation["data"]))
    bundle = explanation["bundle"]
    end = (
        f"Rules {bundle['version']}, {bundle['digest'][:19]}…; {explanation['hook']} at {explanation['now']}"
    )
    return Group(*parts, Text(end, style="dim"))


def chip(outcome: str) -> Text:
    """An outcome as a coloured label."""
    return Text(f" {outcome.upper()} ", style=_OUTCOME[outcome])


# -- one rule ----------------------------------------------------------------------------------------


def _taken(rule: Json, facts: Mapping[str, Json]) -> RenderableType:
    """A rule whose criteria are met: with them when it is shown, in one line when it is not."""
    if rule["outcome"] != "fired":
        return _head(rule)
    return Group(_head(rule), *_lowered(rule), _criteria(rule, facts))


def _whole(rule: Json, facts: Mapping[str, Json]) -> RenderableType:
    parts: list[RenderableType] = [_head(rule), *_lowered(rule)]
    if rule["tree"] is not None:
        parts.append(_criteria(rule, facts))
    if rule["outcome"] in ("not-fired", "not-enough-data", "excluded"):
        parts += _would_fire(rule, facts)
    return Group(*parts, Text())


def _head(rule: Json) -> Text:
    line = Text.assemble(chip(rule["outcome"]), " ", (rule["rule"], "bold"), f"  {rule['title']}")
    if rule["reason"] is not None:
        line.append(f"\n  {_reason(rule['reason'])}", style="italic")
    return line


def _lowered(rule: Json) -> Iterator[Text]:
    if rule["lowered"] is not None:
        yield Text(
            f"  lowered from {rule['base_urgency']} to {rule['urgency']}: {_reason(rule['lowered'])}",
            style="italic",
        )


def _reason(reason: Json) -> str:
    places = ", ".join(source["resource"] for source in reason["sources"])
    return f"{reason['code']}: {reason['text']}{f' ({places})' if places else ''}"


def _criteria(rule: Json, facts: Mapping[str, Json]) -> RenderableType:
    """The criteria as a tree, population first; each with its value and the facts it read."""
    root = Tree(Text("criteria", style="dim"), guide_style="dim")
    population, when = rule["tree"]["children"]
    for node in (*population["children"], when):
        _grow(root, node, facts)
    return Padding(root, (0, 0, 1, 2))


def _grow(branch: Tree, node: Json, facts: Mapping[str, Json]) -> None:
    sign, colour = _VALUE[node["value"]]
    line = Text.assemble((f"{sign} ", f"bold {colour}"), _says(node))
    for name in node.get("facts", ()):
        line.append(f"\n  {_fact(name, facts)}", style="dim")
    if "assumed" in node:
        line.append(f"\n  {node['assumed']}", style="italic yellow")
    grown = branch.add(line)
    for child in node.get("children", ()):
        _grow(grown, child, facts)


def _says(node: Json) -> str:
    if node["kind"] == "leaf":
        return str(node["says"])
    heading = _HEADING.get(node["kind"], f"At least {node.get('n')} of")
    return f"{node['says']}: {heading.lower()}" if node["says"] else heading


def _fact(name: str, facts: Mapping[str, Json]) -> str:
    """A fact as read: its value in words, day and sources; what the explanation leaves out is unknown."""
    fact = facts.get(name)
    if fact is None:
        return f"{name}: not recorded"
    sources = [source["resource"] for source in fact["sources"]]
    behind = ", ".join(dict.fromkeys([*([fact["date"]] if fact["date"] else []), *sources]))
    note = f"; {fact['note']}" if fact["note"] else ""
    return f"{name}: {fact['words']}{f' ({behind})' if behind else ''}{note}"


# -- silence -----------------------------------------------------------------------------------------


def _silence(explanation: Json, facts: Mapping[str, Json]) -> Iterator[RenderableType]:
    """Why no rule is shown: the patient is not covered, or what the nearest rules lacked."""
    coverage = explanation["coverage"]
    if not coverage["covered"]:
        yield Text(f"Not covered ({coverage['code']}): {coverage['reason']}", style="bold yellow")
    open_rules = [r for r in explanation["rules"] if r["outcome"] in ("not-fired", "not-enough-data")]
    nearest = sorted(open_rules, key=distance)[:_NEAREST]
    if nearest:
        yield Text("\nNearest rules", style="bold")
    for rule in nearest:
        yield Group(_head(rule), *_would_fire(rule, facts))


def distance(rule: Json) -> tuple[bool, int]:
    """What rules that did not fire are sorted by, the nearest first: those that one criterion away are."""
    return not rule["near_miss"], len(rule["would_fire_if"])


def _would_fire(rule: Json, facts: Mapping[str, Json]) -> Iterator[RenderableType]:
    if rule["would_fire_if"]:
        heading = "one criterion away: would fire if" if rule["near_miss"] else "would fire if"
        yield _indented(Text("\n  ".join([heading, *rule["would_fire_if"]])))
    missing = [facts[name]["says"] if name in facts else name for name in rule["missing"]]
    if missing:
        yield _indented(Text(f"not recorded: {'; '.join(missing)}", style="yellow"))


def _indented(text: Text) -> Padding:
    return Padding(text, (0, 0, 0, 2))


def _data(data: Json) -> Iterable[str]:
    """What of the data could not be used, one line each; nothing when all could."""
    for result in data["unreadable"]:
        yield f"Could not be read: {result['analyte']} {result['value']} ({result['reason']})"
    for key, one in data["prefetch"].items():
        why = one["reason"] or one["partial"]
        if why:
            yield f"{'Partly read' if one['partial'] else 'Could not be had'}: {key} ({WORDS.get(why, why)})"
    if data["problems"]:
        yield f"Malformed resources left out: {len(data['problems'])}"
    if data["otherPatient"]:
        yield f"Resources of another patient left out: {sum(data['otherPatient'].values())}"
    if data["uncoded"]["counts"]:
        yield str(data["uncoded"]["says"])
