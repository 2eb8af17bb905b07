"""A trial in a terminal: the server, its answers to the templates, what stays unknown, cards and reasons.

Numbers and codes are those of the trial; all text is printed as text, without control characters.
"""

import re
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from rules.engine import Bundle
from service.render import card, decision, printable
from service.replies import Filled
from service.trial import Lack, Trial, method, why

__all__ = ["trial_view"]

_COLOUR = {
    "answered": "green",
    "empty": "",
    "refused": "bold red",
    "not supported": "bold yellow",
    "failed": "bold red",
}
_LONGEST_PART = 60
_TOKEN = re.compile(r"\{\{[^{}]*\}\}")
_MOST_FACTS = 8
_MOST_RULES = 6


def trial_view(trial: Trial, rules: Bundle, *, explain: bool) -> Iterator[RenderableType]:
    """The parts of a trial, in order; an error is the last, and is printed by the caller."""
    if trial.server:
        yield _server(trial)
    if trial.templates:
        yield _table(trial.templates)
    if trial.answer is None:
        return
    if trial.lacks:
        yield _lacking(trial.lacks, rules)
    cards = trial.answer.get("cards", ())
    yield Text(f"{len(cards) or 'No'} card{'' if len(cards) == 1 else 's'} at {trial.hook}", style="bold")
    yield from map(card, cards)
    if not cards:
        yield Text("No card is no all-clear: see why below.", style="bold")
    if trial.explanation is None:
        yield Text("The service does not explain its decisions (TOCSIN_EXPLAIN).", style="yellow")
    else:
        yield decision(trial.explanation, whole=explain)


def _server(trial: Trial) -> Text:
    stated = trial.statement
    line = Text.assemble((trial.server, "bold"))
    if stated is not None and stated.problem:
        line.append(f"\nIts CapabilityStatement could not be read: {stated.problem}", style="yellow")
    elif stated is not None:
        parts = [f"FHIR {stated.version or 'of a version it does not name'}", stated.software]
        line.append(f"  {', '.join(filter(None, map(str, map(printable, parts))))}")
    return line


def _table(templates: Sequence[Filled]) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("key", no_wrap=True)
    table.add_column("query", overflow="fold")
    table.add_column("status", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)
    table.add_column("ms", justify="right", no_wrap=True)
    for one in templates:
        status = Text(one.status, style=_COLOUR[one.status])
        if why(one):
            status = Text.assemble(
                ("in part" if one.had else one.status, "bold yellow" if one.had else status.style)
            )
            status.append(f"\n{_behind(one)}", style="dim")
        table.add_row(
            Text(printable(one.key)),
            Text(_shortened(one)),
            status,
            f"{one.rows}{f' ({one.pages} pages)' if one.pages > 1 else ''}",
            f"{one.milliseconds:.0f}",
        )
    return table


def _behind(one: Filled) -> str:
    """Status and code of the answer that decided; our own code where the answer has none."""
    status = str(one.http) if one.reason and one.http not in (0, 200) else ""
    return " ".join(filter(None, (status, one.issue))) or one.reason or one.partial or "references"


def _shortened(one: Filled) -> str:
    """The template; of a long list of codes only how long it is."""
    parts = []
    for part in _TOKEN.sub("…", str(printable(one.template))).split("&"):
        if len(part) > _LONGEST_PART and "," in part:
            name, _, value = part.partition("=")
            part = f"{name}=({value.count(',') + 1} codes)"
        parts.append(part)
    return ("POST " if method(one) == "POST" else "") + "&".join(parts)


def _lacking(lacks: Sequence[Lack], rules: Bundle) -> RenderableType:
    """One line for all keys that ended alike and lack the same facts, as the two searches for results do."""
    alike: dict[tuple[object, ...], list[Lack]] = {}
    for lack in lacks:
        alike.setdefault((lack.why, lack.facts, lack.rules), []).append(lack)
    lines: list[Text] = [Text("What the server did not answer, and what that leaves unknown", style="bold")]
    for same in alike.values():
        lack = same[0]
        keys = ", ".join(str(printable(one.key)) for one in same)
        line = Text.assemble((keys, "bold"), f": {lack.why}.")
        if lack.facts:
            names = [rules.vocabulary.spec(name).label for name in lack.facts]
            line.append(f" {len(names)} facts stay unknown: {_some(names, _MOST_FACTS)}.")
        else:
            line.append(" No fact is lost by that.")
        if lack.rules:
            line.append(
                f" {len(lack.rules)} rules lacked one: {_some(lack.rules, _MOST_RULES)}.", style="yellow"
            )
        lines.append(line)
    return Group(*lines, Text())


def _some(names: Sequence[str], most: int) -> str:
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")
