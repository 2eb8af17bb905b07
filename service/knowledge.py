"""What the service knows when it starts: the rule bundle with the site's overlay, and what goes with it.

Loading reports every problem of every file at once and starts nothing on a broken bundle. Order templates are
validated here, once, with fhir.resources: later they are only filled in.
"""

import datetime as dt
from collections.abc import Iterator, Mapping
from zoneinfo import ZoneInfo

import msgspec
import yaml
from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from rules.engine import Bundle, BundleError, Overlay, Problem, bundled_root, load
from service.settings import Settings

__all__ = ["Knowledge", "order_problems"]

CRITICAL_OFF = "TOCSIN_CRITICAL_RULES is off"


class Knowledge(msgspec.Struct, frozen=True):
    """A loaded bundle, the site's time zone, and the questionnaire map (linkId -> fact)."""

    bundle: Bundle
    zone: ZoneInfo
    questions: Mapping[str, str]

    @classmethod
    def load(cls, settings: Settings, today: dt.date) -> "Knowledge":
        """Raises BundleError with every problem of the bundled rules, the site's overlay and the order
        templates.
        """
        overlay = Overlay.load(settings.site) if settings.site is not None else Overlay()
        if not settings.critical_rules:
            overlay = overlay.without_module("critical", CRITICAL_OFF)
        bundle = load(overlay=overlay, snomed_extension=settings.snomed_extension, now=today)
        problems = list(order_problems(bundle))
        if problems:
            raise BundleError(problems)
        return cls(bundle, settings.zone, questions(overlay))

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


def questions(overlay: Overlay) -> dict[str, str]:
    """linkId -> fact, of the bundled questionnaire and of the site's own items that stand for one of them."""
    bundled: dict[str, str] = yaml.safe_load(
        (bundled_root() / "questionnaire" / "map.yaml").read_text("utf-8")
    )
    own = {
        link: bundled[stands_for]
        for link, stands_for in overlay.questionnaire.items()
        if stands_for in bundled
    }
    return {**bundled, **own}


def order_problems(bundle: Bundle) -> Iterator[Problem]:
    """Order templates that are no valid FHIR R4B once subject and date are filled in."""
    for name, order in bundle.orders.items():
        for template in order.resources:
            resource = {**template, "subject": {"reference": "Patient/p"}, "authoredOn": "2026-01-01"}
            try:
                get_fhir_model_class(f"{resource['resourceType']}").model_validate(resource)
            except (ValidationError, LookupError) as error:
                first = (
                    error.errors()[0]
                    if isinstance(error, ValidationError)
                    else {"loc": (), "msg": str(error)}
                )
                where = ".".join(map(str, first["loc"]))
                yield Problem("orders.yaml", 1, "O001", f"{name}: {where}: {first['msg']}")
