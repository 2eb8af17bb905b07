"""`tocsin report` in its four forms."""

import csv
import datetime as dt
import io
import re
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from service.memory.report import RULE_COLUMNS
from service.memory.rows import UnmappedRow
from service.memory.spans import read_time
from service.memory.sqlite import SqliteStore
from tests.service.memory.month import fill_month
from tests.service.terminal import tocsin

Run = Callable[..., tuple[int, str, str]]
SINCE = ("--since", "2026-10-28", "--until", "2026-11-25")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("TOCSIN_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    store = SqliteStore(tmp_path / "tocsin.sqlite")
    store.open()
    fill_month(store)
    at = read_time("2026-11-20", dt.datetime.now(dt.UTC)).timestamp()
    store.add_unmapped([UnmappedRow(at, "snomed", "123456789", 7), UnmappedRow(at, "icd-10-cm", "M5459", 9)])
    store.close()
    return lambda *arguments: tocsin(capsys, "report", *arguments)


def test_the_table_has_rules_clients_and_concerns(run: Run) -> None:
    code, said, _ = run(*SINCE)
    assert code == 0
    assert "1680 calls" in said
    assert re.search(r"^steady +420 +250\.0 +280 +10 ", said, re.MULTILINE)
    assert re.search(r"^ward-0 +840 ", said, re.MULTILINE)
    assert "breaks has gone silent" in said


def test_json_has_everything(run: Run) -> None:
    found = orjson.loads(run(*SINCE, "--format", "json")[1])
    assert found["calls"] == 1680
    assert {row["rule"] for row in found["rules"]} == {"steady", "breaks", "blind"}


def test_csv_has_a_row_for_each_rule(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    assert run(*SINCE, "--format", "csv", "--output", str(file))[:2] == (0, "")
    rows = list(csv.DictReader(io.StringIO(file.read_text())))
    assert tuple(rows[0]) == RULE_COLUMNS
    assert (rows[0]["rule"], rows[0]["fires"], rows[0]["held_back"]) == ("steady", "420", "S6 140")


def test_the_page_is_whole_and_loads_nothing(run: Run) -> None:
    page = run(*SINCE, "--format", "html")[1]
    assert page.startswith("<!doctype html>")
    assert page.count("<svg") == 2 + 2
    assert "breaks has gone silent" in page
    assert "1 rules that did not fire" not in page
    assert "1 rule that did not fire" in page
    assert "answered before 140" in page
    assert "A diagnosis or history on the list is wrong" in page
    assert not re.search(r"(src|href)=|@import|url\(|<script", page)


def test_nothing_on_record_is_a_report_too_and_said(run: Run) -> None:
    for form in ("table", "json", "csv", "html"):
        code, said, told = run("--since", "2020-01-01", "--until", "2020-02-01", "--format", form)
        assert (code, bool(said)) == (0, True)
        assert told.startswith("No call in this span. The store holds 1680: --since and --until")
    assert run(*SINCE)[2] == ""


def test_a_store_without_a_call_is_told_apart_from_a_span_without_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TOCSIN_STATE_DIR", str(tmp_path))
    store = SqliteStore(tmp_path / "tocsin.sqlite")
    store.open()
    store.close()
    code, _, told = tocsin(capsys, "report")
    assert (code, told.startswith("The store holds no call yet.")) == (0, True)


def test_codes_that_the_value_sets_may_lack_are_in_every_form(run: Run) -> None:
    assert re.search(r"^icd-10-cm +M5459 +9\s*\nsnomed +123456789 +7", run(*SINCE)[1], re.MULTILINE)
    assert orjson.loads(run(*SINCE, "--format", "json")[1])["unmapped"][0] == {
        "system": "icd-10-cm",
        "code": "M5459",
        "seen": 9,
    }
    said = run(*SINCE, "--format", "csv", "--codes")[1]
    assert said == "system,code,seen\nicd-10-cm,M5459,9\nsnomed,123456789,7\n"
    assert '<td class="left">M5459</td><td>9</td>' in run(*SINCE, "--format", "html")[1]
