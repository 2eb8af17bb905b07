"""What the store says about a span of time: how often rules fire, what comes of it, and what looks broken.

Source: users-and-ops.md 3.2 (monitoring, malfunction watch) and 4.4. Fires per 1000 calls count every call on
which the rule was true, shown or not. A card is ignored when no feedback on it came. Overridden alone says
little: look at the reasons.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import orjson

from service.memory import statements as sql
from service.memory.recorder import expand
from service.memory.store import Store
from service.memory.watchdog import Daily, concerns

__all__ = ["RULE_COLUMNS", "ClientRow", "Report", "RuleRow", "UnmappedCode", "build_report", "count_rules"]

_TRUE = ("fired", "suppressed", "folded")
_MOST_MISSING = 15
_MOST_UNMAPPED = 25


class RuleRow(msgspec.Struct):
    """One rule. `fires` are calls on which it was true, `cards` those that showed it. Shares
    are from 0 to 1.
    """

    rule: str
    evaluated: int = 0
    fires: int = 0
    fires_per_1000: float = 0.0
    cards: int = 0
    patients: int = 0
    repeat_share: float = 0.0
    accepted: int = 0
    overridden: int = 0
    ignored: int = 0
    cannot_tell: int = 0
    cannot_tell_share: float = 0.0
    errors: int = 0
    held_back: dict[str, int] = {}
    reasons: dict[str, int] = {}
    daily: list[int] = []


RULE_COLUMNS = RuleRow.__struct_fields__


class ClientRow(msgspec.Struct):
    """One client. Milliseconds are those of whole calls."""

    client: str
    calls: int = 0
    cards: int = 0
    accepted: int = 0
    overridden: int = 0
    p50_ms: float = 0.0
    p95_ms: float = 0.0


class UnmappedCode(msgspec.Struct):
    """A code of a published terminology that is in no value set and came beside one that is, `seen` times.
    ICD codes are without their dot.
    """

    system: str
    code: str
    seen: int


class Report(msgspec.Struct):
    """The whole report. `days` are the days of every `daily` list; `missing` counts the calls on which a rule
    could not tell for want of a fact; `concerns` are sentences about what looks broken; `unmapped` are the
    most frequent codes that the value sets may lack.
    """

    since: str
    until: str
    calls: int
    cards: int
    p95_ms: float
    days: list[str]
    rules: list[RuleRow]
    clients: list[ClientRow]
    missing: dict[str, int]
    feedback: dict[str, int]
    concerns: list[str]
    unmapped: list[UnmappedCode]


def build_report(store: Store, since: float, until: float) -> Report:
    """Raises StoreError."""
    first, last = _day(since), _day(until)
    tally = _Tally(store, since, until, first, last)
    spent = store.summary(sql.REPORT_SPENT, since, until)
    states = store.summary(sql.REPORT_STATES, since, until)
    rules = sorted(tally.rules.values(), key=lambda row: (-row.fires, row.rule))
    return Report(
        since=_time(since),
        until=_time(until),
        calls=tally.calls,
        cards=tally.cards,
        p95_ms=_quantile([ms for _, ms in spent], 0.95),
        days=[_date(first + number) for number in range(last - first + 1)],
        rules=[row for row in rules if row.evaluated],
        clients=_clients(tally, spent),
        missing=_missing(store, since, until),
        feedback={state: int(count) for state, count, _ in states}
        | {"repeated": sum(int(repeats) for _, _, repeats in states)},
        concerns=concerns(tally.daily, tally.wrong),
        unmapped=_unmapped(store, first * 86_400.0, until),
    )


def count_rules(store: Store, since: float, until: float) -> dict[str, RuleRow]:
    """The rows of the rules alone, by id, of those that were evaluated. Raises StoreError."""
    tally = _Tally(store, since, until, _day(since), _day(until))
    return {name: row for name, row in tally.rules.items() if row.evaluated}


class _Tally:
    """Sums up the grouped rows of the store, rule by rule and client by client."""

    def __init__(self, store: Store, since: float, until: float, first: int, last: int) -> None:
        self.rules: dict[str, RuleRow] = {}
        self.clients: dict[str, ClientRow] = {}
        self.daily: dict[str, list[Daily]] = {}
        self.wrong: Counter[str] = Counter()
        self.calls = self.cards = 0
        self._first, self._length = first, last - first + 1
        bundles = store.bundles()
        for bundle, client, day, outcomes, moved, count, cards in store.summary(
            sql.REPORT_CALLS, since, until
        ):
            self._client(client).calls += count
            self._client(client).cards += int(cards)
            self.calls += count
            self.cards += int(cards)
            if bundle in bundles:
                self._outcomes(expand(bundles[bundle].rules, outcomes), orjson.loads(moved), day, count)
        for rule, _, cards, patients in store.summary(sql.REPORT_CARDS, since, until):
            self._rule(rule).cards += cards
            self._rule(rule).patients += patients
        for given in store.summary(sql.REPORT_FEEDBACK, since, until):
            self._feedback(*given)
        for row in self.rules.values():
            self._finish(row)

    def _rule(self, rule: str) -> RuleRow:
        if rule not in self.rules:
            self.rules[rule] = RuleRow(rule, held_back={}, reasons={}, daily=[0] * self._length)
            self.daily[rule] = [Daily() for _ in range(self._length)]
        return self.rules[rule]

    def _client(self, client: str) -> ClientRow:
        return self.clients.setdefault(client, ClientRow(client))

    def _outcomes(self, rules: Mapping[str, str], moved: Mapping[str, str], day: int, count: int) -> None:
        for rule, outcome in rules.items():
            row, of_day = self._rule(rule), self.daily[rule][day - self._first]
            row.evaluated += count
            of_day.evaluated += count
            if outcome in _TRUE:
                row.fires += count
                row.daily[day - self._first] += count
                of_day.fires += count
            if outcome in ("suppressed", "folded"):
                code = moved.get(rule, "")
                row.held_back[code] = row.held_back.get(code, 0) + count
            elif outcome == "not-enough-data":
                row.cannot_tell += count
                of_day.cannot_tell += count
            elif outcome == "error":
                row.errors += count

    def _feedback(self, rule: str, client: str, outcome: str, reason: str, count: int, people: int) -> None:
        row, of_client = self._rule(rule), self._client(client)
        if outcome == "accepted":
            row.accepted += count
            of_client.accepted += count
        else:
            row.overridden += count
            of_client.overridden += count
            row.reasons[reason or "none given"] = row.reasons.get(reason or "none given", 0) + count
            if reason == "record-wrong":
                self.wrong[rule] += people

    def _finish(self, row: RuleRow) -> None:
        row.fires_per_1000 = round(1000 * row.fires / self.calls, 2) if self.calls else 0.0
        row.repeat_share = round(1 - row.patients / row.cards, 3) if row.cards else 0.0
        row.ignored = max(0, row.cards - row.accepted - row.overridden)
        row.cannot_tell_share = round(row.cannot_tell / row.evaluated, 3) if row.evaluated else 0.0


def _clients(tally: _Tally, spent: Iterable[tuple[Any, ...]]) -> list[ClientRow]:
    times: dict[str, list[float]] = {}
    for client, ms in spent:
        times.setdefault(client, []).append(ms)
    for row in tally.clients.values():
        row.p50_ms = _quantile(times.get(row.client, []), 0.5)
        row.p95_ms = _quantile(times.get(row.client, []), 0.95)
    return sorted(tally.clients.values(), key=lambda row: -row.calls)


def _missing(store: Store, since: float, until: float) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for names, count in store.summary(sql.REPORT_MISSING, since, until):
        for name in orjson.loads(names):
            counts[name] += count
    return dict(counts.most_common(_MOST_MISSING))


def _unmapped(store: Store, since: float, until: float) -> list[UnmappedCode]:
    found = [UnmappedCode(*row) for row in store.summary(sql.REPORT_UNMAPPED, since, until)]
    return sorted(found, key=lambda row: (-row.seen, row.system, row.code))[:_MOST_UNMAPPED]


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2) if ordered else 0.0


def _day(seconds: float) -> int:
    return int(seconds // 86_400)


def _date(day: int) -> str:
    return dt.datetime.fromtimestamp(day * 86_400, dt.UTC).date().isoformat()


def _time(seconds: float) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="minutes")
