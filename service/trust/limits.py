"""What one caller may cost: bytes of a body, calls a minute, calls at once.

A body is measured while it comes in, so that no more than the limit is ever held. Calls are counted per
client and worker process; a client's limits hold over all workers, so each worker gives out its share.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.errors import BodyTooLarge, Overloaded, RateLimited, answer
from service.logs import logger
from service.trust.clients import CallLimits, Client

__all__ = ["BodyLimit", "Throttle"]


class BodyLimit:
    """ASGI middleware that answers 413 to a body over `max_bytes`: by its Content-Length, or when it gets
    there.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _declared(scope) > self._max_bytes:
            # One that turns out too long while it is read is logged where other refusals are.
            logger().info("refused", code=BodyTooLarge.code, status=BodyTooLarge.status)
            await _refuse(send)
            return
        exchange = _Exchange(receive, send, self._max_bytes)
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except BodyTooLarge:
            await exchange.refuse()


class _Exchange:
    """One request whose body is measured. Past the limit only our refusal goes out, whatever the app says."""

    def __init__(self, receive: Receive, send: Send, max_bytes: int) -> None:
        self._receive = receive
        self._send = send
        self._left = max_bytes
        self._begun = False
        self._refused = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise BodyTooLarge
        return message

    async def send(self, message: Message) -> None:
        if self._left < 0 and not self._begun:
            await self.refuse()
        else:
            self._begun = True
            await self._send(message)

    async def refuse(self) -> None:
        """Answer 413, once. Raises BodyTooLarge when an answer has begun, so that the connection is cut."""
        if self._begun:
            raise BodyTooLarge
        if not self._refused:
            self._refused = True
            await _refuse(self._send)


def _declared(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value[:20])
    return 0


async def _refuse(send: Send) -> None:
    reply = answer(BodyTooLarge())
    headers = [
        (b"content-type", b"application/fhir+json"),
        (b"content-length", str(len(reply.body)).encode()),
        # The rest of the body is not read, so nothing else can be read from this connection.
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


class _Meter(msgspec.Struct):
    """Of one client in one worker: calls left now, when that was reckoned, and calls under way."""

    left: float
    at: float
    under_way: int = 0


class Throttle:
    """Admits calls by each client's limits. Memory is one small record for each configured client."""

    def __init__(self, workers: int = 1) -> None:
        self._workers = workers
        self._meters: dict[str, _Meter] = {}

    @contextmanager
    def admit(self, client: Client, at: float) -> Iterator[None]:
        """Count a call from `at`, in seconds of a clock that only goes forward, until the block ends.

        Raises RateLimited, or Overloaded when too many calls of the client are under way.
        """
        meter = self._meter(client, at)
        if meter.under_way >= max(1, client.limits.concurrent // self._workers):
            raise Overloaded
        if meter.left < 1:
            raise RateLimited(math.ceil((1 - meter.left) / self._rate(client.limits)))
        meter.left -= 1
        meter.under_way += 1
        try:
            yield
        finally:
            meter.under_way -= 1

    def _meter(self, client: Client, at: float) -> _Meter:
        full = max(1.0, client.limits.burst / self._workers)
        meter = self._meters.setdefault(client.id, _Meter(full, at))
        meter.left = min(full, meter.left + max(0.0, at - meter.at) * self._rate(client.limits))
        meter.at = max(meter.at, at)
        return meter

    def _rate(self, limits: CallLimits) -> float:
        return limits.per_minute / 60 / self._workers
