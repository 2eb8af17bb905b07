"""Source attributes: complete, true to the rules, and open about what has no answer."""

import csv
import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from service.attributes import Attribute, SourceAttributes, source_attributes, to_csv, to_json
from tests.service.pages.visits import Seen, bundled, visitor
from tests.service.terminal import tocsin


@cache
def found() -> SourceAttributes:
    return source_attributes(bundled().bundle)


NEVER_READ = ("race", "ethnicity", "language", "sexual-orientation", "gender-identity")
WORDS = ("race", "ethnic", "language", "orientation", "gender_identity", "religion")


def of(rule_id: str) -> dict[str, Attribute]:
    (rule,) = (one for one in found().rules if one.rule == rule_id)
    return {one.id: one for one in rule.attributes}


def test_they_are_those_of_the_regulation(shared: Path) -> None:
    source: dict[str, Any] = json.loads(
        (shared / "reference/clinical/dsi-source-attributes.json").read_text("utf-8")
    )
    wanted = [(one["n"], one["id"]) for one in source["evidence_based"]]
    for rule in found().rules:
        assert [(one.n, one.id) for one in rule.attributes] == wanted
    assert [len(group.attributes) for group in found().predictive] == [
        len(group["items"]) for group in source["predictive"]
    ]


def test_every_rule_answers_all_but_the_funding() -> None:
    assert {rule.rule for rule in found().rules} == set(bundled().bundle.rules)
    for rule in found().rules:
        assert [one.id for one in rule.attributes if not one.answered] == ["funding"]
        assert all(one.says for one in rule.attributes)


def test_what_is_said_never_to_be_read_is_no_fact() -> None:
    names = [spec.name for spec in bundled().bundle.vocabulary]
    assert [name for name in names if any(word in name for word in WORDS)] == []
    assert all(of(rule.rule)[name].says.startswith("No.") for rule in found().rules for name in NEVER_READ)


def test_answers_follow_what_a_rule_reads() -> None:
    assert of("anaemia-persistent-pain-50")["sex"].says.startswith("Yes: a criterion reads the recorded sex;")
    assert "limit for the sex" in of("raised-alp-bone-pain")["sex"].says
    assert of("cauda-equina-red-flags")["sex"].says == "No."
    assert of("combined-minor-red-flags")["sdoh"].says == "Yes: smoking status."
    assert of("anaemia-persistent-pain-50")["sdoh"].says == "No."
    assert "reads the age" in of("anaemia-persistent-pain-50")["date-of-birth"].says
    assert "weight loss" in of("weight-loss-persistent-pain")["health-status-assessment"].says
    assert "10.1007/BF02596337" in of("anaemia-persistent-pain-50")["citation"].says


def test_the_31_are_numbered_and_say_what_nobody_has_done() -> None:
    numbered = [one.n for group in found().predictive for one in group.attributes]
    assert numbered == list(range(1, 32))
    by_title = {group.title: group for group in found().predictive}
    for title in ("External validation", "Measures of performance"):
        assert not any(one.answered for one in by_title[title].attributes)
    assert all(one.answered for one in by_title["Purpose"].attributes)


def test_csv_and_json_hold_the_same_answers() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(found()))))
    assert len(rows) == 13 * len(found().rules) + 31
    parsed = json.loads(to_json(found()))
    assert parsed["rules"][0]["attributes"][0]["says"] == rows[0]["answer"]
    assert [row["answered"] for row in rows if row["attribute"].startswith("Funding")] == ["no"] * 41


def test_a_cell_no_spreadsheet_runs() -> None:
    rule = found().rules[0]
    hostile = rule.attributes[0].__class__(1, "citation", "Citation", "=1+1")
    changed = found().__class__(
        **{name: getattr(found(), name) for name in found().__struct_fields__ if name != "rules"},
        rules=(rule.__class__(rule.rule, rule.title, rule.version, (hostile,)),),
    )
    assert next(csv.DictReader(io.StringIO(to_csv(changed))))["answer"] == "'=1+1"


async def test_the_page_and_its_files() -> None:
    async with visitor() as client:
        page = Seen(await client.get("/source-attributes"))
        as_json = await client.get("/source-attributes.json")
        as_csv = await client.get("/source-attributes.csv")
    assert "./source-attributes.json" in page.links
    assert page.text.count("no answer") == len(found().rules) + sum(
        not one.answered for group in found().predictive for one in group.attributes
    )
    assert as_json.headers["content-type"] == "application/json"
    assert len(as_json.json()["rules"]) == len(found().rules)
    assert as_csv.headers["content-type"] == "text/csv; charset=utf-8"
    assert as_csv.text == to_csv(found())


@pytest.mark.parametrize("form", ["markdown", "json", "csv"])
def test_the_command_prints_them(capsys: pytest.CaptureFixture[str], form: str) -> None:
    code, out, err = tocsin(capsys, "source-attributes", "--format", form)
    assert (code, err) == (0, "")
    if form == "json":
        assert len(json.loads(out)["predictive"]) == 9
    elif form == "csv":
        assert out.splitlines()[0] == "about,version,list,number,attribute,answered,answer"
    else:
        assert "## cauda-equina-red-flags" in out
        assert "| 3 | Funding of the technical implementation | The project has not stated" in out
