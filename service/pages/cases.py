"""The rules' own cases, run once for the pages: every case with what was expected and what came of it."""

from rules.engine import Bundle, RuleReport, load, run_tests
from service.policy import case_policy

__all__ = ["Cases"]


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
