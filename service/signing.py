"""Keys for bundles of rules: Ed25519, in PEM files as `openssl` makes and reads them.

A signature is 64 bytes over the manifest of the archive and nothing else, so that it can be checked without
this program: `openssl pkeyutl -verify -rawin`. Source: RFC 8032; RFC 8410 for the files.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from rules.engine import ArchiveError

__all__ = ["key_id", "make_keys", "read_private", "read_public", "sign", "signer"]

_LARGEST_KEY = 10_000
_MAKE = "`tocsin bundle keygen` makes a pair of keys."


def make_keys() -> tuple[bytes, bytes]:
    """A new private key (PKCS #8 without a passphrase) and its public one (SubjectPublicKeyInfo), in PEM."""
    private = Ed25519PrivateKey.generate()
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return secret, _public_pem(private.public_key())


def read_private(file: Path) -> Ed25519PrivateKey:
    """Raises ArchiveError, which says nothing of the content."""
    try:
        key = serialization.load_pem_private_key(_read(file), password=None)
    except TypeError as error:
        action = "Write it without one: `openssl pkey -in KEY -out PLAIN`."
        raise ArchiveError("bundle-key-invalid", f"{file.name} has a passphrase.", action) from error
    except ValueError as error:
        raise ArchiveError("bundle-key-invalid", f"{file.name} is no private key in PEM.", _MAKE) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ArchiveError("bundle-key-invalid", f"{file.name} is no Ed25519 key.", _MAKE)
    return key


def read_public(file: Path) -> Ed25519PublicKey:
    """Raises ArchiveError."""
    content = _read(file)
    if b"PRIVATE KEY" in content:
        action = "Give the public one; the private one stays with whoever signs."
        raise ArchiveError("bundle-key-invalid", f"{file.name} is a private key.", action)
    try:
        key = serialization.load_pem_public_key(content)
    except ValueError as error:
        raise ArchiveError("bundle-key-invalid", f"{file.name} is no public key in PEM.", _MAKE) from error
    if not isinstance(key, Ed25519PublicKey):
        raise ArchiveError("bundle-key-invalid", f"{file.name} is no Ed25519 key.", _MAKE)
    return key


def sign(key: Ed25519PrivateKey, message: bytes) -> bytes:
    return key.sign(message)


def signer(keys: Sequence[Ed25519PublicKey], message: bytes, signature: bytes) -> str:
    """The id of the key that made a signature; empty when none of them has."""
    for key in keys:
        try:
            key.verify(signature, message)
        except InvalidSignature:
            continue
        return key_id(key)
    return ""


def key_id(key: Ed25519PublicKey) -> str:
    """What people compare two public keys by: the start of the SHA-256 of its 32 bytes."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def _public_pem(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(_LARGEST_KEY)
    except FileNotFoundError as error:
        message = f"{file.name} does not exist."
        raise ArchiveError("bundle-key-invalid", message, "Put it there, or correct the path.") from error
    except OSError as error:
        message = f"{file.name} cannot be read."
        raise ArchiveError("bundle-key-invalid", message, "Let the user of the process read it.") from error
