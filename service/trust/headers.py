"""Headers that every answer carries, so that no proxy keeps it and no browser makes more of it than it is
(SEC-02).

Answers hold patient data, so none may be stored. A page that needs scripts or styles sets its own policy,
which is left as it is.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["SecurityHeaders"]

# Lower-case byte pairs, as ASGI has them: this runs for every answer.
_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]
_UNLESS_SET = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
]
_TRANSPORT = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


class SecurityHeaders:
    """ASGI middleware; with `https` it also tells browsers to come back by TLS only (SEC-01)."""

    def __init__(self, app: ASGIApp, https: bool = False) -> None:
        self._app = app
        self._always = [*_ALWAYS, _TRANSPORT] if https else _ALWAYS
        self._replaced = frozenset({b"server", *(name for name, _ in self._always)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def reply(message: Message) -> None:
            if message["type"] == "http.response.start":
                kept = [pair for pair in message.get("headers", ()) if pair[0] not in self._replaced]
                given = {name for name, _ in kept}
                unset = [pair for pair in _UNLESS_SET if pair[0] not in given]
                message["headers"] = [*kept, *self._always, *unset]
            await send(message)

        await self._app(scope, receive, reply)
