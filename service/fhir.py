"""Reading from the calling client's FHIR server: how a search is put, paged and read.

Sources: conformance notes FHR-01 to FHR-06, PF-13, PF-18; FHIR R4 search, paging and `_search` by POST.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from service.access import AccessRefused, Grant
from service.addresses import Base
from service.decode import Problem
from service.fhir_version import ServerVersions
from service.resources import Resource
from service.smart import BackendTokens, Registration
from service.verdicts import ACCEPT, MAY_BE_FORM, Pages, check_kind, page, resource
from service.wire import FORM, FetchError, Wire, form

__all__ = ["Access", "FhirClient", "Harvest", "Limits", "Noted", "SearchRequest", "Session"]


class Limits(msgspec.Struct, frozen=True):
    """Of one call: requests in flight, pages of one search, bytes of one answer and of one URL."""

    in_flight: int = 8
    pages: int = 10
    answer_bytes: int = 8 * 1024 * 1024
    url_bytes: int = 2000


class SearchRequest(msgspec.Struct, frozen=True):
    """A type-level search; `listed` are the alternatives of its parameter `list_name`, which may be many."""

    resource_type: str
    parameters: tuple[tuple[str, str], ...]
    list_name: str = ""
    listed: tuple[str, ...] = ()

    def pairs(self, listed: Sequence[str]) -> list[tuple[str, str]]:
        pairs = list(self.parameters)
        if listed:
            pairs.insert(1, (self.list_name, ",".join(listed)))
        return pairs


class Harvest(msgspec.Struct):
    """What one query has brought so far, so that a cut at the deadline loses nothing that had arrived.

    `partial` is empty, or the reason why more exists than is here.
    """

    key: str
    values: list[Resource] = msgspec.field(default_factory=list)
    problems: list[Problem] = msgspec.field(default_factory=list)
    partial: str = ""


Noted = Callable[[str, str, str, float], None]
"""Called with host, path below the base, `ok` or the reason of a FetchError, and seconds of a request."""

Queried = Callable[[Mapping[str, Any], int, int], None]
"""Called with what a log line may say of a query, its begin and its end in nanoseconds since 1970."""


class FhirClient:
    """What the calls of a process share: connections, tokens of our own, and what is known of servers.

    `noted` is told of every request, `queried` of every query.
    """

    def __init__(
        self,
        wire: Wire,
        limits: Limits | None = None,
        *,
        noted: Noted | None = None,
        queried: Queried | None = None,
    ) -> None:
        self.wire = wire
        self.tokens = BackendTokens(wire)
        self.versions = ServerVersions(wire)
        self.limits = limits or Limits()
        self.noted = noted
        self.queried = queried
        self.without_post: set[Base] = set()

    async def aclose(self) -> None:
        await self.versions.aclose()
        await self.tokens.aclose()
        await self.wire.aclose()


class Access:
    """The way to the FHIR server of one call. Nothing is checked or sent before data turns out to be missing.

    `ask` makes the grant, or raises AccessRefused. `registered` is used when the call brought no token.
    """

    def __init__(
        self, client: FhirClient, ask: Callable[[], Grant], registered: Registration | None = None
    ) -> None:
        self._client = client
        self._ask = ask
        self._registered = registered

    async def open(self, seconds: float) -> "Session":
        """A session for `seconds` from now. Raises AccessRefused."""
        deadline = asyncio.get_running_loop().time() + seconds
        given = self._ask()
        if not given.token and self._registered is not None:
            try:
                async with asyncio.timeout_at(deadline):
                    given = Grant(given.base, await self._client.tokens.token(self._registered))
            except (FetchError, TimeoutError) as error:
                raise AccessRefused("token-unavailable") from error
        return Session(self._client, given, deadline)


class Session:
    """Reads and searches on one server for one call; `deadline` is a time of the event loop."""

    def __init__(self, client: FhirClient, grant: Grant, deadline: float) -> None:
        self.base = grant.base
        self.deadline = deadline
        self.versions = client.versions
        self.queried = client.queried
        self._noted = client.noted
        self._wire = client.wire
        self._limits = client.limits
        self._without_post = client.without_post
        self._slots = asyncio.Semaphore(client.limits.in_flight)
        self._headers = {"Accept": ACCEPT}
        if grant.token:
            self._headers["Authorization"] = f"Bearer {grant.token}"

    async def read(self, reference: str, harvest: Harvest) -> None:
        """Read one instance, given as `Type/id`. Raises FetchError."""
        kind, _, _ = reference.partition("/")
        url = self.base.resolve(reference)
        if url is None or "?" in url:
            raise FetchError("rejected")
        value = _taken(await self._get(url), harvest)
        check_kind(value, kind)
        harvest.values.append(value)

    async def search(self, request: SearchRequest, harvest: Harvest) -> None:
        """Search, and follow the pages. Raises FetchError when the first page cannot be had.

        A long list goes by POST; where the server does not take that, in several searches side by side.
        """
        try:
            first = await self._first_page(request)
        except FetchError as error:
            chunks = self._chunks(request)
            if error.reason not in MAY_BE_FORM or len(chunks) < 2:
                raise
            await self._side_by_side(chunks, harvest)
        else:
            await self.follow(_page(first, harvest), harvest)

    async def follow(self, link: str | None, harvest: Harvest) -> None:
        """Fetch the pages from `link` on. What goes wrong is the harvest's `partial`, never an exception."""
        pages = Pages(self.base, self._limits.pages)
        try:
            while link is not None:
                link = _page(await self._get(pages.turn(link)), harvest)
        except FetchError as error:
            harvest.partial = harvest.partial or error.reason

    async def _side_by_side(self, urls: Sequence[str], harvest: Harvest) -> None:
        done = await asyncio.gather(*(self._one(url, harvest) for url in urls), return_exceptions=True)
        for failure in done:
            if failure is not None:
                raise failure

    async def _one(self, url: str, harvest: Harvest) -> None:
        await self.follow(_page(await self._get(url), harvest), harvest)

    async def _first_page(self, request: SearchRequest) -> bytes:
        pairs = form(request.pairs(request.listed))
        url = f"{self.base.url}/{request.resource_type}"
        if len(url) + 1 + len(pairs) <= self._limits.url_bytes:
            return await self._get(f"{url}?{pairs}")
        if self.base in self._without_post:
            raise FetchError("rejected")
        try:
            return await self._send("POST", f"{url}/_search", pairs.encode())
        except FetchError as error:
            if error.reason in MAY_BE_FORM:
                self._without_post.add(self.base)
            raise

    def _chunks(self, request: SearchRequest) -> list[str]:
        """The search as URLs of at most half the permitted length, each with a part of the list."""
        url = f"{self.base.url}/{request.resource_type}?"
        room = self._limits.url_bytes // 2 - len(url) - len(form(request.pairs(("",))))
        parts: list[list[str]] = []
        used = room
        for code in request.listed:
            size = len(form([("", code)]))
            if used + size > room or not parts:
                parts.append([])
                used = 0
            parts[-1].append(code)
            used += size
        return [url + form(request.pairs(part)) for part in parts]

    async def _get(self, url: str) -> bytes:
        return await self._send("GET", url)

    async def _send(self, method: str, url: str, body: bytes | None = None) -> bytes:
        headers = self._headers if body is None else {**self._headers, "Content-Type": FORM}
        async with self._slots:
            began, result = time.perf_counter(), "deadline"
            try:
                answer = await self._wire.send(
                    method,
                    url,
                    headers=headers,
                    body=body,
                    deadline=self.deadline,
                    limit=self._limits.answer_bytes,
                )
                result = "ok"
            except FetchError as error:
                result = error.reason
                raise
            finally:
                # A request that is cancelled at the deadline ends here too.
                if self._noted is not None:
                    path = url.removeprefix(self.base.url).lstrip("/")
                    self._noted(self.base.host, path, result, time.perf_counter() - began)
            return answer


def _taken(body: bytes, harvest: Harvest) -> Resource:
    value, problems = resource(body, harvest.key)
    harvest.problems.extend(problems)
    return value


def _page(body: bytes, harvest: Harvest) -> str | None:
    """Take in a page; the link to the next one."""
    value = _taken(body, harvest)
    found, partial = page(value)
    harvest.values.append(value)
    harvest.partial = harvest.partial or partial
    return found.next
