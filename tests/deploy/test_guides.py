"""The pages for operators: what they name exists, and their examples are accepted."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from prometheus_client import generate_latest
from typer.testing import CliRunner

from rules.engine import Overlay, load
from service.canary import series
from service.cli import FAMILIES, application
from service.memory.admin import read_switch
from service.memory.killswitch import FILE, Switches
from service.memory.sqlite import SqliteStore
from service.metrics import Metrics
from service.settings import table
from tests.deploy.conftest import Tool
from tests.deploy.rendering import CANARY, PUBLIC_KEY, environment, merged, rendered
from tests.deploy.values_schema import schema_text
from tests.files import globbed

GUIDES = (
    "backup.md",
    "bundle.md",
    "canary.md",
    "deploy.md",
    "modes.md",
    "security-review.md",
    "sizing.md",
    "stop-cards.md",
    "traces.md",
    "upgrade.md",
)
COMMAND = re.compile(r"(?:^|`)tocsin ((?:[a-z-]+)(?: [a-z][a-z-]*)?)", re.MULTILINE)


@pytest.fixture(scope="module")
def pages(repository: Path) -> dict[Path, str]:
    """Every guide and every runbook."""
    paths = [repository / "docs/how-to" / name for name in GUIDES]
    paths += globbed(repository / "deploy/runbooks", "*.md")
    return {path: path.read_text("utf-8") for path in paths}


def test_links_lead_somewhere(pages: dict[Path, str]) -> None:
    broken = [
        f"{path.name}: {link}"
        for path, text in pages.items()
        for link in re.findall(r"\]\(([^)#:]+)\)", text)
        if not (path.parent / link).exists()
    ]
    assert broken == []


def test_settings_and_metrics_they_name_exist(pages: dict[Path, str]) -> None:
    settings = {row.name for row in table()}
    metrics = (Metrics().render() + generate_latest(series([], 0.0))).decode()
    for path, text in pages.items():
        assert set(re.findall(r"TOCSIN_[A-Z_]+[A-Z]", text)) - settings == set(), path.name
        for name in set(re.findall(r"\btocsin_[a-z_]+_[a-z]+\b", text)) - {"tocsin_patient_key"}:
            assert f"# TYPE {name} " in metrics, f"{path.name} names {name}"


def test_commands_they_name_exist(pages: dict[Path, str]) -> None:
    named = {command for text in pages.values() for command in COMMAND.findall(text)}
    assert len(named) > 5
    for command in named:
        first, _, second = command.partition(" ")
        words = [first, second] if second and first in FAMILIES else [first]
        done = CliRunner().invoke(application(first), [*words, "--help"])
        assert done.exit_code == 0, command


def page(pages: dict[Path, str], name: str) -> str:
    (found,) = [text for path, text in pages.items() if path.name == name]
    return found


def examples(text: str) -> list[dict[str, Any]]:
    """The YAML blocks of a page, with something in place of what it leaves out."""
    public = PUBLIC_KEY.splitlines()[1]
    blocks = re.findall(r"```yaml\n(.*?)```", text.replace("sha256:…", f"sha256:{'0' * 64}"), re.DOTALL)
    return [yaml.safe_load(block.replace("      …\n", f"      {public}\n")) for block in blocks]


def test_variables_of_compose_they_name_exist(pages: dict[Path, str], repository: Path) -> None:
    compose = (repository / "deploy/compose/compose.yaml").read_text("utf-8")
    bullets = page(pages, "deploy.md").split("\n- ")
    for start, count in (("`.env`", 7), ("`site/`", 3)):
        (line,) = [part for part in bullets if part.startswith(start)]
        named = re.findall(r"`([A-Z_]+)[=`]", line)
        assert len(named) == count
        assert [name for name in named if f"${{{name}:-" not in compose] == []
    (line,) = [part for part in bullets if part.startswith("`site/`")]
    (mounted,) = re.findall(r"- \./site:(\S+):ro", compose)
    assert all(path.startswith(f"{mounted}/") for path in re.findall(r"=(/[^`]+)`", line))


def test_the_guide_to_stop_cards_uses_switches_as_they_are_read(pages: dict[Path, str]) -> None:
    (guide,) = [text for path, text in pages.items() if path.name == "stop-cards.md"]
    (body,) = re.findall(r"--data '(\{.*?\})'", guide, re.DOTALL)
    request = read_switch(body.encode())
    assert (request.kind, request.off) == ("rule", True)
    assert request.target in load().rules
    (example,) = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    (entry,) = yaml.safe_load(example)
    assert entry["kind"] == "service"
    assert f"`{FILE}`" in guide


def test_the_example_values_fit_the_chart(pages: dict[Path, str]) -> None:
    (values,) = examples(page(pages, "deploy.md"))
    jsonschema.validate(values, yaml.safe_load(schema_text()), jsonschema.Draft7Validator)


def test_the_example_of_a_site_loads(pages: dict[Path, str], tmp_path: Path) -> None:
    (values,) = examples(page(pages, "deploy.md"))
    file = tmp_path / "site.yaml"
    file.write_text(yaml.safe_dump(values["site"]))
    assert load(overlay=Overlay.load(file)).rules


@pytest.mark.parametrize("name", ["deploy.md", "canary.md", "bundle.md"])
def test_the_chart_takes_the_example_values(
    pages: dict[Path, str], helm: Tool, chart: Path, tmp_path: Path, name: str
) -> None:
    (base,) = examples(page(pages, "deploy.md"))
    values = examples(page(pages, name))[-1]
    objects = rendered(helm, chart, tmp_path, merged(base, values), "cds")
    kinds = {one["kind"] for one in objects}
    assert "Ingress" in kinds
    assert ("CronJob" in kinds) is (name == "canary.md")
    assert ("TOCSIN_RULES_BUNDLE" in environment(objects)) is (name == "bundle.md")


def test_objects_they_name_are_those_of_the_chart(
    pages: dict[Path, str], helm: Tool, chart: Path, tmp_path: Path
) -> None:
    objects = rendered(helm, chart, tmp_path, CANARY, "cds")
    there = {(one["kind"].lower(), one["metadata"]["name"]) for one in objects}
    text = "\n".join(pages.values())
    named = set(re.findall(r"\b(deployment|service|cronjob)[ /](\w[\w-]*cds[\w-]*|cds-[\w-]+)", text))
    assert {kind for kind, _ in named} == {"deployment", "service", "cronjob"}
    assert named - there == set()


def test_the_rules_of_prometheus_become_an_object(
    pages: dict[Path, str], repository: Path, tmp_path: Path
) -> None:
    """The command of the guide, with a kubectl that shows what it is given."""
    (command,) = re.findall(r"```sh\n(\{ printf .*?)```", page(pages, "deploy.md"), re.DOTALL)
    (tmp_path / "kubectl").write_text("#!/bin/sh\ncat\n")
    (tmp_path / "kubectl").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", command], cwd=repository, env=env, capture_output=True, check=True)
    made = yaml.safe_load(done.stdout)
    alerts = yaml.safe_load((repository / "deploy/observability/alerts.yaml").read_text("utf-8"))
    assert (made["kind"], made["spec"]) == ("PrometheusRule", alerts)


def test_switches_for_pods_are_read_as_such(pages: dict[Path, str], tmp_path: Path) -> None:
    written = re.findall(r"echo '(- \{kind: .*?\})'", page(pages, "deploy.md"))
    assert len(written) == 2
    for text in written:
        file = tmp_path / FILE
        file.write_text(text)
        switches = Switches(SqliteStore(None), file)
        switches.refresh()
        assert switches.problem == ""
        assert switches.off("service") is not None
