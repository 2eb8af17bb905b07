"""What is shown: every suppression on both sides of its limits, the site's wishes, folding."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pytest

from rules.engine import Decision, FactSet
from service.policy import MAX_CARDS, Shown, between_phases, coverage, fold, imaged_on, suppress, worded_at
from tests.rules.bundles import bundled
from tests.service.decisions import BACK, HIP, TODAY, decided, facts, site, study

NEW_BACK = "cancer-history-new-back-pain"
HIP_PAIN = "cancer-history-persistent-hip-pain"
LUNG = "lung-cancer-worsening-axial-pain"
PSOAS = "malignant-psoas-syndrome"
KNOWN_METS = "known-bone-mets-new-or-worsening-pain"
MSCC = "mscc-cancer-neuro-signs"
CAUDA = "cauda-equina-red-flags"
BLOODS = "missing-baseline-bloods"
AXSPA = "suspected-axspa-route-to-rheum"
CRITICAL = sorted(rule.id for rule in bundled().rules.values() if rule.urgency == "critical")


def state(decision: Decision, rule: str) -> tuple[str, str, str]:
    """Outcome, urgency and the code of the reason, be it for silence or for a lower urgency."""
    outcome = decision[rule]
    reason = outcome.reason or outcome.lowered
    return outcome.outcome, outcome.urgency, reason.code if reason is not None else ""


def suppressed(rule: str, given: FactSet, hook: str = "patient-view") -> tuple[str, str, str]:
    decision = decided([rule], given, hook=hook)
    suppress(decision, TODAY)
    return state(decision, rule)


# -- who is covered ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ({"person.age": 18, "pain.axial.current": True}, ""),
        ({"person.age": 17, "pain.axial.current": True}, "under-18"),
        ({"person.age": None, "pain.axial.current": True}, ""),
        ({"person.age": 17, "person.deceased": True, "pain.axial.current": True}, "deceased"),
        ({"person.age": 60, "person.deceased": None, "pain.axial.current": True}, ""),
        ({"person.age": 60, "pain.axial.current": False}, "no-current-pain"),
        ({"person.age": 60, "pain.axial.current": None}, "no-pain-recorded"),
    ],
)
def test_silence_about_someone_the_rules_do_not_cover_says_why(written: Mapping[str, Any], code: str) -> None:
    found = coverage(facts(written))
    assert (found.covered, found.code) == (not code, code)
    assert bool(found.reason) == bool(code)


@pytest.mark.parametrize("rule", [NEW_BACK, MSCC, AXSPA])
def test_no_rule_speaks_about_a_child_or_the_dead(rule: str) -> None:
    assert suppressed(rule, facts({**BACK, "person.age": 17}))[::2] == ("suppressed", "S9")
    assert suppressed(rule, facts({**BACK, "person.deceased": True}))[::2] == ("suppressed", "DECEASED")
    assert suppressed(rule, facts({**BACK, "person.age": 18}))[0] == "fired"
    assert suppressed(rule, facts({**BACK, "person.age": None}))[0] == "fired"


# -- S1 palliative care ------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", CRITICAL)
@pytest.mark.parametrize(
    ("tier", "urgency", "code"),
    [
        ("none", "critical", ""),
        (None, "critical", ""),
        ("palliative", "warning", "S1"),
        ("hospice", "info", "S1"),
        ("terminal", "info", "S1"),
    ],
)
def test_s1_lowers_a_critical_rule_and_never_silences_it(
    rule: str, tier: str | None, urgency: str, code: str
) -> None:
    assert suppressed(rule, facts({**BACK, "care.palliative": tier})) == ("fired", urgency, code)


@pytest.mark.parametrize("tier", ["palliative", "hospice", "terminal"])
def test_s1_silences_diagnostic_rules(tier: str) -> None:
    assert suppressed(NEW_BACK, facts({**BACK, "care.palliative": tier}))[::2] == ("suppressed", "S1")
    assert suppressed(BLOODS, facts({**BACK, "care.palliative": tier}))[::2] == ("suppressed", "S1")


@pytest.mark.parametrize("rule", [PSOAS, KNOWN_METS])
def test_rules_that_guide_palliation_stay_on_until_the_last_days(rule: str) -> None:
    assert suppressed(rule, facts({**BACK, "care.palliative": "palliative"})) == ("fired", "warning", "")
    for tier in ("hospice", "terminal"):
        assert suppressed(rule, facts({**BACK, "care.palliative": tier}))[::2] == ("suppressed", "S1")


# -- S2, S4, S5 --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fact", "value", "code", "exempt"),
    [
        ("care.known_and_managed", True, "S2", KNOWN_METS),
        ("care.cancer_referral_active", True, "S5", "cancer-history-suspicious-spinal-pain"),
        ("orders.active", ["imaging-mri-lumbar"], "S4", AXSPA),
        ("orders.draft", ["imaging-mri-whole-spine"], "S4", AXSPA),
    ],
)
def test_care_already_under_way_silences_what_asks_for_it(
    fact: str, value: object, code: str, exempt: str
) -> None:
    given = {**BACK, fact: value}
    assert suppressed(NEW_BACK, facts(given))[::2] == ("suppressed", code)
    assert suppressed(exempt, facts(given))[0] == "fired"
    for rule in CRITICAL:
        assert suppressed(rule, facts(given)) == ("fired", "critical", "")


@pytest.mark.parametrize(
    "given",
    [
        {"care.known_and_managed": False, "care.cancer_referral_active": False, "orders.active": []},
        {"care.known_and_managed": None, "care.cancer_referral_active": None, "orders.active": None},
        {"orders.active": ["imaging-xray-spine"], "orders.draft": ["imaging-mri-pelvis-hip"]},
    ],
)
def test_what_is_unknown_or_another_order_silences_nothing(given: Mapping[str, Any]) -> None:
    assert suppressed(NEW_BACK, facts({**BACK, **given})) == ("fired", "warning", "")


# -- S3 imaging already done -------------------------------------------------------------------------


def imaged(
    rule: str, pain: Mapping[str, Any], *studies: Mapping[str, Any], dates: Mapping[str, int] | None = None
) -> tuple[str, str, str]:
    return suppressed(rule, facts({**pain, "imaging.studies": list(studies)}, dates))


CLEAN = ("suppressed", "warning", "S3")
UNREAD = ("fired", "info", "S3")
OPEN = ("fired", "warning", "")


@pytest.mark.parametrize(
    ("rule", "pain", "region", "limit"),
    [
        (NEW_BACK, BACK, "lumbar-spine", 90),
        (NEW_BACK, BACK, ("whole-spine", "lumbar-spine", "thoracic-spine"), 90),
        (HIP_PAIN, HIP, ("pelvis", "hip"), 180),
        (HIP_PAIN, {**HIP, "pain.hip.current": False, "pain.pelvic.current": True}, "pelvis", 180),
    ],
)
@pytest.mark.parametrize(("result", "expected"), [("normal", CLEAN), ("degenerative", CLEAN), ("", UNREAD)])
def test_s3_ends_after_its_window(
    rule: str,
    pain: Mapping[str, Any],
    region: str | tuple[str, ...],
    limit: int,
    result: str,
    expected: tuple[str, str, str],
) -> None:
    assert imaged(rule, pain, study(region, 0, result)) == expected
    assert imaged(rule, pain, study(region, limit, result)) == expected
    assert imaged(rule, pain, study(region, limit + 1, result)) == OPEN


@pytest.mark.parametrize(
    "members", [{"modality": "xray"}, {"modality": "ct"}, {"since_onset": False}, {"since_onset": None}]
)
def test_only_key_imaging_after_the_onset_counts(members: Mapping[str, Any]) -> None:
    assert imaged(NEW_BACK, BACK, study("lumbar-spine", 5, "normal", **members)) == OPEN


@pytest.mark.parametrize(
    "result", ["metastasis", "lytic-lesion", "fracture", "infection", "cord-compression"]
)
def test_a_finding_never_silences(result: str) -> None:
    assert imaged(NEW_BACK, BACK, study("lumbar-spine", 5, result)) == OPEN
    # A newer clean report of the same area answers; an older one does not.
    newer, older = study("lumbar-spine", 2, "normal"), study("lumbar-spine", 30, "normal")
    assert imaged(NEW_BACK, BACK, study("lumbar-spine", 5, result), newer) == CLEAN
    assert imaged(NEW_BACK, BACK, older, study("lumbar-spine", 5, result)) == OPEN


def test_thoracic_pain_needs_the_thoracic_spine() -> None:
    thoracic = {**BACK, "pain.thoracic.current": True}
    whole = ("whole-spine", "lumbar-spine", "thoracic-spine")
    assert imaged(NEW_BACK, thoracic, study("lumbar-spine", 5, "normal")) == OPEN
    assert imaged(NEW_BACK, thoracic, study(whole, 5, "normal")) == CLEAN
    assert imaged(NEW_BACK, thoracic, study(whole, 5)) == UNREAD


def test_pain_of_both_parts_of_the_back_needs_both_imaged() -> None:
    both = {**BACK, "pain.thoracic.current": True, "pain.lumbar.current": True}
    thoracic, lumbar = study("thoracic-spine", 5, "normal"), study("lumbar-spine", 5, "normal")
    assert imaged("combined-minor-red-flags", both, thoracic) == OPEN
    assert imaged("combined-minor-red-flags", both, lumbar) == OPEN
    assert imaged("combined-minor-red-flags", both, thoracic, lumbar) == CLEAN


def test_every_painful_area_must_be_imaged() -> None:
    both = {**BACK, **HIP}
    back, hip = study("lumbar-spine", 5, "normal"), study(("pelvis", "hip"), 9, "normal")
    assert imaged(LUNG, both, back) == OPEN
    assert imaged(LUNG, both, hip) == OPEN
    assert imaged(LUNG, both, back, hip) == CLEAN
    assert imaged(LUNG, both, back, study(("pelvis", "hip"), 9)) == UNREAD
    assert imaged(LUNG, both, back, study(("pelvis", "hip"), 9, "metastasis")) == OPEN
    # A rule about the hip asks nothing of the back.
    assert imaged(HIP_PAIN, both, hip) == CLEAN


def test_a_pelvic_limit_is_not_lent_to_the_spine() -> None:
    both = {**BACK, **HIP}
    hip = study(("pelvis", "hip"), 170, "normal")
    assert imaged(LUNG, both, study("lumbar-spine", 90, "normal"), hip) == CLEAN
    assert imaged(LUNG, both, study("lumbar-spine", 91, "normal"), hip) == OPEN


@pytest.mark.parametrize("fact", ["neuro.any_new", "pain.progressive"])
def test_what_came_after_the_imaging_cancels_s3(fact: str) -> None:
    clean = study("lumbar-spine", 10, "normal")
    worse = {**BACK, fact: True}
    assert imaged(NEW_BACK, worse, clean, dates={fact: 9}) == OPEN
    assert imaged(NEW_BACK, worse, clean, dates={fact: 10}) == CLEAN
    assert imaged(NEW_BACK, worse, clean) == OPEN  # nobody knows when
    assert imaged(NEW_BACK, {**BACK, fact: False}, clean, dates={fact: 1}) == CLEAN
    assert imaged(NEW_BACK, {**BACK, fact: None}, clean) == CLEAN


def test_without_a_painful_area_of_the_rule_nothing_answers_for_it() -> None:
    assert imaged(NEW_BACK, HIP, study("lumbar-spine", 5, "normal")) == OPEN
    assert imaged(HIP_PAIN, BACK, study("pelvis", 5, "normal")) == OPEN


def test_the_reason_names_the_day_of_the_report_to_read() -> None:
    rule = bundled().rules[LUNG]
    both = {**BACK, **HIP}
    given = facts({**both, "imaging.studies": [study("lumbar-spine", 5, "normal"), study("pelvis", 9)]})
    decision = decided([LUNG], given)
    suppress(decision, TODAY)
    lowered = decision[LUNG].lowered
    assert lowered is not None
    assert "2026-11-16" in lowered.text
    assert imaged_on(rule, given, TODAY) == dt.date(2026, 11, 16)
    assert imaged_on(rule, facts(both), TODAY) is None
    assert imaged_on(bundled().rules[MSCC], given, TODAY) is None


def test_imaging_of_another_part_does_not_date_the_report() -> None:
    newer = study("chest", 1, modality="xray")
    given = facts({**BACK, "imaging.studies": [study("lumbar-spine", 30), newer]})
    assert imaged_on(bundled().rules[NEW_BACK], given, TODAY) == TODAY - dt.timedelta(days=30)


# -- what the site wants -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "given"),
    [
        (NEW_BACK, BACK),
        (NEW_BACK, {**BACK, "imaging.studies": [study("lumbar-spine", 5)]}),
        (MSCC, BACK),
        (MSCC, {**BACK, "care.palliative": "hospice"}),
    ],
)
def test_a_silent_rule_is_recorded_and_not_shown(rule: str, given: Mapping[str, Any]) -> None:
    decision = decided([rule], facts(given), bundle=site(rule, mode="silent"))
    suppress(decision, TODAY)
    assert state(decision, rule)[::2] == ("suppressed", "MODE")
    assert fold(decision) == []


def test_the_reason_a_silent_rule_would_be_suppressed_for_is_kept() -> None:
    given = facts({**BACK, "care.cancer_referral_active": True})
    decision = decided([NEW_BACK], given, bundle=site(NEW_BACK, mode="silent"))
    suppress(decision, TODAY)
    assert state(decision, NEW_BACK)[::2] == ("suppressed", "S5")


@pytest.mark.parametrize(
    ("given", "expected", "words"),
    [
        (BACK, ("fired", "info", "SITE"), "critical"),
        ({**BACK, "care.palliative": "palliative"}, ("fired", "info", "S1"), "warning"),
        ({**BACK, "care.palliative": "hospice"}, ("fired", "info", "S1"), "info"),
        ({**BACK, "person.age": 17}, ("suppressed", "info", "S9"), ""),
    ],
)
def test_a_site_limit_lowers_the_urgency_and_not_the_words(
    given: Mapping[str, Any], expected: tuple[str, str, str], words: str
) -> None:
    decision = decided([MSCC], facts(given), bundle=site(MSCC, most="info"))
    suppress(decision, TODAY)
    assert state(decision, MSCC) == expected
    if words:
        assert worded_at(decision, MSCC) == words


def test_suppression_holds_for_a_rule_the_site_has_limited() -> None:
    given = facts({**BACK, "imaging.studies": [study("lumbar-spine", 5, "normal")]})
    decision = decided([NEW_BACK], given, bundle=site(NEW_BACK, most="info"))
    suppress(decision, TODAY)
    assert state(decision, NEW_BACK)[::2] == ("suppressed", "S3")


# -- between the phases ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fired", "given", "anything", "open_flag"),
    [
        ([], BACK, False, False),
        ([AXSPA], BACK, True, False),
        ([NEW_BACK], BACK, True, True),
        ([MSCC], BACK, True, True),
        # Silenced: imaging is no low-value imaging, but no flag is open.
        ([NEW_BACK], {**BACK, "care.cancer_referral_active": True}, True, False),
        # Lowered, because nobody knows what the report says: the flag stands.
        ([NEW_BACK], {**BACK, "imaging.studies": [study("lumbar-spine", 5)]}, True, True),
    ],
)
def test_what_the_second_phase_is_told(
    fired: list[str], given: Mapping[str, Any], anything: bool, open_flag: bool
) -> None:
    decision = decided(fired, facts(given))
    assert between_phases(decision, TODAY) == {
        "fired.any": anything,
        "fired.critical_or_warning": open_flag,
    }


# -- folding -----------------------------------------------------------------------------------------


def test_a_superseded_rule_is_folded_into_the_more_urgent_card() -> None:
    decision = decided([MSCC, CAUDA, NEW_BACK, BLOODS], facts(BACK))
    assert fold(decision) == [Shown(MSCC, (CAUDA, NEW_BACK, BLOODS))]
    assert state(decision, NEW_BACK) == ("folded", "warning", "SUPERSEDED")
    assert decision[NEW_BACK].lead == MSCC


def test_nothing_folds_into_a_less_urgent_card_unless_s1_lowered_it() -> None:
    given = facts({**BACK, "imaging.studies": [study("lumbar-spine", 5)], "orders.draft": []})
    decision = decided([LUNG, NEW_BACK], given)
    suppress(decision, TODAY)
    assert [state(decision, rule) for rule in (LUNG, NEW_BACK)] == [UNREAD, UNREAD]
    decision = decided([PSOAS, MSCC], facts({**BACK, "care.palliative": "palliative"}))
    suppress(decision, TODAY)
    assert fold(decision) == [Shown(MSCC, (PSOAS,))]
    limited = decided([MSCC, NEW_BACK], facts(BACK), bundle=site(MSCC, most="info"))
    assert fold(limited) == [Shown(NEW_BACK), Shown(MSCC)]


def test_at_most_three_cards_the_most_urgent_first_and_the_others_named() -> None:
    fired = [
        "esr-crp-markedly-raised-persistent-pain", "raised-alp-bone-pain", "weight-loss-persistent-pain",
        "psa-raised-with-bone-pain", "vertebral-fracture-risk", AXSPA, MSCC,
    ]  # fmt: skip
    decision = decided(fired, facts(BACK))
    shown = fold(decision)
    assert len(shown) == MAX_CARDS
    assert shown[0].lead == MSCC
    assert [card.also for card in shown[:-1]] == [(), ()]
    assert {card.lead for card in shown} | set(shown[-1].also) == set(fired)
    assert shown[-1].also[-1] == AXSPA
    assert state(decision, AXSPA) == ("folded", "info", "S10")


def test_of_two_equally_urgent_cards_the_one_to_act_on_sooner_comes_first() -> None:
    soon, late = "spinal-infection-fever-or-risk-factor", "anaemia-persistent-pain-50"
    assert bundled().rules[soon].act_within == "24 h"
    assert bundled().rules[late].act_within == "2 weeks"
    assert [card.lead for card in fold(decided([late, soon], facts(BACK)))] == [soon, late]


def test_of_two_equally_soon_cards_the_one_of_lower_rank_comes_first() -> None:
    pancreas, alp = "weight-loss-back-pain-60-pancreas", "raised-alp-bone-pain"
    assert bundled().rules[pancreas].rank < bundled().rules[alp].rank
    assert [card.lead for card in fold(decided([alp, pancreas], facts(BACK)))] == [pancreas, alp]


def test_every_rule_has_a_rank_of_its_own() -> None:
    ranks = [rule.rank for rule in bundled().rules.values()]
    assert len(set(ranks)) == len(ranks)
