"""The archive of rules: the same bytes each time, and nothing taken that its manifest does not vouch for."""

import gzip
import io
import tarfile
from collections.abc import Mapping
from typing import Any

import msgspec
import orjson
import pytest

from rules.engine import ArchiveError, bundled_root
from rules.engine import archive as module
from rules.engine.archive import MANIFEST, SIGNATURE, Archive, Manifest, assemble, collect, pack, unpack

FILES = {
    "VERSION": b"1.0.0\n",
    "facts.yaml": b"facts: []\n",
    "catalogue/a/rule.yaml": b"id: a\n",
    "codes/labs.csv": b"set\n",
}


def made(files: Mapping[str, bytes] = FILES, **members: str) -> Archive:
    given = {"version": "1.0.0", "digest": "sha256:0", "at_least": "0.1.0", "below": "0.2.0"}
    return assemble(files, **{**given, **members})


def tar(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as opened:
        for entry, content in members:
            entry.size = len(content)
            opened.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, **members: Any) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type = kind
    for member, value in members.items():
        setattr(found, member, value)
    return found


def refused(packed: bytes) -> str:
    with pytest.raises(ArchiveError) as caught:
        unpack(packed)
    assert str(caught.value) == f"{caught.value.code}: {caught.value.message} {caught.value.action}"
    assert "\n" not in str(caught.value)
    return caught.value.code


def changed(**members: Any) -> bytes:
    """An archive whose manifest has other members."""
    manifest = {**msgspec.to_builtins(made().manifest), **members}
    return pack(msgspec.structs.replace(made(), manifest_bytes=orjson.dumps(manifest)))


# -- packing -----------------------------------------------------------------------------------------


def test_what_is_packed_is_unpacked() -> None:
    archive = made(created="2026-11-25T00:00:00+00:00")
    back = unpack(pack(archive))
    assert back == archive
    assert back.manifest.files.keys() == FILES.keys()
    assert back.signature == b""


def test_a_signature_goes_with_it_and_changes_no_digest() -> None:
    archive = made()
    signed = archive.signed(b"s" * 64)
    assert unpack(pack(signed)).signature == b"s" * 64
    assert signed.digest == archive.digest


def test_the_same_rules_give_the_same_bytes() -> None:
    other_way_round = dict(reversed(FILES.items()))
    assert pack(made()) == pack(made(other_way_round))
    with tarfile.open(fileobj=io.BytesIO(pack(made()))) as opened:
        entries = opened.getmembers()
    assert [one.name for one in entries] == [MANIFEST, *sorted(FILES)]
    assert {(one.mtime, one.uid, one.gid, one.uname, one.mode) for one in entries} == {(0, 0, 0, "", 0o644)}


def test_one_byte_more_is_another_digest() -> None:
    assert made().digest != made({**FILES, "VERSION": b"1.0.0 \n"}).digest


def test_all_that_the_rules_have_is_collected_and_nothing_else() -> None:
    found = collect(bundled_root())
    rules = [path.name for path in (bundled_root() / "catalogue").iterdir() if path.is_dir()]
    assert {f"catalogue/{rule}/{file}.yaml" for rule in rules for file in ("rule", "tests")} <= found.keys()
    assert {"VERSION", "questionnaire/map.yaml", "codes/snomed-extension.csv", "units.yaml"} <= found.keys()
    assert not [name for name in found if name.endswith((".py", ".md")) or name.startswith("schemas/")]
    assert unpack(pack(made(found))).files == found


@pytest.mark.parametrize(
    ("version", "suits"),
    [("0.1.0", True), ("0.1.10", True), ("0.2.0", False), ("0.0.9", False), ("1.0.0", False)],
)
def test_a_manifest_says_which_versions_it_suits(version: str, suits: bool) -> None:
    assert made().manifest.suits(version) is suits


# -- refusing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("packed", "code"),
    [
        (b"", "bundle-not-archive"),
        (b"PK\x03\x04", "bundle-not-archive"),
        (b"\x1f\x8b", "bundle-cut-short"),
        (b"\x1f\x8bnonsense", "bundle-damaged"),
        (gzip.compress(b"x" * 2000), "bundle-not-archive"),
        (gzip.compress(gzip.decompress(pack(made()))[:1000]), "bundle-not-archive"),
        (gzip.compress(b""), "bundle-not-archive"),
        (pack(made()) + b"more", "bundle-damaged"),
        (tar(), "bundle-manifest-missing"),
    ],
)
def test_what_is_no_archive_is_refused(packed: bytes, code: str) -> None:
    assert refused(packed) == code


def test_every_beginning_of_an_archive_is_refused() -> None:
    whole = pack(made())
    assert {refused(whole[:length]) for length in range(2, len(whole))} == {"bundle-cut-short"}


