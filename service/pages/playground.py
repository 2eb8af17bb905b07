"""The playground: try a patient, a hook request or a Bundle, see the card and the whole Decision behind it.

What is put in stays in the memory of this request: the call is answered without being recorded, and no log
line or metric is written for it. The page takes no token and is there in the sandbox profile only
(`Settings.plays`). A FHIR server is called when the form names one that is listed, and without any token:
whoever opens the page gets no more than the server shows to everyone.
"""

import datetime as dt
import re
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import msgspec
import orjson
from starlette.requests import Request
from starlette.responses import Response

from hooks.errors import HookError
from rules.engine import CaseResult, Problem, run_tests, try_rule
from service import demo
from service.addresses import Base, parse_base
from service.answering import POLICY_FACTS
from service.bodies import InputRefused
from service.desk import Desk
from service.errors import CallError, DataUnavailable, ExplainDisabled
from service.outcomes import WORDS
from service.pages.forms import read_form
from service.pages.inputs import HOOKS, Input, body_of, read_input
from service.pages.site import Site, told
from service.policy import case_policy
from service.queries import plan
from service.render import distance
from service.trust import Caller, Client
from service.trust.clients import Profile

__all__ = ["Playground"]

PROFILES: tuple[str, ...] = get_args(Profile)
# Answers of the store are looked up by client, so that nothing of a real one can be seen from here.
_CLIENT = "playground"
_ORDER = ("fired", "folded", "suppressed", "error", "not-enough-data", "not-fired", "excluded")
_ECHO_LIMIT = 512 * 1024
_NEAREST = 3
_ID = re.compile(r"^id:[ \t]*(\S+)", re.MULTILINE)
# No token is sent from here, so that none can have been refused.
_WORDS = {**WORDS, "unauthorised": "the FHIR server asks for an access token"}
_ADVICE = {
    "server-not-listed": "Name one of the list; the operator adds to it with TOCSIN_FHIR_ALLOW.",
    "unauthorised": "This page sends none; `tocsin try --token-file` does.",
    "deadline": "A call has TOCSIN_FETCH_BUDGET_MS for it; `tocsin try` waits longer.",
}
Json = Mapping[str, Any]


class Edited(msgspec.Struct, frozen=True):
    """What became of a rule's text: lint problems, and its own cases when it could be run."""

    problems: tuple[Problem, ...] = ()
    failed: tuple[CaseResult, ...] = ()
    cases: int = 0


