"""The bundled questionnaire: valid FHIR, and every question ends in a fact it may set."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B.questionnaire import Questionnaire

import rules
from rules.engine.codes import CodeIndex
from rules.engine.documents import read_document
from rules.engine.types import BOOL
from rules.engine.vocabulary import Vocabulary

ROOT = Path(rules.__file__).parent
LINK_IDS = [
    "night-pain",
    "leg-weakness",
    "leg-weakness-both",
    "leg-numbness",
    "saddle-numbness",
    "bladder",
    "bowel",
    "walking",
    "weight-bearing",
    "straining",
    "worsening",
    "spinal-tenderness",
    "hip-flexion",
]
CODED = {"night-pain", "leg-numbness", "saddle-numbness", "bladder", "bowel", "walking", "hip-flexion"}
ABBREVIATION = re.compile(r"\b[A-Z]{2,}\b")


@pytest.fixture(scope="module")
def raw() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        (ROOT / "questionnaire" / "red-flags.json").read_text(encoding="utf-8")
    )
    return content


@pytest.fixture(scope="module")
def facts() -> dict[str, str]:
    document = read_document(ROOT / "questionnaire" / "map.yaml", "map.yaml")
    assert document.problems == []
    content: dict[str, str] = document.data
    return content


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.load(ROOT / "facts.yaml")


def test_it_is_a_draft_fhir_questionnaire_that_survives_a_round_trip(raw: dict[str, Any]) -> None:
    resource = Questionnaire.model_validate(raw)
    assert resource.url == "https://tocsin.org/Questionnaire/red-flags"
    assert resource.status == "draft"
    assert json.loads(resource.model_dump_json()) == raw


def test_it_asks_the_agreed_questions_once_each_as_yes_or_no(raw: dict[str, Any]) -> None:
    assert [item["linkId"] for item in raw["item"]] == LINK_IDS
    assert [item["prefix"] for item in raw["item"]] == [f"{n}." for n in range(1, len(LINK_IDS) + 1)]
    assert {item["type"] for item in raw["item"]} == {"boolean"}
    assert not any(item["required"] for item in raw["item"]), "no answer must stay possible: it means unknown"


def test_each_text_is_one_plain_question(raw: dict[str, Any]) -> None:
    texts = [item["text"] for item in raw["item"]]
    assert len(set(texts)) == len(texts)
    for text in texts:
        assert text.endswith("?")
        assert text.count("?") == 1
        assert len(text.split()) <= 25
        assert not ABBREVIATION.search(text)


def test_the_map_covers_every_question_and_nothing_else(facts: dict[str, str]) -> None:
    assert list(facts) == LINK_IDS
    assert len(set(facts.values())) == len(LINK_IDS)


def test_every_mapped_fact_is_a_yes_or_no_fact_that_reads_questionnaires(
    facts: dict[str, str], vocabulary: Vocabulary
) -> None:
    for name in facts.values():
        spec = vocabulary.spec(name)
        assert spec.type == BOOL, name
        assert "questionnaires" in spec.needs, name
        assert spec.absence == "unknown", f"{name}: a question left out must not count as no"


def test_every_code_is_in_the_value_set_its_fact_is_read_from(
    raw: dict[str, Any], facts: dict[str, str], vocabulary: Vocabulary
) -> None:
    codes = CodeIndex.load(ROOT / "codes")
    coded = {item["linkId"]: item["code"] for item in raw["item"] if "code" in item}
    assert set(coded) == CODED
    for link_id, codings in coded.items():
        derivation = vocabulary.spec(facts[link_id]).origin
        for coding in codings:
            sets = codes.sets(coding["system"], coding["code"])
            assert any(f"set {name}" in derivation for name in sets), (link_id, sets)
