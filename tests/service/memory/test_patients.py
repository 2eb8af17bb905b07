"""Keyed hashes of persons: stable under a key, apart between keys and clients, and the key file."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.memory.patients import LEAST_KEY, Pseudonyms, key_file
from tests.service.memory.samples import KEY

OTHER = b"another key, equally long"


def test_a_hash_is_stable_and_holds_nothing_of_the_id() -> None:
    found = Pseudonyms([KEY]).of("ehr", "patient-12345")
    assert found == Pseudonyms([KEY]).of("ehr", "patient-12345")
    assert "12345" not in found
    assert len(found) == len("123456.") + 32


def test_patients_clients_and_keys_are_told_apart() -> None:
    pseudonyms = Pseudonyms([KEY])
    hashes = {
        pseudonyms.of("ehr", "p1"),
        pseudonyms.of("ehr", "p2"),
        pseudonyms.of("ehrp", "1"),
        pseudonyms.of("other", "p1"),
        Pseudonyms([OTHER]).of("ehr", "p1"),
    }
    assert len(hashes) == 5


def test_after_rotation_the_old_hash_is_still_found_and_the_new_one_written() -> None:
    rotated = Pseudonyms([OTHER, KEY])
    assert rotated.of("ehr", "p1") == Pseudonyms([OTHER]).of("ehr", "p1")
    assert rotated.every("ehr", "p1") == (
        Pseudonyms([OTHER]).of("ehr", "p1"),
        Pseudonyms([KEY]).of("ehr", "p1"),
    )


@pytest.mark.parametrize("keys", [[], [b"x" * (LEAST_KEY - 1)], [KEY, b""]])
def test_a_missing_or_short_key_is_refused(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="patient key"):
        Pseudonyms(keys)


def test_an_id_that_is_no_unicode_has_a_hash() -> None:
    assert Pseudonyms([KEY]).of("ehr", "\ud800")


def test_workers_that_start_together_get_one_key(tmp_path: Path) -> None:
    path = tmp_path / "state" / "patient.key"
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: key_file(path), range(8)))
    assert len(keys) == 1
    assert key_file(path) in keys
    assert len(key_file(path)) >= LEAST_KEY
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["patient.key"]
