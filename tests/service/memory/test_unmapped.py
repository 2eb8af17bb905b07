"""Codes in no value set beside known ones, from calls to the report; rare ones and texts are left out."""

from pathlib import Path

import pytest

from service.facts.meanings import meanings_of
from service.memory.report import UnmappedCode, build_report
from service.memory.sqlite import SqliteStore
from service.memory.statements import REPORT_UNMAPPED
from service.memory.store import Store, StoreFailed
from service.memory.unmapped import FEWEST, Unmapped
from service.metrics import Metrics
from tests.service.calls import bundled_knowledge, decided_on
from tests.service.facts import codes
from tests.service.facts.build import condition, patient
from tests.service.memory.http import site
from tests.service.memory.samples import AT
from tests.service.test_metrics import value

DAY = 86_400.0
BUNDLE = bundled_knowledge().bundle
CODE = "999000991000000102"


@pytest.fixture(autouse=True)
def _nothing_from_other_tests() -> None:
    meanings_of(BUNDLE.codes, BUNDLE.units).take_unmapped()


def look_at(code: str, times: int) -> None:
    for _ in range(times):
        decided_on(patient(), condition(codes.LOW_BACK_PAIN, code))


def flushed(unmapped: Unmapped, at: float = AT) -> None:
    unmapped.decided_by([BUNDLE])
    unmapped.flush(at)


def unmapped_in(store: Store) -> list[UnmappedCode]:
    return build_report(store, AT - DAY, AT + 2 * DAY).unmapped


def test_counts_are_added_up_by_day(store: Store) -> None:
    metrics = Metrics()
    unmapped = Unmapped(store, metrics)
    assert not unmapped.due()
    for at, times in ((AT, 6), (AT, 2), (AT + DAY, 1)):
        look_at(f"http://snomed.info/sct|{CODE}", times)
        flushed(unmapped, at)
    (found,) = unmapped_in(store)
    assert (found.system, found.code) == ("snomed", CODE)
    seen = found.seen
    assert seen >= 9
    assert value(metrics, "tocsin_unmapped_codes_total", system="snomed") == seen
    assert build_report(store, AT + DAY, AT + 2 * DAY).unmapped[0].seen < seen
    assert store.prune(AT + 3 * DAY, dry_run=True).unmapped == 2
    assert store.prune(AT + 3 * DAY).unmapped == 2
    assert unmapped_in(store) == []


def test_rare_codes_are_only_counted(store: Store) -> None:
    metrics = Metrics()
    unmapped = Unmapped(store, metrics)
    look_at(f"http://snomed.info/sct|{CODE}", 1)
    flushed(unmapped)
    early = value(metrics, "tocsin_unmapped_codes_total", system="snomed")
    assert early is not None
    assert 0 < early < FEWEST
    assert unmapped_in(store) == []
    look_at(f"http://snomed.info/sct|{CODE}", FEWEST)
    flushed(unmapped)
    (found,) = unmapped_in(store)
    assert found.seen == value(metrics, "tocsin_unmapped_codes_total", system="snomed")


@pytest.mark.parametrize(
    "code", ["http://ehr.example|John", "http://snomed.info/sct|John", "http://loinc.org|1"]
)
def test_a_code_of_an_ehr_and_other_texts_are_not_counted(code: str, store: Store) -> None:
    metrics = Metrics()
    unmapped = Unmapped(store, metrics)
    look_at(code, 2 * FEWEST)
    flushed(unmapped)
    assert unmapped_in(store) == []
    assert value(metrics, "tocsin_unmapped_codes_total") is None


def test_what_the_store_does_not_take_is_written_later(monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(None)
    store.open()
    unmapped = Unmapped(store, Metrics())
    look_at(f"http://snomed.info/sct|{CODE}", FEWEST)

    def fail(_: object) -> None:
        raise StoreFailed("full")

    with monkeypatch.context() as broken:
        broken.setattr(store, "add_unmapped", fail)
        flushed(unmapped)
    assert unmapped_in(store) == []
    flushed(unmapped)
    assert [row.code for row in unmapped_in(store)] == [CODE]
    store.close()


def test_how_many_codes_are_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.memory.unmapped._MOST", 1)
    store = SqliteStore(None)
    store.open()
    unmapped = Unmapped(store, Metrics())
    for number in (1, 2):
        look_at(f"http://snomed.info/sct|99900099100000020{number}", FEWEST)
        flushed(unmapped)
    assert len(unmapped_in(store)) == 1
    store.close()


async def test_calls_of_a_service_reach_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.memory.unmapped.INTERVAL_S", 0.0)
    both = condition(codes.LOW_BACK_PAIN, f"http://snomed.info/sct|{CODE}", "http://ehr.example|back")
    async with site(monkeypatch, state_dir=tmp_path) as worker:
        for _ in range(2 * FEWEST):
            await worker.call(patient(), both)
        await worker.desk.memory.settle()
        metrics = (await worker.client.get("/metrics")).text
    assert 'tocsin_unmapped_codes_total{system="snomed"}' in metrics
    store = SqliteStore(tmp_path / "tocsin.sqlite")
    store.open()
    found = store.summary(REPORT_UNMAPPED, 0, 1e12)
    store.close()
    assert [(system, code) for system, code, _ in found] == [("snomed", CODE)]
