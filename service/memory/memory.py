"""What a worker remembers, for the desk: it keeps calls and feedback, and says what keeps a card quiet.

Nothing here ever fails a hook call. What cannot be read is taken as not there, so that the card is shown.
"""

import asyncio
import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from hooks.feedback import Feedback, FeedbackBatch
from service.answering import Answer
from service.errors import Overloaded
from service.logs import logger
from service.memory.killswitch import Switches
from service.memory.patients import Pseudonyms
from service.memory.recorder import Passage, Recorder
from service.memory.rows import FeedbackRow, SwitchRow, opaque
from service.memory.store import Kept, Store, StoreError, StoreFailed, StoreTooNew
from service.memory.unmapped import Unmapped
from service.memory.upkeep import retention_start
from service.memory.writer import Counted, Writer
from service.metrics import Metrics

__all__ = ["Memory"]

T = TypeVar("T")

# No card waits longer for what was answered before, in seconds.
_READ_S = 0.1
_PAUSE_S = 1.0
_FEEDBACK_S = 5.0
_COMMIT_S = 0.25
_FIRST_PRUNE_S, _DAY_S = 600.0, 86_400.0


class Memory:
    """Belongs to one event loop; `aclose` it at the end. It opens the store at first use."""

    def __init__(
        self,
        store: Store,
        pseudonyms: Pseudonyms,
        metrics: Metrics,
        *,
        commit_calls: bool = False,
        retention_days: int | None = None,
        switch_file: Path | None = None,
        daily: Callable[[], None] | None = None,
    ) -> None:
        """`commit_calls` makes an answer wait until its record is committed, but not for long. Once a day
        records older than `retention_days` are deleted. `switch_file` is the file of kill switches. `daily`
        is called at the start and once a day.
        """
        self.store = store
        self.pseudonyms = pseudonyms
        self.metrics = metrics
        self._commit_calls = commit_calls
        self._writer = Writer(store, Recorder(pseudonyms), seen=self._seen, kept=self._kept, tick=self._tick)
        self.switches = Switches(store, switch_file)
        self._unmapped = Unmapped(store, metrics)
        self._retention_days = retention_days
        self._prune_at = time.monotonic() + _FIRST_PRUNE_S
        self._daily, self._daily_at = daily, 0.0
        self._started = False
        self._readers = ThreadPoolExecutor(1, "memory-reader")
        self._late: Future[Any] | None = None
        self._resume_at = 0.0

    def start(self) -> None:
        """Open the store and start writing. Called again it does nothing."""
        if self._started:
            return
        self._started = True
        try:
            self.store.open()
        except StoreError as error:
            self._writer.failing = error
            logger().error("store-failing", reason=type(error).__name__)
        self.switches.refresh()
        self._writer.start()

    def throw(self, row: SwitchRow) -> None:
        """Record a kill switch, and heed it. Raises StoreError."""
        self.store.add_switch(row)
        self.switches.refresh()

    def each_day(self, daily: Callable[[], None]) -> None:
        """From now on call this once a day in place of what was called before."""
        self._daily = daily

    async def aclose(self) -> None:
        if self._started:
            await asyncio.get_running_loop().run_in_executor(None, self._stop)
        self._readers.shutdown(wait=False, cancel_futures=True)
        self.store.close()

    def _stop(self) -> None:
        self._writer.stop()
        self._unmapped.flush(time.time())

    # -- on the way of a call ----------------------------------------------------------------------

    async def read(self, query: Callable[[Store], T]) -> T | None:
        """What `query` reads from the store; None when that cannot be had in time."""
        self.start()
        try:
            return query(self.store) if self.store.inline else await self._read_beside(query)
        except StoreError:
            self.metrics.recall_failed()
            return None

    async def _read_beside(self, query: Callable[[Store], T]) -> T:
        """Read in the reader's thread. While a read hangs, or just after one failed, none is begun."""
        hangs = self._late is not None and not self._late.done()
        if hangs or time.monotonic() < self._resume_at:
            raise StoreFailed("reading has just failed")
        future = self._readers.submit(query, self.store)
        try:
            async with asyncio.timeout(_READ_S):
                return await asyncio.wrap_future(future)
        except (TimeoutError, StoreError) as error:
            self._late = future
            self._resume_at = time.monotonic() + _PAUSE_S
            raise StoreFailed("reading failed or takes too long") from error

    async def keep(self, answered: Answer, client: str) -> None:
        """Queue the record of a call."""
        self.start()
        self._writer.put(Passage.of(answered, client))
        if self._commit_calls:
            await self.settle()

    async def settle(self, wait_s: float = _COMMIT_S) -> bool:
        """Wait until what is queued is committed and counted; False when that takes too long or fails."""
        self.start()
        try:
            async with asyncio.timeout(wait_s):
                await asyncio.wrap_future(self._writer.submit())
        except (TimeoutError, StoreError):
            return False
        return True

    async def feedback(self, batch: FeedbackBatch, client: str, now: float) -> Kept:
        """Commit feedback. Raises Overloaded when it cannot be, so that the client sends it again."""
        self.start()
        rows = [_row(entry, client, now) for entry in batch.entries]
        try:
            async with asyncio.timeout(_FEEDBACK_S):
                return await asyncio.wrap_future(self._writer.submit(rows))
        except (TimeoutError, StoreError) as error:
            raise Overloaded from error

    # -- how it stands -----------------------------------------------------------------------------

    def standing(self) -> Mapping[str, object]:
        """Whether records are kept, for /readyz."""
        return {
            "store": "failing" if self._writer.failing is not None else "ok",
            "waiting": self._writer.waiting,
            "lost": self._writer.lost,
        }

    def warnings(self) -> list[str]:
        found = []
        if isinstance(self._writer.failing, StoreTooNew):
            found.append(f"Nothing is recorded: {self._writer.failing}. Use that version, or another store.")
        elif self._writer.failing is not None:
            found.append("The store of decisions cannot be written; answered cards may be shown again.")
        found += self.switches.warnings()
        if self._writer.lost:
            found.append(f"{self._writer.lost} calls could not be recorded since the start.")
        return found

    # -- in the writer's thread --------------------------------------------------------------------

    def _seen(self, batch: Sequence[Counted]) -> None:
        self.metrics.calls(batch)
        self._unmapped.decided_by(passage.decision.bundle for passage, *_ in batch)

    def _kept(self, rows: Sequence[FeedbackRow], kept: Kept) -> None:
        self.metrics.feedback(kept)

    def _tick(self) -> None:
        writer = self._writer
        self.metrics.store(writer.failing is None, writer.waiting, writer.lost, writer.failures)
        if self.switches.due():
            self.switches.refresh()
        if self._unmapped.due():
            self._unmapped.flush(time.time())
        if self._daily is not None and time.monotonic() >= self._daily_at:
            self._daily_at = time.monotonic() + _DAY_S
            self._daily()
        if self._retention_days is not None and time.monotonic() >= self._prune_at:
            self._prune_at = time.monotonic() + _DAY_S
            pruned = self.store.prune(retention_start(time.time(), self._retention_days))
            logger().info("pruned", count=pruned.calls)


_CODE = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
_SYSTEM = re.compile(r"(?:https?://|urn:|com\.epic\.)[A-Za-z0-9./:_-]{1,160}\Z")


def _matching(pattern: re.Pattern[str], text: str | None) -> str:
    """A code as it is kept: one that does not look like a code may be anything, and is only
    said to be there.
    """
    if text is None:
        return ""
    return text if pattern.match(text) else "other"


def _row(entry: Feedback, client: str, now: float) -> FeedbackRow:
    """An entry as it is kept. Its comment is not: it is free text about a patient."""
    told = (client, entry.card, entry.outcome, entry.accepted, entry.reason_code, entry.timestamp_raw)
    identity = hashlib.sha256(repr(told).encode(errors="surrogatepass")).hexdigest()[:32]
    return FeedbackRow(
        id=identity,
        card=opaque(entry.card),
        at=now,
        client=client,
        outcome=entry.outcome,
        reason_system=_matching(_SYSTEM, entry.reason_system),
        reason=_matching(_CODE, entry.reason_code),
        accepted=len(entry.accepted),
        commented=int(entry.comment is not None),
        sent=entry.timestamp.timestamp() if entry.timestamp is not None else None,
    )
