"""Each `jti` counts once: the memory of tokens already used, shared by the workers of one machine.

Source: conformance note SEC-13. A `jti` is remembered, as a digest under its issuer, until its token could no
longer be valid. Only tokens that passed every other check come here, so strangers cannot fill it.

When the shared memory fails, calls are accepted by default and each worker still refuses what it has seen
itself: a replayed call shows its sender only what it sends us, while a refused call may cost the card about a
compressed cord (design rule 5). `on_failure="refuse"` turns this round for sites that decide otherwise.
"""

import asyncio
import hashlib
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Literal, Protocol

from service.errors import Overloaded, TocsinError
from service.files import make_private

__all__ = ["LocalMemory", "ReplayFailed", "ReplayGuard", "ReplayMemory", "SharedMemory"]

_PURGE_S = 10.0
_PREPARE_S = 5.0
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS seen (digest BLOB PRIMARY KEY, expires REAL NOT NULL) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS seen_expires ON seen (expires)",
)


class ReplayFailed(TocsinError):
    """The memory could not say whether a token was seen before."""


class ReplayMemory(Protocol):
    """Remembers digests until they expire. Safe to call from any thread; times in epoch seconds."""

    def remember(self, digest: bytes, expires: float, now: float) -> bool:
        """True the first time, False after it. Raises ReplayFailed."""

    def close(self) -> None:
        """Give up files and connections."""


class LocalMemory:
    """The memory of one process, bounded: raises ReplayFailed when `capacity` unexpired tokens are held."""

    def __init__(self, capacity: int = 200_000) -> None:
        self._capacity = capacity
        self._seen: dict[bytes, float] = {}
        self._purged = float("-inf")
        self._lock = threading.Lock()

    def remember(self, digest: bytes, expires: float, now: float) -> bool:
        with self._lock:
            if now - self._purged >= _PURGE_S:
                self._purged = now
                self._seen = {key: end for key, end in self._seen.items() if end > now}
            if digest in self._seen:
                return False
            if len(self._seen) >= self._capacity:
                raise ReplayFailed("memory is full")
            self._seen[digest] = expires
            return True

    def close(self) -> None:
        """Nothing is held open."""


class SharedMemory:
    """A SQLite file that all workers of a machine open. A failed open is tried again at the next use.

    The write-ahead log lets the look-up, which settles most replays, go on while another worker writes. No
    commit waits for the disk: what a power cut loses are tokens that expire within minutes.
    """

    def __init__(self, path: Path, *, busy_s: float = 0.2) -> None:
        self._path = path
        self._busy_s = busy_s
        self._purged = float("-inf")
        self._connection: sqlite3.Connection | None = None
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Open the file ahead of the first call, when the other workers do so too. Raises ReplayFailed."""
        with self._lock:
            self._open(_PREPARE_S)

    def remember(self, digest: bytes, expires: float, now: float) -> bool:
        with self._lock:
            try:
                return self._remember(self._open(self._busy_s), digest, expires, now)
            except sqlite3.Error as error:
                raise ReplayFailed("shared memory failed") from error

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _remember(self, database: sqlite3.Connection, digest: bytes, expires: float, now: float) -> bool:
        if now - self._purged >= _PURGE_S:
            self._purged = now
            database.execute("DELETE FROM seen WHERE expires <= ?", (now,))
        if database.execute("SELECT 1 FROM seen WHERE digest = ?", (digest,)).fetchone():
            return False
        return self._insert(database, digest, expires)

    def _insert(self, database: sqlite3.Connection, digest: bytes, expires: float) -> bool:
        """Write it down; False when another worker did so since the look."""
        try:
            database.execute("INSERT OR FAIL INTO seen (digest, expires) VALUES (?, ?)", (digest, expires))
        except sqlite3.IntegrityError:
            return False
        return True

    def _open(self, patience_s: float) -> sqlite3.Connection:
        until = time.monotonic() + patience_s
        while self._connection is None:
            try:
                self._connection = self._connect()
            except (sqlite3.Error, OSError) as error:
                # SQLite does not wait by itself while another worker changes the journal mode.
                busy = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY
                if not busy or time.monotonic() >= until:
                    raise ReplayFailed("shared memory cannot be opened") from error
                time.sleep(0.005)
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private(self._path)
        opened = sqlite3.connect(
            self._path, timeout=self._busy_s, isolation_level=None, check_same_thread=False
        )
        try:
            opened.execute("PRAGMA journal_mode = WAL")
            opened.execute("PRAGMA synchronous = NORMAL")
            for statement in _SCHEMA:
                opened.execute(statement)
        except sqlite3.Error:
            opened.close()
            raise
        return opened


class ReplayGuard:
    """Asks the memories without holding up the event loop, and decides what their failure means.

    `failed` is called at each failure; `failing` is whether the last question failed.
    """

    def __init__(
        self,
        shared: ReplayMemory | None = None,
        *,
        on_failure: Literal["accept", "refuse"] = "accept",
        timeout_s: float = 0.25,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._shared = shared
        self._refuse = on_failure == "refuse"
        self._timeout_s = timeout_s
        self._local = LocalMemory()
        self._thread = ThreadPoolExecutor(1, "replay")
        self._late: Future[bool] | None = None
        self._failed = failed
        self.failing = False

    async def first_use(self, issuer: str, jti: str, expires: float, now: float) -> bool:
        """Whether this token has not been used before; `expires` and `now` in epoch seconds.

        Raises Overloaded when that cannot be said and `on_failure` is "refuse".
        """
        digest = hashlib.sha256(f"{len(issuer)}:{issuer}{jti}".encode()).digest()
        try:
            first = await self._ask(digest, expires, now)
        except ReplayFailed as error:
            self._failed()
            self.failing = True
            if self._refuse:
                raise Overloaded from error
            return True
        self.failing = False
        return first

    def close(self) -> None:
        self._thread.shutdown(wait=not self._hangs, cancel_futures=True)
        if self._shared is not None and not self._hangs:
            self._shared.close()

    @property
    def _hangs(self) -> bool:
        return self._late is not None and not self._late.done()

    async def _ask(self, digest: bytes, expires: float, now: float) -> bool:
        if self._shared is None:
            return self._local.remember(digest, expires, now)
        # Refused for our own failure, a call may come again with the same token: then only the shared memory
        # counts. Otherwise what this worker knows settles replays that reach it, whatever the disk does.
        if not self._refuse and self._known_here(digest, expires, now):
            return False
        if self._hangs:
            raise ReplayFailed("shared memory hangs")
        future = self._thread.submit(self._shared.remember, digest, expires, now)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            # In a flood of calls it is this loop that is late, and the answer is there.
            if future.done() and not future.cancelled():
                return future.result()
            # Those that waited in line are cancelled with the wait; what still runs is what hangs.
            if not future.done():
                self._late = future
            raise ReplayFailed("shared memory is late") from error

    def _known_here(self, digest: bytes, expires: float, now: float) -> bool:
        try:
            return not self._local.remember(digest, expires, now)
        except ReplayFailed:
            return False
