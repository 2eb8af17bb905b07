"""What the store has counted of the last days, for the pages: fires of each rule, calls of each client.

Reading may take a while on a store with many calls. It is done in a thread, and with a connection of its own
where there can be one, so that no call waits for it; what was read is shown to everyone for some seconds.
"""

import asyncio
import time
from collections.abc import Mapping

import msgspec

from service.desk import Desk
from service.memory.opening import open_store
from service.memory.report import RuleRow, count_rules
from service.memory.statements import SEEN
from service.memory.store import Store, StoreError
from service.settings import Settings

__all__ = ["DAYS", "Figures", "Ledger", "Seen"]

DAYS = 7
"""How far back the figures go."""

_DAY_S = 86_400.0
_FRESH_S = 2.0


class Seen(msgspec.Struct):
    """A client as the store has seen it: calls by hook, and the last one in seconds since 1970."""

    hooks: dict[str, int]
    last: float


class Figures(msgspec.Struct, frozen=True):
    """`rules` has a row for each rule that was evaluated, `clients` one for each client that called."""

    rules: Mapping[str, RuleRow]
    clients: Mapping[str, Seen]


class Ledger:
    """Reads the store for the pages of one worker."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._read_at = 0.0
        self._figures: Figures | None = None

    async def figures(self, desk: Desk) -> Figures | None:
        """None when the store cannot be read."""
        async with self._lock:
            if self._figures is None or time.monotonic() - self._read_at > _FRESH_S:
                await desk.memory.settle()
                self._figures = await asyncio.to_thread(_read, desk.settings, desk.memory.store, time.time())
                self._read_at = time.monotonic()
            return self._figures


def _read(settings: Settings, shared: Store, now: float) -> Figures | None:
    own = open_store(settings) if settings.store_url != "memory:" else None
    try:
        if own is None:
            return _figures(shared, now)
        own.open()
        return _figures(own, now)
    except StoreError:
        return None
    finally:
        if own is not None:
            own.close()


def _figures(store: Store, now: float) -> Figures:
    """Raises StoreError."""
    since, until = now - DAYS * _DAY_S, now + 1
    clients: dict[str, Seen] = {}
    for client, hook, count, last in store.summary(SEEN, since, until):
        seen = clients.setdefault(client, Seen({}, last))
        seen.hooks[hook] = count
        seen.last = max(seen.last, last)
    return Figures(count_rules(store, since, until), clients)
