"""The command line: options from the settings table, late imports, exit codes."""

import os
import sys
import types
from typing import Any

import pytest
import typer
import uvicorn

from service import __version__, cli, serving
from service.errors import catalogue
from service.settings import table


class Uvicorn:
    """Stands in for uvicorn.run and keeps what it was called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[tuple[str, ...], dict[str, Any]]] = []

    def run(self, *names: str, **options: Any) -> None:
        self.calls.append((names, options))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Uvicorn:
    stand_in = Uvicorn()
    monkeypatch.setattr(uvicorn, "run", stand_in.run)
    monkeypatch.setattr(serving, "_check_address", lambda host, port: None)
    monkeypatch.setattr(cli, "configure", lambda level: None)
    # serve writes to the environment; setting each name first makes monkeypatch restore it.
    for row in table():
        monkeypatch.setenv(row.name, "")
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    return stand_in


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    return int(caught.value.code or 0)


def test_serve_starts_the_application_with_its_options(
    server: Uvicorn, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--auth", "off", "--profile", "sandbox", "--port", "8123", "--host", "::1")
    assert run("serve", *options) == 0
    ((names, given),) = server.calls
    assert names == ("service.app:create_app",)
    assert (given["factory"], given["host"], given["port"], given["workers"]) == (True, "::1", 8123, 1)
    assert (given["access_log"], given["server_header"], given["log_config"]) == (False, False, None)
    assert given["timeout_graceful_shutdown"] == 30
    said = capsys.readouterr().err
    assert "http://[::1]:8123" in said
    assert "Authentication is OFF" in said
    # The worker processes read the same settings.
    assert os.environ["TOCSIN_PORT"] == "8123"


def test_an_option_wins_over_the_environment(server: Uvicorn, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TOCSIN_PORT": "1", "TOCSIN_AUTH": "off", "TOCSIN_PROFILE": "sandbox"}.items():
        monkeypatch.setenv(name, value)
    assert run("serve", "--port", "2") == 0
    assert server.calls[0][1]["port"] == 2


def test_serve_stops_with_every_problem(server: Uvicorn, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("serve", "--port", "none", "--workers", "many") == 2
    said = capsys.readouterr().err
    assert server.calls == []
    assert [line.partition(":")[0] for line in said.splitlines()] == ["TOCSIN_PORT", "TOCSIN_WORKERS"]
    assert "none" not in said


def test_serve_has_one_option_for_each_setting(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run("serve", "--help") == 0
    shown = capsys.readouterr().out
    assert [row.field for row in table() if f"--{row.field.replace('_', '-')} " not in shown] == []


def test_version_names_code_rules_and_python(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("version") == 0
    said = capsys.readouterr().out
    assert said.startswith(f"tocsin {__version__}, rules 20")
    assert said.endswith(f"Python {sys.version.split()[0]}\n")


def test_settings_shows_values_and_marks_the_changed_ones(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TOCSIN_PORT": "9", "TOCSIN_AUTH": "off", "TOCSIN_PROFILE": "production"}.items():
        monkeypatch.setenv(name, value)
    assert run("settings") == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == len(table())
    changed = {line.split()[1]: line.split()[2] for line in shown if line.startswith("*")}
    assert changed == {"TOCSIN_PORT": "9", "TOCSIN_AUTH": "off", "TOCSIN_PROFILE": "production"}


def test_settings_lists_the_names_even_when_something_is_wrong(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOCSIN_PROT", "9")
    assert run("settings") == 2
    said = capsys.readouterr()
    assert "TOCSIN_PORT" in said.out
    assert "TOCSIN_PROT: There is no such setting. Did you mean TOCSIN_PORT?" in said.err


def test_settings_prints_the_reference_page(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("settings", "--markdown") == 0
    assert capsys.readouterr().out.startswith("## Server\n")


def test_errors_lists_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("errors") == 0
    page = capsys.readouterr().out
    assert "| `data-unavailable` | 412 |" in page
    assert page.count("\n") == 2 + len(catalogue())


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch) -> None:
    """A family of commands named `sample`, in a module that is imported on demand."""
    module = types.ModuleType("tests_sample_family")
    vars(module)["app"] = app = typer.Typer()

    @app.command()
    def one() -> None:
        typer.echo("one ran")

    @app.command()
    def two() -> None:
        typer.echo("two ran")

    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(cli.FAMILIES, "sample", (module.__name__, "Sample commands."))
    monkeypatch.setitem(cli.FAMILIES, "absent", ("tests_no_such_module", "Never imported here."))


@pytest.mark.usefixtures("family")
def test_a_family_is_imported_only_when_it_is_called(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    assert "Never imported here." in capsys.readouterr().out
    assert run("sample", "two") == 0
    assert capsys.readouterr().out == "two ran\n"
    with pytest.raises(ModuleNotFoundError):
        cli.main(["absent"])


@pytest.mark.parametrize(("arguments", "code"), [((), 2), (("--help",), 0), (("no-such-command",), 2)])
def test_exit_codes_follow_convention(arguments: tuple[str, ...], code: int) -> None:
    assert run(*arguments) == code


def test_every_family_module_exists() -> None:
    for name in ("", *cli.FAMILIES):
        assert isinstance(cli.application(name), typer.Typer)
