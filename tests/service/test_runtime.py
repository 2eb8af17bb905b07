"""Process tuning."""

import gc
from collections.abc import Iterator

import pytest

from service.runtime import tune_gc


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
