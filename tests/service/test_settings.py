"""Settings: what is read, what is refused, what is said about it."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from service.cautions import warnings
from service.errors import SettingsError
from service.settings import PREFIX, Settings, examine, load, settings_markdown, table

SANDBOX = {"TOCSIN_PROFILE": "sandbox", "TOCSIN_AUTH": "off"}


def given(monkeypatch: pytest.MonkeyPatch, **values: str) -> None:
    for name, value in values.items():
        monkeypatch.setenv(name, value)


def refused(monkeypatch: pytest.MonkeyPatch, **values: str) -> dict[str, str]:
    """Setting name -> what is said about it, for settings that must not load."""
    given(monkeypatch, **values)
    with pytest.raises(SettingsError) as caught:
        load()
    return {problem.name: str(problem) for problem in caught.value.problems}


def test_values_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clients = tmp_path / "clients.yaml"
    clients.write_text("clients: []")
    given(
        monkeypatch,
        TOCSIN_CLIENTS=str(clients),
        TOCSIN_PUBLIC_URL="https://CDS.example.org:443/tocsin/",
        TOCSIN_CORS_ORIGINS=" https://a.example , https://b.example:8443,",
        TOCSIN_FHIR_ALLOW="http://127.0.0.1:8080/fhir",
        TOCSIN_SNOMED_EXTENSION="off",
        TOCSIN_TIMEZONE="Europe/London",
        TOCSIN_SITE="",
    )
    settings = load()
    assert settings.auth
    assert settings.clients == clients
    assert settings.public_url == "https://cds.example.org/tocsin"
    assert settings.cors_origins == ("https://a.example", "https://b.example:8443")
    assert settings.fhir_allow == ("http://127.0.0.1:8080/fhir",)
    assert not settings.snomed_extension
    assert settings.zone.key == "Europe/London"
    assert settings.site is None


def test_every_problem_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = refused(
        monkeypatch,
        TOCSIN_PROFILE="production",
        TOCSIN_PORT="http",
        TOCSIN_TIMEZONE="Mars/Base",
        TOCSIN_DEMO="on",
        TOCSIN_AUHT="off",
    )
    assert found.keys() == {
        "TOCSIN_AUHT",
        "TOCSIN_DEMO",
        "TOCSIN_PORT",
        "TOCSIN_TIMEZONE",
    }
    assert "TOCSIN_AUTH" in found["TOCSIN_AUHT"]
    assert "integer from 1 to 65535" in found["TOCSIN_PORT"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOCSIN_PORT", "-77"),
        ("TOCSIN_PORT", "65536"),
        ("TOCSIN_AUTH", "perhaps"),
        ("TOCSIN_PROFILE", "staging"),
        ("TOCSIN_SITE", "/nowhere/site.yaml"),
        ("TOCSIN_TIMEZONE", "../etc/passwd"),
        ("TOCSIN_FHIR_ALLOW", "https://u:secretword@example.org/r4"),
        ("TOCSIN_FHIR_ALLOW", "https://ok.example.org, http://example.org/r4"),
        ("TOCSIN_CORS_ORIGINS", "https://example.org/secretword"),
        ("TOCSIN_PUBLIC_URL", "cds.example.net"),
    ],
)
def test_a_wrong_value_is_named_and_not_repeated(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    found = refused(monkeypatch, **{**SANDBOX, name: value})
    assert found.keys() == {name}
    assert value not in found[name]
    assert "secretword" not in found[name]
    assert f"{name}=" in found[name]


@pytest.mark.parametrize(("port", "fits"), [("0", False), ("1", True), ("65535", True), ("65536", False)])
def test_bounds_hold_on_both_sides(monkeypatch: pytest.MonkeyPatch, port: str, fits: bool) -> None:
    given(monkeypatch, **SANDBOX, TOCSIN_PORT=port)
    assert bool(examine()[1]) is not fits


def test_the_token_of_tocsin_try_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOCSIN_TRY_TOKEN", "x")
    assert not [problem for problem in examine()[1] if problem.name == "TOCSIN_TRY_TOKEN"]


def test_names_that_kubernetes_sets_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    links = {
        "TOCSIN_SERVICE_HOST": "10.0.0.1",
        "TOCSIN_SERVICE_PORT": "80",
        "TOCSIN_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    given(monkeypatch, **SANDBOX, **links)
    assert load().port == 8000
    found = refused(monkeypatch, TOCSIN_PORT="tcp://10.0.0.1:80")
    assert "enableServiceLinks" in found["TOCSIN_PORT"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOCSIN_DEMO", "on"),
        ("TOCSIN_CORS_ORIGINS", "*"),
        ("TOCSIN_PUBLIC_URL", "http://localhost:8000"),
    ],
)
def test_production_refuses_what_a_sandbox_may_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str
) -> None:
    clients = tmp_path / "clients.yaml"
    clients.touch()
    sound = {"TOCSIN_CLIENTS": str(clients), "TOCSIN_PUBLIC_URL": "https://cds.example.org"}
    given(monkeypatch, **sound, TOCSIN_PROFILE="production")
    assert load().profile == "production"
    assert refused(monkeypatch, **{name: value}).keys() == {name}
    given(monkeypatch, TOCSIN_PROFILE="sandbox")
    assert load().profile == "sandbox"


def test_fetching_must_leave_time_for_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, **SANDBOX, TOCSIN_BUDGET_MS="351")
    assert load().fetch_budget_ms == 350
    assert refused(monkeypatch, TOCSIN_BUDGET_MS="350").keys() == {"TOCSIN_FETCH_BUDGET_MS"}


def test_a_conflict_with_a_broken_setting_is_not_guessed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    found = refused(monkeypatch, TOCSIN_AUTH="maybe", TOCSIN_PROFILE="sandbox")
    assert found.keys() == {"TOCSIN_AUTH"}


@pytest.mark.parametrize(
    ("profile", "explain", "served"),
    [
        ("sandbox", "auto", True),
        ("production", "auto", False),
        ("production", "on", True),
        ("sandbox", "off", False),
    ],
)
def test_explain_follows_the_profile_unless_told(profile: str, explain: str, served: bool) -> None:
    assert Settings.model_validate({"profile": profile, "explain": explain}).explains is served


def test_what_is_allowed_but_unsafe_is_said() -> None:
    kept = {"state_dir": Path("/var/lib/tocsin"), "trust_sandbox": True}

    def told(**given: object) -> tuple[str, ...]:
        return warnings(Settings.model_validate({**kept, **given}))

    assert told() == ()
    assert "Authentication is OFF" in told(auth=False)[0]
    assert "from other machines" in told(auth=False, host="0.0.0.0")[1]
    assert "No EHR can call" in told(trust_sandbox=False)[0]
    assert "TOCSIN_PUBLIC_URL is not set" in told(profile="production", trust_sandbox=False)[1]
    assert "in memory only" in told(state_dir=None)[0]
    assert "Critical rules are OFF" in told(critical_rules=False)[0]


def test_settings_do_not_change() -> None:
    settings = Settings()
    with pytest.raises(ValidationError, match="frozen"):
        settings.port = 1
    assert settings.port == 8000


def test_every_example_is_a_value_that_works(tmp_path: Path) -> None:
    for row in table():
        if row.type == "path of a file" or row.field == "rules_key":
            continue
        assert Settings.model_validate_strings({row.field: row.example})


def test_the_reference_page_has_every_setting_in_its_group() -> None:
    page = settings_markdown()
    assert [row.field for row in table()] == list(Settings.model_fields)
    for row in table():
        assert row.name == PREFIX + row.field.upper()
        section = page.partition(f"## {row.group.capitalize()}\n")[2].partition("\n## ")[0]
        assert f"| `{row.name}` | {row.type} | `{row.default}` | {row.help} | `{row.example}` |" in section


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr("service.settings.SECRETS", tmp_path)
    return tmp_path


def test_a_secret_comes_from_a_file_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, secrets: Path
) -> None:
    given(monkeypatch, **SANDBOX)
    (secrets / "tocsin_patient_key").write_text("a-long-random-text\n")
    key = load().patient_key
    assert key is not None
    assert key.get_secret_value() == "a-long-random-text"
    given(monkeypatch, TOCSIN_PATIENT_KEY="another-long-random-text")
    key = load().patient_key
    assert key is not None
    assert key.get_secret_value() == "another-long-random-text"


def test_a_wrong_secret_is_reported_without_its_value(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (secrets / "tocsin_patient_key").write_text("short")
    found = refused(monkeypatch, **SANDBOX)
    assert found.keys() == {"TOCSIN_PATIENT_KEY"}
    assert "short" not in found["TOCSIN_PATIENT_KEY"]


def test_a_secret_that_cannot_be_read_is_reported(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (secrets / "tocsin_admin_token").mkdir()
    assert refused(monkeypatch, **SANDBOX).keys() == {"TOCSIN_ADMIN_TOKEN"}


def test_workers_can_be_one_for_each_core(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("service.values.MEMORY_LIMITS", (tmp_path / "none",))
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(3)))
    given(monkeypatch, **SANDBOX, TOCSIN_WORKERS="cores")
    assert load().workers == 3
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(500)))
    assert load().workers == 64


@pytest.mark.parametrize(
    ("limit", "workers"), [("max", 8), (str(2**28), 1), (str(2**29), 2), (str(2**32), 8), (str(2**20), 1)]
)
def test_no_more_workers_are_started_than_the_memory_of_the_container_holds(
    limit: str, workers: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "memory.max"
    file.write_text(f"{limit}\n")
    monkeypatch.setattr("service.values.MEMORY_LIMITS", (tmp_path / "none", file))
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))
    given(monkeypatch, **SANDBOX, TOCSIN_WORKERS="cores")
    assert load().workers == workers
