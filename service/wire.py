"""One HTTP exchange with a FHIR or token server, inside a deadline and under limits.

Every way an exchange can go wrong becomes a FetchError with one stable reason, which says nothing of the
URL, the token or the body. Nothing is followed: a redirect is a failure.
"""

import asyncio
import codecs
import logging
from collections.abc import Mapping, Sequence
from http.cookiejar import CookieJar, DefaultCookiePolicy
from urllib.parse import quote, urlencode

import httpx
import stamina

from service.addresses import AddressRefused, GuardedTransport
from service.errors import TocsinError

__all__ = ["FORM", "FetchError", "Wire", "as_utf8", "form", "judge"]

FORM = "application/x-www-form-urlencoded"
"""The content type of what `form` makes."""

_FIRST_WAIT_S = 0.02
_LONGEST_WAIT_S = 0.1
# No JSON comes as one of these. Anything else may hold it: servers say text/json, text/plain, or nothing.
_MARKUP = frozenset({"text/html", "text/xml", "application/xml"})
_REASONS = {
    401: "unauthorised",
    403: "forbidden",
    404: "not-found",
    410: "not-found",
    429: "busy",
    501: "rejected",
}


class FetchError(TocsinError):
    """Data could not be had. `reason` is a stable code; `passing` says that trying again at once may help;
    `status` is that of the answer, 0 where none was judged.

    Reasons of the exchange: deadline, unreachable, address-refused, redirected, unauthorised, forbidden,
    not-found, busy, rejected, server-error, not-fhir, too-large. Of reading the answer, which is the part of
    service.verdicts: truncated, outcome, unexpected, page-elsewhere, page-loop, page-limit.
    """

    def __init__(self, reason: str, *, passing: bool = False, status: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.passing = passing
        self.status = status


class Wire:
    """The HTTP client of a process: pooled connections, no proxy, no cookies, no redirects, no log of URLs.

    `transport` replaces the guarded transport in tests. `attempts` counts the first one.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None, *, attempts: int = 3) -> None:
        # httpx logs each URL at INFO, and the URLs of FHIR searches hold patient ids.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        # stamina writes a line for each attempt that is tried again; how an exchange ended is counted anyway.
        stamina.instrumentation.set_on_retry_hooks([])
        self._attempts = attempts
        self._http = httpx.AsyncClient(
            transport=transport or GuardedTransport(),
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
            follow_redirects=False,
            trust_env=False,
            headers={"Accept-Encoding": "gzip", "User-Agent": "tocsin"},
        )

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        deadline: float,
        limit: int,
    ) -> bytes:
        """The body of the answer as UTF-8, at most `limit` bytes; `deadline` is a time of the event loop.

        What passes by itself (5xx, a lost or refused connection) is tried again while there is time. Raises
        FetchError.
        """

        async def attempt() -> bytes:
            return await self._once(method, url, dict(headers), body, deadline - loop.time(), limit)

        loop = asyncio.get_running_loop()
        left = deadline - loop.time()
        if left <= 0:
            raise FetchError("deadline")
        retrying = stamina.AsyncRetryingCaller(
            attempts=self._attempts,
            timeout=left,
            wait_initial=_FIRST_WAIT_S,
            wait_max=_LONGEST_WAIT_S,
            wait_jitter=_FIRST_WAIT_S,
        )
        try:
            async with asyncio.timeout_at(deadline):
                return await retrying(_passes, attempt)
        except TimeoutError as error:
            raise FetchError("deadline") from error

    async def _once(
        self, method: str, url: str, headers: dict[str, str], body: bytes | None, left: float, limit: int
    ) -> bytes:
        # A lost SYN is noticed by half-time, so that one more attempt is possible.
        timeout = httpx.Timeout(left, connect=left / 2)
        try:
            async with self._http.stream(
                method, url, headers=headers, content=body, timeout=timeout
            ) as answer:
                judge(answer)
                return as_utf8(await _read(answer, limit), answer.charset_encoding)
        except AddressRefused as error:
            raise FetchError("address-refused") from error
        except httpx.ConnectTimeout as error:
            raise FetchError("unreachable", passing=True) from error
        except httpx.TimeoutException as error:
            raise FetchError("deadline") from error
        except httpx.TransportError as error:
            raise FetchError("unreachable", passing=True) from error
        except (httpx.DecodingError, httpx.InvalidURL) as error:
            raise FetchError("not-fhir") from error

    async def aclose(self) -> None:
        await self._http.aclose()


def form(pairs: Sequence[tuple[str, str]]) -> str:
    """Pairs as a query string or form body; the characters of code lists that may stay plain do."""
    return urlencode(pairs, quote_via=quote, safe=":/,")


def _passes(error: Exception) -> bool:
    return isinstance(error, FetchError) and error.passing


def judge(answer: httpx.Response) -> None:
    """Whether the answer may hold what was asked for, by status and content type. Raises FetchError."""
    status = answer.status_code
    if status != 200:
        raise FetchError(_refusal(status), passing=status >= 500 and status != 501, status=status)
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in _MARKUP or kind.endswith("+xml"):
        raise FetchError("not-fhir", status=status)


def _refusal(status: int) -> str:
    if status in _REASONS:
        return _REASONS[status]
    if status >= 500:
        return "server-error"
    if status >= 400:
        return "rejected"
    return "redirected" if status >= 300 else "not-fhir"


async def _read(answer: httpx.Response, limit: int) -> bytes:
    length = answer.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limit:
        raise FetchError("too-large")
    body = bytearray()
    async for part in answer.aiter_bytes():
        body += part
        if len(body) > limit:
            raise FetchError("too-large")
    return bytes(body)


def as_utf8(body: bytes, charset: str | None) -> bytes:
    """JSON as UTF-8 without a byte order mark, whatever single- or multi-byte charset the server declared.

    Raises FetchError where the body is not in that charset, or there is none of this name.
    """
    try:
        name = codecs.lookup(charset or "utf-8").name
        if name != "utf-8":
            body = body.decode(name).encode()
    except (LookupError, UnicodeError) as error:
        raise FetchError("not-fhir") from error
    return body.removeprefix(codecs.BOM_UTF8)
