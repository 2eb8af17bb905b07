"""The compose file and what it mounts."""

import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import SECRETS, Settings, table
from service.trust.clientfile import read_clients
from tests.deploy.conftest import Tool, tool_named

BOUND = re.compile(r"\$\{[A-Z_]+:-([^}]*)\}")


@pytest.fixture(scope="module")
def folder(deploy: Path) -> Path:
    return deploy / "compose"


@pytest.fixture(scope="module")
def services(folder: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((folder / "compose.yaml").read_text("utf-8"))[
        "services"
    ]
    assert found
    return found


def test_what_is_set_is_a_setting(services: dict[str, dict[str, Any]]) -> None:
    names = {row.name for row in table()}
    assert set(services["tocsin"]["environment"]) - names == set()
    assert {name.upper() for name in services["tocsin"]["secrets"]} - names == set()


def test_no_variable_of_a_person_looks_like_a_setting(folder: Path) -> None:
    """`tocsin` on the same machine refuses names it does not know."""
    asked = re.findall(r"\$\{([A-Z_]+)", (folder / "compose.yaml").read_text("utf-8"))
    asked += re.findall(r"\{\$([A-Z_]+)", (folder / "Caddyfile").read_text("utf-8"))
    assert asked
    assert [name for name in asked if name.startswith("TOCSIN_")] == []


def test_secrets_are_files_and_never_values(folder: Path, services: dict[str, dict[str, Any]]) -> None:
    whole = yaml.safe_load((folder / "compose.yaml").read_text("utf-8"))
    used = {name for service in services.values() for name in service.get("secrets", ())}
    assert used == whole["secrets"].keys()
    assert all(entry["file"] == f"./secrets/{name}" for name, entry in whole["secrets"].items())
    assert services["database"]["environment"]["POSTGRES_PASSWORD_FILE"] == str(SECRETS / "postgres_password")
    assert not any(
        "PASSWORD" in key and not key.endswith("_FILE") for key in services["database"]["environment"]
    )


def test_the_script_makes_secrets_once_and_lets_only_the_owner_in(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "secrets.sh"
    script.write_bytes((folder / "secrets.sh").read_bytes())

    def run() -> dict[str, str]:
        subprocess.run(["sh", str(script)], check=True, capture_output=True)
        return {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}

    made = run()
    assert made.keys() == {"postgres_password", "tocsin_database_url", "tocsin_patient_key"}
    assert made["postgres_password"] in made["tocsin_database_url"]
    assert len(made["tocsin_patient_key"]) == 64
    assert made["tocsin_patient_key"] != made["postgres_password"]
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert run() == made


def test_the_service_runs_without_rights(services: dict[str, dict[str, Any]]) -> None:
    service = services["tocsin"]
    assert service["user"] == "65532:65532"
    assert service["read_only"] is True
    for name in ("tocsin", "caddy", "prometheus"):
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]


def test_only_tls_is_open_to_other_machines(services: dict[str, dict[str, Any]]) -> None:
    opened = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert opened.keys() == {"caddy", "prometheus"}
    assert all(port.startswith("127.0.0.1:") for port in opened["prometheus"])
    assert [port.rpartition(":")[2] for port in opened["caddy"]] == ["443"]


def test_the_database_is_reached_by_the_service_alone(
    folder: Path, services: dict[str, dict[str, Any]]
) -> None:
    whole = yaml.safe_load((folder / "compose.yaml").read_text("utf-8"))
    assert services["database"]["networks"] == ["back"]
    assert whole["networks"]["back"] == {"internal": True}
    assert [name for name, service in services.items() if "back" in service["networks"]] == [
        "tocsin",
        "database",
    ]


def test_mounted_files_exist(folder: Path, services: dict[str, dict[str, Any]]) -> None:
    sources = [
        volume.split(":")[0]
        for service in services.values()
        for volume in service.get("volumes", ())
        if volume.startswith(".")
    ]
    assert len(sources) == 5
    assert [source for source in sources if not (folder / source).exists()] == []
    # What is to be read anew must be in a folder: of a replaced file the container keeps the old one.
    assert [source for source in sources if (folder / source).is_dir()] == ["./site"]


def test_the_site_s_files_are_left_out_until_they_are_named(
    services: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    named = ("TOCSIN_SITE", "TOCSIN_RULES_BUNDLE", "TOCSIN_RULES_KEY")
    for name in named:
        (default,) = BOUND.findall(services["tocsin"]["environment"][name])
        monkeypatch.setenv(name, default)
    settings = Settings()
    assert (settings.site, settings.rules_bundle, settings.rules_key) == (None, None, ())


def test_images_name_no_registry(services: dict[str, dict[str, Any]]) -> None:
    for service in services.values():
        (image,) = BOUND.findall(service["image"])
        host, slash, _ = image.partition("/")
        assert not slash or host == "localhost" or not re.search(r"[.:]", host), image
        assert ":" in image.rpartition("/")[2]


def test_the_clients_file_is_one_the_service_reads(folder: Path) -> None:
    clients, cautions = read_clients(folder / "clients.yaml")
    assert [client.id for client in clients] == ["example-ehr"]
    assert cautions == ()


def test_prometheus_reads_its_configuration(promtool: Tool, folder: Path) -> None:
    done = promtool("check", "config", "--syntax-only", str(folder / "prometheus.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_caddy_reads_its_configuration(caddy: Tool, folder: Path) -> None:
    done = caddy("validate", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile")
    assert done.returncode == 0, done.stderr


def test_the_file_is_valid(folder: Path, tmp_path: Path) -> None:
    check = tool_named("check-jsonschema")
    schema = ("--builtin-schema", "vendor.compose-spec")
    done = check(*schema, str(folder / "compose.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = tmp_path / "compose.yaml"
    wrong.write_text((folder / "compose.yaml").read_text("utf-8").replace("read_only:", "readonly:"))
    assert check(*schema, str(wrong)).returncode != 0
