"""The checks of `tocsin doctor` that stay on this machine or go to the database."""

import datetime as dt
import shutil
import sqlite3
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from rules.engine import ArchiveError, Bundle, BundleError, Problem
from service.cautions import warnings
from service.doctor_scene import Finding, Scene, counted
from service.knowledge import Knowledge
from service.memory.modes import trial_warnings
from service.memory.opening import open_store
from service.memory.store import LEVEL, Store, StoreError
from service.memory.upgrade import current_layout
from service.memory.upkeep import differences
from service.settings import table

__all__ = ["check_cors", "check_database", "check_rules", "check_settings", "check_state"]

_MIB = 2**20
_DISK_FAIL, _DISK_WARN = 100 * _MIB, 1024 * _MIB
# Not the group: Kubernetes gives volumes to one (fsGroup).
_OTHERS = stat.S_IRWXO
_SECRET_FILES = ("patient.key", "tocsin.sqlite", "replay.sqlite")
_MOST = 5
_REVIEW, _UNUSED_CONTACT, _MISSING_CONTACT = "R034", "R054", "R055"


def check_settings(scene: Scene) -> list[Finding]:
    """What the environment has wrong, and what is allowed and must be meant."""
    found = [Finding("settings", "fail", f"{one.name}: {one.problem}", one.action) for one in scene.problems]
    found += (
        Finding("settings", "warn", line, "Leave it only where it is meant.")
        for line in warnings(scene.settings)
    )
    if not scene.problems:
        chosen = sum(row.value != row.default for row in table(scene.settings))
        found.append(
            Finding(
                "settings",
                "ok",
                f"{counted(chosen, 'setting')} of {len(table())} differ from the default, none is wrong.",
            )
        )
    return found


def check_state(scene: Scene) -> list[Finding]:
    """The state folder: there, writable, and closed to other users."""
    folder = scene.settings.state_dir
    if folder is None:
        return [Finding("state", "ok", "No state folder is set (TOCSIN_STATE_DIR).")]
    if not folder.exists():
        says = f"{folder} is not there yet: the service makes it at its first start."
        return [Finding("state", "warn", says, "Make it, if the service may not write beside it.")]
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        action = "Give the user of the service the right to write there."
        return [Finding("state", "fail", f"{folder} cannot be written to ({type(error).__name__}).", action)]
    open_to = [path for path in (folder, *map(folder.joinpath, _SECRET_FILES)) if _open_to_others(path)]
    if open_to:
        names = " ".join(map(str, open_to))
        return [
            Finding("state", "warn", "Other users of this machine may look into it.", f"chmod o-rwx {names}")
        ]
    return [Finding("state", "ok", f"{folder} is writable, and closed to other users.")]


def _open_to_others(path: Path) -> bool:
    return path.exists() and bool(path.stat().st_mode & _OTHERS)


def check_database(scene: Scene) -> list[Finding]:
    """The store: reachable, its schema current, writable, with room to grow."""
    url = scene.settings.store_url
    if url == "memory:":
        return [Finding("database", "ok", "Decisions are kept in memory: there is no database.")]
    path = None if url.startswith("postgres") else Path(url.removeprefix("sqlite:///"))
    room = list(_room(path)) if path is not None else []
    if path is not None and not path.exists():
        says = "There is no database yet: the service makes it at its first start."
        return [*room, Finding("database", "ok" if path.parent.exists() else "warn", says)]
    store = open_store(scene.settings)
    try:
        return [*room, *_store_findings(store, path)]
    except StoreError as error:
        action = (
            "Check its address, its password and that it runs." if path is None else "See `tocsin db check`."
        )
        says = f"The database cannot be used ({error})."
        return [*room, Finding("database", "fail", says, action)]
    finally:
        store.close()


def _store_findings(store: Store, path: Path | None) -> Iterator[Finding]:
    level = _level(store, path)
    if level is None or level < LEVEL:
        says = "It has no schema yet." if level is None else f"Its schema has level {level}, not {LEVEL}."
        yield Finding("database", "warn", says, "`tocsin db upgrade` does it, or the service when it starts.")
        return
    # Changes nothing: the schema is current.
    store.open()
    lacking = differences(store)
    for line in lacking:
        yield Finding("database", "fail", line, "Restore a copy: `tocsin db restore`.")
    with store.transaction() as cursor:
        cursor.execute("DELETE FROM switches WHERE 1 = 0")
    if not lacking:
        yield Finding(
            "database", "ok", f"It answers, is writable, and its schema is current (level {LEVEL})."
        )


