"""Alerts, runbooks and dashboards: they name metrics that exist, and belong together."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import generate_latest

from service.canary import series
from service.errors import catalogue
from service.metrics import Metrics
from service.outcomes import State
from tests.deploy.conftest import Tool
from tests.files import globbed

DASHBOARDS = ("dashboard-operations.json", "dashboard-rules.json")
NAME = re.compile(r"\btocsin_[a-z_]+\b")


@pytest.fixture(scope="module")
def groups(deploy: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load((deploy / "observability/alerts.yaml").read_text("utf-8"))[
        "groups"
    ]
    return found


@pytest.fixture(scope="module")
def rules(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rule for group in groups for rule in group["rules"]]


@pytest.fixture(scope="module")
def alerts(rules: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


def panels(deploy: Path) -> Iterator[dict[str, Any]]:
    for name in DASHBOARDS:
        yield from json.loads((deploy / "observability" / name).read_text("utf-8"))["panels"]


def expressions(deploy: Path) -> list[str]:
    return [target["expr"] for panel in panels(deploy) for target in panel["targets"]]


def exposed() -> set[str]:
    """Names of series as Prometheus stores them."""
    text = (Metrics().render() + generate_latest(series([], 0.0))).decode()
    families = re.findall(r"^# TYPE (tocsin_\S+) (\S+)$", text, re.MULTILINE)
    histograms = {name for name, kind in families if kind == "histogram"}
    return {name for name, _ in families} | {
        f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")
    }


def test_every_metric_that_is_asked_for_exists(rules: list[dict[str, Any]], deploy: Path) -> None:
    asked = " ".join([*(rule["expr"] for rule in rules), *expressions(deploy)])
    names = set(NAME.findall(asked))
    assert len(names) > 10
    assert names - exposed() == set()


def test_every_recorded_series_that_is_asked_for_is_recorded(
    rules: list[dict[str, Any]], deploy: Path
) -> None:
    recorded = {rule["record"] for rule in rules if "record" in rule}
    asked = " ".join([*(rule["expr"] for rule in rules), *expressions(deploy)])
    assert set(re.findall(r"\btocsin:[a-z_:0-9]+", asked)) == recorded


def test_failing_means_every_error_that_is_ours(alerts: dict[str, dict[str, Any]]) -> None:
    (pattern,) = re.findall(r'outcome=~"([^"]+)"', alerts["TocsinFailing"]["expr"])
    assert set(pattern.split("|")) == {kind.code for kind in catalogue() if kind.status >= 500}


def test_states_of_prefetch_keys_are_spelled_as_the_service_spells_them(deploy: Path) -> None:
    text = (deploy / "observability/alerts.yaml").read_text("utf-8") + " ".join(expressions(deploy))
    found = {state for group in re.findall(r'state=~"([^"]+)"', text) for state in group.split("|")}
    assert found == {State.ERROR, State.FAILED, State.REFUSED}


def test_each_alert_has_one_runbook_and_each_runbook_an_alert(
    alerts: dict[str, dict[str, Any]], deploy: Path
) -> None:
    assert {path.stem for path in (deploy / "runbooks").glob("*.md")} == alerts.keys()
    for name, alert in alerts.items():
        assert alert["annotations"]["runbook"] == f"deploy/runbooks/{name}.md"
        assert alert["labels"]["severity"] in ("page", "ticket")
        text = (deploy / "runbooks" / f"{name}.md").read_text("utf-8")
        assert [line for line in text.splitlines() if line.startswith("#")] == [
            f"# {name}",
            "## Look",
            "## Do",
            "## Afterwards",
        ]


def test_links_and_metrics_of_runbooks_exist(deploy: Path) -> None:
    for path in globbed(deploy / "runbooks", "*.md"):
        text = path.read_text("utf-8")
        missing = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not (path.parent / link).is_file()]
        assert missing == [], path.name
        assert set(NAME.findall(text)) - exposed() == set(), path.name


def test_each_alert_has_a_case_that_fires(alerts: dict[str, dict[str, Any]], deploy: Path) -> None:
    fired = set()
    for file in (deploy / "observability").glob("*.test.yaml"):
        for case in yaml.safe_load(file.read_text("utf-8"))["tests"]:
            fired |= {test["alertname"] for test in case["alert_rule_test"] if test["exp_alerts"]}
    assert fired == alerts.keys()


def test_panels_name_alerts_that_exist_and_share_no_id(
    alerts: dict[str, dict[str, Any]], deploy: Path
) -> None:
    said = " ".join(panel["description"] for panel in panels(deploy))
    named = set(re.findall(r"\bTocsin[A-Z]\w+", said))
    assert named - alerts.keys() == set()
    assert len(named) > 10
    for name in DASHBOARDS:
        board = json.loads((deploy / "observability" / name).read_text("utf-8"))
        ids = [panel["id"] for panel in board["panels"]]
        assert len(ids) == len(set(ids))


def test_prometheus_accepts_the_rules(promtool: Tool, deploy: Path) -> None:
    done = promtool("check", "rules", str(deploy / "observability/alerts.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["alerts.test.yaml", "alerts.weeks.test.yaml"])
def test_alerts_fire_when_they_should(promtool: Tool, deploy: Path, name: str) -> None:
    done = promtool("test", "rules", name, cwd=deploy / "observability")
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_accepts_every_expression_of_the_dashboards(
    promtool: Tool, deploy: Path, tmp_path: Path
) -> None:
    recorded = [{"record": f"panel:{n}", "expr": text} for n, text in enumerate(expressions(deploy))]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    done = promtool("check", "rules", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    recorded[0]["expr"] = "sum by (("
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    assert promtool("check", "rules", str(file)).returncode != 0
