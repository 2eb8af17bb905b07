"""What came of trying a FHIR server, a Bundle or a captured request; and what its gaps make unknown.

Source: the outcome of a key counts as `service.prefetch` counts it, so that both say the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from rules.engine import Bundle
from service.answering import POLICY_FACTS
from service.ehr import Statement
from service.outcomes import Outcome, State
from service.queries import plan
from service.render import printable
from service.replies import Filled, says

__all__ = ["Lack", "Trial", "as_json", "lacks", "method", "why"]

Json = Mapping[str, Any]


class Lack(msgspec.Struct, frozen=True):
    """What one template that was not answered, or not whole, leaves unknown: facts by name, and the rules
    that lacked one of them.
    """

    key: str
    why: str
    facts: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()


class Trial(msgspec.Struct):
    """One trial. `error` says why there is no answer; without a FHIR server there are no templates."""

    hook: str
    server: str = ""
    statement: Statement | None = None
    templates: Sequence[Filled] = ()
    lacks: Sequence[Lack] = ()
    answer: Json | None = None
    explanation: Json | None = None
    error: str = ""


def lacks(templates: Iterable[Filled], rules: Bundle, hook: str, explanation: Json | None) -> list[Lack]:
    """The gaps among templates of the hook. A key the rules here do not know has no facts to name."""
    queries = {query.key: query for query in plan(rules, hook, POLICY_FACTS)}
    wanted = rules.needed(hook) | POLICY_FACTS
    found = []
    for one in templates:
        query = queries.get(one.key)
        outcome = Outcome(
            State.FETCHED if one.had else State.FAILED,
            partial=one.partial or ("references" if one.unread else ""),
        )
        if outcome.is_whole(newest_suffices=query is None or query.newest_suffices):
            continue
        names = {
            spec.name
            for spec in rules.vocabulary
            if query is not None and query.essential and query.need in spec.needs and spec.name in wanted
        }
        found.append(
            Lack(
                one.key, why(one), *(_unknown(names, explanation) if explanation else (tuple(sorted(names)),))
            )
        )
    return found


def _unknown(names: set[str], explanation: Json) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those of the facts that the decision took for unknown, and the rules that lacked one."""
    known = {fact["name"] for fact in explanation["facts"] if fact["known"]}
    unknown = names - known
    rules = [rule["rule"] for rule in explanation["rules"] if not unknown.isdisjoint(rule["missing"])]
    return tuple(sorted(unknown)), tuple(rules)


def why(one: Filled) -> str:
    """Why a template was not answered, or only in part: words, status and code. Empty when it was."""
    reason = one.reason or one.partial
    if not reason and one.unread:
        reason = "references"
    if not reason:
        return ""
    behind = " ".join(filter(None, (str(one.http) if one.reason and one.http else "", one.issue)))
    return f"{says(reason)}{f' ({behind})' if behind else ''}"


def method(one: Filled) -> str:
    return "POST" if one.posted else "GET"


def as_json(trial: Trial, *, explain: bool) -> dict[str, Any]:
    """The trial as plain data, for programs; `explain` adds the whole explanation."""
    told: dict[str, Any] = {"hook": trial.hook}
    if trial.server:
        told["fhirServer"] = trial.server
        stated = trial.statement or Statement()
        told["fhirVersion"], told["software"] = stated.version, stated.software
        told["templates"] = [_row(one) for one in trial.templates]
        told["unknown"] = [msgspec.to_builtins(one) for one in trial.lacks]
    if trial.error:
        told["error"] = trial.error
    if trial.answer is not None:
        told["cards"] = trial.answer.get("cards", [])
    if explain:
        told["explanation"] = trial.explanation
    cleaned: dict[str, Any] = printable(told)
    return cleaned


def _row(one: Filled) -> dict[str, Any]:
    return {
        "key": one.key,
        "method": method(one),
        "query": one.query,
        "status": one.status,
        "http": one.http or None,
        "issue": one.issue,
        "why": why(one),
        "resources": one.rows,
        "pages": one.pages,
        "milliseconds": round(one.milliseconds, 1),
    }
