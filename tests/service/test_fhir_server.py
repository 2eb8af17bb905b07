"""Against a FHIR R4 server nobody here wrote, loaded with patients nobody here made up, and with its faults.

Needs ../shared/fhir-server and Node; its npm packages are installed on first use. Skipped where they cannot.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import orjson
import pytest

from hooks import REGISTRY, FhirAuthorization
from hooks.prefetch import resolve
from rules.engine.bundle import Bundle as Rules
from rules.engine.bundle import load
from service.access import Grant, grant
from service.addresses import Base
from service.decode import decode_resource
from service.errors import DataUnavailable
from service.fhir import Access, FhirClient, Limits
from service.fhir_version import FhirVersion
from service.outcomes import State
from service.prefetch import Gathered, gather
from service.queries import Query, plan
from service.resources import Bundle, Resource
from service.wire import Wire
from tests.conformance.loopback import loopback

BEN = "3cadbd57-92d2-2512-e5dd-6ea69d0201a6"  # breast cancer, chronic low back pain
BUDGET_S = 0.35
# Beyond the budget: ending requests and judging, on a machine that is shared.
SLACK_S = 1.0
TOKENS = {
    "all": {"scope": "patient/*.read", "patient": BEN},
    "few": {"scope": "patient/Patient.read patient/Condition.read", "patient": BEN},
    "old": {"expired": True},
}


@pytest.fixture(scope="module")
def server(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Base]:
    patient = next((shared / "corpus" / "patients").glob(f"*{BEN}*"))
    log = tmp_path_factory.mktemp("fhir-server") / "log"
    with loopback(shared, patient, log, FHIR_TOKENS=orjson.dumps(TOKENS).decode()) as base:
        yield base


@pytest.fixture(scope="module")
def rules() -> Rules:
    return load()


@pytest.fixture
def queries(rules: Rules) -> tuple[Query, ...]:
    return plan(rules, "patient-view")


@pytest.fixture
async def client() -> AsyncIterator[FhirClient]:
    made = FhirClient(Wire(), Limits())
    yield made
    await made.aclose()


@pytest.fixture
async def control(server: Base) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as made:
        yield made
        await made.delete("/_control")


async def _gather(
    client: FhirClient,
    server: Base,
    queries: tuple[Query, ...],
    given: dict[str, Resource | None] | None = None,
    *,
    token: str = "all",
    seconds: float = 10.0,
) -> Gathered:
    def ask() -> Grant:
        authorization = FhirAuthorization(token, "Bearer", 300, "patient/*.rs", "tocsin", BEN)
        return grant(server.url, authorization, allowed=[server], patient_id=BEN)

    access = Access(client, ask)
    return await gather(given, queries, patient_id=BEN, access=access, seconds=seconds)


async def _as_an_ehr(server: Base, queries: tuple[Query, ...]) -> dict[str, Resource | None]:
    """Fill the templates as an EHR does: GET, one page."""
    context = REGISTRY["patient-view"].read(
        msgspec.Raw(orjson.dumps({"userId": "Practitioner/1", "patientId": BEN})), _no_resources
    )
    filled: dict[str, Resource | None] = {}
    async with httpx.AsyncClient(headers={"Authorization": "Bearer all"}, trust_env=False) as ehr:
        for query in queries:
            answer = await ehr.get(f"{server.url}/{resolve(query.template(), context)}")
            assert answer.status_code == 200, query.key
            filled[query.key], problems = decode_resource(answer.content, query.key)
            assert not problems
    return filled


def _no_resources(raw: Any) -> Resource:
    raise AssertionError("the context of patient-view holds no resource")


def _names(found: Gathered) -> dict[str, set[tuple[str, str | None]]]:
    """Type and id of what came, by key, wherever it came from."""
    names: dict[str, set[tuple[str, str | None]]] = {}
    for key, value in found.resources:
        entries = [entry.resource for entry in value.entry or ()] if isinstance(value, Bundle) else [value]
        here = names.setdefault(key.removeprefix("fetched:"), set())
        here |= {(type(resource).__name__, resource.id) for resource in entries if resource is not None}
    return {key: here for key, here in names.items() if here}


async def test_prefetch_fallback_and_half_of_each_bring_the_same(
    client: FhirClient, server: Base, queries: tuple[Query, ...]
) -> None:
    given = await _as_an_ehr(server, queries)
    by_prefetch = await _gather(client, server, queries, given)
    assert {outcome.state for outcome in by_prefetch.outcomes.values()} <= {State.GIVEN, State.EMPTY}
    by_fallback = await _gather(client, server, queries)
    assert {outcome.state for outcome in by_fallback.outcomes.values()} == {State.FETCHED}
    assert by_fallback.version in (FhirVersion.R4, None)
    half = dict(random.Random(7).sample(sorted(given.items()), len(given) // 2))
    by_half = await _gather(client, server, queries, half)
    assert _names(by_prefetch) == _names(by_fallback) == _names(by_half)
    assert by_prefetch.available == by_fallback.available == by_half.available
    assert len(_names(by_prefetch)["conditions"]) > 5
    assert not any(found.problems for found in (by_prefetch, by_fallback, by_half))


async def test_pages_of_the_server_are_followed(client: FhirClient, server: Base) -> None:
    small = (Query("conditions", "conditions", "Condition", (("_count", "2"),), newest_suffices=False),)
    whole = (Query("conditions", "conditions", "Condition", (("_count", "500"),), newest_suffices=False),)
    by_pages = await _gather(client, server, small)
    assert _names(by_pages) == _names(await _gather(client, server, whole))
    assert by_pages.outcomes["conditions"].partial == ""


async def test_the_server_says_its_version(client: FhirClient, server: Base) -> None:
    client.versions.learn(server)
    for _ in range(100):
        if client.versions.known(server) is not None:
            break
        await asyncio.sleep(0.05)
    assert client.versions.known(server) is FhirVersion.R4


async def test_fhr_06_a_narrow_token_costs_what_it_does_not_reach(
    client: FhirClient, server: Base, queries: tuple[Query, ...]
) -> None:
    found = await _gather(client, server, queries, token="few")
    assert found.outcomes["conditions"].state is State.FETCHED
    assert found.outcomes["labs"].reason == "forbidden"
    assert found.available == {"patient", "conditions"}


@pytest.mark.parametrize("token", ["old", "unknown"])
async def test_fhr_06_a_token_that_is_not_accepted_is_a_412(
    client: FhirClient, server: Base, queries: tuple[Query, ...], token: str
) -> None:
    with pytest.raises(DataUnavailable):
        await _gather(client, server, queries, token=token)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"delay_ms": 3000}, "deadline"),
        ({"fail": {"Observation": 503}}, "server-error"),
        ({"fail": {"Observation": 403}}, "forbidden"),
        ({"fail": {"Observation": 429}}, "busy"),
        ({"html": True}, "not-fhir"),
        ({"truncate": True}, "truncated"),
    ],
)
async def test_every_fault_ends_inside_the_budget_and_leaves_the_need_unknown(
    client: FhirClient,
    server: Base,
    control: httpx.AsyncClient,
    queries: tuple[Query, ...],
    fault: dict[str, Any],
    reason: str,
) -> None:
    given: dict[str, Resource | None] = {"conditions": None}
    await control.post("/_control", content=orjson.dumps(fault))
    loop = asyncio.get_running_loop()
    start = loop.time()
    found = await _gather(client, server, queries, given, seconds=BUDGET_S)
    assert loop.time() - start < BUDGET_S + SLACK_S
    assert "observations" not in found.available
    assert found.outcomes["labs"].state is State.FAILED
    # A slow machine may use up the budget before the fault is seen.
    assert found.outcomes["labs"].reason in (reason, "deadline")
