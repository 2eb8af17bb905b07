"""The pages for operators: what they name exists, and their examples are accepted."""

import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from prometheus_client import generate_latest
from typer.testing import CliRunner

from rules.engine import load
from service.canary import series
from service.cli import FAMILIES, application
from service.memory.admin import read_switch
from service.memory.killswitch import FILE
from service.metrics import Metrics
from service.settings import table
from tests.deploy.values_schema import schema_text

GUIDES = (
    "backup.md",
    "canary.md",
    "deploy.md",
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
    paths += sorted((repository / "deploy/runbooks").glob("*.md"))
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


def test_variables_of_compose_they_name_exist(pages: dict[Path, str], repository: Path) -> None:
    compose = (repository / "deploy/compose/compose.yaml").read_text("utf-8")
    (guide,) = [text for path, text in pages.items() if path.name == "deploy.md"]
    (line,) = [part for part in guide.split("\n- ") if part.startswith("`.env`")]
    named = re.findall(r"`([A-Z_]+)[=`]", line)
    assert len(named) == 7
    assert [name for name in named if f"${{{name}:-" not in compose] == []


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
    (guide,) = [text for path, text in pages.items() if path.name == "deploy.md"]
    (example,) = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    values = yaml.safe_load(example.replace("sha256:…", f"sha256:{'0' * 64}"))
    jsonschema.validate(values, yaml.safe_load(schema_text()), jsonschema.Draft7Validator)
