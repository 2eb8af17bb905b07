"""The rules' own cases, run once for the pages: every case with what was expected and what came of it."""

from rules.engine import Bundle, RuleReport, run_tests
from service.policy import case_policy

__all__ = ["Cases"]


class Cases:
    """Reports by rule id. They are made at the first look at a bundle, without the site's file: its
    thresholds are not what the cases speak about.
    """

    def __init__(self) -> None:
        self._bundle: Bundle | None = None
        self._reports: dict[str, RuleReport] = {}

    def of(self, bundle: Bundle, rule_id: str) -> RuleReport | None:
        if bundle is not self._bundle:
            reports = run_tests(bundle.without_overlay(), policy=case_policy)
            self._bundle, self._reports = bundle, {report.rule: report for report in reports}
        return self._reports.get(rule_id)
