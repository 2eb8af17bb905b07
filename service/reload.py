"""New rules without a restart: the files are watched, loaded beside the calls, and taken over at once or not.

Every worker does this for itself, so that it does not matter how many there are. A desk belongs to one set
of rules. Each call takes the desk in force when it comes and keeps it to its end; taking over is one
assignment. Files that cannot be used change nothing but what /readyz and the metrics say. Files are compared
by what `stat` says of where a link leads, because Kubernetes exchanges a link.
"""

import asyncio
import datetime as dt
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from service.desk import Desk
from service.hangup import Hangup
from service.knowledge import Knowledge
from service.logs import logger
from service.refusals import FAULT, refusal_of
from service.runtime import tune_gc
from service.settings import Settings

__all__ = ["Reloader", "Stamps", "stamps_of"]

Stamps = tuple[tuple[int, ...] | None, ...]

_REST_S = 0.25
_MOST_RESTS = 20
_TURN_S = 0.0005
_PACKAGE = "the rules of the package"


def stamps_of(settings: Settings) -> Stamps:
    """What to compare to know whether the files that rules come from have changed."""
    return tuple(map(_stamp, _files(settings)))


def _files(settings: Settings) -> Iterable[Path]:
    return [path for path in (settings.rules_bundle, *settings.rules_key, settings.site) if path is not None]


def _stamp(file: Path) -> tuple[int, ...] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class Reloader:
    """Holds the desk in force. Belongs to one event loop."""

    def __init__(
        self,
        desk: Desk,
        seen: Stamps,
        *,
        load: Callable[[Settings, dt.date], Knowledge] = Knowledge.load,
        rest_s: float = _REST_S,
    ) -> None:
        """`seen` are the stamps of the files from before the rules of `desk` were loaded."""
        self.desk = desk
        self._seen = seen
        self._load = load
        self._rest_s = rest_s
        self._asked = asyncio.Event()
        self._hangup = Hangup()

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch as long as the block runs. SIGHUP is heard where this is the main thread, as in a server."""
        task = asyncio.create_task(self._watch(), name="rules-reload")
        loop = asyncio.get_running_loop()
        hears = threading.current_thread() is threading.main_thread()
        if hears:
            loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        try:
            yield
        finally:
            if hears:
                loop.remove_signal_handler(signal.SIGHUP)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _hung_up(self) -> None:
        if self._hangup.ends():
            signal.raise_signal(signal.SIGTERM)
        else:
            self._asked.set()

    async def _watch(self) -> None:
        seconds = self.desk.settings.reload_seconds if self._seen else 0
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds or None):
                    await self._asked.wait()
            asked = self._asked.is_set()
            self._asked.clear()
            await self.look(asked=asked)

    async def look(self, *, asked: bool = False) -> None:
        """Load again when a file has changed, or when it is `asked` for. What goes wrong is told, never
        raised.
        """
        found = await self._stamps()
        if found == self._seen and not asked:
            return
        self._seen = await self._at_rest(found)
        settings = self.desk.settings
        try:
            known = await asyncio.to_thread(self._load_beside, settings)
            relief = self.desk.with_knowledge(known)
        except Exception as error:
            self._refuse(error)
            return
        before, self.desk = self.desk, relief
        relief.takes_over(time.time())
        tune_gc()
        logger().info(
            "rules-loaded",
            digest=relief.knowledge.bundle.digest,
            digest_before=before.knowledge.bundle.digest,
        )

    def _load_beside(self, settings: Settings) -> Knowledge:
        """Load in a thread. The interpreter runs one thread at a time; a call that waits for its turn gets it
        sooner.
        """
        usual = sys.getswitchinterval()
        sys.setswitchinterval(_TURN_S)
        try:
            return self._load(settings, dt.datetime.now(settings.zone).date())
        finally:
            sys.setswitchinterval(usual)

    async def _stamps(self) -> Stamps:
        # In a thread: a file server that hangs must not hold up calls.
        return await asyncio.to_thread(stamps_of, self.desk.settings)

    async def _at_rest(self, found: Stamps) -> Stamps:
        """Wait while a file is being written, though not for ever: the stamps it has then."""
        for _ in range(_MOST_RESTS):
            await asyncio.sleep(self._rest_s)
            again = await self._stamps()
            if again == found:
                break
            found = again
        return found

    def _refuse(self, error: Exception) -> None:
        desk = self.desk
        file = next((path.name for path in _files(desk.settings)), _PACKAGE)
        earlier = desk.reloads.refusal
        since = earlier.since if earlier is not None else time.time()
        refusal = refusal_of(error, file, since)
        desk.reloads.refusal = refusal
        desk.metrics.reload_refused()
        logger().error(
            "rules-refused",
            code=refusal.code,
            digest=desk.knowledge.bundle.digest,
            exc_info=error if refusal.code == FAULT else None,
        )
