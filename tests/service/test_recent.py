"""The errors of the status page."""

import time

import pytest

from service.recent import RecentErrors


def test_errors_are_counted_by_code_and_reason_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    at = iter([1.0, 2.0, 3.0])
    monkeypatch.setattr(time, "time", lambda: next(at))
    errors = RecentErrors()
    assert errors.rows() == []
    errors.note("unauthorised", "expired", 401)
    errors.note("body-not-json", "", 400)
    errors.note("unauthorised", "expired", 401)
    told = [(row.code, row.reason, row.status, row.count, row.at) for row in errors.rows()]
    assert told == [("unauthorised", "expired", 401, 2, 3.0), ("body-not-json", "", 400, 1, 2.0)]
