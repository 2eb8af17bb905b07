"""Cards: their words, what they leave out, the orders they suggest, and that record text stays text."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from fhir.resources.R4B import get_fhir_model_class
from hypothesis import given
from hypothesis import strategies as st

from hooks import Card, encode
from service.answering import Answer
from service.cards import TOPIC_SYSTEM
from service.knowledge import Knowledge
from service.outcomes import Outcome, State
from service.policy import elsewhere
from service.wording import escape
from tests.service.calls import bundled_knowledge, context_of, decided_on, knowledge_of, only_card, states
from tests.service.facts import codes
from tests.service.facts.build import PATIENT, Json, ago, condition, lab, observation, patient, report
from tests.service.facts.build import service_request as order
from tests.service.markdown import markup

COLON_CANCER_BEFORE = "http://hl7.org/fhir/sid/icd-10-cm|Z85.038"
SURVIVOR = [
    patient(),
    condition(codes.LOW_BACK_PAIN, onset=21),
    condition(COLON_CANCER_BEFORE, onset=2200),
]
CORD = [
    patient(),
    condition(codes.THORACIC_PAIN, onset=40),
    condition(codes.PROSTATE_CANCER, onset=900),
    condition(codes.PARAPARESIS, onset=3, category="encounter-diagnosis"),
]
LASTING = [patient(birthDate="1973-03-01"), condition(codes.LOW_BACK_PAIN, onset=60)]


def detail(*resources: Json, **call: Any) -> str:
    text = only_card(decided_on(*resources, **call)).detail
    assert text is not None
    return text


def labels(card: Card) -> list[str]:
    return [suggestion.label for suggestion in card.suggestions]


# -- the parts of a card -----------------------------------------------------------------------------


def test_a_card_says_why_with_values_and_dates_and_what_is_not_recorded() -> None:
    card = only_card(decided_on(*SURVIVOR))
    rule = bundled_knowledge().bundle.rules["cancer-history-new-back-pain"]
    assert card.summary == rule.card["warning"].summary
    assert card.indicator == "warning"
    assert card.detail is not None
    lead, why, consider, missing, last = card.detail.split("\n\n")
    assert lead == f"**{rule.card['warning'].lead}**"
    assert consider.splitlines() == [f"- {line}" for line in rule.card["warning"].consider]
    assert why == f"Why: cancer: colorectal ({ago(2200)}); back pain 21 days ({ago(21)})."
    assert missing.startswith("Not recorded: leg weakness, ")
    assert last.startswith("Normal tests or no card do not exclude cancer. Basis: Downie 2013; ")
    assert last.endswith(f" Rule {rule.version}, review {rule.review_by}.")


def test_a_card_names_its_rule_and_what_is_folded_into_it() -> None:
    card = only_card(decided_on(*CORD))
    assert (card.source.topic.code, card.source.topic.system) == ("TOCSINMSCC", TOPIC_SYSTEM)
    findings = card.extension["org.tocsin.findings"]
    assert [(one["rule"], one["urgency"], one["role"]) for one in findings][:2] == [
        ("mscc-cancer-neuro-signs", "critical", "lead"),
        ("cancer-history-new-back-pain", "warning", "folded"),
    ]
    assert card.detail is not None
    assert "Also found: new back pain with cancer history; " in card.detail
    assert len(card.overrideReasons) > 1


def test_two_folded_rules_are_named_and_the_others_counted() -> None:
    card = only_card(
        decided_on(patient(birthDate="1950-03-01"), condition(codes.LOW_BACK_PAIN, onset=60), *CORD[1:])
    )
    folded = [one for one in card.extension["org.tocsin.findings"] if one["role"] == "folded"]
    assert card.detail is not None
    (found,) = [part for part in card.detail.split("\n\n") if part.startswith("Also found: ")]
    assert len(folded) > 2
    assert found.count("; ") == 2
    assert found.endswith(f"; {len(folded) - 2} more.")


def test_a_result_shows_value_unit_and_day() -> None:
    assert f"ESR 72 mm/h ({ago(5)})" in detail(*LASTING, lab(codes.ESR, 72, "mm/h", 5))
    assert f"ESR more than 100 mm/h ({ago(5)})" in detail(
        *LASTING, lab(codes.ESR, 100, "mm/h", 5, comparator=">")
    )
    assert f"ESR at least 100 mm/h ({ago(5)})" in detail(
        *LASTING, lab(codes.ESR, 100, "mm/h", 5, comparator=">=")
    )
    # A clinician knows the numbers of the own laboratory.
    assert f"CRP 12.5 mg/dL ({ago(5)})" in detail(*LASTING, lab(codes.CRP, 12.5, "mg/dL", 5))


@pytest.mark.parametrize(
    ("pain", "offered", "left_out"),
    [
        (codes.LOW_BACK_PAIN, "Order MRI of the lumbar spine", "Order MRI of the pelvis and hips"),
        (codes.HIP_PAIN, "Order MRI of the pelvis and hips", "Order MRI of the lumbar spine"),
    ],
)
def test_imaging_is_offered_for_the_region_that_hurts(pain: str, offered: str, left_out: str) -> None:
    given = [patient(birthDate="1973-03-01"), condition(pain, onset=60), lab(codes.ESR, 110, "mm/h", 5)]
    found = labels(only_card(decided_on(*given)))
    assert offered in found
    assert left_out not in found


def test_imaging_of_chest_or_abdomen_is_offered_wherever_it_hurts() -> None:
    bundle = bundled_knowledge().bundle
    away = {"chest", "abdomen", "whole-body"}
    found = 0
    for rule in bundle.rules.values():
        imaging = {name: bundle.orders[name].regions for name in rule.suggest if bundle.orders[name].modality}
        left_out = elsewhere(frozenset({"lumbar-spine", "whole-spine"}), imaging)
        assert all(away.isdisjoint(imaging[name]) for name in left_out)
        found += len(left_out)
    assert found


@pytest.mark.parametrize(("days", "offered"), [(7, False), (8, True), (None, True)])
def test_a_test_that_was_just_done_is_not_offered(days: int | None, offered: bool) -> None:
    blood_count = [lab(codes.HAEMOGLOBIN, 130, "g/L", days)] if days is not None else []
    card = only_card(decided_on(*LASTING, lab(codes.ESR, 110, "mm/h", 5), *blood_count))
    assert ("Order a full blood count" in labels(card)) is offered


def test_what_a_card_rests_on_may_be_repeated() -> None:
    raised = [lab(codes.ESR, 40, "mm/h", 2), lab(codes.CRP, 30, "mg/L", 2)]
    card = only_card(decided_on(*LASTING, *raised))
    assert card.extension["org.tocsin.findings"][0]["rule"] == "esr-crp-moderately-raised-persistent-pain"
    assert "Order ESR and CRP" in labels(card)


def test_a_total_calcium_without_albumin_is_shown_as_it_was_recorded() -> None:
    text = detail(*LASTING, lab(codes.CALCIUM, 14, "mg/dL", 1))
    assert f"calcium 14 mg/dL (total, no albumin) ({ago(1)})" in text


def test_a_suspected_cancer_is_said_on_any_card() -> None:
    lung = condition("http://hl7.org/fhir/sid/icd-10-cm|C34.90", onset=9, verification="provisional")
    assert "cancer is suspected on record" in detail(*SURVIVOR, lung)
    assert "suspected" not in detail(*SURVIVOR)


def test_examinations_are_told_in_words() -> None:
    reports = [
        report(codes.MRI_LUMBAR, 20, conclusion=[codes.BONE_METASTASIS]),
        report(codes.MRI_LUMBAR, 60),
    ]
    told = detail(patient(), condition(codes.LOW_BACK_PAIN, onset=70), *reports)
    assert "MRI of the lumbar spine (2026-11-05): bone metastasis" in told
    assert "MRI of the lumbar spine (2026-09-26): result not coded" in told


def test_a_low_result_with_a_comparator_reads_as_less_than() -> None:
    text = detail(*SURVIVOR, lab(codes.CRP, 5, "mg/L", 5, comparator="<"))
    assert f"CRP less than 5 mg/L ({ago(5)})" in text


def test_an_onset_known_to_the_year_is_a_range() -> None:
    text = detail(
        patient(),
        condition(codes.LOW_BACK_PAIN, onset="2026", clinical="active"),
        condition(COLON_CANCER_BEFORE, onset=2200),
    )
    assert "back pain 0 to 11 months (2026)" in text


def test_age_is_asked_for_when_it_is_not_on_record() -> None:
    resources = [patient(birthDate=None), *SURVIVOR[1:]]
    assert "Not recorded: age, leg weakness, " in detail(*resources)
    assert "Not recorded: leg weakness, " in detail(*SURVIVOR)


def test_a_long_list_ends_in_how_many_more_there_are() -> None:
    five = "leg weakness, leg numbness, walking difficulty, urinary retention, hip examination"
    assert f"Not recorded: {five}." in detail(*SURVIVOR)
    six = detail(patient(birthDate=None), *SURVIVOR[1:])
    assert "Not recorded: age, leg weakness, leg numbness, walking difficulty, and 2 more." in six
    lung = condition("http://hl7.org/fhir/sid/icd-10-cm|C34.90", onset=9, verification="provisional")
    results = [lab(codes.ESR, 12, "mm/h", 5), lab(codes.CRP, 3, "mg/L", 5)]
    with_colon = condition("http://hl7.org/fhir/sid/icd-10-cm|C18.9", onset=100)
    reasons = detail(*SURVIVOR, lung, with_colon, *results).split("\n\n")[1]
    # What has to be on any card is not among those left out.
    assert reasons.startswith("Why: cancer is suspected on record")
    assert reasons.endswith("; and 2 more.")
    assert reasons.count("; ") == 4


def test_an_event_is_told_by_its_day() -> None:
    known = [condition(codes.LOW_BACK_PAIN, onset=30), condition(codes.BONE_METASTASIS, onset=90)]
    told = [card.detail or "" for card in decided_on(patient(), *known).cards]
    assert any(f"bone metastases recorded ({ago(90)})" in text for text in told)
    assert not any("days ago" in text for text in told)


def test_results_that_could_not_be_read_are_named_the_newest_three() -> None:
    text = detail(*LASTING, lab(codes.CRP, 88, None, 3))
    assert f"Could not be read, check: CRP 88 of {ago(3)} (no unit)." in text
    words = observation(codes.ESR, 4, valueString="very high")
    assert f"ESR very high of {ago(4)} (text, not a number)" in detail(*LASTING, words)
    many = [
        lab(code, 1, "furlong", day) for day, code in enumerate((codes.CRP, codes.ESR, codes.ALP, codes.PSA))
    ]
    named = detail(*LASTING, *many).split("Could not be read, check: ")[1].split(".")[0]
    assert named.count(";") == 2
    assert "PSA" not in named


def test_data_that_could_not_be_had_is_named() -> None:
    outcomes = {
        "labs": Outcome(State.FAILED, "server-error"),
        "imaging": Outcome(State.REFUSED, "no-fhir-server"),
        "orders": Outcome(State.GIVEN, partial="pages", count=50),
        "conditions": Outcome(State.GIVEN, count=3),
    }
    text = detail(*SURVIVOR, outcomes=outcomes)
    said = "laboratory results, imaging reports, part of the orders"
    assert f"Not available: {said}." in text
    assert "Not available" not in detail(*SURVIVOR)


def test_ids_are_the_same_for_the_same_call_and_differ_between_cards_and_orders() -> None:
    first, second = (encode(decided_on(*CORD).response) for _ in range(2))
    assert first == second
    card = only_card(decided_on(*SURVIVOR))
    ids = [card.uuid, *(suggestion.uuid for suggestion in card.suggestions)]
    assert len(set(ids)) == len(ids)


def test_the_basis_is_linked_to_only_where_a_page_can_be_reached() -> None:
    assert not only_card(decided_on(*SURVIVOR)).links
    card = only_card(decided_on(*SURVIVOR, public_url="https://cds.example.org"))
    (link,) = card.links
    assert link.url == "https://cds.example.org/rules/cancer-history-new-back-pain"
    rule = bundled_knowledge().bundle.rules["cancer-history-new-back-pain"]
    assert link.label == f"Basis (rule {rule.version}, review {rule.review_by})"
    assert card.detail is not None
    assert card.detail.endswith("Basis: Downie 2013; RANZCR 2015.")


# -- contacts and the site's words -------------------------------------------------------------------


def test_a_critical_card_names_the_contact_of_the_site(tmp_path: Path) -> None:
    known = knowledge_of(tmp_path, 'contacts: {mscc: "MSCC coordinator, ext. 1234 <b>now</b>"}\n')
    text = detail(*CORD, knowledge=known)
    assert r"Call the MSCC contact now: MSCC coordinator, ext. 1234 \<b\>now\</b\>" in text
    assert markup(text) == set()
    assert "Call the MSCC contact now: see on-call list." in detail(*CORD)


def mscc(answer: Answer) -> Card:
    (card,) = (card for card in answer.cards if card.source.topic.code == "TOCSINMSCC")
    return card


LIMIT = "rules: {mscc-cancer-neuro-signs: {max_indicator: info%s}}\n"


def test_a_site_limit_changes_the_indicator_and_claims_nothing_about_the_patient(tmp_path: Path) -> None:
    card = mscc(decided_on(*CORD, knowledge=knowledge_of(tmp_path, LIMIT % "")))
    rule = bundled_knowledge().bundle.rules["mscc-cancer-neuro-signs"]
    assert card.indicator == "info"
    assert card.summary == rule.card["critical"].summary
    assert card.detail is not None
    assert rule.card["critical"].lead in card.detail
    assert "Urgency lowered: This site shows the rule as info at most." in card.detail


def test_a_site_can_word_what_it_limits(tmp_path: Path) -> None:
    words = ", card: {info: {summary: Ours}}"
    card = mscc(decided_on(*CORD, knowledge=knowledge_of(tmp_path, LIMIT % words)))
    assert (card.indicator, card.summary) == ("info", "Ours")


# -- lowered cards -----------------------------------------------------------------------------------


def test_uncoded_imaging_gives_an_info_card_that_asks_for_its_report_and_orders_no_more() -> None:
    answer = decided_on(*SURVIVOR, report(codes.MRI_LUMBAR, 9), report(codes.XRAY_LUMBAR, 1))
    card = only_card(answer)
    assert states(answer)["cancer-history-new-back-pain"] == "fired S3"
    assert card.indicator == "info"
    assert card.detail is not None
    # The day of the MRI that answers the question, not of any later examination.
    assert f"the MRI of {ago(9)} has no coded result" in card.detail
    assert ago(1) not in card.detail
    # The lead has said why.
    assert "Urgency lowered." in card.detail
    assert card.detail.count(ago(9)) == 1
    assert "Order MRI of the lumbar spine" in labels(only_card(decided_on(*SURVIVOR)))
    assert [label for label in labels(card) if "MRI" in label or "X-ray" in label] == []
    assert "Order ESR and CRP" in labels(card)


def test_a_rule_that_is_info_anyway_is_not_said_to_be_lowered() -> None:
    text = detail(*LASTING, report(codes.MRI_LUMBAR, 9))
    assert "lowered" not in text
    assert f"Imaging done, result not coded ({ago(9)})." in text


@pytest.mark.parametrize(("care", "indicator"), [(codes.PALLIATIVE_CARE, "warning"), (codes.HOSPICE, "info")])
def test_at_the_end_of_life_the_talk_comes_before_imaging_and_referral(care: str, indicator: str) -> None:
    resources = [*CORD, condition(care, onset=20)]
    card = only_card(decided_on(*resources))
    assert card.indicator == indicator
    assert card.detail is not None
    assert "goals of care" in card.detail
    assert "Urgency lowered: Palliative status: " in card.detail
    kinds = [suggestion.label for suggestion in card.suggestions]
    assert [kind for kind in kinds if "MRI" in kind or kind.startswith("Refer")] == []


# -- suggested orders --------------------------------------------------------------------------------


def actions(card: Card) -> list[Json]:
    return [dict(action.resource or {}) for suggestion in card.suggestions for action in suggestion.actions]


def test_every_suggested_order_is_valid_fhir_for_the_patient_of_the_call() -> None:
    call = {**context_of("patient-view"), "encounterId": "e7"}
    card = only_card(decided_on(*SURVIVOR, context=call))
    resources = actions(card)
    assert len(resources) >= len(card.suggestions)
    for resource in resources:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
        assert resource["subject"] == {"reference": f"Patient/{PATIENT}"}
        assert resource["encounter"] == {"reference": "Encounter/e7"}
        assert resource["authoredOn"] == ago(0)
        assert resource["reasonCode"] == [{"text": card.source.topic.display}]
    assert card.selectionBehavior == "any"
    assert not any(suggestion.isRecommended for suggestion in card.suggestions)
    assert all("encounter" not in resource for resource in actions(only_card(decided_on(*SURVIVOR))))


def test_orders_already_placed_or_being_entered_are_not_suggested() -> None:
    before = labels(only_card(decided_on(*SURVIVOR)))
    assert "Order ESR and CRP" in before
    placed = only_card(decided_on(*SURVIVOR, order(codes.ESR, 2)))
    assert labels(placed) == [label for label in before if label != "Order ESR and CRP"]
    drafts = [{**order(codes.CRP, 0), "status": "draft"}]
    entered = only_card(decided_on(*SURVIVOR, hook="order-select", drafts=drafts))
    assert "Order ESR and CRP" not in labels(entered)


@pytest.mark.parametrize(("sex", "offered"), [("male", True), ("female", False), (None, False)])
def test_an_order_for_one_sex_is_offered_to_it_alone(sex: str | None, offered: bool) -> None:
    card = only_card(decided_on(patient(gender=sex), *SURVIVOR[1:]))
    assert ("Order PSA" in labels(card)) is offered


def test_in_pregnancy_ionising_imaging_gives_way_to_its_substitute_or_falls_away() -> None:
    hip = [condition(codes.HIP_PAIN, onset=60), condition(codes.BREAST_CANCER, onset=900)]
    pregnant = condition(codes.PREGNANT, onset=60)
    young = patient(birthDate="1990-01-01")
    orders = bundled_knowledge().bundle.orders
    ionising = {
        one.says for one in orders.values() if one.modality in ("xray", "ct", "nuclear", "pet", "dxa")
    }
    assert set(labels(only_card(decided_on(young, *hip)))) & ionising
    card = only_card(decided_on(young, *hip, pregnant))
    assert set(labels(card)) & ionising == set()
    assert [label for label in labels(card) if "MRI" in label]
    # The card stays: pregnancy takes nothing from the reason to look (S8).
    assert card.indicator == "warning"


def test_without_the_snomed_extension_an_order_keeps_its_text(tmp_path: Path) -> None:
    free = knowledge_of(tmp_path, "", snomed_extension=False)
    resources = [
        resource
        for known in (free, None)
        for resource in actions(only_card(decided_on(*CORD, knowledge=known)))
    ]
    systems = [
        {coding["system"] for resource in given for coding in resource["code"].get("coding", ())}
        for given in (resources[: len(resources) // 2], resources[len(resources) // 2 :])
    ]
    assert "http://snomed.info/sct" not in systems[0]
    assert all(resource["code"]["text"] for resource in resources)


# -- text from the record ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>", "[x](https://evil.example)", "![x](//evil.example/a.png)",
        "*emphasis*", "_emphasis_", "`code`", "https://evil.example", "HTTP://EVIL.EXAMPLE",
        "www.evil.example", "WWW.evil.example", "wWw.evil.example", "ftp://evil.example",
        "me@evil.example", "~~gone~~", "<https://evil.example>", "a\n\n# heading", "a\n***\nb",
        "a | b\n--|--\nc | d", "x  \ny", "x\\\ny",
    ],
)  # fmt: skip
def test_markup_from_a_record_stays_text(text: str) -> None:
    assert markup(f"CRP 88 {text}")
    assert markup(f"CRP 88 {escape(text)} of today.") == set()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("ht\u200btps://evil.example", "https\\://evil.example"),
        ("a\u2028# b", "a \\# b"),
        ("&lt;b&gt;", "\\&lt;b\\&gt;"),
        ("mg\u202eL/gm\x07", "mgL/gm"),
    ],
)
def test_what_hides_or_turns_text_is_taken_out(text: str, shown: str) -> None:
    assert escape(text) == shown


@given(st.text() | st.text(st.sampled_from("\\`*_[]()<>#~|&@:/.!-w \nht")))
def test_no_text_can_make_markup(text: str) -> None:
    assert markup(f"CRP 88 {escape(text)} of today.") == set()


@given(st.text())
def test_escaping_leaves_one_line_without_hidden_characters(text: str) -> None:
    escaped = escape(text)
    assert escaped == escaped.strip()
    assert escaped.isprintable() or all(
        not ch.isspace() and ord(ch) > 0x9F for ch in escaped if not ch.isprintable()
    )
    assert escape("plain words, 12.5 mg/L (2026-11-25)") == "plain words, 12.5 mg/L (2026-11-25)"


@pytest.mark.parametrize("unit", ["mg\x00/L", "\x07", "mg\u202eL/gm", "<b>" * 400, "mg\u2028# L", "\ufeff"])
def test_a_hostile_unit_still_gives_a_card_that_can_be_sent(unit: str) -> None:
    answer = decided_on(*LASTING, lab(codes.CRP, 88, unit, 3))
    body = orjson.loads(encode(answer.response))
    text = body["cards"][0]["detail"]
    assert "Could not be read, check: CRP 88" in text
    assert markup(text) == set()
    assert len(text) < 2000
    assert not set(text) & set("\x00\x07\u202e\u2028\ufeff")


def test_names_and_free_text_of_a_record_are_not_on_the_card() -> None:
    secret = "Xyzzyplugh"
    person = {**patient(), "name": [{"family": secret}], "text": {"status": "generated", "div": secret}}
    noted = [{**one, "note": [{"text": secret}], "code": {**one["code"], "text": secret}} for one in CORD[1:]]
    assert secret not in encode(decided_on(person, *noted).response).decode()


def test_knowledge_is_shared_and_not_changed_by_a_call() -> None:
    known: Knowledge = bundled_knowledge()
    before = known.bundle.orders["esr-crp"].resources
    only_card(decided_on(*SURVIVOR))
    assert known.bundle.orders["esr-crp"].resources == before
    assert all("subject" not in resource for resource in before)


def test_what_does_not_fit_on_three_cards_is_named_on_the_last() -> None:
    answer = decided_on(
        patient(gender="male"),
        condition(codes.LOW_BACK_PAIN, onset=60),
        condition(codes.WEIGHT_LOSS, onset=30),
        condition(codes.FEVER, onset=3),
        condition(codes.OPIOID_INJECTION, onset=300),
        lab(codes.PSA, 45, "ng/mL", 5),
        lab(codes.ESR, 80, "mm/h", 5),
        lab(codes.HAEMOGLOBIN, 9, "g/dL", 5, low=12),
        lab(codes.ALP, 400, "U/L", 5, high=130),
    )
    assert len(answer.cards) == 3
    assert [("Also consider: " in (card.detail or "")) for card in answer.cards] == [False, False, True]
    rules = bundled_knowledge().bundle.rules
    over = [rule for rule, state in states(answer).items() if state == "folded S10"]
    assert over
    last = answer.cards[-1]
    assert last.detail is not None
    named = last.detail.split("Also consider: ")[1].split(".")[0].lower()
    assert all(rules[rule].title.lower() in named for rule in over)
    assert {one["rule"] for one in last.extension["org.tocsin.findings"]} >= set(over)


def test_words_of_the_site_can_hold_facts_of_the_call(tmp_path: Path) -> None:
    site = """\
rules:
  cancer-history-new-back-pain:
    card: {warning: {lead: "Back pain, {fact:pain.back.days} days. CRP: {fact:labs.crp.value}."}}
"""
    known = knowledge_of(tmp_path, site)
    assert detail(*SURVIVOR, knowledge=known).startswith("**Back pain, 21 days. CRP: not recorded.**")
    with_crp = detail(*SURVIVOR, lab(codes.CRP, 7.5, "mg/L"), knowledge=known)
    assert with_crp.startswith("**Back pain, 21 days. CRP: 7.5 mg/L.**")


def test_examinations_and_orders_being_entered_are_said_in_words() -> None:
    draft = {**order(codes.XRAY_LUMBAR, 0), "status": "draft"}
    lumbar = report(codes.XRAY_LUMBAR, 9)
    text = detail(*SURVIVOR, lumbar, hook="order-select", drafts=[draft])
    assert "order being entered: X-ray of the spine" in text
    assert f"X-ray of the lumbar spine and thoracic spine ({ago(9)}): result not coded" in text
