"""Silent and pilot rules: who is in a pilot, and that a trial past its end is told."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.engine import RuleSettings
from service.memory.modes import Origin, in_pilot, overdue, trial_warnings
from tests.service.calls import bundled_knowledge, knowledge_of
from tests.service.memory.http import site
from tests.service.memory.samples import NEW_BACK, record

TODAY = dt.date(2026, 11, 25)
SITE = f"rules:\n  {NEW_BACK}:\n"


def settings(**members: Any) -> RuleSettings:
    return RuleSettings(mode="pilot", **members)


def origin(patient: str = "p1", user: str = "Practitioner/u1", *places: str, client: str = "ward") -> Origin:
    return Origin(client, patient, user, frozenset(places))


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (settings(), False),
        (settings(percent=100), True),
        (settings(users=("Practitioner/u1",)), True),
        (settings(users=("Practitioner/u2",)), False),
        (settings(clients=("ward",)), True),
        (settings(clients=("other",)), False),
        (settings(locations=("Location/w3",)), True),
        (settings(locations=("Location/w4", "Organization/clinic")), True),
        (settings(locations=("Location/w4",)), False),
        (settings(locations=("Location/w4",), users=("Practitioner/u1",)), True),
    ],
)
def test_who_is_in_a_pilot(chosen: RuleSettings, expected: bool) -> None:
    called = origin("p1", "Practitioner/u1", "Location/w3", "Organization/clinic")
    assert in_pilot("r1", chosen, called) is expected


def test_nobody_is_not_a_user_and_nowhere_is_no_place() -> None:
    assert not in_pilot("r1", settings(users=("",), locations=("Location/w3",)), origin(user=""))


@given(st.text(), st.integers(0, 99))
def test_the_patients_of_a_smaller_share_are_among_those_of_a_larger(patient: str, percent: int) -> None:
    if in_pilot("r1", settings(percent=percent), origin(patient)):
        assert in_pilot("r1", settings(percent=percent + 1), origin(patient))


def test_about_the_share_is_in_and_rules_choose_differently() -> None:
    chosen = settings(percent=30)
    inside = {rule: {n for n in range(1000) if in_pilot(rule, chosen, origin(f"p{n}"))} for rule in "ab"}
    assert 250 < len(inside["a"]) < 350
    assert inside["a"] != inside["b"]


@pytest.mark.parametrize(
    ("lines", "expected", "late"),
    [
        ("mode: live", [], False),
        ("mode: silent\n    until: '2026-11-25'", [], False),
        (
            "mode: silent\n    until: '2026-11-24'",
            [f"{NEW_BACK} is silent past its end on 2026-11-24."],
            True,
        ),
        ("mode: silent", [], False),
        ("mode: pilot\n    until: '2026-12-31'\n    percent: 10", [], False),
    ],
)
def test_a_trial_past_its_end_is_told(tmp_path: Path, lines: str, expected: list[str], late: bool) -> None:
    bundle = knowledge_of(tmp_path, f"{SITE}    {lines}\n").bundle
    assert trial_warnings(bundle, TODAY) == expected
    assert list(overdue(bundle, TODAY)) == ([NEW_BACK] if late else [])


def test_no_bundled_rule_is_on_trial() -> None:
    assert trial_warnings(bundled_knowledge().bundle, TODAY) == []


async def test_a_pilot_shows_its_card_to_those_it_includes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "mode: pilot\n    until: '2026-12-31'\n    users: [Practitioner/u1]\n"
    knowledge = knowledge_of(tmp_path, f"{SITE}    {lines}")
    async with site(monkeypatch, knowledge) as worker:
        assert len(await worker.call(*record())) == 1
        other = {"userId": "Practitioner/u2", "patientId": "p1"}
        assert await worker.call(*record(), context=other) == []
        text = (await worker.client.get("/metrics")).text
        assert f'tocsin_cards_suppressed_total{{reason="MODE",rule_id="{NEW_BACK}"}} 1.0' in text
        assert f'mode="pilot",rule_id="{NEW_BACK}"' in text


WARD: dict[str, Any] = {
    "resourceType": "Encounter",
    "id": "e1",
    "status": "in-progress",
    "subject": {"reference": "Patient/p1"},
    "location": [{"location": {"reference": "https://ehr.example.org/r4/Location/w3"}, "status": "active"}],
    "serviceProvider": {"reference": "Organization/clinic"},
}
AT = {"userId": "Practitioner/u9", "patientId": "p1", "encounterId": "e1"}


@pytest.mark.parametrize(
    ("place", "changes", "context", "shown"),
    [
        ("Location/w3", {}, AT, True),
        ("Organization/clinic", {}, AT, True),
        ("Location/w4", {}, AT, False),
        # A hook without an encounter, an encounter that is not in the data, and another patient's.
        ("Location/w3", {}, {name: AT[name] for name in ("userId", "patientId")}, False),
        ("Location/w3", {}, {**AT, "encounterId": "e2"}, False),
        ("Location/w3", {"subject": {"reference": "Patient/p2"}}, AT, False),
        ("Location/w3", {"location": [{**WARD["location"][0], "status": "completed"}]}, AT, False),
    ],
)
async def test_a_pilot_at_named_places(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    changes: dict[str, Any],
    context: dict[str, str],
    shown: bool,
) -> None:
    lines = f"mode: pilot\n    until: '2026-12-31'\n    locations: [{place}]\n"
    knowledge = knowledge_of(tmp_path, f"{SITE}    {lines}")
    async with site(monkeypatch, knowledge) as worker:
        cards = await worker.call(*record({**WARD, **changes}), context=context)
        assert bool(cards) is shown


async def test_a_silent_rule_is_recorded_and_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    knowledge = knowledge_of(tmp_path, f"{SITE}    mode: silent\n    until: '2020-01-01'\n")
    async with site(monkeypatch, knowledge) as worker:
        assert await worker.call(*record()) == []
        await worker.desk.memory.settle()
        ((_, call),) = worker.desk.memory.store.calls(0, 1e12)
        assert call.moved == f'{{"{NEW_BACK}":"MODE"}}'
        warnings = (await worker.client.get("/readyz")).json()["warnings"]
        assert f"{NEW_BACK} is silent past its end on 2020-01-01." in warnings
