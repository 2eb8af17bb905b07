"""What suppression and folding keep, whatever fires and whatever is known of the patient."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.engine import Decision, severity
from service.policy import MAX_CARDS, fold, suppress, worded_at
from tests.rules.bundles import bundled
from tests.service.decisions import TODAY, decided, facts, site, study

MSCC = "mscc-cancer-neuro-signs"
STUDIES = st.lists(
    st.builds(
        study,
        st.sampled_from(["lumbar-spine", "thoracic-spine", "whole-spine", "pelvis", "abdomen"]),
        st.integers(0, 200),
        st.sampled_from(["", "normal", "degenerative", "metastasis"]),
        modality=st.sampled_from(["mri", "ct", "xray"]),
        since_back=st.sampled_from([True, False, None]),
    ),
    max_size=3,
)
MAYBE = st.sampled_from([True, False, None])
STATES = st.fixed_dictionaries(
    {
        "person.age": st.sampled_from([18, 63, None]),
        "pain.axial.current": st.just(True),
        "pain.back.current": MAYBE,
        "pain.hip.current": MAYBE,
        "pain.pelvic.current": MAYBE,
        "pain.thoracic.current": MAYBE,
        "pain.lumbar.current": MAYBE,
        "pain.radicular.current": MAYBE,
        "pain.bone.current": MAYBE,
        "pain.progressive": MAYBE,
        "neuro.any_new": MAYBE,
        "care.palliative": st.sampled_from(["none", "palliative", "hospice", "terminal", None]),
        "care.known_and_managed": MAYBE,
        "care.cancer_referral_active": MAYBE,
        "orders.active": st.sampled_from([[], ["imaging-mri-lumbar"], ["lab-esr", "lab-crp"], None]),
        "orders.draft": st.sampled_from([[], ["imaging-mri-pelvis-hip"]]),
        "imaging.studies": st.none() | STUDIES,
    }
)
HOOKS = st.sampled_from(["patient-view", "order-select", "order-sign"])


@pytest.fixture(scope="module", autouse=True)
def _limited() -> None:
    """Loads the rules of the site that `cases` draws from, which takes longer than a draw may."""
    site(MSCC, most="warning")


@st.composite
def cases(draw: st.DrawFn) -> Decision:
    hook = draw(HOOKS)
    schedule = bundled().schedule(hook)
    names = [program.rule.id for program in (*schedule.first, *schedule.second)]
    bundle = site(MSCC, most="warning") if draw(st.booleans()) else None
    fired = draw(st.sets(st.sampled_from(names), max_size=12))
    return decided(fired, facts(draw(STATES)), hook=hook, bundle=bundle)


@given(cases())
def test_suppression_never_silences_a_critical_rule(decision: Decision) -> None:
    critical = {outcome.rule for outcome in decision.fired() if outcome.base_urgency == "critical"}
    suppress(decision, TODAY)
    assert {rule for rule in critical if decision[rule].outcome != "fired"} == set()
    for rule in critical:
        lowered = decision[rule].lowered
        assert lowered is None or lowered.code in ("S1", "SITE")


@given(cases())
def test_suppressing_twice_is_suppressing_once(decision: Decision) -> None:
    suppress(decision, TODAY)
    once = dict(decision.outcomes)
    suppress(decision, TODAY)
    assert decision.outcomes == once


@given(cases())
def test_every_fired_rule_leads_is_folded_or_is_named(decision: Decision) -> None:
    suppress(decision, TODAY)
    fired = {outcome.rule: outcome for outcome in decision.fired()}
    shown = fold(decision)
    leads = [card.lead for card in shown]
    assert len(leads) <= MAX_CARDS
    assert bool(leads) == bool(fired)
    assert [severity(decision[lead].urgency) for lead in leads] == sorted(
        severity(decision[lead].urgency) for lead in leads
    )
    for rule in fired.keys() - set(leads):
        outcome = decision[rule]
        assert outcome.outcome == "folded"
        assert outcome.lead in leads
        assert rule in decision[outcome.lead].folded
        assert any(_above(rule, fired) & {*card.folded, *card.also, card.lead} for card in shown)


def _above(rule: str, fired: Iterable[str]) -> set[str]:
    """A rule with those it folds into, directly or by way of another."""
    found, grown = {rule}, {rule}
    while grown:
        grown = {one for one in fired if not found.isdisjoint(bundled().rules[one].supersedes)} - found
        found |= grown
    return found


@given(cases())
def test_a_folded_rule_is_never_more_urgent_than_its_lead_unless_s1_lowered_the_lead(
    decision: Decision,
) -> None:
    suppress(decision, TODAY)
    for card in fold(decision):
        lead = decision[card.lead]
        by_s1 = lead.lowered is not None and lead.lowered.code == "S1"
        for rule in (*card.folded, *card.also):
            assert by_s1 or severity(lead.urgency) <= severity(decision[rule].urgency)


@given(cases())
def test_a_lowered_rule_has_words_for_what_it_became(decision: Decision) -> None:
    suppress(decision, TODAY)
    for outcome in decision.fired():
        assert severity(outcome.urgency) >= severity(outcome.base_urgency)
        assert worded_at(decision, outcome.rule) in bundled().rules[outcome.rule].card
