"""What `tocsin doctor` finds for a made-up EHR, every part of which can be broken."""

import datetime as dt
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from service import doctor
from service.doctor_scene import Finding
from service.settings import Settings
from tests.service.trust.signing import ISSUER, JKU, PUBLIC_URL, claims, jwks

__all__ = ["NOW", "SERVER", "Ehr", "client_settings", "examined", "fresh", "only"]

NOW = dt.datetime.now(dt.UTC).replace(microsecond=0)
SERVER = "https://fhir.ehr.example/r4"
STATEMENT = {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1"}


class Ehr(httpx.AsyncBaseTransport):
    """An EHR: a key set, a FHIR server, a clock. Every part of it can be broken."""

    def __init__(self) -> None:
        self.keys: Any = jwks()
        self.statement: Any = STATEMENT
        self.status = {"jwks": 200, "metadata": 200}
        self.headers: dict[str, str] = {}
        self.ahead_s = 0.0
        self.away: Exception | None = None
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        assert not await request.aread()
        if self.away is not None:
            raise self.away
        what = "jwks" if str(request.url) == JKU else "metadata"
        body = self.keys if what == "jwks" else self.statement
        date = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=self.ahead_s)
        return httpx.Response(
            self.status[what],
            headers={"Date": format_datetime(date), "Content-Type": "application/json", **self.headers},
            content=body if isinstance(body, bytes) else orjson.dumps(body),
        )


def client_settings(folder: Path, **members: Any) -> Settings:
    """Settings with a client list of one client, whose members can be changed; None takes one out.

    It knows us under PUBLIC_URL, which is not set, so that nothing is called there.
    """
    known = {"id": "ehr", "issuer": ISSUER, "jku": JKU, "fhir_servers": [SERVER], "audience": PUBLIC_URL}
    ehr = {name: value for name, value in {**known, **members}.items() if value is not None}
    file = folder / "clients.yaml"
    file.write_bytes(orjson.dumps([ehr]))
    return Settings(clients=file)


async def examined(
    settings: Settings, ehr: Ehr | None = None, token: bytes = b"", **options: Any
) -> dict[str, list[Finding]]:
    """The findings by check, without those about the rules: loading them takes a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doctor, "check_rules", lambda scene: [])
        # The names of the tests lead nowhere; looking them up would ask the network.
        patch.setattr("service.doctor_network.is_public", lambda host: host.startswith("public"))
        listed = await doctor.diagnose(settings, (), now=NOW, token=token, transport=ehr or Ehr(), **options)
    found: dict[str, list[Finding]] = {}
    for one in listed:
        found.setdefault(one.check, []).append(one)
        if one.state == "fail":
            assert one.action
        if token:
            assert not any(part and part.decode() in one.says + one.action for part in token.split(b"."))
    return found


def only(found: dict[str, list[Finding]], check: str) -> Finding:
    (one,) = found[check]
    return one


def fresh(**changes: Any) -> dict[str, Any]:
    now = int(NOW.timestamp())
    return claims(**{"iat": now, "exp": now + 300, **changes})
