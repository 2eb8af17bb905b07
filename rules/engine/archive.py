"""A bundle of rules as one file: a gzipped tar with a manifest that names every file by its hash.

The manifest is the only thing that is signed; everything else hangs on it. Reading trusts nothing: sizes are
bounded before anything is unpacked, only plain files under the names rules have are taken, and what the
manifest does not list is refused. Nothing here touches the disk except `collect`, and nobody signs here.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path as FilePath

import msgspec

from rules.engine.errors import ArchiveError

__all__ = [
    "FORMAT",
    "LARGEST_ARCHIVE",
    "LARGEST_CONTENT",
    "MANIFEST",
    "MOST_FILES",
    "SIGNATURE",
    "SITE",
    "Archive",
    "Manifest",
    "assemble",
    "collect",
    "pack",
    "unpack",
]

FORMAT = 1
MANIFEST = "manifest.json"
SIGNATURE = "manifest.sig"
"""64 bytes of Ed25519 over the bytes of the manifest; not there in an unsigned archive."""
SITE = "site.yaml"
"""The overlay of a site, where the archive brings one."""

LARGEST_ARCHIVE = 16 * 2**20
LARGEST_CONTENT = 64 * 2**20
"""Most bytes before and after unpacking: twenty times what the bundled rules take."""
MOST_FILES = 5_000

_FILES = (
    "VERSION",
    "evidence.yaml",
    "facts.yaml",
    "orders.yaml",
    "units.yaml",
    "catalogue/*/rule.yaml",
    "catalogue/*/tests.yaml",
    "codes/*.csv",
    "questionnaire/map.yaml",
    "questionnaire/red-flags.json",
)
_PART = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_SAFE = re.compile(rf"{_PART}(?:/{_PART})*\Z")
_KNOWN = re.compile(
    "(?:" + "|".join(re.escape(name).replace(r"\*", _PART) for name in (*_FILES, SITE)) + r")\Z"
)
_REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE)
_GZIP = b"\x1f\x8b"
_BUILD = "Build it with `tocsin bundle build`."
_AGAIN = "Copy it again, or build it again with `tocsin bundle build`."


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an archive holds. `files`: name -> "sha256:<hex>". `version` is that of the rules, `digest` the
    one that decisions carry when they are loaded as built. `at_least` and `below` bound the versions of
    Tocsin that may load it. `created` is a time in UTC (ISO 8601), or empty.
    """

    format: int
    version: str
    digest: str
    at_least: str
    below: str
    files: Mapping[str, str]
    created: str = ""

    def suits(self, version: str) -> bool:
        """Whether this version of Tocsin may load it."""
        return _numbers(self.at_least) <= _numbers(version) < _numbers(self.below)


class Archive(msgspec.Struct, frozen=True):
    """An archive as read, whole and as its manifest says. `manifest_bytes` is what a signature is over."""

    manifest: Manifest
    manifest_bytes: bytes
    files: Mapping[str, bytes]
    signature: bytes = b""

    @property
    def digest(self) -> str:
        """One hash over everything but the signature. It does not depend on how well a zlib packs."""
        return _sha256(self.manifest_bytes)

    def signed(self, signature: bytes) -> Archive:
        """The same archive with this signature in the place of one it may have."""
        return msgspec.structs.replace(self, signature=signature)


class _Head(msgspec.Struct):
    """The one member of a manifest that every format will have."""

    format: int


