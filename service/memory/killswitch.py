"""Kill switches: the whole service, a module of rules, a rule, or a client goes quiet within seconds.

They are thrown by an admin call, which the store records with who and why, or by a file in the state folder,
for when nothing else can be reached:

    - {kind: rule, target: failed-conservative-care, who: J. Smith, why: fires for everyone since the upgrade}

Rules run and are recorded as ever; what fires is suppressed with the reason SWITCH. A file that cannot be
read changes nothing and is told at /readyz.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
import yaml

from rules.engine import Decision, Reason
from service.logs import logger
from service.memory.rows import SwitchRow
from service.memory.store import Store, StoreError

__all__ = ["FILE", "REFRESH_S", "Switches", "silence_switched_off"]

FILE = "killswitch.yaml"
REFRESH_S = 2.0
"""Seconds between looks at the file and the store: half of what a switch may take, and time to spare."""

_LARGEST = 100_000


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: Literal["service", "module", "rule", "client"]
    who: str
    why: str
    target: str = ""


class Switches:
    """What is off. `refresh` runs in the writer's thread, everything else anywhere."""

    def __init__(self, store: Store, file: Path | None) -> None:
        self._store = store
        self._file = file
        self._from_store: dict[tuple[str, str], SwitchRow] = {}
        self._from_file: dict[tuple[str, str], SwitchRow] = {}
        self._off: dict[tuple[str, str], SwitchRow] = {}
        self._stamp: tuple[int, int] | None = None
        self._next = 0.0
        self.problem = ""

    def off(self, kind: str, target: str = "") -> SwitchRow | None:
        """The switch that is thrown for a target, if one is."""
        return self._off.get((kind, target))

    def any(self) -> bool:
        return bool(self._off)

    def thrown(self) -> Sequence[SwitchRow]:
        """Every switch that is off now."""
        return list(self._off.values())

    def due(self) -> bool:
        return time.monotonic() >= self._next

    def refresh(self) -> None:
        """Look at the file and the store again. Whichever cannot be read stays as it was last known."""
        self._next = time.monotonic() + REFRESH_S
        self._read_file()
        try:
            rows = self._store.switches()
        except StoreError:
            rows = None
        if rows is not None:
            newest = {(row.kind, row.target): row for row in rows}
            self._from_store = {key: row for key, row in newest.items() if row.off}
        self._combine()

    def _combine(self) -> None:
        off = {**self._from_store, **self._from_file}
        for key in off.keys() - self._off.keys():
            logger().warning("switched-off", topic=key[0], key=key[1] or "all")
        for key in self._off.keys() - off.keys():
            logger().warning("switched-on", topic=key[0], key=key[1] or "all")
        self._off = off

    def _read_file(self) -> None:
        if self._file is None:
            return
        try:
            stat = self._file.stat()
        except FileNotFoundError:
            self._from_file, self._stamp, self.problem = {}, None, ""
            return
        except OSError:
            self.problem = f"{FILE} cannot be read; what was off stays off."
            return
        stamp = (stat.st_mtime_ns, stat.st_size)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._from_file = _entries(self._file, stat.st_mtime)
            self.problem = ""
        except (OSError, ValueError, yaml.YAMLError, msgspec.ValidationError):
            self.problem = (
                f"{FILE} is no list of switches with kind, target, who and why; what was off stays off."
            )
            logger().error("killswitch-file-wrong")


def _entries(file: Path, at: float) -> dict[tuple[str, str], SwitchRow]:
    with file.open("rb") as opened:
        text = opened.read(_LARGEST)
    entries = msgspec.convert(yaml.safe_load(text) or [], list[_Entry])
    if any(bool(entry.target) == (entry.kind == "service") for entry in entries):
        raise ValueError("a target is missing, or given for the service")
    return {
        (entry.kind, entry.target): SwitchRow(at, entry.kind, entry.target, 1, entry.who, entry.why)
        for entry in entries
    }


def silence_switched_off(decision: Decision, switches: Switches, client: str) -> None:
    """Suppress every fired rule that a switch silences, critical ones too."""
    for outcome in decision.fired():
        rule = decision.bundle.programs[outcome.rule].rule
        for kind, target in (("service", ""), ("client", client), ("module", rule.module), ("rule", rule.id)):
            if switches.off(kind, target) is not None:
                decision.suppress(rule.id, Reason("SWITCH", f"Switched off here ({kind})"))
                break
