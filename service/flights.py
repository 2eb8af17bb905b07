"""Values that are fetched once, kept for a while, and shared by whoever asks meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Flights"]

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Flights(Generic[Key, Value]):
    """A cache over `fetch`, which returns a value and the seconds it may be kept, and does not raise.

    Callers who ask for the same key at once share one fetch. A caller who is cancelled, at the deadline of a
    call say, leaves the fetch running, so that the next caller finds its value.
    """

    def __init__(self, fetch: Callable[[Key], Awaitable[tuple[Value, float]]]) -> None:
        self._fetch = fetch
        self._kept: dict[Key, tuple[Value, float]] = {}
        self._running: dict[Key, asyncio.Task[Value]] = {}

    def known(self, key: Key) -> Value | None:
        """The kept value, without asking for it."""
        kept = self._kept.get(key)
        if kept is None or kept[1] <= asyncio.get_running_loop().time():
            return None
        return kept[0]

    async def get(self, key: Key) -> Value:
        """The kept value, else a new one."""
        value = self.known(key)
        return await asyncio.shield(self._flight(key)) if value is None else value

    def start(self, key: Key) -> None:
        """See that the value becomes known, without waiting for it."""
        if self.known(key) is None:
            self._flight(key)

    def _flight(self, key: Key) -> "asyncio.Task[Value]":
        task = self._running.get(key)
        if task is None:
            task = self._running[key] = asyncio.create_task(self._fly(key))
        return task

    async def _fly(self, key: Key) -> Value:
        try:
            value, seconds = await self._fetch(key)
            self._kept[key] = (value, asyncio.get_running_loop().time() + seconds)
            return value
        finally:
            del self._running[key]

    async def aclose(self) -> None:
        """End what is still running."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