def collect(root: FilePath) -> dict[str, bytes]:
    """The files below `root` that make up rules, by name with `/`. Notes and anything else are left out."""
    paths = sorted(path for pattern in _FILES for path in root.glob(pattern) if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def assemble(
    files: Mapping[str, bytes], *, version: str, digest: str, at_least: str, below: str, created: str = ""
) -> Archive:
    """An unsigned archive of these files."""
    manifest = Manifest(
        format=FORMAT,
        version=version,
        digest=digest,
        at_least=at_least,
        below=below,
        files={name: _sha256(content) for name, content in sorted(files.items())},
        created=created,
    )
    return Archive(manifest, msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n", files)


def pack(archive: Archive) -> bytes:
    """The file. The same archive gives the same bytes: names are sorted, times and owners are zero."""
    members = {MANIFEST: archive.manifest_bytes}
    if archive.signature:
        members[SIGNATURE] = archive.signature
    members |= dict(sorted(archive.files.items()))
    packed = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as tar,
    ):
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def unpack(packed: bytes) -> Archive:
    """The archive in a file, with every hash checked. Raises ArchiveError; nobody has looked at the signature
    yet.
    """
    members = _members(_unzipped(packed))
    written = members.pop(MANIFEST, None)
    if written is None:
        raise ArchiveError("bundle-manifest-missing", f"It holds no {MANIFEST}.", _BUILD)
    signature = members.pop(SIGNATURE, b"")
    manifest = _manifest(written)
    for name in sorted(manifest.files.keys() - members.keys()):
        raise ArchiveError("bundle-file-missing", f"{_shown(name)} is in the manifest and not there.", _AGAIN)
    for name in sorted(members.keys() - manifest.files.keys()):
        raise ArchiveError("bundle-file-extra", f"{_shown(name)} is not in the manifest.", _AGAIN)
    for name, content in sorted(members.items()):
        if _sha256(content) != manifest.files[name]:
            message = f"{name} is not what the manifest says."
            raise ArchiveError("bundle-digest-mismatch", message, "Do not use it; find out who changed it.")
    return Archive(manifest, written, members, signature)


def _unzipped(packed: bytes) -> bytes:
    if len(packed) > LARGEST_ARCHIVE:
        raise _too_large(LARGEST_ARCHIVE)
    if packed[:2] != _GZIP:
        raise ArchiveError("bundle-not-archive", "It is no gzipped tar.", _BUILD)
    stream = zlib.decompressobj(wbits=31)
    try:
        content = stream.decompress(packed, LARGEST_CONTENT + 1)
    except zlib.error as error:
        raise ArchiveError("bundle-damaged", "It cannot be unpacked.", _AGAIN) from error
    if len(content) > LARGEST_CONTENT:
        raise _too_large(LARGEST_CONTENT)
    if not stream.eof:
        raise ArchiveError("bundle-cut-short", "It ends in the middle.", _AGAIN)
    if stream.unused_data:
        raise ArchiveError("bundle-damaged", "There is something behind its end.", _AGAIN)
    return content


def _members(content: bytes) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
            for entry in tar:
                _check(entry, found)
                opened = tar.extractfile(entry)
                found[entry.name] = opened.read() if opened is not None else b""
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as error:
        raise ArchiveError("bundle-not-archive", "What is packed in it is no tar.", _BUILD) from error
    return found


def _check(entry: tarfile.TarInfo, found: Mapping[str, bytes]) -> None:
    """Refuse an entry that is no plain file under a name of ours."""
    name = entry.name
    if entry.type not in _REGULAR or entry.sparse is not None:
        message = f"{_shown(name)} is a link or another special file."
        raise ArchiveError("bundle-entry-unsafe", message, _BUILD)
    if not _SAFE.match(name) or name in found:
        message = f"{_shown(name)} leads out of the archive, or is there twice."
        raise ArchiveError("bundle-entry-unsafe", message, _BUILD)
    if len(found) >= MOST_FILES:
        raise ArchiveError("bundle-too-large", f"It holds more than {MOST_FILES} files.", _BUILD)
    if name not in (MANIFEST, SIGNATURE) and not _KNOWN.match(name):
        raise ArchiveError("bundle-file-extra", f"{_shown(name)} is no file that rules have.", _BUILD)


def _manifest(written: bytes) -> Manifest:
    try:
        found = msgspec.json.decode(written, type=_Head).format
        if found != FORMAT:
            message = f"It has format {found}; this version of Tocsin reads {FORMAT}."
            raise ArchiveError("bundle-format-unknown", message, "Use the version it was built with.")
        manifest = msgspec.json.decode(written, type=Manifest)
        manifest.suits(manifest.at_least)
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ArchiveError("bundle-manifest-invalid", f"{MANIFEST} cannot be read.", _BUILD) from error
    return manifest


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version, to compare. Raises ValueError for text that is none."""
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6}){0,3}", version):
        raise ValueError("no version")
    return tuple(map(int, version.split(".")))


def _too_large(limit: int) -> ArchiveError:
    return ArchiveError("bundle-too-large", f"It holds more than {limit // 2**20} MiB.", _BUILD)


def _sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _shown(name: str) -> str:
    """A name as a terminal may get it, whatever stands in it."""
    return ascii(name[:80])
