"""Malfunction watch: rules that went silent, fire far more than they did, or can tell far less.

Each compares the last seven days with the days before. The limits are plain on purpose: they are read by
people, and a rule that is named wrongly costs one look. Source: users-and-ops.md 2.4 and 3.2.
"""

from collections.abc import Mapping, Sequence

import msgspec

__all__ = ["RECENT_DAYS", "Daily", "concerns"]

RECENT_DAYS = 7
# Evaluations below which a share says nothing, and fires below which a jump does not.
_ENOUGH, _FEW = 100, 10
_JUMP = 3.0
_ROSE = 0.20
_PEOPLE = 2


class Daily(msgspec.Struct):
    """Counts of one rule on one day."""

    evaluated: int = 0
    fires: int = 0
    cannot_tell: int = 0


def concerns(daily: Mapping[str, Sequence[Daily]], wrong: Mapping[str, int]) -> list[str]:
    """Sentences about rules; `daily` is oldest first. `wrong` counts the people who said that the record
    behind a card is wrong.
    """
    found = []
    for rule in sorted(daily):
        before, recent = _sum(daily[rule][:-RECENT_DAYS]), _sum(daily[rule][-RECENT_DAYS:])
        days = max(1, len(daily[rule]) - RECENT_DAYS)
        found += _compared(rule, before, recent, days)
    found += [
        f"{rule}: {people} people said that the record behind it is wrong."
        for rule, people in sorted(wrong.items())
        if people >= _PEOPLE
    ]
    return found


def _compared(rule: str, before: Daily, recent: Daily, days_before: int) -> list[str]:
    found = []
    expected = before.fires / days_before * RECENT_DAYS
    if before.fires >= _FEW and recent.evaluated >= _ENOUGH and recent.fires == 0:
        found.append(
            f"{rule} has gone silent: {before.fires} fires before, none in the last {RECENT_DAYS} days."
        )
    if before.evaluated >= _ENOUGH and recent.fires >= max(_FEW, _JUMP * expected):
        found.append(
            f"{rule} fires far more: {recent.fires} in the last {RECENT_DAYS} days, "
            f"about {expected:.0f} expected."
        )
    if before.evaluated >= _ENOUGH and recent.evaluated >= _ENOUGH:
        rise = recent.cannot_tell / recent.evaluated - before.cannot_tell / before.evaluated
        if rise >= _ROSE:
            found.append(f"{rule} can tell less: the share of calls without enough data rose by {rise:.0%}.")
    return found


def _sum(days: Sequence[Daily]) -> Daily:
    return Daily(
        sum(day.evaluated for day in days),
        sum(day.fires for day in days),
        sum(day.cannot_tell for day in days),
    )
