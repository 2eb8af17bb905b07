"""An EHR's part of a hook call, over any FHIR server: filling the prefetch templates of a service.

Only `tocsin try` plays this part. A template is put as an EHR puts it: by GET, then page by page; by POST
where the server finds the URL too long. Source: CDS Hooks 2.0.1, Prefetch; FHIR R4 search and paging.
"""

import asyncio
import ssl
import time
from typing import Any

import httpx
import msgspec

from hooks.errors import TokenUnresolved
from hooks.hook import Context
from hooks.prefetch import PrefetchTemplate, resolve
from service.access import is_usable
from service.addresses import Base
from service.errors import TocsinError
from service.fhir import Limits
from service.fhir_version import FhirVersion, version_named
from service.references import MOST_READ, unresolved
from service.replies import Failed, Filled, decoded, issue_code, plain, says, told, unreached
from service.resources import Medication, Resource
from service.verdicts import ACCEPT, MAY_BE_FORM, Pages, check_kind, page
from service.wire import FORM, FetchError, as_utf8, judge

__all__ = ["FhirServer", "ServerRefused", "Statement"]

Json = dict[str, Any]
_LIMITS = Limits()
# Of one page in the prefetch. What the service fetches itself may be smaller (`Limits.answer_bytes`).
_LARGEST_ANSWER = 64 * 1024 * 1024
_IN_FLIGHT = 4
_OLD = frozenset({FhirVersion.DSTU2, FhirVersion.STU3})


class ServerRefused(TocsinError):
    """The server cannot be tried at all; the text is one sentence."""


class Statement(msgspec.Struct, frozen=True):
    """What a server says of itself. `problem` says why it could not be read though the server answered."""

    version: str = ""
    software: str = ""
    problem: str = ""


