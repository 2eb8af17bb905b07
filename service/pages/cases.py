"""The rules' own cases, run once for the pages: every case with what was expected and what came of it."""

from collections.abc import Mapping
from typing import Any

from rules.engine import Bundle, Decision, RuleReport, load, run_tests
from service.policy import suppress

__all__ = ["Cases", "case_policy"]


def case_policy(decision: Decision, context: Mapping[str, Any]) -> None:
    """The service's suppression, on the day the cases are set on. Cases need no context for it."""
    suppress(decision, decision.now.date())


class Cases:
    """Reports by rule id. They are made at the first look, against the rules as bundled: a site's thresholds
    are not what the cases speak about.
    """

    def __init__(self) -> None:
        self._reports: dict[str, RuleReport] = {}

    def of(self, bundle: Bundle, rule_id: str) -> RuleReport | None:
        if not self._reports:
            plain = load() if bundle.overlay.data else bundle
            self._reports = {report.rule: report for report in run_tests(plain, policy=case_policy)}
        return self._reports.get(rule_id)
