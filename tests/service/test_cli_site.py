"""`tocsin site`: the file of a site, checked and compared."""

from pathlib import Path

import pytest

from tests.service.terminal import tocsin

ESR = "esr-crp-markedly-raised-persistent-pain"
Terminal = pytest.CaptureFixture[str]


def written(tmp_path: Path, text: str) -> str:
    file = tmp_path / "site.yaml"
    file.write_text(f"schema_version: 1\nsite: Test\n{text}", encoding="utf-8")
    return str(file)


def test_a_good_file_lints_with_warnings_for_the_contacts_it_lacks(capsys: Terminal, tmp_path: Path) -> None:
    file = written(tmp_path, "contacts: {spinal: '555 0100'}\n")
    code, out, _ = tocsin(capsys, "site", "lint", file)
    assert code == 0
    missing = [line for line in out.splitlines() if "R055: warning: contact 'mscc' has no number" in line]
    assert len(missing) == 1
    assert missing[0].startswith(f"{file}:3: ")
    assert "mscc-cancer-neuro-signs" in missing[0]
    assert "'spinal'" not in out
    assert out.splitlines()[-1].startswith(f"{file}: 0 errors, ")


def test_everything_wrong_is_told_with_its_line(capsys: Terminal, tmp_path: Path) -> None:
    params = "    params:\n      esr_high: 600.0\n      esr_hihg: 50.0\n"
    file = written(tmp_path, f"rules:\n  {ESR}:\n{params}  nobody: {{mode: silent}}\n")
    code, out, _ = tocsin(capsys, "site", "lint", file)
    assert code == 1
    assert f"{file}:6: R052: esr_high must lie between 40.0 and 100.0" in out
    assert f"{file}:7: R051: {ESR} has no parameter esr_hihg" in out
    assert f"{file}:8: R050: no rule is called nobody" in out


@pytest.mark.parametrize("command", ["lint", "diff"])
def test_a_file_that_breaks_the_schema(capsys: Terminal, tmp_path: Path, command: str) -> None:
    file = written(tmp_path, "rulez: {}\n")
    code, out, _ = tocsin(capsys, "site", command, file)
    assert code == 1
    assert f"{file}:3: R002: rulez: no such key here" in out


@pytest.mark.parametrize("command", ["lint", "diff"])
def test_a_file_that_is_not_there(capsys: Terminal, tmp_path: Path, command: str) -> None:
    code, _, err = tocsin(capsys, "site", command, str(tmp_path / "none.yaml"))
    assert code == 2
    assert "does not exist" in err


def test_diff_tells_old_new_and_bounds(capsys: Terminal, tmp_path: Path) -> None:
    text = (
        f"rules: {{{ESR}: {{mode: silent, params: {{esr_high: 60.0}}}}}}\n"
        "contacts: {mscc: '555 0100'}\n"
        "codes: {night-sweats: [{system: 'urn:oid:1.2.3', code: NS}]}\n"
    )
    code, out, _ = tocsin(capsys, "site", "diff", written(tmp_path, text))
    assert code == 0
    assert out.splitlines() == [
        f"{ESR}: mode: live -> silent",
        f"{ESR}: esr_high: 50 mm/h -> 60 mm/h (between 40 and 100)",
        "contact mscc: none -> 555 0100",
        "value set night-sweats: bundled codes -> and urn:oid:1.2.3|NS",
    ]


def test_diff_of_a_file_that_changes_nothing(capsys: Terminal, tmp_path: Path) -> None:
    code, out, _ = tocsin(capsys, "site", "diff", written(tmp_path, ""))
    assert (code, out) == (0, "Nothing differs from the bundled rules.\n")


def test_diff_of_a_wrong_value_tells_what_is_wrong(capsys: Terminal, tmp_path: Path) -> None:
    file = written(tmp_path, f"rules: {{{ESR}: {{params: {{esr_high: 6.0}}}}}}\n")
    code, out, _ = tocsin(capsys, "site", "diff", file)
    assert code == 1
    assert f"{file}:3: R052:" in out
