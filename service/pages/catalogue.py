"""The rules for readers: the list with filters, one page per rule, and the codes of a value set.

A rule's page is the basis of its card: purpose, people, criteria in words and CEL, inputs with windows and
codes, evidence with how far it was checked, limits, and what its own cases show. Source: criterion 4 of the
FDA guidance on decision support software, as users-and-ops.md 3.2 sums it up.
"""

import datetime as dt
import re
from collections.abc import Iterable, Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from rules.engine import Bundle, FactSpec, Rule, RuleRow, list_rules, rule_sheet, severity
from rules.engine.codes import Code
from service.desk import Desk
from service.errors import NotFound
from service.pages.cases import Cases
from service.pages.figures import DAYS, Ledger
from service.pages.site import Site
from service.pages.status import sees_all, trial_of
from service.sheets import CHECKED, SUPPRESSIONS

__all__ = ["CataloguePages"]

_WORD = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_MOST_CODES = 500


class SetLink(msgspec.Struct, frozen=True):
    """A value set and how many codes are matched for it."""

    name: str
    title: str
    codes: int


class InputRow(msgspec.Struct, frozen=True):
    """A fact as an input of a rule, with the value sets its description names."""

    spec: FactSpec
    sets: tuple[SetLink, ...]


class Filters(msgspec.Struct, frozen=True):
    """What the list is narrowed to; an empty text narrows nothing."""

    q: str = ""
    category: str = ""
    urgency: str = ""
    hook: str = ""

    @property
    def any(self) -> bool:
        return any((self.q, self.category, self.urgency, self.hook))

    def let_through(self, rule: Rule) -> bool:
        words = f"{rule.id} {rule.title} {rule.purpose}".lower()
        return (
            all(word in words for word in self.q.lower().split())
            and self.category in ("", rule.pathology)
            and self.urgency in ("", rule.urgency)
            and (not self.hook or self.hook in rule.hooks)
        )


class CataloguePages:
    def __init__(self, site: Site, ledger: Ledger) -> None:
        self._site = site
        self._ledger = ledger
        self._cases = Cases()

    async def rules(self, request: Request, desk: Desk) -> Response:
        bundle = desk.knowledge.bundle
        query = request.query_params
        filters = Filters(**{name: query.get(name, "").strip() for name in Filters.__struct_fields__})
        found = [row for row in list_rules(bundle) if filters.let_through(bundle.rules[row.id])]
        found.sort(key=lambda row: (severity(bundle.rules[row.id].urgency), row.id))
        every = list(bundle.rules.values())
        return self._site.page(
            request,
            desk,
            "rules.html",
            rows=found,
            rules=bundle.rules,
            total=len(every),
            filters=filters,
            categories=sorted({rule.pathology for rule in every}),
            urgencies=("critical", "warning", "info"),
            hooks=sorted({hook for rule in every for hook in rule.hooks}, reverse=True),
        )

    async def rule(self, request: Request, desk: Desk) -> Response:
        bundle = desk.knowledge.bundle
        rule_id = request.path_params["rule_id"]
        if rule_id not in bundle.programs:
            raise NotFound
        program = bundle.programs[rule_id]
        figures = await self._ledger.figures(desk) if sees_all(request, desk) else None
        return self._site.page(
            request,
            desk,
            "rule.html",
            sheet=rule_sheet(bundle, rule_id),
            rule=program.rule,
            inputs=[
                InputRow(spec, _sets(bundle, spec)) for spec in map(bundle.vocabulary.spec, program.facts)
            ],
            key_orders=[_link(bundle, name) for name in program.rule.key_orders],
            orders=bundle.orders,
            report=self._cases.of(bundle, rule_id),
            checked=CHECKED,
            suppressions=SUPPRESSIONS,
            others=_others(bundle, program.rule),
            trial=trial_of(bundle, rule_id, dt.datetime.now(desk.settings.zone).date()),
            figures=figures,
            counts=figures.rules.get(rule_id) if figures is not None else None,
            days=DAYS,
        )

    async def value_set(self, request: Request, desk: Desk) -> Response:
        bundle = desk.knowledge.bundle
        name = request.path_params["name"]
        if name not in bundle.codes.titles:
            raise NotFound
        codes = sorted(bundle.codes.codes_of(name), key=_place)
        return self._site.page(
            request,
            desk,
            "value-set.html",
            chosen=_link(bundle, name),
            codes=codes[:_MOST_CODES],
            strength=bundle.codes.strength(name),
        )


def _place(code: Code) -> tuple[str, str]:
    return code.system, code.code


def _link(bundle: Bundle, name: str) -> SetLink:
    codes = {_place(code) for code in bundle.codes.codes_of(name)}
    return SetLink(name, bundle.codes.titles[name], len(codes))


def _sets(bundle: Bundle, spec: FactSpec) -> tuple[SetLink, ...]:
    names: Iterable[str] = dict.fromkeys(_WORD.findall(spec.origin))
    return tuple(_link(bundle, name) for name in names if name in bundle.codes.titles)


def _others(bundle: Bundle, rule: Rule) -> Mapping[str, tuple[RuleRow, ...]]:
    """Rules this one takes the place of, and those that take its place, when both fire."""
    rows = list_rules(bundle)
    return {
        "below": tuple(row for row in rows if row.id in rule.supersedes),
        "above": tuple(row for row in rows if rule.id in bundle.rules[row.id].supersedes),
    }
