import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.engine import Span, Vocabulary, bundled_root
from service.decode import decode_resource
from service.facts.extract import defaults
from service.facts.reading import read
from service.facts.record import Record
from tests.files import globbed
from tests.service.facts import codes
from tests.service.facts.build import (
    AVAILABLE,
    Json,
    answers,
    bundle,
    concept,
    condition,
    derivation_of,
    encounter,
    facts_of,
    lab,
    observation,
    patient,
    prescription,
    procedure,
    record_of,
    report,
    resource,
    service_request,
    values_of,
    vocabulary,
)

Builder = Callable[[int], Json]
YES: Json = {"valueBoolean": True}
NO: Json = {"valueBoolean": False}
SITE = {"post-void-residual": [("https://lab.example/codes", "PVR")]}


BUILDERS: list[Builder] = [
    lambda days: condition(codes.LOW_BACK_PAIN, onset=days, clinical=None),
    lambda days: condition(codes.HIP_PAIN, onset=days, clinical="resolved"),
    lambda days: condition(codes.SPONDYLOSIS, recorded=days, category="encounter-diagnosis"),
    lambda days: condition(codes.MUSCLE_WEAKNESS, onset=days),
    lambda days: condition(codes.FOOT_DROP_LEFT, onset=days),
    lambda days: condition(codes.CAUDA_EQUINA, onset=days),
    lambda days: condition(codes.BONE_METASTASIS, onset=days),
    lambda days: condition(codes.PROSTATE_CANCER, recorded=days, clinical="remission"),
    lambda days: condition(codes.VERTEBRAL_FRACTURE, onset=days),
    lambda days: condition(codes.FALL, onset=days),
    lambda days: condition(codes.HOSPICE, recorded=days),
    lambda days: condition(codes.HISTORY_OF_RADIOTHERAPY, recorded=days),
    lambda days: condition(codes.DISCITIS, onset=days),
    lambda days: condition(codes.POLYMYALGIA, recorded=days),
    lambda days: encounter(days, reason=[codes.LOW_BACK_PAIN]),
    lambda days: encounter(days, kind=[codes.ONCOLOGY]),
    lambda days: observation(codes.SADDLE_ANAESTHESIA, days, **YES),
    lambda days: observation(codes.SADDLE_ANAESTHESIA, days, **NO),
    lambda days: observation(codes.FATIGUE, days, valueString="some"),
    lambda days: answers(days, night_pain=YES, bladder=NO, weight_bearing=YES),
    lambda days: lab(codes.PAIN_SCORE, days % 11, "{score}", days),
    lambda days: lab(codes.CRP, 5 + days, "mg/L", days % 60),
    lambda days: lab(codes.CRP, 88, None, days),
    lambda days: lab(
        codes.HAEMOGLOBIN, 90 + days % 60, "g/L", days, status="corrected" if days % 3 else "final"
    ),
    lambda days: lab(codes.CALCIUM, 2.5 + days % 5 / 10, "mmol/L", days % 50),
    lambda days: lab(codes.ALBUMIN, 30 + days % 10, "g/L", days % 60),
    lambda days: lab(codes.CREATININE, 80 + days, "umol/L", days % 90, high=104),
    lambda days: lab(codes.WEIGHT, 70 + days % 20, "kg", days),
    lambda days: lab(codes.TEMPERATURE, 36 + days % 4, "Cel", days % 20),
    lambda days: lab(codes.M_PROTEIN, 3, "g/L", days),
    lambda days: lab("https://lab.example/codes|PVR", 100 + days, "mL", days % 9),
    lambda days: procedure(codes.PHYSIOTHERAPY, days),
    lambda days: procedure(codes.RADIOTHERAPY, days),
    lambda days: procedure(codes.MRI_LUMBAR, days),
    lambda days: report(codes.MRI_LUMBAR, days, conclusion=[codes.BONE_METASTASIS] if days % 2 else []),
    lambda days: prescription(codes.PREDNISOLONE, days, supply=30, status="completed"),
    lambda days: prescription(codes.TRAMADOL, days),
    lambda days: prescription(codes.MORPHINE, days),
    lambda days: service_request(codes.ONCOLOGY_REFERRAL, days),
    lambda days: service_request(codes.MRI_LUMBAR, days),
]
EVERYDAY: list[Builder] = [
    lambda days: resource("Immunization", status="completed"),
    lambda days: resource("Claim", status="active"),
    lambda days: condition("http://snomed.info/sct|38341003", onset=days),
    lambda days: observation("http://loinc.org|8480-6", days, valueQuantity={"value": 120, "code": "mm[Hg]"}),
    lambda days: encounter(days, kind=["http://snomed.info/sct|185349003"]),
    lambda days: procedure("http://snomed.info/sct|430193006", days),
    lambda days: report("http://loinc.org|34117-2", days),
    lambda days: prescription("http://www.nlm.nih.gov/research/umls/rxnorm|314076", days),
    lambda days: service_request("http://snomed.info/sct|104091002", days),
    lambda days: resource(
        "CarePlan", status="active", category=[concept("http://snomed.info/sct|734163000")]
    ),
]
DAYS = st.integers(0, 400)
RECORDS = st.lists(st.tuples(st.sampled_from(BUILDERS), DAYS), max_size=14).map(
    lambda pairs: [patient(gender="male"), *(builder(days) for builder, days in pairs)]
)
DRAFTS = [service_request(codes.XRAY_LUMBAR, status="draft"), prescription(codes.MORPHINE, status="draft")]


def values(given: list[Json], **options: Any) -> dict[str, Any]:
    return values_of(facts_of(given, DRAFTS, site=SITE, **options))


