"""An EHR over a FHIR server: it fills our templates from the server, one page each, and sends hook calls."""

import time
import uuid
from collections.abc import Mapping
from typing import Any

import httpx
import orjson

from service.addresses import Base
from tests.conformance.loopback import Json

__all__ = ["EXPLAIN", "Ehr"]

EXPLAIN = "/decisions/explain"
_JSON = {"Content-Type": "application/json"}


class Ehr:
    """`service` is a caller of the whole application, `server` the EHR's FHIR server.

    `seconds` are the times of all calls sent so far, in seconds.
    """

    def __init__(self, service: httpx.AsyncClient, server: Base, token: str = "all") -> None:
        self.server = server
        self.seconds: list[float] = []
        self._service = service
        self._token = token
        self._templates: dict[str, dict[str, str]] = {}
        self._http = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60.0
        )

    async def aclose(self) -> None:
        await self._http.aclose()

    async def templates(self, hook: str) -> dict[str, str]:
        """Our prefetch templates, from discovery."""
        if not self._templates:
            entries = (await self._service.get("/cds-services")).json()["services"]
            self._templates = {entry["hook"]: entry["prefetch"] for entry in entries}
        return self._templates[hook]

    async def prefetch(self, hook: str, patient: str) -> dict[str, Any]:
        """Every key of a hook as the server answers its query."""
        filled = {}
        for key, template in (await self.templates(hook)).items():
            query = template.replace("{{context.patientId}}", patient)
            answer = await self._http.get(f"{self.server.url}/{query}")
            assert answer.status_code == 200, (key, answer.text[:200])
            filled[key] = answer.json()
        return filled

    async def send(
        self,
        hook: str,
        context: Json,
        prefetch: Mapping[str, Any],
        *,
        instance: str = "",
        path: str = EXPLAIN,
    ) -> httpx.Response:
        """One call, with the token for the server."""
        body = {
            "hook": hook,
            "hookInstance": instance or str(uuid.uuid4()),
            "context": context,
            "fhirServer": self.server.url,
            "fhirAuthorization": {
                "access_token": self._token,
                "token_type": "Bearer",
                "expires_in": 300,
                "scope": "patient/*.rs",
                "subject": "tocsin",
                "patient": context["patientId"],
            },
            "prefetch": dict(prefetch),
        }
        started = time.perf_counter()
        answer = await self._service.post(path, content=orjson.dumps(body), headers=_JSON)
        self.seconds.append(time.perf_counter() - started)
        return answer
