"""What is shown: every suppression on both sides of its limits, the site's wishes, folding."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pytest

from rules.engine import Decision, FactSet, Reason, Urgency
from service import policy
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
ESR = "esr-crp-markedly-raised-persistent-pain"
VERTEBRAL = "unexplained-vertebral-fracture-malignancy-check"
IRRADIATED = "pelvic-rt-insufficiency-fracture"
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
    ("pain", "orders", "silenced"),
    [
        (BACK, ["imaging-mri-lumbar"], True),
        (BACK, ["imaging-mri-pelvis-hip"], False),
        (HIP, ["imaging-mri-pelvis-hip"], True),
        (HIP, ["imaging-mri-lumbar"], False),
        ({**BACK, **HIP}, ["imaging-mri-pelvis-hip"], True),
        (HIP, ["lab-m-protein-spep"], False),
    ],
)
def test_ordered_imaging_answers_only_for_where_it_hurts(
    pain: Mapping[str, Any], orders: list[str], silenced: bool
) -> None:
    state = suppressed(ESR, facts({**pain, "orders.active": orders}))
    assert (state[::2] == ("suppressed", "S4")) is silenced


@pytest.mark.parametrize("pain", ["pain.lumbar.current", "pain.radicular.current", "pain.back.current"])
def test_the_one_place_a_rule_asks_about_answers_wherever_it_hurts(pain: str) -> None:
    given = {**BACK, pain: True, "orders.active": ["imaging-mri-sacroiliac"]}
    assert "imaging-mri-sacroiliac" in bundled().rules[AXSPA].key_orders
    assert suppressed(AXSPA, facts(given))[::2] == ("suppressed", "S4")


def test_of_two_examinations_of_one_day_the_unread_one_counts() -> None:
    pair = [study("lumbar-spine", 3), study(("whole-spine", "lumbar-spine"), 3, "degenerative")]
    assert imaged(NEW_BACK, BACK, *pair) == imaged(NEW_BACK, BACK, *pair[::-1]) == UNREAD


def test_a_grave_finding_is_not_answered_by_a_later_report_nobody_has_read() -> None:
    found, unread = study("lumbar-spine", 60, "metastasis"), study("lumbar-spine", 5)
    assert imaged(NEW_BACK, BACK, found, unread) == OPEN


@pytest.mark.parametrize("result", ["", "metastasis"])
def test_a_report_that_is_not_final_answers_nothing(result: str) -> None:
    assert imaged(NEW_BACK, BACK, study("lumbar-spine", 5, result, pending=True)) == OPEN


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


@pytest.mark.parametrize("lowers_to", ["warning", "info", None])
def test_no_wording_decides_what_a_reason_does(
    monkeypatch: pytest.MonkeyPatch, lowers_to: Urgency | None
) -> None:
    """What stands on the reason decides, so that a sentence can be reworded."""
    reason = Reason("S3", "In other words", lowers_to=lowers_to)
    monkeypatch.setattr(policy, "_STEPS", (lambda rule, given, today: reason,))
    expected = ("fired", lowers_to, "S3") if lowers_to else ("suppressed", "warning", "S3")
    assert suppressed(NEW_BACK, facts(BACK)) == expected


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
    "members", [{"modality": "xray"}, {"modality": "ct"}, {"since_back": False}, {"since_back": None}]
)
def test_only_key_imaging_after_the_onset_counts(members: Mapping[str, Any]) -> None:
    assert imaged(NEW_BACK, BACK, study("lumbar-spine", 5, "normal", **members)) == OPEN


@pytest.mark.parametrize(
    "result", ["metastasis", "bone-metastasis", "lytic-lesion", "fracture", "infection", "cord-compression"]
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


@pytest.mark.parametrize("rule", ["combined-minor-red-flags", BLOODS, VERTEBRAL])
@pytest.mark.parametrize("part", ["lumbar", "radicular"])
@pytest.mark.parametrize("elsewhere", ["thoracic-spine", "sacroiliac"])
def test_low_back_pain_and_sciatica_need_the_lumbar_spine(rule: str, part: str, elsewhere: str) -> None:
    pain, whole = {**BACK, f"pain.{part}.current": True}, ("whole-spine", "lumbar-spine", "thoracic-spine")
    still = ("fired", bundled().rules[rule].urgency, "")
    silent = ("suppressed", bundled().rules[rule].urgency, "S3")
    assert imaged(rule, pain, study(elsewhere, 5, "normal")) == still
    assert imaged(rule, pain, study(elsewhere, 5)) == still
    assert imaged(rule, pain, study(elsewhere, 5, "normal"), study("lumbar-spine", 5, "normal")) == silent
    assert imaged(rule, pain, study(whole, 5, "normal")) == silent


def test_thoracic_pain_with_sciatica_needs_both_parts_imaged() -> None:
    both = {**BACK, "pain.thoracic.current": True, "pain.radicular.current": True}
    thoracic, lumbar = study("thoracic-spine", 5, "normal"), study("lumbar-spine", 5, "normal")
    assert imaged("combined-minor-red-flags", both, thoracic) == OPEN
    assert imaged("combined-minor-red-flags", both, thoracic, lumbar) == CLEAN


@pytest.mark.parametrize("region", ["lumbar-spine", "thoracic-spine", "whole-spine", "sacroiliac"])
@pytest.mark.parametrize("said", [None, False])
def test_back_pain_of_no_stated_part_is_answered_by_any_part_of_the_spine(
    region: str, said: bool | None
) -> None:
    pain = {
        **BACK,
        "pain.lumbar.current": said,
        "pain.radicular.current": said,
        "pain.thoracic.current": said,
    }
    assert imaged("combined-minor-red-flags", pain, study(region, 5, "normal")) == CLEAN


def test_bone_pain_is_answered_by_no_examination_of_a_part() -> None:
    both = {**BACK, "pain.bone.current": True}
    whole = ("whole-spine", "lumbar-spine", "thoracic-spine")
    assert imaged(LUNG, both, study(whole, 5, "normal")) == OPEN
    assert imaged(LUNG, both, study(whole, 5, "normal"), study(("pelvis", "hip"), 5, "normal")) == OPEN
    assert imaged(LUNG, {**both, "pain.bone.current": False}, study(whole, 5, "normal")) == CLEAN
    # A rule about the back asks nothing of other bones.
    assert imaged(NEW_BACK, both, study(whole, 5, "normal")) == CLEAN


def test_imaging_answers_only_for_the_pains_it_came_after() -> None:
    both = {**BACK, **HIP}
    back = study("lumbar-spine", 5, "normal", since_hip=False)
    assert imaged(LUNG, both, back, study(("pelvis", "hip"), 9, "normal", since_hip=False)) == OPEN
    assert imaged(LUNG, both, back, study(("pelvis", "hip"), 9, "normal", since_back=False)) == CLEAN
    # Hip and pelvic pain share their regions, not their onset.
    below = {**HIP, "pain.pelvic.current": True}
    assert imaged(HIP_PAIN, below, study("pelvis", 9, "normal")) == CLEAN
    assert imaged(HIP_PAIN, below, study("pelvis", 9, "normal", since_pelvic=False)) == OPEN
    assert imaged(HIP_PAIN, below, study("pelvis", 9, "normal", since_hip=False)) == OPEN


@pytest.mark.parametrize("pain", ["back", "hip", "pelvic", "bone"])
def test_imaging_of_the_psoas_must_come_after_every_pain(pain: str) -> None:
    given = {**HIP, f"pain.{pain}.current": True}
    ct = study(("abdomen", "pelvis"), 170, "normal", modality="ct")
    assert imaged(PSOAS, given, ct) == CLEAN
    assert imaged(PSOAS, given, {**ct, f"since_{pain}": False}) == OPEN
    assert imaged(PSOAS, given, study("lumbar-spine", 5, "normal")) == OPEN


def test_the_irradiated_pelvis_answers_for_the_back() -> None:
    joints = study("sacroiliac", 20, "normal")
    assert imaged(IRRADIATED, {**BACK, "pain.lumbar.current": True}, joints) == CLEAN
    assert imaged(IRRADIATED, BACK, {**joints, "since_back": False}) == OPEN
    assert imaged(IRRADIATED, HIP, joints) == OPEN


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


@pytest.mark.parametrize("beside", [False, True])
@pytest.mark.parametrize(
    ("fired", "given", "anything", "open_flags"),
    [
        ([], BACK, [], []),
        ([AXSPA], BACK, [AXSPA], []),
        ([NEW_BACK], BACK, [NEW_BACK], [NEW_BACK]),
        ([MSCC], BACK, [MSCC], [MSCC]),
        # Silenced: imaging is no low-value imaging, but no flag is open.
        ([NEW_BACK], {**BACK, "care.cancer_referral_active": True}, [NEW_BACK], []),
        # Lowered, because nobody knows what the report says: the flag stands.
        ([NEW_BACK], {**BACK, "imaging.studies": [study("lumbar-spine", 5)]}, [NEW_BACK], [NEW_BACK]),
    ],
)
def test_what_the_second_phase_is_told(
    beside: bool, fired: list[str], given: Mapping[str, Any], anything: list[str], open_flags: list[str]
) -> None:
    """Whether a rule is shown at this hook or at another makes no difference."""
    some, none = decided(fired, facts(given)), decided([], facts(given))
    told = between_phases(none, some, TODAY) if beside else between_phases(some, none, TODAY)
    assert told == {"fired.any": anything, "fired.critical_or_warning": open_flags}


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
