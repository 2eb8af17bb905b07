"""What `make release` makes: whole, checked by its installer, and installed without a network."""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def release(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder as it comes out of the archive."""
    if os.environ.get("TEST_CONTAINERS") != "1":
        pytest.skip("downloads all packages only with TEST_CONTAINERS=1, as make test-deploy sets it")
    folder = tmp_path_factory.mktemp("made") / "release"
    command = [sys.executable, "deploy/release/build.py", "--output", str(folder)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    there = tmp_path_factory.mktemp("carried")
    with tarfile.open(folder.with_name("release-airgap.tar")) as packed:
        packed.extractall(there, filter="data")
    return there / "release"


def install(release: Path, target: Path) -> "subprocess.CompletedProcess[str]":
    """Without a package index: none is reachable at this address."""
    env = {"PATH": os.environ["PATH"], "PIP_INDEX_URL": "http://127.0.0.1:9/", "PYTHON": sys.executable}
    command = ["sh", str(release / "install.sh"), str(target)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=600)


def test_every_file_is_in_the_checksums(release: Path) -> None:
    lines = (release / "SHA256SUMS").read_text("ascii").splitlines()
    listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    files = {path.relative_to(release).as_posix(): path for path in release.rglob("*") if path.is_file()}
    assert listed.keys() == files.keys() - {"SHA256SUMS"}
    assert all(
        hashlib.sha256(files[name].read_bytes()).hexdigest() == digest for name, digest in listed.items()
    )


def test_the_bill_of_materials_has_the_packages_of_the_lock(release: Path) -> None:
    bill = json.loads((release / "sbom.cdx.json").read_bytes())
    lock = (release / "run.txt").read_text("utf-8").splitlines()
    locked = {line.split("==")[0] for line in lock if "==" in line and not line.startswith((" ", "#"))}
    assert {part["name"].lower().replace(".", "-") for part in bill["components"]} == {
        name.lower().replace(".", "-") for name in locked
    }
    assert bill["metadata"]["component"]["name"] == "tocsin"


def test_it_installs_without_an_index_and_runs(release: Path, tmp_path: Path) -> None:
    done = install(release, tmp_path / "tocsin")
    assert done.returncode == 0, done.stderr[-2000:]
    assert "40 rules: 0 errors" in done.stdout
    shown = subprocess.run(
        [tmp_path / "tocsin" / "bin" / "tocsin", "demo", "demo-cord"], capture_output=True, text=True
    )
    assert "call the MSCC contact now" in shown.stdout


def test_nothing_is_installed_when_a_file_differs(release: Path, tmp_path: Path) -> None:
    rules = release / "rules.tar.gz"
    sound = rules.read_bytes()
    rules.write_bytes(sound + b"x")
    try:
        done = install(release, tmp_path / "tocsin")
    finally:
        rules.write_bytes(sound)
    assert done.returncode == 1
    assert "nothing is installed" in done.stderr
    assert not (tmp_path / "tocsin").exists()
