"""`make release`: everything a hospital without a way out needs, in build/release and in one archive.

Wheel and source archive, the packages they need, the rules as an archive, the chart, the bill of materials
(CycloneDX), the script that installs them, and SHA256SUMS over all of it; the image where it is asked for.
Times in the archives are those of SOURCE_DATE_EPOCH, or of the newest commit.
"""

import argparse
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
CHART = REPOSITORY / "deploy" / "chart"
LOCKS = ("run.txt", "build.txt")
IMAGE = "localhost/tocsin:release"


def main() -> int:
    parser = argparse.ArgumentParser(prog="make release", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=REPOSITORY / "build" / "release")
    parser.add_argument("--image", action="store_true", help="build the image with buildah and add it")
    options = parser.parse_args()
    folder: Path = options.output
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ.setdefault("SOURCE_DATE_EPOCH", _newest_commit())
    steps = [_programs, _packages, _rules, _bill, _chart, _script, *([_image] if options.image else [])]
    for number, step in enumerate(steps, 1):
        print(f"[{number}/{len(steps)}] {step.__doc__}", file=sys.stderr)
        step(folder)
    _sums(folder)
    archive = folder.with_name(f"{folder.name}-airgap.tar")
    _packed(archive, folder, folder.name)
    print(f"{folder}\n{archive}")
    return 0


def _programs(folder: Path) -> None:
    """the wheel and the source archive"""
    _run(sys.executable, "-m", "hatchling", "build", "--directory", str(folder))


def _packages(folder: Path) -> None:
    """the packages of requirements/run.txt and build.txt, by their hashes"""
    locks = [option for lock in LOCKS for option in ("-r", str(REPOSITORY / "requirements" / lock))]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
    _run(*pip, "--require-hashes", "--no-deps", "--dest", str(folder / "packages"), *locks)
    for lock in LOCKS:
        shutil.copy(REPOSITORY / "requirements" / lock, folder)


def _rules(folder: Path) -> None:
    """the rules as an archive, not signed: whoever approves them signs"""
    tocsin = Path(sys.executable).with_name("tocsin")
    _run(str(tocsin), "bundle", "build", "--output", str(folder / "rules.tar.gz"))


def _bill(folder: Path) -> None:
    """the bill of materials"""
    cyclonedx = Path(sys.executable).with_name("cyclonedx-py")
    lock = str(REPOSITORY / "requirements" / "run.txt")
    options = ("--output-reproducible", "--pyproject", str(REPOSITORY / "pyproject.toml"))
    _run(str(cyclonedx), "requirements", lock, *options, "--output-file", str(folder / "sbom.cdx.json"))


def _chart(folder: Path) -> None:
    """the Helm chart"""
    plain = folder / "tocsin-chart.tar"
    _packed(plain, CHART, "tocsin")
    # Without a time in its header, so that the same chart is the same file.
    plain.with_suffix(".tgz").write_bytes(gzip.compress(plain.read_bytes(), mtime=0))
    plain.unlink()


def _script(folder: Path) -> None:
    """the script that installs without a network"""
    shutil.copy(Path(__file__).with_name("install.sh"), folder)


def _image(folder: Path) -> None:
    """the image"""
    _run("buildah", "bud", "--tag", IMAGE, "--file", "deploy/Containerfile", ".")
    _run("buildah", "push", IMAGE, f"oci-archive:{folder / 'image.tar'}")


def _sums(folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{_sum(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / "SHA256SUMS").write_text("".join(lines), "ascii")


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _packed(archive: Path, folder: Path, name: str) -> None:
    """The folder as an archive that is the same for the same content."""
    moment = int(os.environ["SOURCE_DATE_EPOCH"])

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = moment
        return entry

    with tarfile.open(archive, "w") as packed:
        for path in _sorted(folder):
            packed.add(path, f"{name}/{path.relative_to(folder)}", recursive=False, filter=plain)


def _sorted(folder: Path) -> Iterable[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _newest_commit() -> str:
    command = ["git", "log", "-1", "--format=%ct"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    return done.stdout.strip() or "0"


def _run(*command: str) -> None:
    subprocess.run(command, cwd=REPOSITORY, check=True, stdout=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
