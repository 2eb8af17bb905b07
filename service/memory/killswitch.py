"""Kill switches: the whole service, a module of rules, a rule, or a client goes quiet within seconds.

They are thrown by an admin call, which the store records with who and why, or by a file in the state folder,
for when nothing else can be reached:

    - {kind: rule, target: failed-conservative-care, who: J. Smith, why: fires for everyone since the upgrade}

Rules run and are recorded as ever; what fires is suppressed with the reason SWITCH. A file that cannot be
read changes nothing, an entry that cannot be used costs no other, and a switch for what is not known is kept
for when it comes; all this is told at /readyz.
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
from service.memory.targets import Targets

__all__ = ["FILE", "REFRESH_S", "Switches", "silence_switched_off"]

FILE = "killswitch.yaml"
REFRESH_S = 2.0
"""Seconds between looks at the file and the store: half of what a switch may take, and time to spare."""

_LARGEST = 100_000
_KEPT = "what was off stays off"

_Found = dict[tuple[str, str], SwitchRow]


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kind: Literal["service", "module", "rule", "client"]
    who: str
    why: str
    target: str = ""


class Switches:
    """What is off. `refresh` runs in the writer's thread, everything else anywhere.

    `targets` are the names that are known, where they are; `problem` is what is wrong with the file.
    """

    def __init__(self, store: Store, file: Path | None) -> None:
        self._store = store
        self._file = file
        self._from_store: _Found = {}
        self._from_file: _Found = {}
        self._off: _Found = {}
        self._stamp: tuple[int, int] | None = None
        self._next = 0.0
        self.problem = ""
        self.targets: Targets | None = None

    def off(self, kind: str, target: str = "") -> SwitchRow | None:
        """The switch that is thrown for a target, if one is."""
        return self._off.get((kind, target))

    def any(self) -> bool:
        return bool(self._off)

    def thrown(self) -> Sequence[SwitchRow]:
        """Every switch that is off now."""
        return list(self._off.values())

    def knows(self, kind: str, target: str) -> bool:
        """Whether there is something of this name to be silenced, as far as names are known."""
        return self.targets is None or self.targets.knows(kind, target)

    def warnings(self) -> list[str]:
        """What is off, what of that silences nothing, and what is wrong with the file, in sentences."""
        found = [self.problem] if self.problem else []
        for row in self.thrown():
            what = f"{row.kind} {row.target}".rstrip()
            if self.knows(row.kind, row.target):
                found.append(f"Switched off: {what}.")
            else:
                found.append(
                    f"Switched off, but not known here, so nothing is silenced: {what}{self._near(row)}."
                )
        return found

    def _near(self, row: SwitchRow) -> str:
        # /readyz is open to more people than may know who calls.
        if self.targets is None or row.kind == "client":
            return ""
        near = self.targets.near(row.kind, row.target)
        return f" (is it {' or '.join(near)}?)" if near else ""

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
            stamp = (stat.st_mtime_ns, stat.st_size)
            if stamp == self._stamp:
                return
            found, wrong = _entries(self._file, stat.st_mtime)
        except FileNotFoundError:
            self._from_file, self._stamp, self.problem = {}, None, ""
        except OSError as error:
            # Its stamp stays the same when its permissions are mended: it is tried again each time.
            self._stamp = None
            self._tell(f"{FILE} cannot be read ({error.strerror}); {_KEPT}.", "killswitch-file-unreadable")
        except (ValueError, RecursionError, yaml.YAMLError):
            self._stamp = stamp
            self._tell(f"{FILE} is no list of switches in YAML; {_KEPT}.", "killswitch-file-wrong")
        else:
            self._stamp = stamp
            self._from_file = {**self._from_file, **found} if wrong else found
            if wrong:
                self._tell(_faulty(wrong), "killswitch-file-wrong")
            else:
                self.problem = ""

    def _tell(self, problem: str, event: str) -> None:
        if problem != self.problem:
            logger().error(event)
        self.problem = problem


def _entries(file: Path, at: float) -> tuple[_Found, list[int]]:
    """The switches of a file, and the numbers, from 1, of entries that are none. ValueError for no list."""
    with file.open("rb") as opened:
        entries = yaml.safe_load(opened.read(_LARGEST)) or []
    if not isinstance(entries, list):
        raise ValueError("no list")
    found: _Found = {}
    wrong = []
    for number, given in enumerate(entries, 1):
        try:
            row = _row(msgspec.convert(given, _Entry), at)
        except ValueError:
            wrong.append(number)
        else:
            found[row.kind, row.target] = row
    return found, wrong


def _row(entry: _Entry, at: float) -> SwitchRow:
    """ValueError when who, why or target lacks, or a target is given for the service."""
    who, why, target = entry.who.strip(), entry.why.strip(), entry.target.strip()
    if not who or not why or bool(target) == (entry.kind == "service"):
        raise ValueError("no switch")
    return SwitchRow(at, entry.kind, target, 1, who, why)


def _faulty(wrong: Sequence[int]) -> str:
    which = ", ".join(map(str, wrong))
    return (
        f"{FILE}: no switch with kind, target, who and why in entry {which}; {_KEPT}, and the others count."
    )


def silence_switched_off(decision: Decision, switches: Switches, client: str) -> None:
    """Suppress every fired rule that a switch silences, critical ones too."""
    for outcome in decision.fired():
        rule = decision.bundle.programs[outcome.rule].rule
        for kind, target in (("service", ""), ("client", client), ("module", rule.module), ("rule", rule.id)):
            if switches.off(kind, target) is not None:
                decision.suppress(rule.id, Reason("SWITCH", f"Switched off here ({kind})"))
                break
