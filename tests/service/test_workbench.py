"""What commands work with: the settings that count, problems with places."""

from pathlib import Path

import pytest
import typer

from rules.engine import Problem
from service.settings import Settings
from service.workbench import local_knowledge, local_settings, shown_path, tell, today

Terminal = pytest.CaptureFixture[str]


def test_only_the_rules_settings_of_the_environment_count(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("schema_version: 1\nsite: Test\n")
    for name, value in {"SITE": str(site), "TIMEZONE": "Europe/London", "PORT": "9", "AUTH": "on"}.items():
        monkeypatch.setenv(f"TOCSIN_{name}", value)
    settings = local_settings()
    assert (settings.site, settings.timezone) == (site, "Europe/London")
    assert (settings.port, settings.auth, settings.explains) == (8000, False, True)


@pytest.mark.parametrize(
    ("name", "value", "code"), [("TOCSIN_SITE", "nowhere.yaml", 2), ("TOCSIN_SIET", "site.yaml", 2)]
)
def test_a_wrong_rules_setting_ends_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: Terminal, name: str, value: str, code: int
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(typer.Exit) as caught:
        local_settings()
    assert caught.value.exit_code == code
    assert capsys.readouterr().err.startswith(f"{name}: ")


def test_a_wrong_setting_of_the_server_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_PORT", "none")
    assert local_settings().port == 8000


def test_the_day_is_that_of_the_settings() -> None:
    settings = Settings(timezone="Pacific/Kiritimati", auth=False)
    assert today(settings) >= today(Settings(auth=False))


def test_rules_that_cannot_be_used_end_the_command_with_their_problems(
    tmp_path: Path, capsys: Terminal
) -> None:
    site = tmp_path / "site.yaml"
    site.write_text("schema_version: 1\nsite: ''\n")
    with pytest.raises(typer.Exit) as caught:
        local_knowledge(Settings(site=site, auth=False))
    assert caught.value.exit_code == 1
    assert "site.yaml:2: R002:" in capsys.readouterr().out


def test_problems_have_paths_that_can_be_followed(
    tmp_path: Path, capsys: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown_path(tmp_path / "rules") == Path("rules")
    assert shown_path(tmp_path.parent) == tmp_path.parent
    tell([Problem("facts.yaml", 3, "R003", "no")], Path("rules"))
    tell([Problem("no site file", 0, "R055", "none", "warning")])
    assert capsys.readouterr().out.splitlines() == [
        "rules/facts.yaml:3: R003: no",
        "no site file: R055: warning: none",
    ]
