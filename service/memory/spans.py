"""Spans of time as people write them on the command line: 28d, 6h, 90m, or a day."""

import datetime as dt
import re

__all__ = ["read_time"]

_AGO = re.compile(r"(\d{1,6})([dhm])\Z")
_UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def read_time(text: str, now: dt.datetime) -> dt.datetime:
    """The time that `text` names: so long before `now`, or an ISO 8601 day or time (UTC without an offset).

    Raises ValueError.
    """
    match = _AGO.match(text)
    if match:
        return now - dt.timedelta(**{_UNITS[match[2]]: int(match[1])})
    found = dt.datetime.fromisoformat(text)
    return found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)
