"""Every open vignette, in each way its record can arrive: exactly the expected cards, folded and silenced
rules.
"""

import datetime as dt
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.corpus import (
    SERVICE,
    Json,
    client,
    keys_of,
    resources_of,
    rules_shown,
    searchset,
    vignette,
    vignettes,
)

pytestmark = pytest.mark.asyncio(loop_scope="session")

# What the record of a call cannot say: the first needs the memory of an earlier answer, the second a site
# that takes care plans as a source of palliative status.
NEEDS_MEMORY, NEEDS_CARE_PLAN = "N19", "N22"
CARE_PLANS = """\
schema_version: 1
site: test
palliative_sources: [Encounter, Procedure, Condition, ServiceRequest, CarePlan]
"""
Keys = Mapping[str, list[Json]]


def as_templated(keys: Keys) -> Json:
    """Each key as its search answers it; an empty search is an empty Bundle."""
    return {key: found[0] if key == "patient" else searchset(found) for key, found in keys.items()}


def with_nulls(keys: Keys) -> Json:
    """Empty searches as null, which many EHRs send."""
    return {key: value if keys[key] else None for key, value in as_templated(keys).items()}


def split(keys: Keys) -> Json:
    """Every second resource under a key of another service."""
    kept = {key: found[::2] for key, found in keys.items()}
    return {
        **as_templated(kept),
        "others": searchset([one for found in keys.values() for one in found[1::2]]),
    }


def repeated(keys: Keys) -> Json:
    """Everything twice, once more under a foreign key."""
    return {**as_templated(keys), "everything": searchset([one for found in keys.values() for one in found])}


def as_record(keys: Keys) -> Json:
    """The whole record as a collection under a key of the sender's own."""
    return {"record": {**searchset([one for found in keys.values() for one in found]), "type": "collection"}}


WAYS: tuple[Callable[[Keys], Json], ...] = (as_templated, with_nulls, split, repeated, as_record)


Ask = Callable[[Json, Callable[[Keys], Json]], Awaitable[tuple[Json, Json]]]


def asking(caller: httpx.AsyncClient) -> Ask:
    """ask(built, arrive): explanation and answer of a call whose record arrives in one of the WAYS."""

    async def ask(built: Json, arrive: Callable[[Keys], Json]) -> tuple[Json, Json]:
        services = (await caller.get("/cds-services")).json()["services"]
        found = next(one["prefetch"] for one in services if one["hook"] == built["hook"])
        keys = keys_of(found, list(resources_of(built["bundle"])), built["patient_id"])
        body = {
            "hook": built["hook"],
            "hookInstance": str(uuid.uuid4()),
            "context": built["context"],
            "prefetch": arrive(keys),
        }
        explained = await caller.post("/decisions/explain", json=body)
        response = await caller.post(SERVICE, json=body)
        assert (explained.status_code, response.status_code) == (200, 200), response.text
        return explained.json(), response.json()

    return ask


@pytest.fixture
def ask(caller: httpx.AsyncClient) -> Ask:
    return asking(caller)


def reasons(explained: Json, kind: str) -> dict[str, str]:
    """Rules that ended so, with the code of the reason."""
    return {
        one["rule"]: (one["reason"] or {}).get("code", "")
        for one in explained["rules"]
        if one["outcome"] == kind
    }


def expected(written: Json) -> tuple[list[Any], set[str], dict[str, str]]:
    expect = written["expect"]
    cards = [{"rule": card["rule"], "urgency": card["urgency"]} for card in expect["cards"]]
    silenced = {one["rule"]: one["by"] for one in expect.get("suppressed", ())}
    return cards, set(expect.get("superseded", ())), silenced


async def check(shared: Path, ask: Ask, name: str, arrive: Callable[[Keys], Json]) -> None:
    written = vignettes(shared)[name]
    explained, response = await ask(vignette(shared, written), arrive)
    cards, folded, silenced = expected(written)
    assert rules_shown(response["cards"]) == cards
    assert reasons(explained, "folded").keys() == folded
    assert reasons(explained, "suppressed") == silenced
    assert reasons(explained, "error") == {}
    lowered = {card["rule"]: card["by"] for card in written["expect"]["cards"] if "by" in card}
    assert {one["rule"]: one["lowered"]["code"] for one in explained["rules"] if one["lowered"]} == lowered


