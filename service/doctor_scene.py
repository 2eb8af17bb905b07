"""What the checks of `tocsin doctor` look at, and what they say."""

import datetime as dt
import ssl
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import Literal

import httpx
import msgspec

from service.errors import SettingProblem
from service.settings import Settings
from service.trust import Clients
from service.wire import Wire

__all__ = ["Dates", "Finding", "Scene", "counted"]


class Finding(msgspec.Struct, frozen=True):
    """One line: `check` names what was looked at, `says` is one sentence, `action` what to do about it."""

    check: str
    state: Literal["ok", "warn", "fail"]
    says: str
    action: str = ""


class Dates(httpx.AsyncBaseTransport):
    """Passes requests on, and keeps how far the clock of each server that answered is ahead of ours."""

    def __init__(
        self, inner: httpx.AsyncBaseTransport, clock: Callable[[], dt.datetime] | None = None
    ) -> None:
        self.ahead_s: dict[str, float] = {}
        self._inner = inner
        self._clock = clock or _utc_now

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        try:
            said = parsedate_to_datetime(answer.headers.get("date", ""))
            self.ahead_s[request.url.host] = (said - self._clock()).total_seconds()
        except (ValueError, TypeError):
            # No Date, one that is none, or one without a zone.
            pass
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """An installation as the checks see it. `tls` is what its own public URL is verified with."""

    settings: Settings
    problems: tuple[SettingProblem, ...]
    clients: Clients
    wire: Wire
    dates: Dates
    tls: ssl.SSLContext
    now: dt.datetime
    token: bytes
    offline: bool


def counted(number: int, one: str, many: str = "") -> str:
    """A number with its noun."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def _utc_now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
