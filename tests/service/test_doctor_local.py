"""`tocsin doctor` on this machine: each fault injected is one line with cause and fix, and ends with 1."""

import copy
import datetime as dt
import io
import json
import os
import sqlite3
import time
from collections import namedtuple
from pathlib import Path
from typing import Self

import msgspec
import pytest

from rules.engine import Problem
from service import doctor
from service.bundles import Origin
from service.doctor_scene import Finding, Scene
from service.knowledge import Knowledge
from tests.service.calls import bundled_knowledge
from tests.service.terminal import tocsin

Terminal = pytest.CaptureFixture[str]
SITE = "schema_version: 1\nsite: test\n"
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def loading() -> None:
    """Asked for by tests in which the rules are really loaded, which takes a second."""


@pytest.fixture(autouse=True)
def _plain(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_AUTH", "off")
    monkeypatch.setenv("COLUMNS", "400")
    if "loading" not in request.fixturenames:
        known = bundled_knowledge()
        monkeypatch.setattr(Knowledge, "load", lambda settings, today: known)


def told(capsys: Terminal, *options: str) -> tuple[int, dict[str, list[tuple[str, str]]]]:
    """Exit code, and by check the state and text of each line."""
    code, out, _ = tocsin(capsys, "doctor", "--offline", *options)
    *lines, _ = out.splitlines()
    found: dict[str, list[tuple[str, str]]] = {}
    for line in lines:
        state, check, text = line.split(maxsplit=2)
        found.setdefault(check, []).append((state, text))
    return code, found


@pytest.mark.usefixtures("loading")
def test_a_default_installation_has_warnings_and_no_failure(capsys: Terminal) -> None:
    code, found = told(capsys)
    assert code == 0
    assert found["settings"][0][1].startswith("Authentication is OFF")
    assert found["rules"][0][0] == "ok"
    assert {state for lines in found.values() for state, _ in lines} == {"ok", "warn"}
    assert not {"clock", "public-url", "token"} & found.keys()


def test_json_has_the_same_findings(capsys: Terminal) -> None:
    code, out, _ = tocsin(capsys, "doctor", "--offline", "--json")
    body = json.loads(out)
    assert (code, body["status"], body["offline"]) == (0, "warn", True)
    assert {"check", "state", "says", "action"} == body["checks"][0].keys()


def test_an_unknown_setting_fails_with_the_nearest_name(
    capsys: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_PUBLIC_ULR", "https://secret.example")
    code, found = told(capsys)
    assert code == 1
    (text,) = [text for state, text in found["settings"] if state == "fail"]
    assert text == "TOCSIN_PUBLIC_ULR: There is no such setting. Did you mean TOCSIN_PUBLIC_URL?"


def test_a_broken_client_list_fails_at_its_line(
    capsys: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "clients.yaml"
    file.write_text("clients:\n  - id: ehr\n")
    monkeypatch.setenv("TOCSIN_AUTH", "on")
    monkeypatch.setenv("TOCSIN_CLIENTS", str(file))
    code, found = told(capsys)
    ((state, text),) = found["clients"]
    assert (code, state) == (1, "fail")
    assert text.startswith("clients.yaml:2: C004: give issuer")
    assert text.endswith("Correct the client list (TOCSIN_CLIENTS).")


# -- state and database ------------------------------------------------------------------------------


def test_a_state_folder_that_cannot_be_written_fails(
    capsys: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("TOCSIN_STATE_DIR", str(blocked))
    code, found = told(capsys)
    ((state, text),) = found["state"]
    assert (code, state) == (1, "fail")
    assert "cannot be written to (NotADirectoryError). Give the user" in text


def test_a_state_folder_that_others_can_read_is_a_warning(
    capsys: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    key = folder / "patient.key"
    key.touch(mode=0o644)
    monkeypatch.setenv("TOCSIN_STATE_DIR", str(folder))
    code, found = told(capsys)
    assert (code, found["state"]) == (
        0,
        [("warn", f"Other users of this machine may look into it. chmod o-rwx {key}")],
    )
    key.chmod(0o600)
    assert told(capsys)[1]["state"][0][0] == "ok"


def test_a_first_start_is_no_failure(
    capsys: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TOCSIN_STATE_DIR", str(tmp_path / "new"))
    code, found = told(capsys)
    assert code == 0
    assert (found["state"][0][0], found["database"][0][0]) == ("warn", "warn")
    assert not (tmp_path / "new").exists()


def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "store.sqlite"
    monkeypatch.setenv("TOCSIN_DATABASE_URL", f"sqlite:///{path}")
    return path


def test_a_sound_database_is_left_as_it_is(
    capsys: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = database(tmp_path, monkeypatch)
    assert told(capsys)[1]["database"] == [
        ("ok", "There is no database yet: the service makes it at its first start.")
    ]
    assert not path.exists()
    tocsin(capsys, "db", "upgrade")
    code, found = told(capsys)
    assert (code, found["database"][0][0]) == (0, "ok")
    assert "is writable" in found["database"][0][1]


def test_a_file_that_is_no_database_fails_without_its_content(
    capsys: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database(tmp_path, monkeypatch).write_bytes(b"Jane Roe" * 1000)
    code, found = told(capsys)
    ((state, text),) = found["database"]
    assert (code, state) == (1, "fail")
    assert text == "The database cannot be used (SQLITE_NOTADB). See `tocsin db check`."


def test_an_empty_database_is_not_upgraded_by_looking(
    capsys: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = database(tmp_path, monkeypatch)
    sqlite3.connect(path).close()
    path.touch()
    code, found = told(capsys)
    assert (code, found["database"][0][0]) == (0, "warn")
    assert "It has no schema yet. `tocsin db upgrade`" in found["database"][0][1]
    assert path.stat().st_size == 0


@pytest.mark.parametrize(("change", "part"), [("level = 0", "level 0"), ("oldest = 99, level = 99", "99")])
def test_a_schema_of_another_level_is_told(
    capsys: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: str, part: str
) -> None:
    path = database(tmp_path, monkeypatch)
    tocsin(capsys, "db", "upgrade")
    connection = sqlite3.connect(path)
    connection.execute(f"UPDATE layout SET {change}")
    connection.commit()
    connection.close()
    code, found = told(capsys)
    assert code == (1 if "oldest" in change else 0)
    assert part in found["database"][0][1]


def test_a_table_that_lacks_a_column_fails(
    capsys: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = database(tmp_path, monkeypatch)
    tocsin(capsys, "db", "upgrade")
    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE answers DROP COLUMN urgency")
    connection.commit()
    connection.close()
    code, found = told(capsys)
    assert (code, [state for state, _ in found["database"]]) == (1, ["fail"])
    assert "tocsin db restore" in found["database"][0][1]


@pytest.mark.parametrize(("free", "state"), [(50, "fail"), (500, "warn")])
def test_a_full_disk_is_told(
    capsys: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free: int, state: str
) -> None:
    database(tmp_path, monkeypatch)
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(0, 0, free * 2**20))
    code, found = told(capsys)
    assert (code, found["database"][0][0]) == (state == "fail", state)
    assert f"Only {free} MiB are free" in found["database"][0][1]


def test_a_database_server_that_is_away_fails_without_its_address(
    capsys: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_DATABASE_URL", "postgresql://me:hunter2@127.0.0.1:1/tocsin")
    monkeypatch.setenv("TOCSIN_PATIENT_KEY", "k" * 32)
    code, out, err = tocsin(capsys, "doctor", "--offline")
    assert code == 1
    assert "The database cannot be used (OperationalError). Check its address" in out
    assert "hunter2" not in out + err


# -- rules -------------------------------------------------------------------------------------------


def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(SITE + text)
    monkeypatch.setenv("TOCSIN_SITE", str(file))


@pytest.mark.usefixtures("loading")
def test_a_broken_site_file_fails_at_its_line(
    capsys: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site(tmp_path, monkeypatch, "rules:\n" + "".join(f"  no-rule-{n}: {{mode: off}}\n" for n in range(7)))
    code, found = told(capsys)
    assert (code, len(found["rules"])) == (1, 6)
    assert found["rules"][0][1].startswith("site.yaml:4: R050: no rule is called no-rule-0. Correct it")
    assert found["rules"][-1][1].startswith("There are 2 more problems.")


@pytest.mark.usefixtures("loading")
def test_contacts_and_ended_trials_are_warnings(
    capsys: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = """\
contacts: {mscc: "4711", nobody: "1"}
rules: {failed-conservative-care: {mode: silent, until: "2020-01-31"}}
"""
    site(tmp_path, monkeypatch, text)
    code, found = told(capsys)
    assert code == 0
    assert "failed-conservative-care is silent past its end on 2020-01-31." in found["trials"][0][1]
    missing, unused = (text for _, text in found["contacts"])
    assert "infection" in missing
    assert "mscc" not in missing
    assert "nobody" in unused


@pytest.mark.usefixtures("loading")
def test_overdue_reviews_are_one_warning(capsys: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Self:
            return cls(2040, 1, 1, tzinfo=tz)

    monkeypatch.setattr("service.cli_doctor.dt.datetime", Later)
    code, found = told(capsys)
    assert (code, len(found["reviews"])) == (0, 1)
    assert "The review of 40 rules is overdue" in found["reviews"][0][1]


@pytest.mark.usefixtures("loading")
def test_an_archive_that_cannot_be_used_fails_with_its_code(
    capsys: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "rules.tar.gz"
    file.write_bytes(b"nothing")
    monkeypatch.setenv("TOCSIN_RULES_BUNDLE", str(file))
    code, found = told(capsys)
    ((state, text),) = found["rules"]
    assert (code, state) == (1, "fail")
    assert text.startswith("bundle-")


def test_an_archive_without_a_signature_is_a_warning(
    capsys: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for signed_by in ("", "key-1"):
        origin = Origin("rules.tar.gz", "sha256:0", signed_by)
        loaded = msgspec.structs.replace(bundled_knowledge(), origin=origin)
        monkeypatch.setattr(Knowledge, "load", lambda settings, today, loaded=loaded: loaded)
        code, found = told(capsys)
        assert code == 0
        assert "from rules.tar.gz load" in found["rules"][0][1]
        assert ("signed with key key-1" in found["rules"][0][1]) == bool(signed_by)
        assert ["TOCSIN_RULES_KEY" in text for _, text in found["rules"][1:]] == ([] if signed_by else [True])


def test_other_warnings_of_the_rules_and_whole_contacts(
    capsys: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = bundled_knowledge().bundle
    bundle = copy.copy(known)
    names = {name for rule in known.rules.values() for name in rule.contacts}
    bundle.overlay = msgspec.structs.replace(known.overlay, contacts=dict.fromkeys(names, "4711"))
    bundle.warnings = (Problem("site.yaml", 3, "R099", "odd", "warning"),)
    loaded = msgspec.structs.replace(bundled_knowledge(), bundle=bundle)
    monkeypatch.setattr(Knowledge, "load", lambda settings, today: loaded)
    _, found = told(capsys)
    assert found["contacts"] == [("ok", "Every contact that cards name is set.")]
    assert found["rules"][1] == ("warn", "site.yaml:3: R099: warning: odd. Correct it in the site file.")


@pytest.mark.parametrize(
    ("origins", "state", "part"),
    [
        ("*", "warn", "every origin"),
        ("https://a.example,https://b.example", "ok", "2 origins"),
        ("", "ok", "No"),
    ],
)
def test_cors(capsys: Terminal, monkeypatch: pytest.MonkeyPatch, origins: str, state: str, part: str) -> None:
    monkeypatch.setenv("TOCSIN_CORS_ORIGINS", origins)
    ((found, text),) = told(capsys)[1]["cors"]
    assert found == state
    assert part in text


# -- the run as a whole ------------------------------------------------------------------------------


def test_a_check_that_hangs_is_a_failure_after_the_timeout(
    capsys: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hang(scene: Scene) -> list[Finding]:
        time.sleep(5)
        return []

    monkeypatch.setattr(doctor, "check_database", hang)
    began = time.monotonic()
    code, found = told(capsys, "--timeout", "1")
    assert time.monotonic() - began < 4
    assert code == 1
    assert found["database"] == [
        ("fail", "It was not done after 1 seconds. See what it waits for: disk, database, DNS.")
    ]


def test_a_check_that_breaks_says_so_without_a_traceback(
    capsys: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(scene: Scene) -> list[Finding]:
        raise ValueError("Jane Roe")

    monkeypatch.setattr(doctor, "check_cors", broken)
    code, out, err = tocsin(capsys, "doctor", "--offline")
    assert code == 1
    assert "The check itself failed (ValueError)." in out
    assert "Jane" not in out + err


def test_a_token_is_read_from_standard_input(capsys: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"Bearer a.b")))
    code, found = told(capsys, "--token-file", "-")
    assert (code, found["token"][0][0]) == (1, "fail")
    assert "It is no JWT" in found["token"][0][1]


@pytest.mark.parametrize("content", [None, b"", b"Authorization: Bearer \n"])
def test_a_token_file_without_a_token_is_a_wrong_use(
    capsys: Terminal, tmp_path: Path, content: bytes | None
) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    code, _, err = tocsin(capsys, "doctor", "--token-file", os.fspath(file))
    assert code == 2
    assert "token" in err
