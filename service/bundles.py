"""Where the rules come from: those of the package, or an archive that the settings name.

The rules of the package came with the code that runs them and are trusted as it is. An archive is read once;
everything after, the signature included, is worked out from those bytes. What is checked was not changed
since.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from rules.engine import ArchiveError, bundled_root
from rules.engine.archive import LARGEST_ARCHIVE, SITE, Archive, unpack
from service import __version__
from service.settings import Settings
from service.signing import read_public, signer

__all__ = ["Origin", "RuleSource", "fits", "laid_out", "opened_rules", "read_archive", "trusted"]


class Origin(msgspec.Struct, frozen=True):
    """Where rules came from: the name of the file, the digest of its manifest, the id of the key that signed
    it. All empty for those of the package; `signed_by` is empty too where no key is asked for.
    """

    file: str = ""
    archive: str = ""
    signed_by: str = ""


class RuleSource(msgspec.Struct, frozen=True):
    """Rules ready to load: a folder laid out as rules/, and the site file that goes with them."""

    root: Path
    site: Path | None
    origin: Origin = Origin()


@contextmanager
def opened_rules(settings: Settings) -> Iterator[RuleSource]:
    """The rules that the settings name. The folder of an archive is gone afterwards.

    Raises ArchiveError when the archive cannot be used.
    """
    file = settings.rules_bundle
    if file is None:
        yield RuleSource(bundled_root(), settings.site)
        return
    archive = read_archive(file)
    signed_by = trusted(archive, settings.rules_key) if settings.rules_key else ""
    fits(archive)
    if SITE in archive.files and settings.site is not None:
        message = "It brings a site file, and TOCSIN_SITE names another."
        raise ArchiveError("bundle-two-sites", message, "Unset TOCSIN_SITE, or build it without --overlay.")
    with laid_out(archive.files) as root:
        site = root / SITE if SITE in archive.files else settings.site
        yield RuleSource(root, site, Origin(file.name, archive.digest, signed_by))


def read_archive(file: Path) -> Archive:
    """Raises ArchiveError."""
    try:
        with file.open("rb") as opened:
            packed = opened.read(LARGEST_ARCHIVE + 1)
    except FileNotFoundError as error:
        action = "Put it there, or correct the path."
        raise ArchiveError("bundle-unreadable", "It does not exist.", action) from error
    except OSError as error:
        action = "Let the user of the process read it."
        raise ArchiveError("bundle-unreadable", "It cannot be read.", action) from error
    return unpack(packed)


def trusted(archive: Archive, keys: Sequence[Path]) -> str:
    """The id of the key that signed an archive. Raises ArchiveError when none of these has."""
    public = [read_public(key) for key in keys]
    if not archive.signature:
        raise ArchiveError("bundle-unsigned", "It has no signature.", "Sign it with `tocsin bundle sign`.")
    found = signer(public, archive.manifest_bytes, archive.signature)
    if not found:
        message = "Its signature was made by none of the trusted keys, or for other content."
        raise ArchiveError("bundle-signature-wrong", message, "Do not use it; find out who made it.")
    return found


def fits(archive: Archive) -> None:
    """Raises ArchiveError when the archive was built for other versions of Tocsin."""
    manifest = archive.manifest
    if not manifest.suits(__version__):
        message = f"It is for Tocsin from {manifest.at_least} and below {manifest.below}, not {__version__}."
        raise ArchiveError("bundle-version", message, "Build it again with this version.")


@contextmanager
def laid_out(files: Mapping[str, bytes]) -> Iterator[Path]:
    """A folder with the files of an archive, laid out as rules/."""
    with tempfile.TemporaryDirectory(prefix="tocsin-rules-") as folder:
        for name, content in files.items():
            file = Path(folder, name)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        yield Path(folder)
