"""SEC-13 through the application, over two workers: of 10,000 requests with one token, one is taken."""

import asyncio
import datetime as dt
import json
import uuid
from collections import Counter
from pathlib import Path

import httpx

from service.app import create_app
from service.desk import Desk
from service.knowledge import Knowledge
from service.settings import Settings
from tests.contract.corpus import SERVICE
from tests.service.trust.signing import ISSUER, PUBLIC_URL, claims, jwks, rsa_key, signed

REQUESTS = 10_000
AT_ONCE = 20


async def test_of_10_000_requests_with_one_jti_one_is_answered(tmp_path: Path) -> None:
    file = tmp_path / "clients.yaml"
    file.write_text(json.dumps({"clients": [{"id": "ehr", "issuer": ISSUER, "jwks": jwks()}]}))
    settings = Settings(
        public_url=PUBLIC_URL,
        clients=file,
        profile="sandbox",
        workers=2,
        state_dir=tmp_path,
        log_level="error",
    )
    knowledge = Knowledge.load(settings, dt.date.today())
    workers = [Desk(settings, knowledge) for _ in range(2)]
    callers = [
        httpx.AsyncClient(transport=httpx.ASGITransport(create_app(settings, desk)), base_url=PUBLIC_URL)
        for desk in workers
    ]
    now = int(dt.datetime.now(dt.UTC).timestamp())
    token = signed(claims(iat=now, exp=now + 300), key=rsa_key(), header={"jku": None}).decode()
    call = json.dumps(
        {
            "hook": "patient-view",
            "hookInstance": str(uuid.uuid4()),
            "context": {"patientId": "p1"},
            "prefetch": {"patient": None, "conditions": None},
        }
    ).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    statuses: Counter[int] = Counter()

    async def send(caller: httpx.AsyncClient, times: int) -> None:
        for _ in range(times):
            answer = await caller.post(SERVICE, content=call, headers=headers)
            statuses[answer.status_code] += 1

    await asyncio.gather(
        *(send(caller, REQUESTS // AT_ONCE // 2) for caller in callers for _ in range(AT_ONCE))
    )
    for caller, desk in zip(callers, workers, strict=True):
        await caller.aclose()
        await desk.aclose()
    assert statuses == {200: 1, 401: REQUESTS - 1}
