"""The rules that the settings name: from the package, or from an archive that is whole, trusted and suits."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rules.engine import ArchiveError, BundleError, bundled_root
from rules.engine.archive import LARGEST_ARCHIVE, Archive
from service.bundles import opened_rules
from service.knowledge import Knowledge
from service.settings import Settings
from tests.rules.bundles import bundled
from tests.service.archives import plain, public_key, replaced, signed, with_site, written
from tests.service.decisions import TODAY


def settings(file: Path, **members: Any) -> Settings:
    return Settings(auth=False, rules_bundle=file, **members)


def refused(given: Settings) -> str:
    with pytest.raises(ArchiveError) as caught, opened_rules(given):
        pass
    assert str(given.rules_bundle.parent) not in str(caught.value) if given.rules_bundle else False
    return caught.value.code


def test_without_an_archive_the_rules_are_those_of_the_package() -> None:
    with opened_rules(Settings(auth=False)) as source:
        assert (source.root, source.site) == (bundled_root(), None)
        assert msgspec.to_builtins(source.origin) == {"file": "", "archive": "", "signed_by": ""}


def test_a_key_alone_changes_nothing_about_the_rules_of_the_package(tmp_path: Path) -> None:
    known = Knowledge.load(Settings(auth=False, rules_key=(public_key(tmp_path),)), TODAY)
    assert known.bundle.digest == bundled().digest
    assert known.origin.file == ""


def test_the_rules_of_an_archive_are_those_that_were_packed(tmp_path: Path) -> None:
    known = Knowledge.load(settings(written(tmp_path, plain())), TODAY)
    assert known.bundle.digest == bundled().digest == plain().manifest.digest
    assert known.questions == Knowledge.load(Settings(auth=False), TODAY).questions
    assert (known.origin.file, known.origin.archive) == ("rules.tar.gz", plain().digest)
    assert known.origin.signed_by == ""


def test_nothing_of_an_archive_is_left_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    with opened_rules(settings(written(tmp_path, plain()))) as source:
        assert source.root.is_relative_to(tmp_path / "tmp")
        assert source.root.stat().st_mode & 0o077 == 0
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_signed_archive_names_its_key(tmp_path: Path) -> None:
    file = written(tmp_path, signed(plain()))
    trusted = (public_key(tmp_path, "theirs"), public_key(tmp_path))
    with opened_rules(settings(file, rules_key=trusted)) as source:
        assert len(source.origin.signed_by) == 16


@pytest.mark.parametrize(
    ("archive", "code"),
    [
        (plain, "bundle-unsigned"),
        (lambda: signed(plain(), "theirs"), "bundle-signature-wrong"),
        (lambda: plain().signed(signed(with_site()).signature), "bundle-signature-wrong"),
        (lambda: plain().signed(b"short"), "bundle-signature-wrong"),
        (lambda: signed(replaced({}, below="0.0.2", at_least="0.0.1")), "bundle-version"),
        (lambda: signed(replaced({}, below="9.0.0", at_least="8.0.0")), "bundle-version"),
    ],
)
def test_with_a_key_only_what_it_signed_is_loaded(
    tmp_path: Path, archive: Callable[[], Archive], code: str
) -> None:
    given = settings(written(tmp_path, archive()), rules_key=(public_key(tmp_path),))
    assert refused(given) == code


def test_a_file_that_is_gone_or_too_long_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path, plain())
    given = settings(file)
    file.write_bytes(b"\x1f\x8b" + bytes(LARGEST_ARCHIVE))
    assert refused(given) == "bundle-too-large"
    file.unlink()
    assert refused(given) == "bundle-unreadable"


def test_an_archive_may_bring_the_file_of_the_site(tmp_path: Path) -> None:
    file = written(tmp_path, with_site())
    known = Knowledge.load(settings(file), TODAY)
    assert known.bundle.overlay.site == "archive"
    assert known.bundle.rules["cancer-history-new-back-pain"].mode == "off"
    (tmp_path / "site.yaml").write_text("schema_version: 1\nsite: other\n")
    assert refused(settings(file, site=tmp_path / "site.yaml")) == "bundle-two-sites"
    other = Knowledge.load(settings(written(tmp_path, plain()), site=tmp_path / "site.yaml"), TODAY)
    assert other.bundle.overlay.site == "other"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("catalogue/cauda-equina-red-flags/rule.yaml", b"id: [", "cauda-equina-red-flags/rule.yaml:2: R001"),
        ("questionnaire/map.yaml", b"[]", "questionnaire/map.yaml:1: R058"),
        ("questionnaire/map.yaml", b"a: [", "questionnaire/map.yaml:1: R058"),
        ("questionnaire/map.yaml", b"a: person.age", "questionnaire/map.yaml:1: R058: a: person.age"),
        ("questionnaire/red-flags.json", b"{}", "questionnaire/map.yaml:1: R058"),
    ],
)
def test_rules_that_are_broken_are_told_with_their_place(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    with pytest.raises(BundleError, match=problem):
        Knowledge.load(settings(written(tmp_path, replaced({name: content}))), TODAY)