# -- what must not matter ------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(RECORDS, st.randoms(use_true_random=False))
def test_the_order_of_resources_never_changes_a_fact(record: list[Json], random: Any) -> None:
    shuffled = record.copy()
    random.shuffle(shuffled)
    assert values(shuffled) == values(record)


@settings(deadline=None)
@given(RECORDS, RECORDS)
def test_another_patients_resources_never_change_a_fact(record: list[Json], others: list[Json]) -> None:
    theirs = [{**one, "subject": {"reference": "Patient/p2"}} for one in others[1:]]
    assert values([patient(id="p2"), *theirs, *record]) == values(record)


@settings(deadline=None)
@given(RECORDS, st.lists(st.tuples(st.sampled_from(EVERYDAY), DAYS), max_size=10))
def test_everyday_resources_never_change_a_fact(
    record: list[Json], everyday: list[tuple[Builder, int]]
) -> None:
    assert values([*(builder(days) for builder, days in everyday), *record]) == values(record)


@settings(deadline=None)
@given(RECORDS)
def test_resources_given_twice_never_change_a_fact(record: list[Json]) -> None:
    assert values([*record, bundle(*record)]) == values(record)


@settings(deadline=None)
@given(RECORDS, st.sampled_from([spec.name for spec in vocabulary() if not spec.engine]))
def test_a_fact_is_the_same_whatever_else_is_wanted(record: list[Json], name: str) -> None:
    assert values(record, wanted=[name])[name] == values(record)[name]


@settings(deadline=None)
@given(RECORDS)
def test_every_value_is_of_its_declared_type(record: list[Json]) -> None:
    """FactSet.set refuses others; what is left is that a known value of a kind is a number or a span."""
    for fact in facts_of(record, DRAFTS, site=SITE).all_facts():
        if fact.known and vocabulary().spec(fact.name).kind:
            assert isinstance(fact.value, int | float | Span)


@settings(deadline=None)
@given(RECORDS, st.sets(st.sampled_from(sorted(AVAILABLE))))
def test_reading_less_makes_facts_unknown_and_never_different(record: list[Json], missing: set[str]) -> None:
    less = values(record, available=AVAILABLE - missing)
    full = values(record)
    assert {name: known for name, known in less.items() if known[0] is not None and known != full[name]} == {}


# -- what is known of nothing --------------------------------------------------------------------------


@pytest.mark.parametrize("spec", vocabulary(), ids=lambda spec: str(spec.name))
def test_a_fact_of_which_nothing_is_on_record(spec: Any) -> None:
    value = facts_of([patient()])[spec.name]
    expected = {"unknown": None, "false": False, "none": [] if spec.type.name == "list" else "none"}
    computed = {
        "person.age": 66,
        "person.sex": "female",
        "care.physiotherapy_sessions": 0,
        "meds.glucocorticoid_days": 0,
        "imaging.suspicious_open": False,
        "record.uncoded_conditions": 0,
    }
    assert value == computed.get(spec.name, None if spec.engine else expected[spec.absence])


@pytest.mark.parametrize("need", sorted(AVAILABLE))
def test_a_fact_is_unknown_when_one_of_its_data_was_not_read(need: str) -> None:
    found = facts_of([], available=AVAILABLE - {need})
    # A sex may be on record as unknown, and without a suspicious result there is nothing to follow up.
    names = {spec.name for spec in vocabulary() if need in spec.needs}
    assert names
    for name in names - {"person.sex", "imaging.suspicious_open"}:
        assert found[name] is None, name


def test_defaults_belong_to_their_vocabulary() -> None:
    other = Vocabulary.load(bundled_root() / "facts.yaml")
    assert defaults(other, AVAILABLE) == defaults(vocabulary(), AVAILABLE)
    assert defaults(other, AVAILABLE) is not defaults(vocabulary(), AVAILABLE)
    assert defaults(other, AVAILABLE) is defaults(other, AVAILABLE)


def test_facts_the_engine_sets_are_left_to_it() -> None:
    facts = facts_of([patient()])
    assert facts["fired.any"] is None
    assert facts["fired.critical_or_warning"] is None


def test_the_derivation_is_handed_back_with_its_facts() -> None:
    derivation = derivation_of([patient(), condition(codes.LOW_BACK_PAIN, onset=50)])
    assert derivation.facts["pain.back.days"] == 50
    assert derivation.record.patient is not None
    assert derivation.available == AVAILABLE


# -- every value set the facts name --------------------------------------------------------------------


def test_every_set_asked_of_the_record_is_a_value_set(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = set()
    original = Record.of

    def of(self: Record, *sets: str) -> Any:
        asked.update(sets)
        return original(self, *sets)

    monkeypatch.setattr(Record, "of", of)
    facts_of([patient(), *(builder(5) for builder in BUILDERS)], DRAFTS, site=SITE)
    known = set(record_of([]).codes.titles)
    assert asked - known == set()
    assert len(asked) > 40


# -- the corpus ----------------------------------------------------------------------------------------


def test_facts_are_extracted_from_every_patient_of_the_corpus(shared: Path) -> None:
    """Real records of ten origins: nothing raises, and the record is that of the patient asked for."""
    count = 0
    for file in globbed(shared / "corpus" / "patients", "*.json.gz")[::4]:
        value, _ = decode_resource(gzip.decompress(file.read_bytes()), file.name)
        entries = getattr(value, "entry", None) or []
        who = next((one.resource.id for one in entries if type(one.resource).__name__ == "Patient"), None)
        if value is None or who is None:
            continue
        empty = record_of([])
        record = Record(who, calendar=empty.calendar, codes=empty.codes, units=empty.units)
        read(record, [("data", value)])
        assert record.patient is not None, file.name
        assert record.patient.id == who
        count += 1
    assert count > 20