class Playground:
    """GET shows the page, or runs a bundled patient named in the query; POST runs what the form holds."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def show(self, request: Request, desk: Desk) -> Response:
        _allowed(desk)
        # Addresses are logged on the way here, so that none may hold a patient of a server.
        never = dict.fromkeys(("data", "file", "text", "server", "person"), "")
        wanted = read_input({**request.query_params, **never})
        return await self._page(request, desk, wanted)

    async def run(self, request: Request, desk: Desk) -> Response:
        _allowed(desk)
        body = await request.body()
        fields = read_form(request.headers.get("content-type", ""), body)
        return await self._page(request, desk, read_input(fields))

    async def _page(self, request: Request, desk: Desk, wanted: Input) -> Response:
        refused: Json | None = None
        result: Json | None = None
        edited: Edited | None = None
        status = 200
        try:
            wanted = _of_its_rule(desk, wanted)
            trial, edited = _edited(desk, wanted)
            if trial is None:
                status = 400
            elif not wanted.is_empty:
                result = await _result(trial, wanted, dt.datetime.now(dt.UTC))
        except InputRefused as error:
            status, refused = 400, {"code": "", "text": str(error), "action": ""}
        except (CallError, HookError) as error:
            status, refused = getattr(error, "status", 400), _told(error, wanted)
        return self._site.page(
            request,
            desk,
            "playground.html",
            status,
            wanted=wanted,
            echo=wanted.data if len(wanted.data) <= _ECHO_LIMIT else "",
            patients=demo.load(),
            hooks=HOOKS,
            orders=desk.knowledge.bundle.orders,
            profiles=PROFILES,
            servers=[base.url for base in _servers(desk)],
            refused=refused,
            result=result,
            edited=edited,
            text=wanted.text or _text_of(desk, wanted.rule),
            changed=wanted.text.strip() not in ("", _text_of(desk, wanted.rule).strip()),
        )


def _servers(desk: Desk) -> Sequence[Base]:
    """The FHIR servers that unsigned calls or a client may name."""
    listed = map(parse_base, desk.settings.fhir_allow)
    return list(dict.fromkeys((*listed, *(base for one in desk.gate.clients for base in one.fhir_servers))))


def _told(error: CallError | HookError, wanted: Input) -> Json:
    """An error as the form shows it: of a server that gave nothing, why."""
    if not (wanted.fetches and isinstance(error, DataUnavailable) and error.reasons):
        return told(error)
    words = "; ".join(_WORDS[reason] for reason in error.reasons)
    advice = " ".join(_ADVICE[reason] for reason in error.reasons if reason in _ADVICE)
    return {"code": error.code, "text": f"No data could be read: {words}.", "action": advice}


def _allowed(desk: Desk) -> None:
    if not desk.settings.plays:
        raise ExplainDisabled


def _text_of(desk: Desk, rule_id: str) -> str:
    """The YAML of a bundled rule; empty when there is none of that id."""
    file = desk.knowledge.bundle.files.get(rule_id)
    return file.document.text if file is not None else ""


def _of_its_rule(desk: Desk, wanted: Input) -> Input:
    """The input without the text of another rule, which stands there when a rule was chosen and its text not
    loaded. InputRefused when that text was changed, so that nothing a person wrote is lost.
    """
    files = desk.knowledge.bundle.files
    match = _ID.search(wanted.text)
    other = match[1] if match is not None else ""
    if other == wanted.rule or other not in files or wanted.rule not in files:
        return wanted
    if wanted.text.strip() != _text_of(desk, other).strip():
        raise InputRefused(
            f"The text is that of {other}, with your changes. Press Load its text for that of {wanted.rule}, "
            f"or choose {other} again."
        )
    return msgspec.structs.replace(wanted, text="")


def _edited(desk: Desk, wanted: Input) -> tuple[Desk | None, Edited | None]:
    """The desk to answer with, and what is said of an edited rule. No desk when the text cannot be run."""
    bundle = desk.knowledge.bundle
    if not wanted.text.strip() or wanted.rule not in bundle.files:
        return desk, None
    if wanted.text.strip() == _text_of(desk, wanted.rule).strip():
        return desk, None
    tried = try_rule(bundle, wanted.rule, wanted.text)
    if tried.bundle is None:
        return None, Edited(tried.problems)
    (report,) = run_tests(tried.bundle, policy=case_policy, only={wanted.rule})
    failed = tuple(case for case in report.results if not case.passed)
    knowledge = msgspec.structs.replace(desk.knowledge, bundle=tried.bundle)
    return desk.with_knowledge(knowledge), Edited(tried.problems, failed, len(report.results))


async def _result(desk: Desk, wanted: Input, now: dt.datetime) -> Json:
    """The answer and its explanation as the template reads them."""
    profile: Any = wanted.profile if wanted.profile in PROFILES else PROFILES[0]
    client = Client(id=_CLIENT, profile=profile, fhir_servers=tuple(_servers(desk)))
    today = now.astimezone(desk.settings.zone).date()
    with desk.throttle.admit(client, time.monotonic()):
        bundle = desk.knowledge.bundle
        body = body_of(
            wanted,
            plan=plan(bundle, wanted.hook if wanted.hook in HOOKS else HOOKS[0], POLICY_FACTS),
            orders=bundle.orders,
            today=today,
            instance=str(uuid.uuid4()),
        )
        answered = await desk.answer(orjson.dumps(body), Caller(client), now)
        if wanted.fetches and answered.outcomes["patient"].reason == "not-found":
            raise InputRefused("The FHIR server has no patient with this id, or does not show it.")
        cards: Sequence[Json] = orjson.loads(desk.encoded(answered))["cards"]
        explanation: Json = orjson.loads(desk.explained(answered))
    return {
        "cards": cards,
        "profile": profile,
        "rules": sorted(explanation["rules"], key=lambda rule: _ORDER.index(rule["outcome"])),
        "outcomes": _counts(explanation["rules"]),
        "nearest": _nearest(explanation["rules"]),
        "facts": {fact["name"]: fact for fact in explanation["facts"]},
        "specs": {spec.name: spec for spec in bundle.vocabulary},
        "explanation": explanation,
        "words": WORDS,
        "request": orjson.dumps(body, option=orjson.OPT_INDENT_2).decode() if not wanted.data else "",
    }


def _nearest(rules: Sequence[Json]) -> list[Json]:
    """When nothing is shown: the rules about this patient that lack the fewest criteria."""
    if any(rule["outcome"] == "fired" for rule in rules):
        return []
    near = [rule for rule in rules if rule["outcome"] in ("not-fired", "not-enough-data")]
    return sorted(near, key=distance)[:_NEAREST]


def _counts(rules: Sequence[Json]) -> dict[str, int]:
    found = {kind: sum(rule["outcome"] == kind for rule in rules) for kind in _ORDER}
    return {kind: count for kind, count in found.items() if count}
