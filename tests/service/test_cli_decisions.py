"""`tocsin decisions`: lists, one decision, exports; nothing of a patient in any of them."""

import csv
import io
from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from service.memory.exports import FEEDBACK_COLUMNS, FLAT_COLUMNS
from service.memory.recorder import Passage, Recorder
from service.memory.sqlite import SqliteStore
from service.memory.store import Batch
from tests.service.calls import INSTANCE
from tests.service.memory.samples import (
    CLIENT,
    NEW_BACK,
    PSEUDONYMS,
    answer_on,
    call_row,
    feedback_row,
    record,
)
from tests.service.terminal import tocsin

Run = Callable[..., tuple[int, str, str]]
SINCE = ("--since", "2026-11-25", "--until", "2026-11-26")


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("TOCSIN_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")
    store = SqliteStore(tmp_path / "tocsin.sqlite")
    store.open()
    bundle, call, cards = Recorder(PSEUDONYMS).rows(Passage.of(answer_on(*record(crp=60)), CLIENT))
    silent = call_row(client="other", bundle="sha256:gone", instance="i2", cards=0)
    rows = [feedback_row(card=cards[0].card), feedback_row(id="f2", card="=unknown")]
    store.write(Batch([bundle], [call, silent], cards, rows))
    store.close()
    return lambda *arguments: tocsin(capsys, "decisions", *arguments)


def test_the_list_tells_what_was_true_and_shown(run: Run) -> None:
    code, said, _ = run("list", *SINCE)
    assert code == 0
    assert "2026-11-25T10:00:00" in said
    assert f"{NEW_BACK} (fired)" in said
    assert INSTANCE in said
    assert said.endswith("2 calls.\n")


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (("--client", CLIENT), 1),
        (("--client", "nobody"), 0),
        (("--rule", NEW_BACK), 1),
        (("--rule", "missing-baseline-bloods"), 0),
    ],
)
def test_the_list_can_be_narrowed(run: Run, options: tuple[str, ...], count: int) -> None:
    assert run("list", *SINCE, *options)[1].endswith(f"{count} calls.\n")


def test_one_decision_is_shown_with_facts_card_and_feedback(run: Run) -> None:
    code, said, _ = run("show", INSTANCE.upper())
    assert code == 0
    assert f"fired            {NEW_BACK}" in said
    assert "labs.crp.value = 60.0 (2026-11-25)" in said
    assert "not known        " in said
    assert "card             " in said
    assert "overridden patient-refuses" in said
    assert "PLANTED" not in said
    (decision,) = orjson.loads(run("show", INSTANCE, "--json")[1])
    assert decision["rules"][NEW_BACK] == "fired"


def test_an_instance_that_is_not_on_record_is_an_error(run: Run) -> None:
    code, _, wrong = run("show", "none")
    assert code == 1
    assert "No call" in wrong


def test_the_export_as_ndjson_has_everything_of_a_call(run: Run) -> None:
    first, second = (orjson.loads(line) for line in run("export", *SINCE)[1].splitlines())
    assert first["feedback"][0]["reason"] == "patient-refuses"
    assert first["cards"][0]["rule"] == NEW_BACK
    # The bundle of the second is not on record, so its outcomes have no names.
    assert (second["client"], second["rules"], second["version"]) == ("other", {}, "")


def test_the_export_as_csv_has_one_row_a_call(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run("export", *SINCE, "--format", "csv")[1])))
    assert tuple(rows[0]) == FLAT_COLUMNS
    assert (rows[0]["fired"], rows[0]["cards"], rows[1]["client"]) == (NEW_BACK, "1", "other")
    assert "neuro.any_new" in rows[0]["missing"].split()


def test_an_export_goes_to_a_file_with_progress(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "out.ndjson"
    code, said, _ = run("export", *SINCE, "--output", str(file))
    assert (code, said) == (0, "")
    assert len(file.read_bytes().splitlines()) == 2


def test_feedback_is_exported_with_the_rules_of_its_card(run: Run) -> None:
    known, unknown = (orjson.loads(line) for line in run("feedback", *SINCE)[1].splitlines())
    assert (known["state"], known["rules"], known["commented"]) == ("known", [NEW_BACK], False)
    assert (unknown["state"], unknown["rules"]) == ("unknown", [])
    rows = list(csv.DictReader(io.StringIO(run("feedback", *SINCE, "--format", "csv")[1])))
    assert tuple(rows[0]) == FEEDBACK_COLUMNS
    # No spreadsheet runs it as a formula.
    assert rows[1]["card"] == "'=unknown"


@pytest.mark.parametrize("time", ["yesterday", "28", "9999999d", "2026-13-01"])
def test_a_time_that_is_none_is_refused(run: Run, time: str) -> None:
    code, _, wrong = run("list", "--since", time)
    assert code == 2
    assert "A time is written" in wrong
