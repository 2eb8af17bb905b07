"""The calling side of CDS Hooks against a Tocsin: discovery, one hook call, and the explanation of it.

The Tocsin is a running service, or the whole application inside this process.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import orjson

from hooks.prefetch import PrefetchTemplate
from service.app import create_app
from service.desk import SERVICE_ID, Desk
from service.errors import TocsinError
from service.knowledge import Knowledge
from service.render import printable
from service.settings import Settings
from service.workbench import local_knowledge

__all__ = ["Exchange", "ExchangeFailed", "connect"]

_IN_PROCESS = "http://tocsin"
_SECONDS = 10.0
_LARGEST_BODY = 2**28
_JSON = {"Content-Type": "application/json"}
Json = Mapping[str, Any]


class ExchangeFailed(TocsinError):
    """There is no answer; the text says why in one sentence."""


class _Entry(msgspec.Struct):
    """One service of a discovery document, as far as it is needed here."""

    hook: str
    id: str
    prefetch: dict[str, str] = {}


class _Discovery(msgspec.Struct):
    services: list[_Entry]


class Exchange:
    """Puts calls to one Tocsin. Every method raises ExchangeFailed."""

    def __init__(self, client: httpx.AsyncClient, url: str | None) -> None:
        self._client = client
        self._url = url

    async def templates(self, hook: str) -> Sequence[PrefetchTemplate]:
        """The prefetch templates that discovery has for the hook."""
        answer = await self._send("GET", "/cds-services")
        try:
            services = msgspec.json.decode(answer.content, type=_Discovery).services
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ExchangeFailed(f"What {self._url} answers to /cds-services is no discovery.") from error
        found = [one for one in services if one.hook == hook and one.id == SERVICE_ID]
        if not found:
            offered = ", ".join(sorted({one.hook for one in services if one.id == SERVICE_ID}))
            raise ExchangeFailed(f"The service offers nothing for {hook}; it has: {offered or 'no hook'}.")
        return [PrefetchTemplate(key, query) for key, query in found[0].prefetch.items()]

    async def call(self, body: Json) -> tuple[Json, Json | None]:
        """The answer to a hook call, and its explanation; None where the service does not explain."""
        content = orjson.dumps(body)
        answer = await self._send("POST", f"/cds-services/{SERVICE_ID}", content)
        try:
            explanation = await self._send("POST", "/decisions/explain", content)
        except ExchangeFailed:
            return self._read(answer), None
        return self._read(answer), self._read(explanation)

    async def _send(self, method: str, path: str, content: bytes | None = None) -> httpx.Response:
        try:
            answer = await self._client.request(method, path, content=content, headers=_JSON)
            answer.raise_for_status()
        except httpx.HTTPStatusError as error:
            raise ExchangeFailed(f"The service refused the call: {_refusal(error.response)}") from error
        except httpx.ConnectError as error:
            why = "nothing answers there. Start it, or correct the URL."
            raise ExchangeFailed(f"The service at {self._url} cannot be reached: {why}") from error
        except httpx.TimeoutException as error:
            raise ExchangeFailed(
                f"The service at {self._url} did not answer within {_SECONDS:.0f} seconds."
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ExchangeFailed(
                f"The service at {self._url} cannot be reached ({type(error).__name__})."
            ) from error
        return answer

    def _read(self, answer: httpx.Response) -> Json:
        try:
            read = printable(answer.json())
        except ValueError as error:
            raise ExchangeFailed(f"What {self._url} answers is not JSON.") from error
        if not isinstance(read, dict):
            raise ExchangeFailed(f"What {self._url} answers is no CDS Hooks answer.")
        return read


@asynccontextmanager
async def connect(
    url: str | None, settings: Settings, knowledge: Knowledge | None = None
) -> AsyncIterator[Exchange]:
    """An exchange with the service at `url`, else with this code under `settings`; `knowledge` are its rules
    where they have been read already. Raises ExchangeFailed.
    """
    if url is not None:
        try:
            client = httpx.AsyncClient(base_url=url, timeout=_SECONDS)
        except httpx.InvalidURL as error:
            raise ExchangeFailed(f"The service at {url} cannot be reached (InvalidURL).") from error
        async with client:
            yield Exchange(client, url)
        return
    settings = settings.model_copy(update={"max_body_bytes": _LARGEST_BODY})
    desk = Desk(settings, knowledge or local_knowledge(settings))
    transport = httpx.ASGITransport(create_app(settings, desk))
    try:
        async with httpx.AsyncClient(transport=transport, base_url=_IN_PROCESS) as client:
            yield Exchange(client, None)
    finally:
        await desk.aclose()


def _refusal(response: httpx.Response) -> str:
    """The sentence of an OperationOutcome; a 401, and what is not ours, has only its status."""
    try:
        issue = response.json()["issue"][0]
        return (
            f"{response.status_code} {printable(issue['details']['text'])} {printable(issue['diagnostics'])}"
        )
    except (ValueError, LookupError, TypeError):
        return f"{response.status_code} {response.reason_phrase}"