def test_no_changed_byte_changes_a_file_under_the_same_manifest() -> None:
    whole = gzip.decompress(pack(made()))
    refusals = 0
    for place in range(0, len(whole), 11):
        broken = bytearray(whole)
        broken[place] ^= 0x55
        try:
            found = unpack(gzip.compress(bytes(broken), 1))
        except ArchiveError:
            refusals += 1
            continue
        # Left are bytes of the container that mean nothing, and a manifest that no signature will fit.
        assert found.manifest_bytes != made().manifest_bytes or found.files == FILES
    assert refusals > 50


@pytest.mark.parametrize(
    "bad",
    [
        entry("../VERSION"),
        entry("catalogue/../../etc/passwd"),
        entry("/etc/passwd"),
        entry("./VERSION"),
        entry("catalogue//a/rule.yaml"),
        entry("VERSION\n"),
        entry(".hidden"),
        entry("VERSION", tarfile.SYMTYPE, linkname="/etc/passwd"),
        entry("VERSION", tarfile.LNKTYPE, linkname="facts.yaml"),
        entry("catalogue", tarfile.DIRTYPE),
        entry("VERSION", tarfile.CHRTYPE),
        entry("VERSION", tarfile.FIFOTYPE),
    ],
)
def test_an_entry_that_leads_elsewhere_is_refused(bad: tarfile.TarInfo) -> None:
    assert refused(tar((bad, b""))) == "bundle-entry-unsafe"


def test_a_name_given_twice_is_refused() -> None:
    assert refused(tar((entry("VERSION"), b"1"), (entry("VERSION"), b"2"))) == "bundle-entry-unsafe"


@pytest.mark.parametrize("name", ["engine/evil.py", "schemas/rule.schema.json", "catalogue/a/b/rule.yaml"])
def test_a_file_that_rules_do_not_have_is_refused_even_when_it_is_listed(name: str) -> None:
    assert refused(pack(made({**FILES, name: b""}))) == "bundle-file-extra"


def test_too_much_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(bytes(module.LARGEST_CONTENT + 1))
    assert len(bomb) < 100_000
    assert refused(bomb) == "bundle-too-large"
    assert refused(b"\x1f\x8b" + bytes(module.LARGEST_ARCHIVE)) == "bundle-too-large"
    monkeypatch.setattr(module, "MOST_FILES", 2)
    assert refused(pack(made())) == "bundle-too-large"


def without(name: str) -> Archive:
    files = {one: content for one, content in FILES.items() if one != name}
    return msgspec.structs.replace(made(), files=files)


@pytest.mark.parametrize(
    ("archive", "code"),
    [
        (without("VERSION"), "bundle-file-missing"),
        (msgspec.structs.replace(made(), files={**FILES, "units.yaml": b""}), "bundle-file-extra"),
        (msgspec.structs.replace(made(), files={**FILES, "VERSION": b"2"}), "bundle-digest-mismatch"),
    ],
)
def test_files_and_manifest_must_agree(archive: Archive, code: str) -> None:
    assert refused(pack(archive)) == code


@pytest.mark.parametrize(
    ("packed", "code"),
    [
        (changed(format=2), "bundle-format-unknown"),
        (changed(format=0, other=True), "bundle-format-unknown"),
        (changed(format="1"), "bundle-manifest-invalid"),
        (changed(other=True), "bundle-manifest-invalid"),
        (changed(files=[]), "bundle-manifest-invalid"),
        (changed(at_least="soon"), "bundle-manifest-invalid"),
        (changed(below="0.2.0; rm"), "bundle-manifest-invalid"),
    ],
)
def test_a_manifest_of_another_shape_is_refused(packed: bytes, code: str) -> None:
    assert refused(packed) == code


@pytest.mark.parametrize("written", [b"", b"[]", b"{", b"\xff", b'{"format": 1}', b"[" * 100_000])
def test_a_manifest_that_cannot_be_read_is_refused(written: bytes) -> None:
    assert refused(tar((entry(MANIFEST), written))) == "bundle-manifest-invalid"


def test_no_control_character_of_a_name_reaches_a_terminal() -> None:
    with pytest.raises(ArchiveError) as caught:
        unpack(tar((entry("\x1b[2Jrule"), b"")))
    assert "\x1b" not in str(caught.value)


def test_signature_and_manifest_are_no_files_of_the_rules() -> None:
    assert {MANIFEST, SIGNATURE}.isdisjoint(unpack(pack(made().signed(b"s"))).files)


def test_the_manifest_is_made_of_the_files() -> None:
    manifest = made().manifest
    assert isinstance(manifest, Manifest)
    assert manifest.files["VERSION"].startswith("sha256:59854984853104")
    assert manifest.format == 1
