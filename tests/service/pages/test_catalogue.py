"""Pages of the rules: the list and its filters, the basis of a card, value sets."""

from pathlib import Path

import httpx
import pytest

from rules.engine import Bundle, CaseResult, RuleReport, bundled_root
from service.pages.cases import Cases
from service.settings import Settings
from tests.service.calls import knowledge_of
from tests.service.pages.visits import LOCAL, Seen, bundled, visitor

RULES = sorted(path.name for path in (bundled_root() / "catalogue").iterdir() if path.is_dir())
SITE = """\
rules:
  esr-crp-markedly-raised-persistent-pain: {mode: silent, params: {esr_high: 60}}
modules:
  critical: {mode: "off", reason: not allowed <here> yet}
"""


async def seen(path: str) -> Seen:
    async with visitor() as client:
        answer: httpx.Response = await client.get(path)
        assert answer.status_code == 200
        return Seen(answer)


def listed(page: Seen) -> list[str]:
    return [link.removeprefix("./rules/") for link in page.links if link.startswith("./rules/")]


async def test_the_list_has_every_rule_most_urgent_first() -> None:
    page = await seen("/rules")
    rules = bundled().bundle.rules
    order = ("critical", "warning", "info")
    assert sorted(listed(page)) == RULES
    urgencies = [order.index(rules[name].urgency) for name in listed(page)]
    assert urgencies == sorted(urgencies)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("urgency=critical", 7),
        ("category=infection", 2),
        ("hook=order-sign&urgency=warning", None),
        ("q=MYELOMA+screen", 1),
        ("q=%20&category=&urgency=&hook=", 40),
        ("urgency=purple", 0),
    ],
)
async def test_filters_narrow_the_list_and_stay_in_the_form(query: str, count: int | None) -> None:
    page = await seen(f"/rules?{query}")
    rules = bundled().bundle.rules
    if count is None:
        assert listed(page)
        assert all(
            "order-sign" in rules[name].hooks and rules[name].urgency == "warning" for name in listed(page)
        )
    else:
        assert len(listed(page)) == count
        assert f"{count} of 40 rules" in page.text
    assert ("No rule fits" in page.text) == (count == 0)
    if "category" in query and count == 2:
        assert page.values("option", "selected") == [""]


async def test_every_rule_has_its_basis() -> None:
    bundle = bundled().bundle
    async with visitor() as client:
        for rule_id in RULES:
            page = Seen(await client.get(f"/rules/{rule_id}"))
            missing = [said for said in basis(bundle, rule_id) if " ".join(said.split()) not in page.text]
            assert missing == [], rule_id


def basis(bundle: Bundle, rule_id: str) -> list[str]:
    """What the page of a rule has to say."""
    rule, cases = bundle.rules[rule_id], bundle.files[rule_id].tests
    assert cases is not None
    count = len(cases.cases)
    return [
        *(rule.title, rule.purpose, rule.review_by, rule.topic, *rule.limits),
        *(text for leaf in rule.leaves for text in (leaf.says, leaf.cel)),
        *(card.summary for card in rule.card.values()),
        *(bundle.evidence[name].citation for name in rule.evidence),
        *(bundle.vocabulary.spec(name).says for name in bundle.programs[rule_id].facts),
        *(case.name for case in cases.cases),
        *(text for change in rule.history for text in (change.version, change.date, change.says)),
        f"{count} of {count} cases pass",
    ]


async def test_inputs_lead_to_their_codes() -> None:
    page = await seen("/rules/mscc-cancer-neuro-signs")
    assert "../value-sets/low-back-pain" in page.links
    codes = await seen("/value-sets/thoracic-back-pain")
    assert "M54.6" in codes.text
    assert "5 codes" in codes.text
    assert "and below" in codes.text


async def test_a_long_value_set_is_cut_and_says_so() -> None:
    assert "the first 500 are shown" in (await seen("/value-sets/opioid-any")).text


@pytest.mark.parametrize("path", ["/rules/no-such-rule", "/value-sets/no-such-set", "/rules/%2e%2e"])
async def test_what_is_not_there_is_not_found(path: str) -> None:
    async with visitor() as client:
        assert (await client.get(path)).status_code == 404


async def test_what_a_site_has_set_is_shown(tmp_path: Path) -> None:
    knowledge = knowledge_of(tmp_path, SITE)
    async with visitor(LOCAL, knowledge) as client:
        silent = Seen(await client.get("/rules/esr-crp-markedly-raised-persistent-pain"))
        off = Seen(await client.get("/rules/cauda-equina-red-flags"))
        every = Seen(await client.get("/rules"))
        status = Seen(await client.get("/status"))
    assert "Not live here: mode silent" in silent.text
    assert "60 mm/h (between 40 and 100, bundled value 50)" in silent.text
    assert "37 of 37 cases pass" in silent.text
    assert "not allowed <here> yet" in off.text
    assert "silent here" in every.text
    assert "off here" in every.text
    assert "32 live, 1 silent, 7 off" in status.text
    assert "Set in the site file" in status.text


def test_cases_are_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = []
    report = RuleReport("a", (CaseResult("a", "n", "fires", "p", 1, "fired", "fired", True),), ())

    def run(*given: object, **named: object) -> list[RuleReport]:
        runs.append(given)
        return [report]

    monkeypatch.setattr("service.pages.cases.run_tests", run)
    cases = Cases()
    assert cases.of(bundled().bundle, "a") is cases.of(bundled().bundle, "a") is report
    assert cases.of(bundled().bundle, "b") is None
    assert len(runs) == 1


async def test_a_rule_is_not_offered_for_editing_where_there_is_no_playground() -> None:
    async with visitor(Settings(auth=False, log_level="error", explain="off")) as client:
        page = Seen(await client.get("/rules/cauda-equina-red-flags"))
    assert "playground" not in page.text.lower()
