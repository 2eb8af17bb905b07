"""docs/reference/alerts.md, written from the alert rules: `python -m tests.deploy.alerts_page`."""

import re
from pathlib import Path
from typing import Any

import yaml

from service.tables import markdown_table

__all__ = ["PAGE", "page"]

REPOSITORY = Path(__file__).resolve().parents[2]
PAGE = Path("docs") / "reference" / "alerts.md"
_RULES = Path("deploy") / "observability" / "alerts.yaml"
_RUNBOOKS = Path("deploy") / "runbooks"
_HEAD = """\
<!-- Written by `python -m tests.deploy.alerts_page` from the alert rules; change those instead. -->
# Alerts

The rules in [`{rules}`](../../{rules}) for Prometheus.
*page* wakes somebody up, *ticket* waits for the morning. Each alert has a runbook.

"""
_LABEL = re.compile(r"\{\{ \$labels\.\w+ \}\}")


def page(repository: Path = REPOSITORY) -> str:
    """The page as it must be: every alert with its severity, what it says, and its runbook."""
    groups = yaml.safe_load((repository / _RULES).read_text("utf-8"))["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    head = ("Alert", "Severity", "What it says", "Runbook")
    return _HEAD.format(rules=_RULES.as_posix()) + markdown_table(head, map(_row, alerts))


def _row(alert: dict[str, Any]) -> tuple[str, str, str, str]:
    name = alert["alert"]
    says = _LABEL.sub("…", " ".join(alert["annotations"]["summary"].split()))
    runbook = f"[{name}](../../{_RUNBOOKS.as_posix()}/{name}.md)"
    return f"`{name}`", alert["labels"]["severity"], says, runbook


if __name__ == "__main__":
    (REPOSITORY / PAGE).write_text(page(), "utf-8")
