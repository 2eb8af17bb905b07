"""Cross-origin calls from the web pages that may make them (SEC-17).

A preflight carries no token, so it is answered by origin alone, before anyone is identified. Credentials are
never allowed: callers are known by their token, not by cookies.
"""

from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Cors"]

_METHODS = "GET, POST, OPTIONS"
_HEADERS = "authorization, content-type"
_EXPOSED = "Retry-After"
_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
_KEPT_S = "600"


class Cors:
    """ASGI middleware that lets pages of `origins` call; `*` stands for any. Should be the outermost that
    answers.
    """

    def __init__(self, app: ASGIApp, origins: Iterable[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        allowed = bool(origin) and (origin in self._origins or "*" in self._origins)
        if scope["method"] == "OPTIONS" and origin and "access-control-request-method" in headers:
            await _preflight(send, origin if allowed else "")
            return

        async def reply(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                answered.add_vary_header("Origin")
                if allowed:
                    answered["Access-Control-Allow-Origin"] = origin
                    answered["Access-Control-Expose-Headers"] = _EXPOSED
            await send(message)

        await self._app(scope, receive, reply)


async def _preflight(send: Send, origin: str) -> None:
    """Answer a preflight; without an allowed origin nothing is granted and the browser stops there."""
    start: Message = {"type": "http.response.start", "status": 204, "headers": []}
    headers = MutableHeaders(scope=start)
    headers["Vary"] = _VARY
    if origin:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Allow-Methods"] = _METHODS
        headers["Access-Control-Allow-Headers"] = _HEADERS
        headers["Access-Control-Max-Age"] = _KEPT_S
    await send(start)
    await send({"type": "http.response.body", "body": b""})
