"""What the service knows from its start, or from a reload on: rules, the site's overlay, what goes with them.

Loading reports every problem of every file at once and starts nothing on a broken bundle. Order templates are
validated here, once, with fhir.resources: later they are only filled in.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import orjson
import yaml
from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from hooks import OVERRIDE_REASONS, Template
from rules.engine import Bundle, BundleError, Overlay, Problem, load
from service.bundles import Origin, opened_rules
from service.facts.questionnaires import Questions
from service.fitting import unfit
from service.settings import Settings

__all__ = ["Knowledge", "order_problems", "question_problems", "site_problems"]

CRITICAL_OFF = "TOCSIN_CRITICAL_RULES is off"


class Knowledge(msgspec.Struct, frozen=True):
    """A loaded bundle, the site's time zone, the facts that questionnaires set, the order templates, and
    where the rules came from.
    """

    bundle: Bundle
    zone: ZoneInfo
    questions: Questions
    templates: Mapping[str, tuple[Template, ...]]
    origin: Origin = Origin()

    @classmethod
    def load(cls, settings: Settings, today: dt.date) -> "Knowledge":
        """Raises BundleError with every problem of the rules, the site's overlay and the order templates, and
        ArchiveError when the rules are to come from an archive that cannot be used.
        """
        with opened_rules(settings) as source:
            overlay = Overlay.load(source.site) if source.site is not None else Overlay()
            if not settings.critical_rules:
                overlay = overlay.without_module("critical", CRITICAL_OFF)
            bundle = load(
                root=source.root, overlay=overlay, snomed_extension=settings.snomed_extension, now=today
            )
            problems = [*order_problems(bundle), *question_problems(source.root, bundle)]
            problems += [*site_problems(overlay, source.root), *unfit(bundle)] if not problems else []
            if problems:
                raise BundleError(problems)
            asked = questions(overlay, source.root)
        return cls(bundle, settings.zone, asked, templates(bundle, settings.snomed_extension), source.origin)

    def upper_limits(self, sex: str) -> Mapping[str, float]:
        """The site's upper limits of normal, by analyte. Where the sex is not known the wider one holds."""
        limits = self.bundle.overlay.upper_limits
        return {
            analyte: limit.male
            if sex == "male"
            else limit.female
            if sex == "female"
            else max(limit.male, limit.female)
            for analyte, limit in limits.items()
        }


def questions(overlay: Overlay, root: Path) -> Questions:
    """The items of the rules' own questionnaire, and the site's own items that stand for one of them."""
    folder = root / "questionnaire"
    bundled: dict[str, str] = yaml.safe_load((folder / "map.yaml").read_text("utf-8"))
    url: str = orjson.loads((folder / "red-flags.json").read_bytes())["url"]
    site = {
        link: bundled[stands_for]
        for link, stands_for in overlay.questionnaire.items()
        if stands_for in bundled
    }
    return Questions(url, bundled, site)


def question_problems(root: Path, bundle: Bundle) -> Iterator[Problem]:
    """A questionnaire that cannot be read, or an item of it that sets no fact which is yes or no."""
    try:
        items = msgspec.convert(questions(Overlay(), root).bundled, dict[str, str])
    except (OSError, ValueError, LookupError, TypeError, AttributeError, yaml.YAMLError):
        yield Problem("questionnaire/map.yaml", 1, "R058", "the questionnaire and its map cannot be read")
        return
    kinds = {spec.name: spec.type.name for spec in bundle.vocabulary}
    for link, fact in items.items():
        if kinds.get(fact) != "bool":
            yield Problem("questionnaire/map.yaml", 1, "R058", f"{link}: {fact} is no fact that is yes or no")


def site_problems(overlay: Overlay, root: Path) -> Iterator[Problem]:
    """Items of a site's questionnaire that stand for none of the rules' own one, and override reasons that no
    card offers.
    """
    bundled = questions(Overlay(), root).bundled
    for link, stands_for in overlay.questionnaire.items():
        if stands_for not in bundled:
            message = f"no item of the bundled questionnaire is called {stands_for}"
            yield overlay.problem("R057", message, ("questionnaire", link))
    offered = {reason.code for reason in OVERRIDE_REASONS}
    for code in overlay.quiet_days:
        if code not in offered:
            message = f"no card offers the override reason {code}; there are {', '.join(sorted(offered))}"
            yield overlay.problem("R062", message, ("quiet_days", code))


def templates(bundle: Bundle, snomed_extension: bool) -> dict[str, tuple[Template, ...]]:
    """The resources of every order. Its SNOMED codes are outside the IPS free set, so they go with the
    extension; an order without a code keeps its text, which the EHR maps.
    """
    return {
        name: tuple(Template(_coded(resource, snomed_extension)) for resource in order.resources)
        for name, order in bundle.orders.items()
    }


def _coded(resource: Mapping[str, Any], snomed_extension: bool) -> dict[str, Any]:
    code = dict(resource["code"])
    codings = [
        coding
        for coding in code.pop("coding", ())
        if snomed_extension or coding["system"] != "http://snomed.info/sct"
    ]
    return {**resource, "code": {**({"coding": codings} if codings else {}), **code}}


def order_problems(bundle: Bundle) -> Iterator[Problem]:
    """Order templates that are no valid FHIR R4B once subject and date are filled in."""
    for name, order in bundle.orders.items():
        for template in order.resources:
            resource = {**template, "subject": {"reference": "Patient/p"}, "authoredOn": "2026-01-01"}
            try:
                get_fhir_model_class(f"{resource['resourceType']}").model_validate(resource)
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"]))
                yield Problem("orders.yaml", 1, "O001", f"{name}: {where}: {first['msg']}")
            except ValueError as error:  # there is no such resource type
                yield Problem("orders.yaml", 1, "O001", f"{name}: resourceType: {error}")
