"""SEC-15 and what operators are told: tokens in the log, who is trusted, how calls deviate."""

import json
import logging
import time
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import pytest_asyncio
import structlog
from pydantic import SecretStr

from service.app import create_app
from service.desk import Desk
from service.logs import FIELDS, configure
from service.settings import Settings
from tests.service.calls import INSTANCE, bundled_knowledge, call_body
from tests.service.facts.build import patient
from tests.service.trust.signing import ISSUER, JKU, PUBLIC_URL, SERVICE_PATH, claims, jwks, signed

REASON = "the vendor strips the path"
JTI = "9d2b/4f+c2=="


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk whose client has a tolerant audience."""
    file = tmp_path / "clients.yaml"
    audience = {"tolerant": True, "reason": REASON}
    ehr = {"id": "ehr", "issuer": ISSUER, "jku": JKU, "jwks": jwks(), "audience": audience}
    file.write_text(json.dumps({"clients": [ehr]}))
    opened = Desk(Settings(clients=file, public_url=PUBLIC_URL), bundled_knowledge())
    yield opened
    await opened.aclose()


@pytest.fixture
def log() -> Iterator[BytesIO]:
    root = logging.getLogger()
    before = (root.handlers, root.level)
    stream = BytesIO()
    yield stream
    root.handlers = before[0]
    root.setLevel(before[1])
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()


def token(**changes: Any) -> bytes:
    now = int(time.time())
    return signed(claims(**{"iat": now, "exp": now + 300, "jti": JTI, "tenant": "t-1", **changes}))


async def post(desk: Desk, log: BytesIO, compact: bytes, **members: Any) -> tuple[int, list[dict[str, Any]]]:
    """Status of a hook call with a token, and the log lines it made."""
    app = create_app(desk.settings, desk)
    configure("info", log)
    headers = {"Authorization": f"Bearer {compact.decode()}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=PUBLIC_URL) as client:
        answer = await client.post(
            SERVICE_PATH,
            json={**call_body({"patient": patient(), "conditions": None}), **members},
            headers=headers,
        )
    text = log.getvalue()
    assert all(part not in text for part in compact.split(b"."))
    return answer.status_code, [orjson.loads(line) for line in text.splitlines()]


async def test_of_an_accepted_token_the_log_names_issuer_tenant_and_jti(desk: Desk, log: BytesIO) -> None:
    status, (line,) = await post(desk, log, token())
    assert status == 200
    assert (line["event"], line["client"]) == ("call", "ehr")
    assert (line["issuer"], line["tenant"], line["jti"]) == (ISSUER, "t-1", JTI)
    assert "dropped" not in line


async def test_so_it_does_of_a_refused_one_with_the_reason(desk: Desk, log: BytesIO) -> None:
    status, (line,) = await post(desk, log, token(iss="https://evil.example/r4", tenant=None, sub="Jane Roe"))
    assert status == 401
    assert (line["event"], line["reason"]) == ("refused", "issuer-not-listed")
    assert (line["issuer"], line["jti"]) == ("https://evil.example/r4", JTI)
    assert not {"tenant", "client", "sub", "aud", "dropped"} & line.keys()


async def test_so_it_does_of_a_sound_one_whose_call_is_refused(desk: Desk, log: BytesIO) -> None:
    status, (line,) = await post(desk, log, token(), prefetch={})
    assert status == 412
    assert (line["event"], line["code"]) == ("refused", "data-unavailable")
    assert line["reasons"] == ["no-fhir-server"]
    assert (line["client"], line["hook"], line["request_id"]) == ("ehr", "patient-view", INSTANCE)
    assert (line["issuer"], line["tenant"], line["jti"]) == (ISSUER, "t-1", JTI)
    assert not {"sub", "aud", "dropped"} & line.keys()
    text = desk.metrics.render().decode()
    labels = 'client="ehr",hook="patient-view",outcome="data-unavailable"'
    assert f"tocsin_hook_requests_total{{{labels}}} 1.0" in text


async def test_text_in_a_claim_of_a_stranger_is_dropped(desk: Desk, log: BytesIO) -> None:
    _, (line,) = await post(desk, log, token(iss="Jane Roe, born 1950", jti="metastatic breast cancer"))
    assert line["dropped"] == 2
    assert b"Jane" not in log.getvalue()
    assert b"breast" not in log.getvalue()


@pytest.mark.parametrize("value", ["https://ehr.example/x?patient=1", "https://a/#b", "a b", "", "x" * 300])
def test_an_issuer_is_a_plain_url_or_a_name(value: str) -> None:
    assert not FIELDS["issuer"](value)


async def test_a_tolerant_audience_is_told_at_start_and_by_readyz(desk: Desk, log: BytesIO) -> None:
    app = create_app(desk.settings, desk)
    configure("info", log)
    lifespan = app
    while not hasattr(lifespan, "router"):
        lifespan = vars(lifespan)["_app"]
    async with lifespan.router.lifespan_context(lifespan):
        assert any(REASON in warning for warning in desk.standing()["warnings"])
    (line,) = [line for line in map(orjson.loads, log.getvalue().splitlines()) if "code" in line]
    assert (line["event"], line["level"], line["code"]) == ("trust-warning", "warning", "C008")


async def test_what_deviates_is_counted_for_the_client(desk: Desk, log: BytesIO) -> None:
    status, _ = await post(desk, log, token(aud=PUBLIC_URL), hookInstance="case-17")
    assert status == 200
    text = desk.metrics.render().decode()
    for what in ("audience-tolerated", "instance-no-uuid"):
        assert f'tocsin_call_deviations_total{{client="ehr",what="{what}"}} 1.0' in text


async def test_what_is_as_specified_is_not_counted(desk: Desk, log: BytesIO) -> None:
    await post(desk, log, token())
    assert "tocsin_call_deviations_total{" not in desk.metrics.render().decode()


async def test_a_memory_of_used_tokens_that_fails_is_a_metric(tmp_path: Path, log: BytesIO) -> None:
    file = tmp_path / "clients.yaml"
    file.write_text(json.dumps({"clients": [{"id": "ehr", "issuer": ISSUER, "jku": JKU, "jwks": jwks()}]}))
    state = tmp_path / "state"
    (state / "replay.sqlite").mkdir(parents=True)
    settings = Settings(
        clients=file, public_url=PUBLIC_URL, state_dir=state, database_url=SecretStr("memory:")
    )
    desk = Desk(settings, bundled_knowledge())
    try:
        status, _ = await post(desk, log, token())
        assert status == 200
        assert "tocsin_jwt_replay_store_failures_total 1.0" in desk.metrics.render().decode()
    finally:
        await desk.aclose()
