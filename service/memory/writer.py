"""The thread that writes: calls are queued in passing and written in batches, feedback is written at once.

A call costs its answer one append. The thread wakes every 50 ms, so that it does not take turns with the
event loop for each call, and at once for feedback, which the client waits for. When the store fails, rows
wait in memory up to a bound; what goes over is counted and lost, and no answer waits for any of it (design
rule 5). Source: stack.md 4.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import islice

from service.logs import logger
from service.memory.recorder import Passage, Recorder
from service.memory.rows import BundleRow, CallRow, CardRow, FeedbackRow
from service.memory.store import Batch, Kept, Store, StoreError, StoreRefused

__all__ = ["BATCH", "CAPACITY", "INTERVAL_S", "QUEUE", "Counted", "Writer"]

INTERVAL_S = 0.05
BATCH = 500
CAPACITY = 20_000
"""Most calls that wait for the store, as rows of about 2 kB: some minutes of a busy hospital."""
QUEUE = 2_000
"""Most calls that wait for the thread. A call is larger until it is made into rows."""

_RETRY_S = (0.1, 5.0)
_AT_ONCE = 8
# How long feedback may come before its card, which another worker has not written yet.
_SETTLE_S = 60.0
_SETTLE_AGAIN_S = 2.0

Rows = tuple[BundleRow, CallRow, Sequence[CardRow]]
Counted = tuple[Passage, BundleRow, CallRow, Sequence[CardRow]]
"""A call with the rows made of it, for the metrics."""

Job = tuple[Sequence[FeedbackRow], "Future[Kept]"]


class Writer:
    """`seen` gets every batch of answers once, `kept` what became of feedback, `tick` a call every interval.

    `lost` counts calls that could not be kept, `failures` failed writes; `failing` is how the last one ended.
    """

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        *,
        seen: Callable[[Sequence[Counted]], None],
        kept: Callable[[Sequence[FeedbackRow], Kept], None],
        tick: Callable[[], None],
        capacity: int = CAPACITY,
        queue: int = QUEUE,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._seen, self._kept, self._tick = seen, kept, tick
        self._capacity, self._queue = capacity, queue
        self._interval_s = interval_s
        self._passages: deque[Passage] = deque()
        self._jobs: deque[Job] = deque()
        self._waiting: deque[Rows] = deque()
        self._bundles: set[str] = set()
        self._wake = threading.Event()
        self._stopping = False
        self._retry_at, self._retry_s = 0.0, _RETRY_S[0]
        self._settle_until = 0.0
        self._thread = threading.Thread(target=self._run, name="memory-writer", daemon=True)
        self.lost = 0
        self.failures = 0
        self.failing: StoreError | None = None

    def start(self) -> None:
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Calls that are not written yet."""
        return len(self._passages) + len(self._waiting)

    def put(self, passage: Passage) -> None:
        """Queue a call. Never waits, never fails."""
        if len(self._passages) >= self._queue:
            self.lost += 1
            return
        self._passages.append(passage)

    def submit(self, rows: Sequence[FeedbackRow] = ()) -> "Future[Kept]":
        """Write feedback, and every call queued before it, at once. The future gets StoreError
        when it fails.
        """
        future: Future[Kept] = Future()
        self._jobs.append((rows, future))
        self._wake.set()
        return future

    def stop(self, wait_s: float = 5.0) -> None:
        """Write what waits, if that can be done, and end the thread."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(wait_s)

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            self._wake.wait(self._interval_s)
            self._wake.clear()
            stopping = self._stopping
            self._guarded(self._tick)
            self._guarded(self._turn)
            if stopping:
                return

    def _guarded(self, work: Callable[[], None]) -> None:
        """A fault of ours costs the records of a turn, not the thread."""
        try:
            work()
        except Exception as error:
            self.failures += 1
            logger().error("memory-fault", exc_info=error)

    def _turn(self) -> None:
        taken = [self._jobs.popleft() for _ in range(len(self._jobs))]
        # From here on nobody who stopped waiting can take a job back.
        jobs = [job for job in taken if job[1].set_running_or_notify_cancel()]
        self._take()
        try:
            if self._waiting or jobs or time.monotonic() < self._settle_until:
                self._attempt(jobs)
        finally:
            for _, future in jobs:
                if not future.done():
                    future.set_exception(StoreRefused("the writer failed"))

    def _take(self) -> None:
        """Make rows of what is queued, and show it to the metrics on the way."""
        taken: list[Counted] = []
        for number in range(1, len(self._passages) + 1):
            self._guarded(partial(self._prepare, self._passages.popleft(), taken))
            if number % _AT_ONCE == 0:
                # Let the event loop go on, which would otherwise wait for the whole batch, up to 5 ms.
                time.sleep(0)
        if taken:
            self._waiting.extend((bundle, call, cards) for _, bundle, call, cards in taken)
            self._guarded(partial(self._seen, taken))
        over = max(0, len(self._waiting) - self._capacity)
        self._forget(over)
        self.lost += over

    def _prepare(self, passage: Passage, taken: list[Counted]) -> None:
        try:
            taken.append((passage, *self._recorder.rows(passage)))
        except BaseException:
            self.lost += 1
            raise

    def _attempt(self, jobs: Sequence[Job]) -> None:
        if self.failing is not None and not jobs and not self._stopping and time.monotonic() < self._retry_at:
            return
        try:
            if self.failing is not None:
                self._store.open()
            while len(self._waiting) > BATCH:
                self._write(BATCH)
            self._write(len(self._waiting), jobs)
        except StoreError as error:
            self._failed(error)
            for _, future in jobs:
                if not future.done():
                    future.set_exception(error)
        else:
            if self.failing is not None:
                logger().info("store-back", count=self.failures)
            self.failing, self._retry_s = None, _RETRY_S[0]

    def _write(self, count: int, jobs: Sequence[Job] = ()) -> None:
        batch = self._batch(count)
        batch.feedback = [row for rows, _ in jobs for row in rows]
        settling = jobs or batch.cards or time.monotonic() < self._settle_until
        try:
            kept = self._store.write(batch, time.time() - _SETTLE_S if settling else None)
        except StoreRefused as error:
            # The rows themselves are at fault, so they would be refused again.
            self.lost += count
            self._forget(count)
            raise error
        self._forget(count)
        self._bundles.update(row.digest for row in batch.bundles)
        if jobs and kept.unsettled:
            self._settle_until = time.monotonic() + _SETTLE_AGAIN_S
        for rows, future in jobs:
            future.set_result(kept)
            self._guarded(partial(self._kept, rows, kept))

    def _batch(self, count: int) -> Batch:
        batch = Batch()
        for bundle, call, cards in islice(self._waiting, count):
            if bundle.digest not in self._bundles and bundle not in batch.bundles:
                batch.bundles.append(bundle)
            batch.calls.append(call)
            batch.cards += cards
        return batch

    def _forget(self, count: int) -> None:
        for _ in range(count):
            self._waiting.popleft()

    def _failed(self, error: StoreError) -> None:
        self.failures += 1
        if self.failing is None:
            logger().error("store-failing", reason=type(error).__name__, count=len(self._waiting))
        self.failing = error
        self._retry_at = time.monotonic() + self._retry_s
        self._retry_s = min(_RETRY_S[1], self._retry_s * 2)
