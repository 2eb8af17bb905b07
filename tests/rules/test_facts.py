"""FactSet: what may be set, what is unknown, and what comes back."""

import datetime
from typing import Any

import pytest

from rules.engine.documents import read_text
from rules.engine.errors import FactError
from rules.engine.facts import FactSet, Source, Span, Vocabulary
from rules.engine.vocabulary import parse_vocabulary

FACTS = """
schema_version: 1
records:
  imaging: {modality: string, days: {type: int, kind: days}}
facts:
  - {name: cancer.any, type: bool, says: Cancer now or before, absence: "false"}
  - {name: pain.back.days, type: int, kind: days, unit: d, says: Days of back pain}
  - {name: labs.crp.value, type: float, kind: quantity, unit: mg/L, says: CRP}
  - {name: care.palliative, type: string, says: Palliative status, values: [none, hospice], absence: "none"}
  - {name: imaging.studies, type: list<imaging>, says: Imaging, absence: "none"}
  - {name: person.age, type: int, says: Age in years}
"""


def vocabulary() -> Vocabulary:
    parsed, problems = parse_vocabulary(read_text(FACTS, "facts.yaml"))
    assert not problems
    return parsed


def test_every_fact_is_unknown_until_set() -> None:
    facts = FactSet(vocabulary())
    assert not any(fact.known for fact in facts.all_facts())
    assert [fact.name for fact in facts.all_facts()][:2] == ["cancer.any", "pain.back.days"]
    assert facts.get("cancer.any").known is False


def test_set_keeps_date_sources_and_note() -> None:
    facts = FactSet(vocabulary())
    source = Source("Observation/1", "http://loinc.org|1988-5", "observations")
    facts.set("labs.crp.value", 62, date=datetime.date(2026, 11, 1), sources=[source], note="as sent")
    fact = facts.get("labs.crp.value")
    assert (fact.value, fact.known, fact.date, fact.sources, fact.note) == (
        62.0,
        True,
        datetime.date(2026, 11, 1),
        (source,),
        "as sent",
    )
    assert isinstance(fact.value, float)


def test_setting_again_replaces_value_and_detail() -> None:
    facts = FactSet(vocabulary())
    facts.set("cancer.any", True, note="first")
    facts.set("cancer.any", False)
    assert facts.get("cancer.any") == facts.get("cancer.any")
    assert facts["cancer.any"] is False
    assert facts.get("cancer.any").note == ""


def test_none_is_unknown_with_a_note() -> None:
    facts = FactSet(vocabulary())
    facts.set("labs.crp.value", None, note="CRP 88 without a unit")
    assert facts.get("labs.crp.value").known is False
    assert facts.get("labs.crp.value").note == "CRP 88 without a unit"


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_becomes_unknown(value: float) -> None:
    facts = FactSet(vocabulary())
    facts.set("labs.crp.value", value)
    assert facts["labs.crp.value"] is None
    assert facts.get("labs.crp.value").note == "not a finite number"


@pytest.mark.parametrize("name", ["labs.crp.value", "pain.back.days"])
def test_imprecise_numbers_go_where_the_vocabulary_says(name: str) -> None:
    facts = FactSet(vocabulary())
    facts.set(name, Span(10, 40, 25))
    assert facts[name] == Span(10, 40, 25)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cancer.every", True),
        ("cancer.any", 1),
        ("pain.back.days", True),
        ("pain.back.days", 9.0),
        ("person.age", Span(40, 50, 45)),
        ("care.palliative", "tired"),
        ("imaging.studies", "mri"),
    ],
)
def test_wrong_names_and_types_are_refused(name: str, value: Any) -> None:
    with pytest.raises(FactError):
        FactSet(vocabulary()).set(name, value)


def test_unknown_names_are_refused_on_reading() -> None:
    facts = FactSet(vocabulary())
    with pytest.raises(FactError, match=r"cancer\.every"):
        facts["cancer.every"]
    with pytest.raises(FactError, match=r"cancer\.every"):
        facts.get("cancer.every")
