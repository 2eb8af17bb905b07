"""What the service knows at start: the bundle with the site's overlay, limits, questions, order templates."""

import copy
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hooks import Filling, Template
from rules.engine import Bundle, BundleError, OrderTemplate, Overlay, UpperLimit
from service import knowledge
from service.knowledge import CRITICAL_OFF, Knowledge, order_problems
from service.settings import Settings
from tests.rules.bundles import bundled
from tests.service.calls import bundled_knowledge, decided_on, knowledge_of, states
from tests.service.decisions import TODAY
from tests.service.facts import codes
from tests.service.facts.build import condition, patient, resource

SNOMED = "http://snomed.info/sct"


class Orders:
    """As much of a bundle as the check of its orders reads."""

    def __init__(self, **orders: OrderTemplate) -> None:
        self.orders = orders


def problems(order: OrderTemplate) -> list[str]:
    stand_in: Any = Orders(mine=order)
    return [str(problem) for problem in order_problems(stand_in)]


def test_the_bundled_orders_are_valid_fhir() -> None:
    assert list(order_problems(bundled())) == []


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"intent": None}, "intent"),
        ({"status": 7}, "status"),
        ({"code": "MRI"}, "code"),
        ({"nonsense": True}, "nonsense"),
        ({"resourceType": "Nonsense"}, "resourceType: Nonsense is not a valid FHIR Model"),
    ],
)
def test_an_order_that_is_no_valid_fhir_is_named_with_its_place(change: dict[str, Any], place: str) -> None:
    good = bundled().orders["mri-whole-spine"]
    template = {**copy.deepcopy(good.resources[0]), **change}
    template = {name: value for name, value in template.items() if value is not None}
    (said,) = problems(msgspec.structs.replace(good, resources=(template,)))
    assert "O001" in said
    assert f"mine: {place}" in said


def test_nothing_starts_on_an_order_that_is_no_valid_fhir(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(**options: Any) -> Bundle:
        found = copy.copy(bundled())
        order = found.orders["mri-whole-spine"]
        found.orders = {
            "mine": msgspec.structs.replace(order, resources=({"resourceType": "ServiceRequest"},))
        }
        return found

    monkeypatch.setattr(knowledge, "load", broken)
    with pytest.raises(BundleError, match="O001"):
        Knowledge.load(Settings(auth=False), TODAY)


def test_a_site_file_with_problems_starts_nothing(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="nonsense"):
        knowledge_of(tmp_path, "nonsense: true\n")


def test_the_site_sets_time_zone_rules_and_limits(tmp_path: Path) -> None:
    site = """\
upper_limits: {alp: {female: 104, male: 129}, ldh: 250}
rules: {missing-baseline-bloods: {mode: "off"}}
"""
    known = knowledge_of(tmp_path, site, timezone="Europe/London")
    assert str(known.zone) == "Europe/London"
    assert known.bundle.rules["missing-baseline-bloods"].mode == "off"
    assert known.upper_limits("female") == {"alp": 104, "ldh": 250}
    assert known.upper_limits("male") == {"alp": 129, "ldh": 250}
    # The sex of the record is not known: the wider limit calls fewer values raised.
    assert known.upper_limits("unknown") == {"alp": 129, "ldh": 250}
    assert known.bundle.digest != bundled_knowledge().bundle.digest
    assert bundled_knowledge().upper_limits("male") == {}


def test_upper_limits_may_be_higher_for_women() -> None:
    overlay = Overlay(upper_limits={"esr": UpperLimit(female=30, male=20)})
    site_bundle = copy.copy(bundled())
    site_bundle.overlay = overlay
    known = msgspec.structs.replace(bundled_knowledge(), bundle=site_bundle)
    assert known.upper_limits("other") == {"esr": 30}


CORD = [
    patient(),
    condition(codes.THORACIC_PAIN, onset=40),
    condition(codes.PROSTATE_CANCER, onset=900),
    condition(codes.PARAPARESIS, onset=3, category="encounter-diagnosis"),
]


def test_critical_rules_can_be_switched_off_with_a_reason_that_shows() -> None:
    known = Knowledge.load(Settings(auth=False, critical_rules=False), TODAY)
    assert known.bundle.overlay.modules_off == {"critical": CRITICAL_OFF}
    outcomes = decided_on(*CORD, knowledge=known).decision.outcomes
    critical = {rule.id for rule in bundled().rules.values() if rule.urgency == "critical"}
    for rule in critical & outcomes.keys():
        reason = outcomes[rule].reason
        assert outcomes[rule].outcome == "excluded"
        assert reason is not None
        assert reason.code == "MODULE"
    assert states(decided_on(*CORD))["mscc-cancer-neuro-signs"] == "fired"


def test_a_site_can_answer_the_questionnaire_with_items_of_its_own(tmp_path: Path) -> None:
    known = knowledge_of(tmp_path, "questionnaire: {our-17: weight-bearing}\n").questions
    bundled_items = bundled_knowledge().questions
    assert known.site == {"our-17": bundled_items.bundled["weight-bearing"]}
    assert known.bundled == bundled_items.bundled


def test_a_quiet_time_for_a_reason_that_no_card_offers_stops_the_start(tmp_path: Path) -> None:
    known = knowledge_of(tmp_path, "quiet_days: {record-wrong: 90}\n").bundle.overlay
    assert known.quiet_after("record-wrong") == 90
    with pytest.raises(BundleError, match="R062: no card offers the override reason wrong; there are action"):
        knowledge_of(tmp_path, "quiet_days: {wrong: 90}\n")


def test_an_item_that_stands_for_nothing_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(
        BundleError, match="R057: no item of the bundled questionnaire is called no-such-item"
    ):
        knowledge_of(tmp_path, "questionnaire: {our-18: no-such-item}\n")


def test_without_the_extension_no_order_carries_snomed(tmp_path: Path) -> None:
    free = knowledge_of(tmp_path, "", snomed_extension=False)
    assert free.templates.keys() == bundled_knowledge().templates.keys()
    assert SNOMED in str(bundled().orders)
    sent = [template for order in free.templates.values() for template in order]
    assert sent
    assert all(SNOMED not in str(filled(template)) for template in sent)


def filled(template: Template) -> dict[str, Any]:
    """A template as it would go out."""
    return dict(template.fill(Filling({"subject": {"reference": "Patient/p"}})))


def test_records_of_the_site_s_own_codes_are_read(tmp_path: Path) -> None:
    site = "codes: {low-back-pain: [{system: 'urn:ours', code: LBP}]}\n"
    record = [
        patient(),
        resource(
            "Condition",
            code={"coding": [{"system": "urn:ours", "code": "LBP"}]},
            clinicalStatus={"coding": [{"code": "active"}]},
            onsetDateTime="2026-10-20",
        ),
        condition(codes.BREAST_CANCER, onset=900),
    ]
    assert states(decided_on(*record)) == {}
    known = knowledge_of(tmp_path, site)
    assert states(decided_on(*record, knowledge=known))["cancer-history-new-back-pain"] == "fired"
