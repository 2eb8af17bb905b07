"""A database file that is there is never opened by hand: no other process shall take itself for the last."""

import stat
import subprocess
import sys
from pathlib import Path

from service.files import make_private
from service.memory.sqlite import SqliteStore

VISITOR = """
import sys
from pathlib import Path
from service.memory.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]))
store.open()
store.close()
"""


def test_a_new_file_is_for_its_owner_alone_and_one_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "new.sqlite"
    make_private(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_bytes(b"content")
    file.chmod(0o640)
    make_private(file)
    assert (file.read_bytes(), stat.S_IMODE(file.stat().st_mode)) == (b"content", 0o640)


def test_a_process_that_comes_and_goes_leaves_the_log_that_others_write_to(tmp_path: Path) -> None:
    file = tmp_path / "store.sqlite"
    store = SqliteStore(file)
    store.open()
    log = file.with_name("store.sqlite-wal")
    before = log.stat().st_ino
    subprocess.run([sys.executable, "-c", VISITOR, str(file)], check=True, timeout=60)
    assert log.stat().st_ino == before
    store.close()
