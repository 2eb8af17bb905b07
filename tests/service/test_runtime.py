"""Process tuning."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.runtime import share_metrics, tune_gc


@pytest.fixture(autouse=True)
def _gc_as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_start_up_objects_are_frozen_and_collections_rarer() -> None:
    kept = {"made": ["at start"]}
    tune_gc()
    assert gc.get_freeze_count() > 0
    assert not any(item is kept for item in gc.get_objects())
    assert gc.get_threshold()[:2] == (20_000, 20)


def test_the_folder_is_made_once_and_only_when_there_is_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "")
    share_metrics()
    folder = os.environ["PROMETHEUS_MULTIPROC_DIR"]
    assert Path(folder).parent == tmp_path
    share_metrics()
    assert os.environ["PROMETHEUS_MULTIPROC_DIR"] == folder