def names() -> list[str]:
    """Ids of the open vignettes; none where the reference material is absent."""
    shared = Path(__file__).resolve().parents[2].parent / "shared"
    return sorted(vignettes(shared)) if shared.is_dir() else []


@pytest.mark.parametrize("arrive", WAYS, ids=lambda way: str(way.__name__))
@pytest.mark.parametrize("name", [name for name in names() if name not in (NEEDS_MEMORY, NEEDS_CARE_PLAN)])
async def test_a_vignette_gives_exactly_its_cards(
    shared: Path, ask: Ask, name: str, arrive: Callable[[Keys], Json]
) -> None:
    await check(shared, ask, name, arrive)


async def test_a_care_plan_is_a_palliative_source_only_where_the_site_says_so(
    shared: Path, ask: Ask, tmp_path: Path
) -> None:
    site = tmp_path / "site.yaml"
    site.write_text(CARE_PLANS, encoding="utf-8")
    async with client(site) as there:
        for arrive in WAYS:
            await check(shared, asking(there), NEEDS_CARE_PLAN, arrive)
    _, response = await ask(vignette(shared, vignettes(shared)[NEEDS_CARE_PLAN]), as_templated)
    assert rules_shown(response["cards"]) == [
        {"rule": "lung-cancer-worsening-axial-pain", "urgency": "warning"}
    ]


async def test_a_card_that_was_answered_does_not_come_back_while_no_fact_changes(
    shared: Path, ask: Ask, caller: httpx.AsyncClient
) -> None:
    built = vignette(shared, vignettes(shared)[NEEDS_MEMORY])
    _, first = await ask(built, as_templated)
    assert rules_shown(first["cards"]) == [{"rule": "cancer-history-new-back-pain", "urgency": "warning"}]
    said = {
        "card": first["cards"][0]["uuid"],
        "outcome": "overridden",
        "outcomeTimestamp": dt.datetime.now(dt.UTC).isoformat(),
        "overrideReason": {"reason": first["cards"][0]["overrideReasons"][0]},
    }
    reply = await caller.post(f"{SERVICE}/feedback", json={"feedback": [said]})
    assert reply.status_code == 200
    for arrive in WAYS:
        await check(shared, ask, NEEDS_MEMORY, arrive)


@pytest.mark.parametrize("name", [name for name in names() if name not in (NEEDS_MEMORY, NEEDS_CARE_PLAN)])
async def test_under_foreign_keys_what_cannot_be_known_is_never_taken_for_no(
    shared: Path, ask: Ask, name: str
) -> None:
    """The keys of another service may be narrowed, so what is absent from them is unknown: rules that need
    an absence cannot tell, critical rules do not change, and none fires that would not on the whole record.
    """
    written = vignettes(shared)[name]
    built = vignette(shared, written)

    def foreign(keys: Keys) -> Json:
        kinds: dict[str, list[Json]] = {}
        for one in resources_of(built["bundle"]):
            kinds.setdefault(f"their{one['resourceType']}", []).append(one)
        return {key: searchset(found) for key, found in kinds.items()}

    whole, _ = await ask(built, as_templated)
    explained, response = await ask(built, foreign)
    fired = {kind: reasons(explained, kind).keys() for kind in ("fired", "folded", "suppressed")}
    known = {kind: reasons(whole, kind).keys() for kind in ("fired", "folded", "suppressed")}
    assert set().union(*fired.values()) <= set().union(*known.values())
    lost = set().union(*known.values()) - set().union(*fired.values())
    assert lost <= reasons(explained, "not-enough-data").keys() | reasons(explained, "excluded").keys()
    critical = [card for card in expected(written)[0] if card["urgency"] == "critical"]
    assert [card for card in rules_shown(response["cards"]) if card["urgency"] == "critical"] == critical
    assert all("Not available: " in card["detail"] for card in response["cards"])
