"""`tocsin bundle`, and the other commands over rules that come from an archive."""

import stat
from pathlib import Path

import orjson
import pytest

from tests.service.archives import SITE_TEXT, keys, plain, public_key, signed, with_site, written
from tests.service.terminal import tocsin

Terminal = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)


def test_rules_are_packed_signed_and_verified(capsys: Terminal, tmp_path: Path) -> None:
    code, out, _ = tocsin(capsys, "bundle", "build", "--output", "r.tar.gz")
    assert (code, out.splitlines()[1]) == (0, f"archive {plain().digest}")
    assert tocsin(capsys, "bundle", "keygen")[0] == 0
    assert stat.S_IMODE((tmp_path / "tocsin-rules.key").stat().st_mode) == 0o600
    code, out, _ = tocsin(capsys, "bundle", "sign", "r.tar.gz", "--key", "tocsin-rules.key")
    assert (code, out.startswith("r.tar.gz: signed by ")) == (0, True)
    code, out, _ = tocsin(capsys, "bundle", "verify", "r.tar.gz", "--key", "tocsin-rules.pem")
    assert (code, out.startswith("r.tar.gz: good, signed by ")) == (0, True)
    assert "40 rules" in out
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_name_the_time_and_the_site_file(
    capsys: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "our.yaml").write_text(SITE_TEXT)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1795564800")
    assert tocsin(capsys, "bundle", "build", "--overlay", "our.yaml")[0] == 0
    (file,) = tmp_path.glob("tocsin-rules-*.tar.gz")
    _, out, _ = tocsin(capsys, "bundle", "show", file.name)
    assert "created    2026-11-25T00:00:00+00:00" in out
    assert "site file  inside" in out
    assert "signature  none" in out
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    assert tocsin(capsys, "bundle", "build")[0::2] == (
        2,
        "SOURCE_DATE_EPOCH is no number of seconds since 1970.\n",
    )


def test_show_as_json(capsys: Terminal, tmp_path: Path) -> None:
    written(tmp_path, signed(plain()))
    code, out, _ = tocsin(capsys, "bundle", "show", "rules.tar.gz", "--json")
    told = orjson.loads(out)
    assert (code, told["archive"], told["signed"]) == (0, plain().digest, True)
    assert told["manifest"]["files"].keys() == plain().files.keys()


def test_what_is_wrong_is_one_line_with_a_code(capsys: Terminal, tmp_path: Path) -> None:
    public_key(tmp_path)
    written(tmp_path, plain())
    written(tmp_path, signed(plain(), "theirs"), "theirs.tar.gz")
    (tmp_path / "folder").mkdir()
    (tmp_path / "half.tar.gz").write_bytes((tmp_path / "rules.tar.gz").read_bytes()[:9999])
    expected = {
        ("verify", "rules.tar.gz", "--key", "ours.pem"): "rules.tar.gz: bundle-unsigned: ",
        ("verify", "theirs.tar.gz", "--key", "ours.pem"): "theirs.tar.gz: bundle-signature-wrong: ",
        ("verify", "rules.tar.gz", "--key", "none.pem"): "bundle-unsigned",
        ("show", "half.tar.gz"): "half.tar.gz: bundle-cut-short: ",
        ("show", "ours.pem"): "ours.pem: bundle-not-archive: ",
        ("show", "none.tar.gz"): "none.tar.gz: bundle-unreadable: It does not exist. ",
        ("show", "folder"): "folder: bundle-unreadable: It cannot be read. ",
        ("sign", "rules.tar.gz", "--key", "ours.pem"): "bundle-key-invalid: ours.pem is no private key",
    }
    expected[("verify", "rules.tar.gz", "--key", "none.pem")] = "bundle-key-invalid: none.pem does not exist"
    for arguments, said in expected.items():
        code, out, err = tocsin(capsys, "bundle", *arguments)
        assert (code, out, err.count("\n")) == (1, "", 1), arguments
        assert err.startswith(said)


def test_a_key_that_is_there_is_not_overwritten(capsys: Terminal, tmp_path: Path) -> None:
    (tmp_path / "mine.key").write_text("kept")
    code, _, err = tocsin(capsys, "bundle", "keygen", "--name", "mine")
    assert (code, err) == (1, "mine.key cannot be written (File exists).\n")
    assert (tmp_path / "mine.key").read_text() == "kept"


def test_the_folder_of_the_keys_is_made_for_nobody_else(capsys: Terminal, tmp_path: Path) -> None:
    code, out, _ = tocsin(capsys, "bundle", "keygen", "--folder", "safe/keys")
    assert (code, out.startswith("safe/keys/tocsin-rules.key: private key")) == (0, True)
    assert stat.S_IMODE((tmp_path / "safe/keys").stat().st_mode) == 0o700
    assert tocsin(capsys, "bundle", "keygen", "--folder", "safe/keys", "--name", "second")[0] == 0
    (tmp_path / "file").write_text("")
    code, _, err = tocsin(capsys, "bundle", "keygen", "--folder", "file/keys")
    assert (code, err) == (1, "file/keys cannot be made (Not a directory).\n")


def test_rules_that_are_broken_are_not_packed(capsys: Terminal, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, out, err = tocsin(capsys, "bundle", "build", "--rules", "empty")
    assert code == 1
    assert "facts.yaml:1: R001" in out
    assert err.startswith("Nothing is packed: ")
    assert list(tmp_path.glob("*.tar.gz")) == []


def test_a_file_that_cannot_be_written_is_told(capsys: Terminal) -> None:
    code, _, err = tocsin(capsys, "bundle", "build", "--output", "none/r.tar.gz")
    assert (code, err) == (1, "none/r.tar.gz cannot be written (No such file or directory).\n")


def test_other_commands_go_by_the_archive(
    capsys: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_RULES_BUNDLE", str(written(tmp_path, signed(with_site()))))
    monkeypatch.setenv("TOCSIN_RULES_KEY", str(public_key(tmp_path)))
    rule = "cancer-history-new-back-pain"
    _, out, _ = tocsin(capsys, "rules", "list")
    assert next(line for line in out.splitlines() if line.startswith(f"{rule} ")).split()[3] == "off"
    assert tocsin(capsys, "rules", "show", rule)[1].startswith(f"id: {rule}")
    assert tocsin(capsys, "rules", "test", rule)[0] == 0
    code, out, _ = tocsin(capsys, "rules", "lint")
    assert (code, out.splitlines()[-1].split(",")[0]) == (0, "40 rules: 0 errors")
    (tmp_path / "ours.yaml").write_text(SITE_TEXT)
    assert tocsin(capsys, "site", "diff", "ours.yaml")[0] == 0
    assert tocsin(capsys, "demo", "demo-esr")[0] == 0


def test_other_commands_refuse_an_archive_that_is_not_trusted(
    capsys: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert keys("theirs") != keys()
    monkeypatch.setenv("TOCSIN_RULES_BUNDLE", str(written(tmp_path, signed(plain(), "theirs"))))
    monkeypatch.setenv("TOCSIN_RULES_KEY", str(public_key(tmp_path)))
    for arguments in (("rules", "list"), ("rules", "test"), ("demo", "demo-esr")):
        code, _, err = tocsin(capsys, *arguments)
        assert (code, err.count("\n")) == (2, 1)
        assert err.startswith("bundle-signature-wrong: ")
