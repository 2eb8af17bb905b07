"""The patient, clinician and encounter of a record as keyed hashes: the store holds no identifier of a
person.

The key is the secret TOCSIN_PATIENT_KEY, or one made on first use in the state folder. Rotating it is putting
a new key before the old one: records are written under the first, and looked up under all of them, until the
old one is taken away and with it every way back from a record to a patient.
"""

import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

__all__ = ["LEAST_KEY", "Pseudonyms", "key_file"]

LEAST_KEY = 16
"""Fewest bytes of a key."""


class Pseudonyms:
    """Keyed hashes under one or more keys. A hash is "<id of the key>.<32 hex digits>"."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        """Raises ValueError without a key, or for one shorter than LEAST_KEY."""
        if not keys or any(len(key) < LEAST_KEY for key in keys):
            raise ValueError("a patient key is missing or too short")
        self._keys = [(hashlib.sha256(b"id of " + key).hexdigest()[:6], key) for key in keys]

    def of(self, client: str, identifier: str) -> str:
        """The hash of an id of a client's system under the current key."""
        return _hash(*self._keys[0], client, identifier)

    def of_encounter(self, client: str, patient: str, encounter: str | None) -> str:
        """The hash of a patient's encounter; empty without one. A wrong patient's call under the same id is
        none of it.
        """
        return self.of(client, f"{patient}/{encounter}") if encounter else ""

    def every(self, client: str, identifier: str) -> tuple[str, ...]:
        """The hashes under all keys, the current one first."""
        return tuple(_hash(name, key, client, identifier) for name, key in self._keys)


def _hash(name: str, key: bytes, client: str, identifier: str) -> str:
    # Two EHRs number their patients alike, so the client is part of what is hashed.
    message = f"{len(client)}:{client}{identifier}".encode(errors="surrogatepass")
    return f"{name}.{hmac.digest(key, message, 'sha256').hex()[:32]}"


def key_file(path: Path) -> bytes:
    """The key in a file, which is made with a random key when it is not there. Raises OSError.

    Every worker gets the same key, whoever makes the file.
    """
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secrets.token_hex(32).encode())
        # A link is made whole or not at all, and never over one that is there.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
    return path.read_bytes()
