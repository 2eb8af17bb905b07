"""What is packed was loaded from the very bytes, and passes its own cases."""

import shutil
from pathlib import Path

import pytest

from rules.engine import BundleError, bundled_root
from rules.engine.archive import pack, unpack
from service import __version__, packing
from service.packing import pack_rules
from tests.service.archives import SITE_TEXT, plain

ESR = "catalogue/esr-crp-markedly-raised-persistent-pain"


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return shutil.copytree(bundled_root(), tmp_path / "rules", ignore=shutil.ignore_patterns("engine"))


def test_the_manifest_says_what_decisions_will_carry_and_who_may_load_it() -> None:
    manifest = unpack(pack(plain())).manifest
    assert manifest.digest.startswith("sha256:")
    assert manifest.suits(__version__)
    assert not manifest.suits("99.0.0")
    assert manifest.created == ""


@pytest.mark.parametrize(("version", "below"), [("0.1.0", "0.2.0"), ("0.9.3", "0.10.0"), ("2.4.1", "3.0.0")])
def test_a_bundle_is_for_the_versions_that_break_nothing(
    monkeypatch: pytest.MonkeyPatch, version: str, below: str
) -> None:
    monkeypatch.setattr(packing, "__version__", version)
    assert packing._suited() == (version, below)


def test_a_copy_elsewhere_gives_the_same_archive(copied: Path) -> None:
    (copied / "NOTES.md").write_text("not of the rules")
    assert pack(pack_rules(copied, None, "")) == pack(plain())


def test_a_site_file_goes_in_and_counts_for_the_digest(tmp_path: Path) -> None:
    (tmp_path / "our.yaml").write_text(SITE_TEXT)
    archive = pack_rules(bundled_root(), tmp_path / "our.yaml", "")
    assert archive.files["site.yaml"] == SITE_TEXT.encode()
    assert archive.manifest.digest != plain().manifest.digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("schema_version: 1\n", "site.yaml:1: R002"),
        ("schema_version: 1\nsite: x\nquestionnaire: {ours: none}\n", "site.yaml:3: R057"),
    ],
)
def test_a_site_file_that_is_broken_is_not_packed(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "our.yaml").write_text(text)
    with pytest.raises(BundleError, match=said):
        pack_rules(bundled_root(), tmp_path / "our.yaml", "")


def test_rules_that_fail_their_own_cases_are_not_packed(copied: Path) -> None:
    tests = copied / ESR / "tests.yaml"
    text = tests.read_text("utf-8")
    tests.write_text(text.replace("expect: fired", "expect: not-fired", 1), encoding="utf-8")
    with pytest.raises(BundleError, match=rf"{ESR}/tests.yaml:\d+: X004: .*: expected not-fired, got fired"):
        pack_rules(copied, None, "")
