"""Archives of rules and keys for tests: packed once, then changed."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from rules.engine import bundled_root
from rules.engine.archive import SITE, Archive, assemble, pack
from service.packing import pack_rules
from service.signing import make_keys

__all__ = ["SITE_TEXT", "keys", "plain", "public_key", "replaced", "signed", "with_site", "written"]

SITE_TEXT = "schema_version: 1\nsite: archive\nrules: {cancer-history-new-back-pain: {mode: 'off'}}\n"


@cache
def plain() -> Archive:
    """The bundled rules, unsigned."""
    return pack_rules(bundled_root(), None, "")


@cache
def keys(name: str = "ours") -> tuple[bytes, bytes]:
    """A pair for each name: private and public, in PEM."""
    return make_keys()


def signed(archive: Archive, name: str = "ours") -> Archive:
    key = load_pem_private_key(keys(name)[0], None)
    assert isinstance(key, Ed25519PrivateKey)
    return archive.signed(key.sign(archive.manifest_bytes))


def replaced(files: Mapping[str, bytes], **members: str) -> Archive:
    """The bundled rules with these files in place or beside, under a manifest that agrees with them."""
    before = plain().manifest
    given = {
        "version": before.version,
        "digest": before.digest,
        "at_least": before.at_least,
        "below": before.below,
    }
    return assemble({**plain().files, **files}, **{**given, **members})


def with_site() -> Archive:
    return replaced({SITE: SITE_TEXT.encode()})


def written(folder: Path, archive: Archive, name: str = "rules.tar.gz") -> Path:
    file = folder / name
    file.write_bytes(pack(archive))
    return file


def public_key(folder: Path, name: str = "ours") -> Path:
    file = folder / f"{name}.pem"
    file.write_bytes(keys(name)[1])
    return file
