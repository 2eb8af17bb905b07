"""Hook calls answered without HTTP: a record as FHIR JSON in, the whole answer out."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from hooks import REGISTRY, Card, Context
from service.answering import Answer, Call, decide
from service.decode import Problem, decode_context, decode_resource
from service.knowledge import Knowledge
from service.outcomes import Outcome
from service.prefetch import Gathered
from service.resources import Resource
from service.settings import Settings
from tests.service.facts.build import AVAILABLE, NOW, PATIENT, Json, bundle

__all__ = ["INSTANCE", "bundled_knowledge", "call_body", "decided_on", "knowledge_of", "only_card", "states"]

INSTANCE = "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea"
_SITE = "schema_version: 1\nsite: test\n"


@cache
def bundled_knowledge() -> Knowledge:
    return Knowledge.load(Settings(auth=False), NOW.date())


def knowledge_of(folder: Path, site: str, **settings: Any) -> Knowledge:
    """Knowledge with a site file that says, beside its name, what `site` says in YAML."""
    file = folder / "site.yaml"
    file.write_text(_SITE + site, encoding="utf-8")
    return Knowledge.load(Settings(auth=False, site=file, **settings), NOW.date())


def context_of(hook: str, drafts: Sequence[Json] = ()) -> Json:
    """The context of a call about the patient, with draft orders where the hook has them."""
    context: Json = {"userId": "Practitioner/u1", "patientId": PATIENT}
    if hook in ("order-select", "order-sign"):
        context["draftOrders"] = bundle(*drafts)
    if hook == "order-select":
        context["selections"] = [f"{draft['resourceType']}/{draft['id']}" for draft in drafts]
    return context


def call_body(
    prefetch: Mapping[str, Any], hook: str = "patient-view", drafts: Sequence[Json] = (), **members: Any
) -> Json:
    """The body of a hook call; members can be replaced or added."""
    return {
        "hook": hook,
        "hookInstance": INSTANCE,
        "context": context_of(hook, drafts),
        "prefetch": dict(prefetch),
        **members,
    }


def decided_on(
    *resources: Json,
    hook: str = "patient-view",
    drafts: Sequence[Json] = (),
    knowledge: Knowledge | None = None,
    available: frozenset[str] = AVAILABLE,
    outcomes: Mapping[str, Outcome] | None = None,
    problems: Iterable[Problem] = (),
    now: dt.datetime = NOW,
    context: Json | None = None,
    public_url: str = "",
) -> Answer:
    """The answer to a call whose record holds exactly these resources."""
    given = context if context is not None else context_of(hook, drafts)
    read: Context[Resource] = REGISTRY[hook].read(msgspec.Raw(msgspec.json.encode(given)), _in_context)
    gathered = Gathered(
        [("data", _decoded(one)) for one in resources], dict(outcomes or {}), available, list(problems), None
    )
    return decide(knowledge or bundled_knowledge(), Call(hook, INSTANCE, read, now, public_url), gathered)


def only_card(answer: Answer) -> Card:
    (card,) = answer.cards
    return card


def states(answer: Answer) -> dict[str, str]:
    """What became of each rule that was not simply untrue: its outcome and the code of the reason."""
    found = {}
    for rule, outcome in answer.decision.outcomes.items():
        if outcome.outcome in ("fired", "folded", "suppressed", "error"):
            reason = outcome.reason or outcome.lowered
            found[rule] = f"{outcome.outcome} {reason.code}" if reason is not None else outcome.outcome
    return found


def _decoded(given: Json) -> Resource:
    decoded, problems = decode_resource(msgspec.json.encode(given), "data")
    assert decoded is not None, problems
    return decoded


def _in_context(raw: msgspec.Raw) -> Resource | None:
    return decode_context(raw, [])