class FhirServer:
    """One server at `base`; use it as a context manager. `seconds` is the time for each request."""

    def __init__(
        self,
        base: Base,
        token: str = "",
        *,
        seconds: float,
        direct: bool = True,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`direct`: no proxy of the environment is used. `transport` replaces the network in tests."""
        self.base = base
        self.seconds = seconds
        self._slots = asyncio.Semaphore(_IN_FLIGHT)
        headers = {"Accept": ACCEPT, "User-Agent": "tocsin-try"}
        if token:
            if not is_usable(token):
                raise ServerRefused("The access token is not one word of plain characters.")
            headers["Authorization"] = f"Bearer {token}"
        self._http = httpx.AsyncClient(
            transport=transport,
            verify=ssl.create_default_context(),
            headers=headers,
            timeout=seconds,
            trust_env=not direct,
        )

    async def __aenter__(self) -> "FhirServer":
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._http.aclose()

    async def statement(self) -> Statement:
        """What /metadata says. Raises ServerRefused for an old FHIR version, and when there is no server."""
        try:
            body = await self._send("GET", f"{self.base.url}/metadata")
        except Failed as failed:
            if failed.status < 400:
                raise ServerRefused(self._sentence(failed)) from failed
            return Statement(problem=f"{says(failed.reason)} ({failed.status})")
        return self._read_statement(body)

    async def fill(self, template: PrefetchTemplate, context: Context[Any]) -> Filled:
        """The data of one template. Never raises: what went wrong is in the result."""
        filled = Filled(template.key, template.query)
        async with self._slots:
            started = time.perf_counter()
            try:
                filled.query = resolve(template, context)
                await self._fill(filled)
            except TokenUnresolved:
                filled.reason = "token"
            except Failed as failed:
                filled.reason, filled.http, filled.issue = failed.reason, failed.status, failed.issue
            filled.milliseconds = (time.perf_counter() - started) * 1000
        filled.settle()
        return filled

    # -- one template ------------------------------------------------------------------------------

    async def _fill(self, filled: Filled) -> None:
        first, filled.posted = await self._first(filled.query)
        filled.http, filled.pages = 200, 1
        with told(first):
            raw, value = decoded(first, filled.key)
            if "?" not in filled.query:
                check_kind(value, filled.query.partition("/")[0])
                filled.value, filled.rows = raw, 1
                return
            found, partial = page(value)
        filled.rows = found.count
        filled.cut(partial, issue_code(first))
        filled.value = {**raw, "entry": list(raw.get("entry") or ()), "link": []}
        values = [value]
        link = await self._follow(found.next, filled, values)
        if link:
            filled.value["link"] = [{"relation": "next", "url": link}]
        else:
            filled.value.pop("link")
        await self._medicines(filled, values)

    async def _first(self, query: str) -> tuple[bytes, bool]:
        """The first answer, and whether it came by POST."""
        url = f"{self.base.url}/{query}"
        try:
            return await self._send("GET", url), False
        except Failed as failed:
            if len(url) <= _LIMITS.url_bytes or failed.reason not in MAY_BE_FORM:
                raise
            kind, _, pairs = query.partition("?")
            return await self._send("POST", f"{self.base.url}/{kind}/_search", pairs.encode()), True

    async def _follow(self, link: str | None, filled: Filled, values: list[Resource]) -> str:
        """Take in the pages from `link` on; the link at which it stopped, or the empty string."""
        pages = Pages(self.base, _LIMITS.pages)
        while link is not None:
            try:
                body = await self._send("GET", pages.turn(link))
                with told(body):
                    raw, value = decoded(body, filled.key)
                    found, partial = page(value)
            except FetchError as error:
                filled.cut(error.reason, error.issue if isinstance(error, Failed) else "")
                return link
            filled.value["entry"] += raw.get("entry") or ()
            filled.rows += found.count
            filled.pages += 1
            filled.cut(partial, issue_code(body))
            values.append(value)
            link = found.next
        return ""

    async def _medicines(self, filled: Filled, values: list[Resource]) -> None:
        """Add the Medications that prescriptions only refer to, as a service that may read adds them."""
        names = unresolved(values)
        for name in names[:MOST_READ]:
            url = self.base.resolve(name)
            try:
                if url is None or "?" in url:
                    raise FetchError("rejected")
                raw, value = decoded(await self._send("GET", url), filled.key)
                check_kind(value, Medication.__name__)
            except FetchError:
                filled.unread += 1
                continue
            filled.value["entry"].append({"resource": raw, "search": {"mode": "include"}})
        filled.unread += len(names[MOST_READ:])

    # -- requests ----------------------------------------------------------------------------------

    async def _send(self, method: str, url: str, content: bytes | None = None) -> bytes:
        """The body of an answer that the service would read too, as UTF-8. Raises Failed."""
        headers = {"Content-Type": FORM} if content is not None else {}
        try:
            async with (
                asyncio.timeout(self.seconds),
                self._http.stream(method, url, content=content, headers=headers) as answer,
            ):
                body = bytearray()
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > _LARGEST_ANSWER:
                        raise Failed("too-large", answer.status_code)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise Failed("deadline") from error
        except (httpx.DecodingError, httpx.InvalidURL) as error:
            raise Failed("not-fhir") from error
        except httpx.HTTPError as error:
            raise unreached(error) from error
        with told(bytes(body)):
            judge(answer)
            return as_utf8(bytes(body), answer.charset_encoding)

    def _sentence(self, failed: Failed) -> str:
        if failed.reason == "deadline":
            return f"{self.base.host} did not answer within {self.seconds:g} s; --timeout gives it longer."
        detail = f" ({failed.detail})" if failed.detail else ""
        status = f" ({failed.status})" if failed.status else ""
        return f"The FHIR server {self.base.url} cannot be used: {says(failed.reason)}{detail}{status}."

    def _read_statement(self, body: bytes) -> Statement:
        try:
            with told(body):
                raw = plain(body)
        except Failed as failed:
            raise ServerRefused(self._sentence(failed)) from failed
        if not isinstance(raw, dict) or raw.get("resourceType") not in ("CapabilityStatement", "Conformance"):
            raise ServerRefused(
                f"What {self.base.url}/metadata answers is no CapabilityStatement. Is this the FHIR base URL?"
            )
        number = str(raw.get("fhirVersion") or "")
        version = version_named(number)
        if version in _OLD or raw["resourceType"] == "Conformance":
            raise ServerRefused(
                f"The server speaks FHIR {version or FhirVersion.DSTU2} ({number}), which is not read here. "
                "Use its R4, R4B or R5 endpoint."
            )
        software = raw.get("software")
        named = software if isinstance(software, dict) else {}
        return Statement(
            f"{version} ({number})" if version else number,
            " ".join(str(named[name]) for name in ("name", "version") if named.get(name)),
        )