def _level(store: Store, path: Path | None) -> int | None:
    """The level of the schema, read without making or changing anything. Raises StoreError."""
    if path is None:
        with store.reading() as cursor:
            cursor.execute("SELECT to_regclass('layout')")
            there = cursor.fetchone()[0] is not None
            layout = current_layout(cursor) if there else None
    else:
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as file:
                named = file.execute("SELECT 1 FROM sqlite_master WHERE name = 'layout'").fetchone()
                layout = current_layout(file.cursor()) if named else None
        except sqlite3.Error as error:
            raise StoreError(getattr(error, "sqlite_errorname", type(error).__name__)) from error
    return layout[0] if layout is not None else None


def _room(path: Path) -> Iterator[Finding]:
    folder = next(one for one in path.absolute().parents if one.exists())
    free = shutil.disk_usage(folder).free
    if free < _DISK_WARN:
        says = f"Only {free // _MIB} MiB are free where the database is."
        action = "Make room, or delete old records: `tocsin db prune`."
        yield Finding("database", "fail" if free < _DISK_FAIL else "warn", says, action)


def check_rules(scene: Scene) -> list[Finding]:
    """The rules and the site file: they load, nothing in them is overdue, and who has vouched for them."""
    today = scene.now.astimezone(scene.settings.zone).date()
    try:
        knowledge = Knowledge.load(scene.settings, today)
    except ArchiveError as error:
        return [Finding("rules", "fail", f"{error.code}: {error.message}", error.action)]
    except BundleError as error:
        return _first(error.problems)
    bundle, origin = knowledge.bundle, knowledge.origin
    source = f" from {origin.file}" if origin.file else ""
    signed = f", signed with key {origin.signed_by}" if origin.signed_by else ""
    held = counted(len(bundle.programs), "rule")
    says = f"Rules {bundle.version}{source} load: {held}, {bundle.digest[:19]}…{signed}."
    found = [Finding("rules", "ok", says), *_overdue(bundle), *_trials(bundle, today), *_contacts(bundle)]
    if origin.file and not origin.signed_by:
        says = "Rules come from an archive whose signature is not asked for."
        found.append(
            Finding("rules", "warn", says, "Set TOCSIN_RULES_KEY to the public key of who signs it.")
        )
    return found


def _first(problems: Iterable[Problem]) -> list[Finding]:
    every = list(problems)
    action = "Correct it; `tocsin rules lint` and `tocsin site lint` check the files alone."
    found = [Finding("rules", "fail", f"{problem}.", action) for problem in every[:_MOST]]
    if len(every) > _MOST:
        found.append(Finding("rules", "fail", f"There are {len(every) - _MOST} more problems.", action))
    return found


def _overdue(bundle: Bundle) -> Iterator[Finding]:
    late = [problem for problem in bundle.warnings if problem.code == _REVIEW]
    if late:
        says = f"The review of {counted(len(late), 'rule')} is overdue, the first in {late[0].path}."
        yield Finding("reviews", "warn", says, "Have them reviewed, or take a newer version of the rules.")
    for problem in bundle.warnings:
        if problem.code not in (_REVIEW, _UNUSED_CONTACT, _MISSING_CONTACT):
            yield Finding("rules", "warn", f"{problem}.", "Correct it in the site file.")


def _trials(bundle: Bundle, today: dt.date) -> Iterator[Finding]:
    for line in trial_warnings(bundle, today):
        yield Finding("trials", "warn", line, "Decide: live, off, or a new end (`until` in the site file).")


def _contacts(bundle: Bundle) -> Iterator[Finding]:
    """Whom cards tell people to call, and no number is set for."""
    named = dict.fromkeys(name for rule in bundle.rules.values() for name in rule.contacts)
    missing = sorted(set(named) - set(bundle.overlay.contacts))
    if missing:
        says = f"There is no number for {counted(len(missing), 'contact')} of cards: {', '.join(missing)}."
        action = "Set them under `contacts` in the site file (TOCSIN_SITE); until then cards say so."
        yield Finding("contacts", "warn", says, action)
    else:
        yield Finding("contacts", "ok", "Every contact that cards name is set.")
    for problem in bundle.warnings:
        if problem.code == _UNUSED_CONTACT:
            yield Finding("contacts", "warn", f"{problem.message}.", "Take it out of the site file.")


def check_cors(scene: Scene) -> list[Finding]:
    """Web origins whose pages may call."""
    origins = frozenset(scene.settings.cors_origins) | scene.clients.origins()
    if "*" in origins:
        return [
            Finding(
                "cors", "warn", "Pages of every origin may call (*).", "List the origins of your test tools."
            )
        ]
    if not origins:
        return [Finding("cors", "ok", "No web page may call; EHRs that call from their servers need none.")]
    return [Finding("cors", "ok", f"Pages of {counted(len(origins), 'origin')} may call.")]
